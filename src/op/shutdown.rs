//! A socket's half-close. The socket is shut down for writing after all writes that are in the
//! queue before this operation.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::operate::{face, At, Context, Op, Operate, Progress, Value};
use super::timeout::Timeout;
use crate::descriptor::Descriptor;
use crate::error::Cause;
use crate::machine::End;
use crate::port::Direction;
use crate::wait_list::Ticket;

/// Waits until the writes before it in the queue have ended, then shuts the socket down for
/// writing: see [`AsyncFile::shutdown_write`](crate::AsyncFile::shutdown_write).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Shutdown {
    file: Rc<Descriptor>,
    timeout: Timeout,
    ticket: Ticket,
}

impl Shutdown {
    pub(crate) fn new(file: &Rc<Descriptor>) -> Shutdown {
        Shutdown {
            file: Rc::clone(file),
            timeout: Timeout::NEVER,
            ticket: Ticket::NONE,
        }
    }

    /// The longest time that the operation may wait for the writes before it. After that it fails
    /// with [`TimedOut`](std::io::ErrorKind::TimedOut), and the socket is as it was.
    pub fn timeout(mut self, after: Duration) -> Shutdown {
        self.timeout.set_after(after);
        self
    }

    /// Shuts the socket down. None if it must wait for the writes before it.
    fn shut_down(&self, cx: &Context<'_>) -> Result<Option<()>, Cause> {
        let mut state = self.file.state();
        state.admit(cx.reactor)?;
        match state.is_front(cx.key, Direction::Write) {
            true => self.file.port.shut_down().map(Some).map_err(Cause::System),
            false => Ok(None),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shutdown_write {:?}", self.file)
    }
}

impl Clone for Shutdown {
    fn clone(&self) -> Shutdown {
        Shutdown {
            timeout: self.timeout,
            ..Shutdown::new(&self.file)
        }
    }
}

face!(Shutdown, op => Op::other(op), op.timeout);

impl Operate for Shutdown {
    fn enter(&mut self, at: At<'_>) {
        self.file
            .enter_if_admitted(&mut self.ticket, at, Direction::Write);
    }

    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let failed = |end, cause| Progress::failed(end, "shutdown_write", self.file.fd(), cause);
        let progress = match self.shut_down(cx) {
            Ok(Some(())) => Progress::complete(Value::Nothing),
            Ok(None) if cx.is_due => failed(End::TimedOut, self.timeout.cause(0, "")),
            Ok(None) => {
                self.enter(cx.at());
                return Progress::Blocked(self.timeout.deadline(cx));
            }
            Err(cause) => failed(End::Failed, cause),
        };
        self.leave();
        progress
    }

    fn leave(&mut self) {
        let mut state = self.file.state();
        self.file
            .leave(&mut state, &mut self.ticket, Direction::Write);
    }

    fn restart(&mut self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "shutdown_write"
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["ok()"]
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shutdown::describe(self, f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &super::operate::Standing<'_>) -> bool {
        self.ticket != Ticket::NONE && self.file.is_waited_on_by(at, Direction::Write)
    }
}
