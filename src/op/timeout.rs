//! How long an operation may take, all of it.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::Context;
use crate::descriptor::{Descriptor, Direction};
use crate::machine::{Advance, SHARE};
use crate::sys;

/// The clock starts when the operation must block for the first time, and does not start again.
#[derive(Clone, Copy)]
pub(crate) struct Timeout {
    /// Nanoseconds, half of a Duration's size; `u64::MAX` (584 years, and more): for ever.
    after: u64,
    due: Option<Instant>,
}

impl Timeout {
    pub const NEVER: Timeout = Timeout { after: u64::MAX, due: None };

    #[inline]
    pub fn after(time: Duration) -> Timeout {
        Timeout { after: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), due: None }
    }

    /// For the simulation: it is never over.
    #[cfg(any(test, fuzzing))]
    pub fn is_endless(&self) -> bool {
        self.after == u64::MAX
    }

    /// The operation must block: until when at most.
    pub fn start(&mut self) -> Option<Instant> {
        if self.due.is_none() && self.after != u64::MAX {
            self.due = sys::now().checked_add(self.duration());
        }
        self.due
    }

    /// Its time is over. Only after `fall_due` of a turn is `context.due` true, and thus after poll(2) was asked: so a timeout of zero
    /// gets what can be had without waiting. In a `first`, the deadline that has come may be another operation's: hence both conditions.
    pub fn is_over(&self, context: &Context<'_>) -> bool {
        context.due && self.due.map_or(false, |due| due <= context.now)
    }

    /// The error when its time is over with nothing to hand over; `what` happened to so many bytes.
    pub fn error(&self, bytes: usize, what: &str) -> io::Error {
        let after = self.duration();
        let message = match bytes {
            0 => format!("timed out after {after:?}"),
            bytes => format!("timed out after {after:?}, {bytes} bytes {what}"),
        };
        io::Error::new(io::ErrorKind::TimedOut, message)
    }

    fn duration(&self) -> Duration {
        Duration::from_nanos(self.after)
    }
}

impl fmt::Display for Timeout {
    /// `, 0.8 s left`, or nothing if it has no end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.after == u64::MAX {
            return Ok(());
        }
        let left = match self.due {
            Some(due) => due.saturating_duration_since(sys::now()),
            None => self.duration(),
        };
        write!(f, ", {:.1} s left", left.as_secs_f64())
    }
}

/// The least that a system call counts for in a share, in bytes.
const CALL: usize = 4096;

/// Data beats deadline, and so does room: advances a machine, and if the deadline has come, goes on within its share as long as poll(2)
/// says that there is more. `advance` is told whether poll(2) has just said so, and tells how many bytes have moved. `is_asked`: poll(2)
/// was asked on its behalf, as it was not for one that came to the front of its queue in this very turn.
#[inline]
pub(crate) fn advance_while_ready(
    context: &Context<'_>,
    (file, direction): (&Descriptor, Direction),
    mut is_asked: bool,
    mut advance: impl FnMut(bool) -> (Advance, usize),
) -> Advance {
    let (mut answer, mut moved) = advance(false);
    let mut left = SHARE;
    // Behind what has moved there may be more, or the end.
    while context.due && matches!(answer, Advance::Blocked) && (moved > 0 || !is_asked) {
        is_asked = true;
        left = left.saturating_sub(moved.max(CALL));
        if left == 0 || !file.is_ready_now(direction) {
            break;
        }
        (answer, moved) = advance(true);
    }
    answer
}
