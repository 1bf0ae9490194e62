//! Bare readiness of a descriptor: for what the library has no operation for, like a listener's accept.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, Context, Kind, Op, Operation, Progress, Value};
use crate::descriptor::{Descriptor, Direction};
use crate::inbox::Key;
use crate::task::Task;

/// Waits for readiness: see [`AsyncFile::readable`](crate::AsyncFile::readable).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Ready {
    file: Rc<Descriptor>,
    direction: Direction,
    timeout: Timeout,
}

impl Ready {
    pub(crate) fn new(file: &Rc<Descriptor>, direction: Direction) -> Ready {
        Ready { file: Rc::clone(file), direction, timeout: Timeout::NEVER }
    }

    /// The most it may take. Then: [`io::ErrorKind::TimedOut`].
    pub fn timeout(mut self, after: Duration) -> Ready {
        self.timeout = Timeout::after(after);
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.direction {
            Direction::Read => "readable",
            Direction::Write => "writable",
            Direction::Hangup => "hangup",
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        self.file.unwatch(key, self.direction);
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let state = self.file.state();
        if let Err(error) = state.admits(context.inbox) {
            return Progress::failed(self.name(), self.file.fd(), error);
        }
        if self.direction == Direction::Read && !state.inflow.is_empty() {
            return Progress::complete(Value::Nothing);
        }
        drop(state);
        match self.file.watch(context.inbox, context.key, self.direction) {
            // Nobody makes a system call here that could tell: a descriptor closed behind our back.
            Some(said) if said & libc::POLLNVAL != 0 => {
                Progress::failed(self.name(), self.file.fd(), io::Error::from_raw_os_error(libc::EBADF))
            }
            Some(_) => Progress::complete(Value::Nothing),
            None if self.timeout.is_over(context) => {
                Progress::failed(self.name(), self.file.fd(), self.timeout.error(0, ""))
            }
            None => Progress::Blocked(self.timeout.start()),
        }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}{}", self.name(), self.file, self.timeout)
    }
}

impl From<Ready> for Op {
    fn from(op: Ready) -> Op {
        Op(Kind::Ready(op))
    }
}

impl Sealed for Ready {}

impl Operation for Ready {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
