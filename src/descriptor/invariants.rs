//! What must be true of an open file between turns: see
//! [`Scheduler::check_invariants`](crate::Scheduler::check_invariants).

use libc::c_short;

use super::*;
use crate::op::operate::Standing as At;

impl Descriptor {
    /// Whether the task is in this direction's queue. If the task is the front, the file must also
    /// be parked and registered.
    pub fn is_waited_on_by(&self, at: &At<'_>, direction: Direction) -> bool {
        let mut state = self.state();
        self.check_entry(&state, at.reactor);
        let list = state.queue(direction);
        if list.front != Some(at.key) {
            return list.keys().contains(&at.key);
        }
        state.is_parked(direction) && self.is_registered_for(&state, direction.events())
    }

    /// Fails unless the poll set has the entry that the file believes it to have.
    fn check_entry(&self, state: &State, reactor: &Reactor) {
        let entry = reactor.events_of(self.fd(), self as *const Descriptor as *const u8);
        let entry = entry.map_or(Interest::NONE, Interest::of);
        assert_eq!(
            state.registered,
            entry,
            "fd {}: its entry in the poll set",
            self.fd()
        );
        let is_as_wanted = state.registered == state.interest();
        let is_wider = state.watchers.is_some() && state.registered != Interest::NONE;
        assert!(
            is_as_wanted || is_wider,
            "fd {}: what poll(2) is asked, and is to be",
            self.fd()
        );
    }

    pub(super) fn is_registered_for(&self, state: &State, events: c_short) -> bool {
        state.registered != Interest::NONE && state.registered.events() & events == events
    }
}
