//! What must be true of an open file between turns: see [`Scheduler::check_invariants`](crate::Scheduler::check_invariants).

use libc::c_short;

use super::{Descriptor, Direction};
use crate::inbox::{Inbox, Watched};
use crate::key::Key;

impl Descriptor {
    /// The poll set has this for it.
    pub fn check_entry(&self, events: c_short) {
        let state = self.state.borrow();
        assert!(state.is_open(), "{self:?} is in the poll set");
        assert!(state.has_waiters(), "{self:?} is in the poll set, and nobody waits on it");
        assert_eq!(state.registered, Some(events), "{self:?}: what it knows of its entry");
    }

    /// The task stands in this direction's queue, and its first is asked for in the poll set, or ready.
    pub fn is_waited_on_by(&self, key: Key, direction: Direction, inbox: &Inbox) -> bool {
        let state = self.state.borrow();
        let queue = match direction {
            Direction::Read => &state.reading,
            Direction::Write => &state.writing,
            Direction::Hangup => return false,
        };
        for waiter in queue.waiters.iter() {
            assert!(inbox.is_alive(waiter), "{self:?}: a task that has ended stands in its queue");
        }
        match queue.waiters.front() {
            None => false,
            Some(front) if front == key => queue.is_parked && self.is_registered_for(direction.events(), inbox),
            Some(_) => queue.waiters.contains(key),
        }
    }

    /// The task waits for bare readiness, of which poll(2) has not told yet, and of bytes that were read ahead it never will.
    pub fn is_watched_by(&self, key: Key, direction: Direction, inbox: &Inbox) -> bool {
        let state = self.state.borrow();
        let mut watchers = state.watchers.iter().flat_map(|watchers| watchers.iter());
        let is_there =
            watchers.any(|watcher| watcher.key == key && watcher.direction == direction && watcher.said == 0);
        let has_bytes = direction == Direction::Read && !state.inflow.is_empty();
        is_there && !has_bytes && self.is_registered_for(direction.events(), inbox)
    }

    fn is_registered_for(&self, events: c_short, inbox: &Inbox) -> bool {
        let registered = self.state.borrow().registered;
        let is_mine = match inbox.poll_set.borrow().owner(self.fd()) {
            Some(Watched::File(file)) => std::ptr::eq(file.as_ptr(), self),
            _ => false,
        };
        is_mine && registered.map_or(false, |registered| registered & events == events)
    }
}
