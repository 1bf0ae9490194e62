//! The poll set in a foreign loop, which asks poll(2) itself.

use std::os::unix::io::RawFd;

use libc::{c_short, pollfd};

use super::Reactor;

impl Reactor {
    /// Appends the entries to a foreign loop's poll set.
    pub fn show(&self, set: &mut Vec<pollfd>) {
        self.poll_set.borrow_mut().show(set);
    }

    /// Whether the descriptor was shown to a foreign loop, which may be asleep.
    pub fn is_shown(&self, fd: RawFd) -> bool {
        self.poll_set.borrow().is_shown(fd)
    }

    /// Takes the answer of a foreign loop's poll(2) for this descriptor. The answer counts only for
    /// an owner that was in the set shown last, because the number may have been used again since.
    pub fn answered(&self, fd: RawFd, revents: c_short) {
        let owner = self.poll_set.borrow_mut().take_shown(fd);
        if let Some(owner) = owner {
            owner.on_ready(revents);
        }
    }
}
