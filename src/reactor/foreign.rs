//! The poll set in a foreign loop, which asks poll(2) itself.

use std::os::unix::io::RawFd;
use std::rc::Rc;

use libc::{c_short, pollfd};

use super::{Reactor, Watch};

impl Reactor {
    /// Appends the entries of the reactor's poll set to `set`, the poll set of a foreign loop.
    pub fn show(&self, set: &mut Vec<pollfd>) {
        self.poll_set.borrow_mut().show(set);
    }

    /// Whether the descriptor was shown to a foreign loop, which may be asleep.
    pub fn is_shown(&self, fd: RawFd) -> bool {
        self.poll_set.borrow().is_shown(fd)
    }

    /// Takes the answer of a foreign loop's poll(2) for this descriptor.
    pub fn answered(&self, fd: RawFd, revents: c_short) {
        if let Some(owner) = self.take_shown(fd) {
            owner.on_ready(revents);
        }
    }

    /// Takes the owner of a descriptor for which a foreign loop's poll(2) has answered. None if the
    /// owner was not in the set that this loop was given last. In that case the number is used
    /// again, and the answer belongs to an earlier descriptor, which was closed.
    pub fn take_shown(&self, fd: RawFd) -> Option<Rc<dyn Watch>> {
        self.poll_set.borrow_mut().take_shown(fd)
    }
}
