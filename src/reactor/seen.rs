//! What has changed since an observer was last shown it: the tasks that were woken or cancelled,
//! the files that were closed. To wake a task leaves no note for it: the queues are compared with
//! what they were, so a scheduler without observer does nothing here.

use std::os::unix::io::RawFd;

use libc::pollfd;

use super::Reactor;
use crate::task_table::Key;

/// How much of the queues an observer was shown.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    ready: usize,
    urgent: usize,
    cancelled: usize,
}

impl Reactor {
    /// All that is in the queues.
    pub fn seen(&self) -> Seen {
        Seen {
            ready: self.ready.borrow().len(),
            urgent: self.urgent.get(),
            cancelled: self.notes.cancelled.borrow().len(),
        }
    }

    /// The tasks that were woken since, in the order in which they are advanced. None was taken out
    /// of the ready queue since.
    pub fn woken_since(&self, seen: &mut Seen) -> Vec<Key> {
        let ready = self.ready.borrow();
        let first = self.urgent.get().saturating_sub(seen.urgent);
        let last = (seen.ready + first).min(ready.len());
        let woken = ready.iter().take(first).chain(ready.iter().skip(last));
        (seen.ready, seen.urgent) = (ready.len(), self.urgent.get());
        woken.copied().collect()
    }

    /// The tasks that were marked as cancelled since.
    pub fn cancelled_since(&self, seen: &mut Seen) -> Vec<Key> {
        let cancelled = self.notes.cancelled.borrow();
        let marked = cancelled.iter().skip(seen.cancelled).copied().collect();
        seen.cancelled = cancelled.len();
        marked
    }

    /// Whether the task goes on in the next turn: it was the last one to be put off.
    pub fn is_put_off(&self, key: Key) -> bool {
        self.later.borrow().last() == Some(&key)
    }

    /// From here on, the files that are closed are noted.
    pub fn note_closes(&self) {
        self.closed.borrow_mut().get_or_insert_with(Vec::new);
    }

    /// A file was closed on which tasks wait or have waited.
    pub fn note_close(&self, fd: RawFd) {
        if let Some(closed) = &mut *self.closed.borrow_mut() {
            closed.push(fd);
        }
    }

    /// The files that were closed since this was asked last.
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

    /// The entry before this place of the poll set.
    pub fn entry_before(&self, place: usize) -> pollfd {
        self.poll_set.borrow().entries[place - 1]
    }
}
