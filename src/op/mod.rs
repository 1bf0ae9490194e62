//! Operations: what a task can wait for.
//!
//! An operation is a machine, the descriptor it works on, and its time. It is advanced by the scheduler,
//! never waits itself, and answers with its outcome or with being blocked. Making one does nothing yet: it begins
//! when a task waits for it, and costs nothing if none does.

mod communicate;
mod exit;
mod first;
mod join;
mod read;
mod ready;
mod sleep;
mod timeout;
mod write;

pub use crate::conversation::Input;
pub use crate::data::Data;
pub use communicate::Communicate;
pub use exit::Exit;
pub use first::{first, First};
pub use join::Join;
pub use read::{Read, ReadToEnd, Readline, Readlines};
pub use ready::Ready;
pub use sleep::{sleep, yield_now, Sleep, YieldNow};
pub use write::Write;

use std::fmt;
use std::io;
use std::os::unix::io::RawFd;
use std::process::{ExitStatus, Output};
use std::rc::Rc;
use std::time::Instant;

use crate::descriptor::Descriptor;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::End;
use crate::pool::Storage;
use crate::task::Task;

/// Any operation, for [`wait`](crate::wait), [`then`](crate::then) and [`first`]. Made with `into()` from each of them.
pub struct Op(pub(crate) Kind);

pub(crate) enum Kind {
    Read(read::Reading),
    Write(Write),
    Ready(Ready),
    Sleep(Sleep),
    YieldNow(YieldNow),
    Join(Join),
    First(First),
    Communicate(Communicate),
    Exit(Exit),
}

/// Where an operation is advanced: by whom, for whom, and when.
pub(crate) struct Context<'a> {
    pub inbox: &'a Rc<Inbox>,
    pub key: Key,
    /// The time this turn began.
    pub now: Instant,
    /// Which turn it is.
    pub turn: u64,
    /// The deadline that this operation asked for has come.
    pub due: bool,
}

/// What an operation answers when it is advanced.
pub(crate) enum Progress {
    /// Nothing to do until a descriptor, another task or this moment wakes it.
    Blocked(Option<Instant>),
    /// It could go on, but others first; its time is over at this moment.
    Yield(Option<Instant>),
    Ended(Ended),
}

/// An operation's outcome.
pub(crate) struct Ended {
    pub end: End,
    pub value: Value,
}

/// What is handed over.
pub(crate) enum Value {
    Nothing,
    /// None: end of file.
    Line(Option<Lent>),
    Lines(Lent),
    Bytes(Lent),
    Written(usize),
    Output(Box<Output>),
    Exit(ExitStatus),
    Failed(io::Error),
}

/// Bytes at the front of a file's buffer, shared with it while a task looks at them.
pub(crate) struct Lent {
    pub storage: Option<Storage>,
    pub start: usize,
    pub len: usize,
}

impl Lent {
    pub fn bytes(&self) -> &[u8] {
        match &self.storage {
            Some(storage) => &storage[self.start..self.start + self.len],
            None => &[],
        }
    }
}

impl Progress {
    pub fn complete(value: Value) -> Progress {
        Progress::Ended(Ended { end: End::Complete, value })
    }

    pub fn failed(operation: &'static str, fd: impl Into<Option<RawFd>>, error: io::Error) -> Progress {
        Progress::without_value(End::Failed, operation, fd.into(), error)
    }

    /// Its time is over, and nothing can be handed over. (An ETIMEDOUT of the kernel's is a failure like any other.)
    pub fn timed_out(operation: &'static str, fd: impl Into<Option<RawFd>>, error: io::Error) -> Progress {
        Progress::without_value(End::TimedOut, operation, fd.into(), error)
    }

    /// A limit was reached, and nothing can be handed over.
    pub fn limited(operation: &'static str, error: io::Error) -> Progress {
        Progress::without_value(End::Limit, operation, None, error)
    }

    fn without_value(end: End, operation: &'static str, fd: Option<RawFd>, error: io::Error) -> Progress {
        Progress::Ended(Ended { end, value: Value::Failed(crate::error::named(operation, fd, error)) })
    }
}

/// The earlier of two moments, if any.
pub(crate) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Op {
    /// Goes as far as it can without waiting.
    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        match &mut self.0 {
            Kind::Read(op) => op.advance(context),
            Kind::Write(op) => op.advance(context),
            Kind::Ready(op) => op.advance(context),
            Kind::Sleep(op) => op.advance(context),
            Kind::YieldNow(op) => op.advance(context),
            Kind::Join(op) => op.advance(context),
            Kind::First(op) => op.advance(context),
            Kind::Communicate(op) => op.advance(context),
            Kind::Exit(op) => op.advance(context),
        }
    }

    /// Takes its place where operations queue, before it is advanced for the first time. Idempotent.
    pub(crate) fn enter(&mut self, inbox: &Rc<Inbox>, key: Key) {
        match &mut self.0 {
            Kind::Read(op) => op.enter(inbox, key),
            Kind::Write(op) => op.enter(inbox, key),
            Kind::YieldNow(op) => op.enter(),
            Kind::First(op) => op.enter(inbox, key),
            Kind::Communicate(op) => op.enter(inbox, key),
            Kind::Ready(_) | Kind::Sleep(_) | Kind::Join(_) | Kind::Exit(_) => {}
        }
    }

    /// Leaves every place where it waits: it has ended, was cancelled, or is put back. Idempotent.
    pub(crate) fn leave(&mut self, key: Key) {
        match &mut self.0 {
            Kind::Read(op) => op.leave(key),
            Kind::Write(op) => op.leave(key),
            Kind::Ready(op) => op.leave(key),
            Kind::Join(op) => op.leave(key),
            Kind::First(op) => op.leave(key),
            Kind::Communicate(op) => op.leave(key),
            Kind::Exit(op) => op.leave(key),
            Kind::Sleep(_) | Kind::YieldNow(_) => {}
        }
    }

    /// The one that ended: itself, or that of a `first`.
    pub(crate) fn ended(&self) -> &Op {
        match &self.0 {
            Kind::First(op) => op.winner().map_or(self, Op::ended),
            _ => self,
        }
    }

    /// The file whose bytes it hands over.
    pub(crate) fn file(&self) -> Option<&Rc<Descriptor>> {
        match &self.ended().0 {
            Kind::Read(op) => Some(op.file()),
            _ => None,
        }
    }

    /// The descriptor it works on, for messages.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        match &self.0 {
            Kind::Read(op) => Some(op.file().fd()),
            Kind::Write(op) => Some(op.file().fd()),
            _ => None,
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Read(op) => op.name(),
            Kind::Write(op) => op.name(),
            Kind::Ready(op) => op.name(),
            Kind::Sleep(_) => "sleep",
            Kind::YieldNow(_) => "yield_now",
            Kind::Join(_) => "join",
            Kind::First(_) => "first",
            Kind::Communicate(_) => "communicate",
            Kind::Exit(_) => "exit",
        }
    }

    /// The accessors of [`Task`] that fit it.
    pub(crate) fn accessors(&self) -> &'static [&'static str] {
        match &self.0 {
            Kind::Read(op) => op.accessors(),
            Kind::Write(_) => &["written()", "ok()"],
            Kind::Ready(_) | Kind::Sleep(_) | Kind::YieldNow(_) | Kind::Join(_) => &["ok()"],
            Kind::Communicate(_) => &["output()"],
            Kind::Exit(_) => &["exit()"],
            Kind::First(_) => &[],
        }
    }

    /// Where its machine stands, for traces.
    pub(crate) fn state(&self) -> &'static str {
        match &self.0 {
            Kind::Read(op) => op.state(),
            Kind::Write(op) => op.state(),
            Kind::First(op) => op.state(),
            Kind::Communicate(op) => op.state(),
            Kind::Exit(op) => op.state(),
            Kind::Ready(_) | Kind::Sleep(_) | Kind::YieldNow(_) | Kind::Join(_) => "Waiting",
        }
    }
}

impl fmt::Debug for Op {
    /// One line: `readline fd 5, 37 B held, 0.8 s left`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Read(op) => op.fmt(f),
            Kind::Write(op) => op.fmt(f),
            Kind::Ready(op) => op.fmt(f),
            Kind::Sleep(op) => op.fmt(f),
            Kind::YieldNow(op) => op.fmt(f),
            Kind::Join(op) => op.fmt(f),
            Kind::First(op) => op.fmt(f),
            Kind::Communicate(op) => op.fmt(f),
            Kind::Exit(op) => op.fmt(f),
        }
    }
}

/// An operation that [`Scheduler::block_on`](crate::Scheduler::block_on) can wait for from ordinary code. All are.
pub trait Operation: Into<Op> + private::Sealed {
    /// What it hands over, owned.
    type Output: 'static;

    /// Takes it from the task that was resumed with it.
    #[doc(hidden)]
    fn output(task: &mut Task<'_, '_>) -> io::Result<Self::Output>;
}

pub(crate) mod private {
    pub trait Sealed {}
}
