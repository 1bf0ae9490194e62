//! The deadline of an operation that also waits for other moments. A `first` also waits for the
//! deadlines of its members. An exit also waits for the moment of its next check of the child. The
//! task's deadline is the earliest of all these moments.

use super::operate::Context;
use super::timeout::Timeout;
use crate::sys::clock::Moment;

/// The limits of such an operation, and the deadline that they give once the clock has started.
#[derive(Clone)]
pub(crate) struct OwnDeadline {
    pub timeout: Timeout,
    /// The deadline. NEVER until `begin` sets it.
    at: Moment,
}

impl OwnDeadline {
    pub const NEVER: OwnDeadline = OwnDeadline {
        timeout: Timeout::NEVER,
        at: Moment::NEVER,
    };

    /// The deadline of an operation that must block. A timeout counts from the first call.
    pub fn begin(&mut self, cx: &Context<'_>) -> Moment {
        let deadline = self.at;
        self.at = self.timeout.deadline(&Context { deadline, ..*cx });
        self.at
    }

    /// Whether this deadline has come. The task may be due for another of the moments that the
    /// operation waits for.
    pub fn has_come(&self, cx: &Context<'_>) -> bool {
        cx.is_due && self.at <= cx.reactor.turn_began.get()
    }

    /// The deadline. NEVER until `begin` sets it.
    pub fn at(&self) -> Moment {
        self.at
    }

    /// Stops the clock. It starts again with the next `begin`.
    pub fn reset(&mut self) {
        self.at = Moment::NEVER;
    }
}
