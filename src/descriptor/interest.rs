//! What poll(2) is asked of a file.

use libc::{c_short, POLLERR, POLLHUP, POLLNVAL};

/// What poll(2) answers unasked. Each of these wakes reader and writer: the system call then
/// decides.
pub(crate) const ALWAYS: c_short = POLLHUP | POLLERR | POLLNVAL;

/// Nothing, or these events and what poll(2) answers unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(c_short);

impl Interest {
    pub const NONE: Interest = Interest(0);
    /// A bit that is no event: interest in a hangup alone is not nothing.
    pub const SOME: c_short = 1 << 14;

    #[inline]
    pub fn of(events: c_short) -> Interest {
        Interest(events | Interest::SOME)
    }

    #[inline]
    pub fn events(self) -> c_short {
        self.0 & !Interest::SOME
    }

    #[inline]
    pub fn and(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    #[inline]
    pub fn has(self, events: c_short) -> bool {
        self.0 & events != 0
    }

    #[inline]
    pub fn without(self, events: c_short) -> Interest {
        match self.events() & !events {
            0 => Interest::NONE,
            rest => Interest::of(rest),
        }
    }
}
