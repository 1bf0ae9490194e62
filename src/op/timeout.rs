//! How long a whole operation may take, and until when.
//!
//! The clock of a timeout starts when the operation must block for the first time. Bytes that
//! arrive later do not restart the clock, so a trickle of bytes does not extend the timeout. An
//! `until` is a moment, and needs no clock. The earlier of the two is the deadline, which lies in
//! the task. The operation gets the deadline with each [`Context`](super::operate::Context). When
//! the deadline is due, the operation is advanced, and may ask poll(2) itself (`may_look`). So an
//! operation with a timeout of zero gets what it can have without waiting.

use std::time::{Duration, Instant};

use super::operate::Context;
use crate::error::Cause;
use crate::sys::clock::{self, nanoseconds, Epoch, Moment};

/// The limits of an operation: a span of time (`timeout`), and a moment (`until`). The earlier of
/// the two ends the operation.
#[derive(Clone, Copy)]
pub(crate) struct Timeout {
    /// The span in nanoseconds. [`NO_SPAN`](Timeout::NO_SPAN) says that there is none, and
    /// [`NEITHER`](Timeout::NEITHER) that there is no moment either.
    after: u64,
    until: Moment,
}

impl Timeout {
    pub const NEVER: Timeout = Timeout {
        after: Timeout::NEITHER,
        until: Moment::NEVER,
    };

    /// The value of `after` if neither `timeout` nor `until` was set. One comparison with this
    /// value shows that an operation has no limits.
    const NEITHER: u64 = u64::MAX;
    /// The value of `after` if the limit is a moment alone, without a span.
    const NO_SPAN: u64 = u64::MAX - 1;

    #[inline]
    pub fn after(time: Duration) -> Timeout {
        let after = nanoseconds(time);
        Timeout {
            after,
            ..Timeout::NEVER
        }
    }

    pub fn until(at: Instant) -> Timeout {
        let mut timeout = Timeout::NEVER;
        timeout.set_until(at);
        timeout
    }

    /// Sets the span (`timeout`). A moment that was set before (`until`) stays.
    #[inline]
    pub fn set_after(&mut self, time: Duration) {
        self.after = nanoseconds(time);
        if self.until != Moment::NEVER {
            self.after = self.after.min(Timeout::NO_SPAN);
        }
    }

    /// Sets the moment (`until`). The span (`timeout`) stays as it was.
    pub fn set_until(&mut self, at: Instant) {
        self.until = Epoch::of_thread().moment(at);
        self.after = self.after.min(Timeout::NO_SPAN);
    }

    /// The deadline of an operation that must block. If the task has none yet, the time counts from
    /// now. The scheduler keeps the deadline in the task, so later calls find it there.
    #[inline]
    pub fn deadline(self, cx: &Context<'_>) -> Moment {
        if self.after == Timeout::NEITHER || cx.deadline != Moment::NEVER {
            return cx.deadline;
        }
        self.until.min(cx.reactor.now().after(self.after))
    }

    /// The cause of the failure of an operation whose deadline has come. `what` says whether the
    /// bytes were "kept" or "written"; it is empty if the operation moves no bytes. The cause gives
    /// the length of the timeout only if the `until` moment has not passed.
    #[cold]
    pub fn cause(self, bytes: usize, what: &'static str) -> Cause {
        let after = Some(self.after).filter(|_| clock::now() < self.until);
        Cause::TimedOut { after, bytes, what }
    }
}

#[cfg(any(test, fuzzing))]
impl Timeout {
    /// For the simulation: whether the operation has no deadline.
    pub fn is_endless(self) -> bool {
        self.after >= Timeout::NO_SPAN && self.until == Moment::NEVER
    }
}
