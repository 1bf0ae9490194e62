//! How long an operation may take, all of it.
//!
//! The clock of a timeout starts when the operation must block for the first time, and does not
//! start again: a trickle of bytes does not extend it. The deadline that follows lies in the task,
//! not in the operation, and comes back to it with each [`Context`](super::operate::Context). When
//! it is due, poll(2) has just been asked, and the operation may ask again (`may_look`): one with a
//! timeout of zero gets what can be had without waiting.

use std::time::Duration;

use super::operate::Context;
use crate::error::Cause;
use crate::sys::clock::{nanoseconds, Moment};

/// Nanoseconds; `u64::MAX`: for ever.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Timeout(u64);

impl Timeout {
    pub const NEVER: Timeout = Timeout(u64::MAX);

    #[inline]
    pub fn after(time: Duration) -> Timeout {
        Timeout(nanoseconds(time))
    }

    /// The operation must block: until when at most.
    #[inline]
    pub fn deadline(self, cx: &Context<'_>) -> Moment {
        if self.0 == u64::MAX || cx.deadline != Moment::NEVER {
            return cx.deadline;
        }
        cx.reactor.now().after(self.0)
    }

    /// Why an operation failed that was due with nothing to hand over; so many bytes were kept or
    /// written.
    #[cold]
    pub fn cause(self, bytes: usize, what: &'static str) -> Cause {
        Cause::TimedOut {
            after: self.0,
            bytes,
            what,
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Timeout {
    /// For the simulation: it never ends.
    pub fn is_endless(self) -> bool {
        self.0 == u64::MAX
    }
}
