//! Whether a file has a descriptor, and the error if it has none.

use std::fmt;
use std::io::ErrorKind::{InvalidInput, NotConnected};
use std::rc::Rc;

use super::Descriptor;
use crate::error::Cause;
use crate::port::Direction;
use crate::reactor::Reactor;
use crate::task_table::Key;
use crate::wait_list::Ticket;

/// Whether there is a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// The descriptor was closed behind the library's back: poll(2) answered NVAL, or other code
    /// uses the number by now. No call is made under that number any more, not even close(2). Bytes
    /// that were read ahead are still there.
    Lost,
    Closed,
    /// There is no descriptor: this standard stream was not piped, or the child's stdin was taken.
    Absent(Stream),
}

/// A standard stream of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl Stream {
    /// The name of the stream, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdin => "stdin",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl Standing {
    /// Why no operation can wait on the file. None if one can.
    pub fn refusal(self) -> Option<Cause> {
        match self {
            Standing::Open | Standing::Lost => None,
            Standing::Closed => Some(Cause::Says(NotConnected, "closed")),
            Standing::Absent(Stream::Stdin) => {
                Some(Cause::Says(InvalidInput, "the child's stdin is not piped"))
            }
            Standing::Absent(Stream::Stdout) => {
                Some(Cause::Says(InvalidInput, "the child's stdout is not piped"))
            }
            Standing::Absent(Stream::Stderr) => {
                Some(Cause::Says(InvalidInput, "the child's stderr is not piped"))
            }
        }
    }
}

impl Descriptor {
    /// Puts an operation into the queue of this direction before it is advanced for the first time.
    /// An operation that may not wait on this file does not enter, and fails when it is advanced.
    pub fn enter_if_admitted(
        &self,
        ticket: &mut Ticket,
        at: (&Rc<Reactor>, Key),
        direction: Direction,
    ) {
        let mut state = self.state();
        if state.admit(at.0).is_ok() {
            self.enter(&mut state, ticket, at, direction);
        }
    }

    /// Whether the stream was not piped, or was taken.
    pub fn is_absent(&self) -> bool {
        matches!(self.state.borrow().standing, Standing::Absent(_))
    }

    /// Whether the file is open and, as far as the library knows, not closed behind its back.
    pub fn is_ours(&self) -> bool {
        self.state.borrow().standing == Standing::Open
    }

    pub fn is_open(&self) -> bool {
        self.state.borrow().is_open()
    }

    /// How many bytes are buffered.
    pub fn buffered(&self) -> usize {
        self.state().inflow.len()
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        match state.standing {
            Standing::Absent(Stream::Stdin) => return f.write_str("stdin (not piped)"),
            Standing::Absent(Stream::Stdout) => return f.write_str("stdout (not piped)"),
            Standing::Absent(Stream::Stderr) => return f.write_str("stderr (not piped)"),
            Standing::Closed => return write!(f, "fd {} (closed)", self.fd()),
            Standing::Open | Standing::Lost => write!(f, "fd {}", self.fd())?,
        }
        match state.inflow.len() {
            0 => Ok(()),
            held => write!(f, ", {held} B held"),
        }
    }
}
