//! What is known of a task and of the wake pipe between turns: see [`Scheduler::check_invariants`](crate::Scheduler::check_invariants).

use std::rc::Weak;

use super::{Inbox, Key, Watched};
use crate::descriptor::Descriptor;

impl Inbox {
    /// The task is to be advanced or dropped without waiting.
    pub fn is_queued(&self, key: Key) -> bool {
        [&self.ready, &self.urgent, &self.later].iter().any(|queue| queue.borrow().contains(&key))
            || self.cancelled.borrow().contains(&key)
    }

    /// poll(2) watches the wake pipe, or it was lost, and that was said.
    pub fn hears_others(&self) -> bool {
        let fd = self.wake.borrow().as_ref().map_or(-1, |wake| wake.fd());
        self.is_wake_lost.get() || matches!(self.poll_set.borrow().owner(fd), Some(Watched::Wake))
    }

    /// `key` waits for the end of `target`.
    pub fn is_joined_by(&self, target: Key, key: Key) -> bool {
        self.joiners.borrow().get(&target).map_or(false, |waiters| waiters.contains(key))
    }

    /// `key` waits for others to let go of this.
    pub fn waits_for_stdin(&self, key: Key, stdin: &Weak<Descriptor>) -> bool {
        self.stdins.borrow().iter().any(|(other, others)| *other == key && others.ptr_eq(stdin))
    }

    /// Fails unless all who wait for a task's end are there, and so is that task.
    pub fn check_joiners(&self) {
        for (target, waiters) in self.joiners.borrow().iter() {
            let mut all = waiters.iter().chain([*target]);
            assert!(all.all(|key| self.is_alive(key)), "the end of {target:?} is waited for by one who is not there");
        }
    }
}
