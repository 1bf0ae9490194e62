//! The invariants of the reactor, which hold between turns: see
//! [`Scheduler::check_invariants`](crate::Scheduler::check_invariants).

use super::*;

impl Reactor {
    /// True if the task will be advanced or dropped without waiting for anything.
    pub fn is_queued(&self, key: Key) -> bool {
        self.ready.borrow().contains(&key)
            || self.later.borrow().contains(&key)
            || self.notes.cancelled.borrow().contains(&key)
    }

    /// The events that poll(2) is asked for, for this descriptor and on behalf of this watch.
    pub fn events_of(&self, fd: RawFd, watch: *const u8) -> Option<c_short> {
        let set = self.poll_set.borrow();
        let place = set.place(fd)?;
        let owner = set.owners[place].as_ref()?;
        Some(set.entries[place].events).filter(|_| address(owner) == watch)
    }

    /// Fails unless each descriptor knows its entry.
    pub fn check_poll_set(&self) {
        let set = self.poll_set.borrow();
        assert_eq!(set.entries.len(), set.owners.len());
        for (place, entry) in set.entries.iter().enumerate() {
            assert_eq!(
                set.place(entry.fd),
                Some(place),
                "fd {} does not know its entry",
                entry.fd
            );
        }
        assert_eq!(
            set.live,
            set.owners.iter().flatten().count(),
            "how many entries have owners"
        );
        let places = set.places.iter().filter(|place| **place > 0).count();
        assert_eq!(
            places,
            set.entries.len(),
            "descriptors that believe to have an entry"
        );
    }
}
