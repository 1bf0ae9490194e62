//! The turn in a foreign loop. That loop calls `pollfds`, then poll(2) by itself, then `dispatch`.

use std::time::Duration;

use libc::pollfd;

use super::Scheduler;
use crate::error::TaskError;
use crate::sys::clock::{self, Moment};

impl Scheduler<'_> {
    /// For a foreign loop: appends the descriptors to its poll(2) set, and returns the longest time
    /// that the loop may wait. That is `Some(ZERO)` if work is ready, and None if only the
    /// descriptors can wake a task. Round the time up, not down, to poll's milliseconds. After
    /// poll(2), call [`dispatch`](Scheduler::dispatch).
    ///
    /// # Example
    ///
    /// This shows the shortest loop:
    ///
    /// ```
    /// use asyncfile::{done, sleep, Scheduler};
    /// use std::time::Duration;
    ///
    /// let mut sched = Scheduler::new();
    /// sched.spawn(sleep(Duration::from_millis(5)), |task| done(task.ok()?));
    /// let mut set = Vec::new();
    /// loop {
    ///     set.clear();                                        // the host's own entries come here
    ///     let timeout = match sched.pollfds(&mut set) {
    ///         Some(due) => ((due.as_micros() + 999) / 1000).min(60_000) as libc::c_int,
    ///         None => -1,
    ///     };
    ///     // SAFETY: pointer and length are those of one vector.
    ///     unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, timeout) };
    ///     if sched.dispatch(&set)? == 0 {
    ///         break;                                          // no task is left
    ///     }
    /// }
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn pollfds(&mut self, set: &mut Vec<pollfd>) -> Option<Duration> {
        self.drop_cancelled(None);
        if let Some(observer) = &self.observer {
            (observer.hooks.pollfds)(self);
        }
        self.reactor.show(set);
        self.foreign_timeout()
    }

    /// How long a foreign loop may wait.
    pub(super) fn foreign_timeout(&self) -> Option<Duration> {
        let reactor = &self.reactor;
        let has_work = self.calls.has_any() || reactor.has_work() || reactor.has_failures();
        if has_work || reactor.is_stopping() {
            return Some(Duration::ZERO);
        }
        match self.deadlines.first() {
            Moment::NEVER => None,
            at => Some(at.since(clock::now())),
        }
    }

    /// For a foreign loop: makes one turn with the answers of poll(2), in any order. Entries of
    /// other owners are ignored. An answer counts only for a file that was in the set last given by
    /// [`pollfds`](Scheduler::pollfds). If its number was reused since, the answer is not for the
    /// new file. The turn never waits in poll(2). Returns how many tasks are alive.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens, unless
    /// [`on_failure`](Scheduler::on_failure) takes it; the other tasks are kept.
    pub fn dispatch(&mut self, set: &[pollfd]) -> Result<usize, TaskError> {
        self.begin_drive(false)?;
        self.reactor.forget_time();
        if let Some(observer) = &self.observer {
            (observer.hooks.take_answers)(self, set);
        }
        for entry in set.iter().filter(|entry| entry.revents != 0) {
            self.reactor.answered(entry.fd, entry.revents);
        }
        self.fall_due();
        self.advance_ready();
        self.failure()?;
        self.reactor.take_stop();
        Ok(self.alive)
    }
}
