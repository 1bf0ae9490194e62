//! Changes since the last report to an observer: the tasks that were woken or cancelled, and the
//! files that were closed. Waking a task leaves no note. Instead, each report compares the queues
//! with the lengths that they had at the last report. So a scheduler without observer does no extra
//! work when it wakes a task.

use std::os::unix::io::RawFd;

use libc::pollfd;

use super::Reactor;
use crate::task_table::Key;

/// How much of each queue an observer was shown.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    ready: usize,
    urgent: usize,
    cancelled: usize,
}

impl Reactor {
    /// The lengths of the queues at this moment. All that is in the queues now counts as shown.
    pub fn seen(&self) -> Seen {
        Seen {
            ready: self.ready.borrow().len(),
            urgent: self.urgent.get(),
            cancelled: self.notes.cancelled.borrow().len(),
        }
    }

    /// The tasks that were woken since `seen`, in the order in which they are advanced. The answer
    /// is right only if no task was taken out of the ready queue since then.
    pub fn woken_since(&self, seen: &mut Seen) -> Vec<Key> {
        let ready = self.ready.borrow();
        let first = self.urgent.get().saturating_sub(seen.urgent);
        let last = (seen.ready + first).min(ready.len());
        let woken = ready.iter().take(first).chain(ready.iter().skip(last));
        (seen.ready, seen.urgent) = (ready.len(), self.urgent.get());
        woken.copied().collect()
    }

    /// The tasks that were marked as cancelled since `seen`.
    pub fn cancelled_since(&self, seen: &mut Seen) -> Vec<Key> {
        let cancelled = self.notes.cancelled.borrow();
        let marked = cancelled.iter().skip(seen.cancelled).copied().collect();
        seen.cancelled = cancelled.len();
        marked
    }

    /// Whether this task is the last one that was put off to the next turn.
    pub fn is_put_off(&self, key: Key) -> bool {
        self.later.borrow().last() == Some(&key)
    }

    /// Notes that there is an observer. Files that are closed from here on are noted for it.
    pub fn observe(&self) {
        self.closed.borrow_mut().get_or_insert_with(Vec::new);
        self.note_observer();
    }

    /// Whether there is an observer.
    pub(super) fn is_observed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Notes, for an observer, that a file was closed on which tasks wait or have waited.
    pub fn note_close(&self, fd: RawFd) {
        if let Some(closed) = &mut *self.closed.borrow_mut() {
            closed.push(fd);
        }
    }

    /// The files that were closed since the last call.
    pub fn take_closed(&self) -> Vec<RawFd> {
        let mut closed = self.closed.borrow_mut();
        closed.as_mut().map_or(Vec::new(), std::mem::take)
    }

    /// How many entries poll(2) is given, and how many of those are not hidden.
    pub fn count_entries(&self) -> (usize, usize) {
        let set = self.poll_set.borrow();
        let owners = set.owners.iter().flatten();
        let all = owners.clone().count();
        (all, owners.filter(|owner| !owner.is_hidden()).count())
    }

    /// The entry at the index `place - 1`. [`ask_for`](Reactor::ask_for) counts places from 1.
    pub fn entry_before(&self, place: usize) -> pollfd {
        self.poll_set.borrow().entries[place - 1]
    }
}
