//! Invariants that hold between turns, for the simulation and the fuzz targets. They are checked by
//! looking at the state, without running a task.
//!
//! The most important invariant: a task that is alive is ready, or waits where something will wake
//! it. Its deadline does not count here, because a deadline would hide that a wake-up was lost.

use super::Scheduler;
use crate::op::operate::Standing;

impl Scheduler<'_> {
    /// Fails if an invariant is broken. To be called only between turns.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let is_seen = self.tasks.iter().filter(|task| !task.is_hidden);
        assert_eq!(
            self.alive,
            is_seen.count(),
            "the number of tasks that are alive"
        );
        self.tasks.check(); // no task is taken between turns
        let mut armed = 0;
        for task in self.tasks.iter() {
            let (key, op) = (task.key, &task.op);
            armed += usize::from(task.deadline.is_armed());
            self.deadlines.check(key, &task.deadline);
            let is_queued = self.reactor.is_queued(key);
            assert!(!task.is_due || is_queued, "{op:?} is due, and not ready");
            let at = Standing {
                reactor: &self.reactor,
                key,
                has_deadline: task.deadline.is_armed(),
            };
            assert!(
                is_queued || op.is_waiting(&at),
                "{op:?}: nothing will wake it"
            );
        }
        assert_eq!(
            self.deadlines.armed(),
            armed,
            "the number of tasks that have a deadline"
        );
        self.reactor.check_poll_set();
    }
}
