//! Operations as the scheduler sees them: three methods that move an operation, and a few that
//! describe it.
//!
//! An operation is a machine, what it works on, and its timeout. Making one does nothing yet. The
//! scheduler calls:
//!
//! - **enter**: the operation takes its place in the queues before its first advance.
//! - **advance**: the operation goes as far as it can without waiting.
//! - **leave**: the operation is given up, because its task was cancelled, or because another
//!   member of a `first` has ended.
//!
//! An operation that ends leaves its queues by itself.
//!
//! The everyday operations lie inline in [`Op`], without allocation. Every other operation is a
//! `Box<dyn Operate>` in one common variant. [`Op`] does not name their types, so the linker drops
//! the operations that a program does not use.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::unix::io::RawFd;
use std::process::{ExitStatus, Output};
use std::rc::Rc;

use libc::c_short;

use super::read::Reading;
use super::sleep::{Sleep, YieldNow};
use super::write::Writing;
use crate::descriptor::Descriptor;
use crate::error::{self, Cause};
use crate::line_buffer::Lent;
use crate::machine::End;
use crate::reactor::Reactor;
use crate::sys::clock::Moment;
use crate::task_table::Key;

/// An operation of any type, for [`wait`](crate::wait), [`then`](crate::then) and
/// [`first`](crate::first). `into()` makes an `Op` from each operation.
pub struct Op(pub(crate) Kind);

pub(crate) enum Kind {
    Read(Reading),
    Write(Writing),
    Sleep(Sleep),
    YieldNow(YieldNow),
    Other(Box<dyn Operate>),
}

/// An operation that is none of the everyday ones (read, write, sleep, yield).
pub(crate) trait Operate {
    /// Puts the operation into the queues in which it waits, before its first advance.
    fn enter(&mut self, _: At<'_>) {}

    /// Advances the operation as far as it goes without waiting.
    fn advance(&mut self, cx: &Context<'_>) -> Progress;

    /// Takes the operation out of every queue and list in which it waits. Idempotent.
    fn leave(&mut self);

    /// Makes an operation that has ended begin again, for `again()`. False if it cannot be
    /// repeated.
    fn restart(&mut self) -> bool;

    /// The name of the operation, for messages.
    fn name(&self) -> &'static str;

    /// The state of its machine, for traces.
    fn state(&self) -> &'static str {
        "Waiting"
    }

    /// The accessors of [`Task`](crate::Task) that fit the operation.
    fn accessors(&self) -> &'static [&'static str];

    /// If the operation has members: the index of the member that has ended, and that member.
    fn winner(&self) -> Option<(usize, &Op)> {
        None
    }

    /// Whether the operation can be given up half-way without losing anything.
    fn can_be_put_back(&self) -> bool {
        true
    }

    /// Prints one line: the operation's name, and what it works on.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// For the simulation: whether the operation waits as it should. That is so if something
    /// besides the task's deadline will wake the task, or if the operation waits for its deadline
    /// alone.
    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &Standing<'_>) -> bool;
}

/// For the simulation: the task whose operation is checked by [`Operate::is_waiting`].
#[cfg(any(test, fuzzing))]
pub(crate) struct Standing<'a> {
    pub reactor: &'a Reactor,
    pub key: Key,
    pub has_deadline: bool,
}

/// The task and the time, for an operation that is advanced.
pub(crate) struct Context<'a> {
    pub reactor: &'a Rc<Reactor>,
    pub key: Key,
    /// The deadline of the operation. NEVER if it has none, or if its clock has not started.
    pub deadline: Moment,
    /// Whether the deadline has come.
    pub is_due: bool,
    /// Whether the operation may ask poll(2) itself. It may if any deadline of its task has come.
    /// In a `first` that may be the deadline of another member alone, and `is_due` is false then.
    pub may_look: bool,
}

/// A task as queues and wait lists need it: its reactor, and its key.
pub(crate) type At<'a> = (&'a Rc<Reactor>, Key);

impl<'a> Context<'a> {
    /// The task that is advanced.
    #[inline]
    pub fn at(&self) -> At<'a> {
        (self.reactor, self.key)
    }

    /// Ends the advance of an operation that could go on. Its task is advanced again in the next
    /// turn, so that other tasks come first.
    pub fn yield_until(&self, deadline: Moment) -> Progress {
        self.reactor.wake_later(self.key);
        Progress::Blocked(deadline)
    }
}

/// How a step of an operation ended.
pub(crate) enum Progress {
    /// The operation waits until a descriptor, another task or this moment wakes its task.
    Blocked(Moment),
    Ended(End, Value),
}

/// The value that an operation hands over.
pub(crate) enum Value {
    Nothing,
    /// A line. The end of file is a line of 0 bytes.
    Line(Lent),
    /// Lines, and how many of their bytes the task has taken.
    Lines(Lent, Cell<usize>),
    Bytes(Lent),
    /// The bytes of a peek. They stay in the file.
    Shown(Lent),
    /// How many bytes were written, and whether these are all bytes of the data.
    Written(usize, bool),
    Exit(ExitStatus),
    Exits(Box<[ExitStatus]>),
    /// The answer of poll(2).
    Revents(c_short),
    /// None after the task has taken it.
    Output(Cell<Option<Box<Output>>>),
    /// None after the task has taken it.
    Failed(Cell<Option<io::Error>>),
}

impl Progress {
    #[inline]
    pub fn complete(value: Value) -> Progress {
        Progress::Ended(End::Complete, value)
    }

    #[cold]
    pub fn failed(end: End, operation: &'static str, fd: RawFd, cause: Cause) -> Progress {
        let error = error::named(operation, fd, cause);
        Progress::Ended(end, Value::Failed(Cell::new(Some(error))))
    }
}

impl Op {
    pub(crate) fn other(op: impl Operate + 'static) -> Op {
        Op(Kind::Other(Box::new(op)))
    }

    /// Puts the operation into its queues without an advance. The scheduler calls this when it
    /// spawns a task, and when a task has used up its share of this turn. In both cases the first
    /// advance comes later, and the operation keeps its place before all later operations.
    #[inline]
    pub(crate) fn enter(&mut self, at: At<'_>) {
        match &mut self.0 {
            Kind::Read(op) => op.enter(at),
            Kind::Write(op) => op.enter(at),
            Kind::Sleep(_) => {}
            Kind::YieldNow(op) => op.enter(),
            Kind::Other(op) => op.enter(at),
        }
    }

    /// Advances the operation as far as it goes without waiting.
    #[inline(always)]
    pub(crate) fn advance(&mut self, cx: &Context<'_>) -> Progress {
        match &mut self.0 {
            Kind::Read(op) => op.advance(cx),
            Kind::Write(op) => op.advance(cx),
            Kind::Sleep(op) => op.advance(cx),
            Kind::YieldNow(op) => op.advance(cx),
            Kind::Other(op) => op.advance(cx),
        }
    }

    /// The same as `advance`, for rare callers, which share one copy of the code.
    #[inline(never)]
    pub(crate) fn advance_rarely(&mut self, cx: &Context<'_>) -> Progress {
        self.advance(cx)
    }

    /// Takes the operation out of every queue and list in which it waits. Idempotent.
    pub(crate) fn leave(&mut self) {
        match &mut self.0 {
            Kind::Read(op) => op.leave(),
            Kind::Write(op) => op.leave(),
            Kind::Sleep(_) | Kind::YieldNow(_) => {}
            Kind::Other(op) => op.leave(),
        }
    }

    /// Makes an operation that has ended begin again.
    #[inline]
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        let is_repeated = match &mut self.0 {
            Kind::Read(op) => {
                op.restart();
                true
            }
            Kind::Write(_) => false,
            Kind::Sleep(_) => true,
            Kind::YieldNow(op) => {
                op.restart();
                true
            }
            Kind::Other(op) => op.restart(),
        };
        match is_repeated {
            true => Ok(()),
            false => Err(error::named(self.name(), self.fd(), Cause::Once)),
        }
    }

    /// The operation that has ended. For a `first` that is the member that has ended, and for any
    /// other operation the operation itself.
    pub(crate) fn ended(&self) -> &Op {
        match &self.0 {
            Kind::Other(op) => op.winner().map_or(self, |(_, winner)| winner.ended()),
            _ => self,
        }
    }

    /// The index of the member of a `first` that ended. 0 for other operations.
    pub(crate) fn which(&self) -> usize {
        match &self.0 {
            Kind::Other(op) => op.winner().map_or(0, |(index, _)| index),
            _ => 0,
        }
    }

    /// The file whose bytes the operation hands over.
    pub(crate) fn file(&self) -> Option<&Rc<Descriptor>> {
        match &self.ended().0 {
            Kind::Read(op) => Some(op.file()),
            _ => None,
        }
    }

    /// Whether the operation is a read of 0 bytes. Such a read takes no message.
    pub(crate) fn wants_nothing(&self) -> bool {
        matches!(&self.ended().0, Kind::Read(op) if op.machine.wants_nothing())
    }

    /// Whether the operation can be given up half-way without losing anything.
    pub(crate) fn can_be_put_back(&self) -> bool {
        match &self.0 {
            Kind::Read(_) | Kind::Sleep(_) | Kind::YieldNow(_) => true,
            Kind::Write(_) => false,
            Kind::Other(op) => op.can_be_put_back(),
        }
    }

    /// For the simulation: see [`Operate::is_waiting`].
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_waiting(&self, at: &Standing<'_>) -> bool {
        match &self.0 {
            Kind::Read(op) => op.is_waiting(at),
            Kind::Write(op) => op.is_waiting(at),
            Kind::Sleep(op) => at.has_deadline || op.is_endless(),
            Kind::YieldNow(_) => false, // its task is always ready
            Kind::Other(op) => op.is_waiting(at),
        }
    }
}

/// Makes a public type an operation: the type gets `Op::from` and Debug. A type that has its own
/// `timeout` also gets `until`.
macro_rules! face {
    ($name:ident, $op:ident => $make:expr, $timeout:expr) => {
        face!($name, $op => $make);

        impl $name {
            /// Sets the moment at which the operation times out. [`again`](crate::again) does not
            /// move it. If `timeout` is set too, the earlier of the two counts. A moment in the
            /// past acts as a timeout of zero: the operation gets what it can have without waiting.
            /// So it ends no task to which bytes come without a pause. A
            /// [`sleep_until`](crate::sleep_until) in front of a [`first`](crate::first) does. See
            /// [`Readline`](crate::op::Readline) for an example.
            #[inline]
            pub fn until(self, at: std::time::Instant) -> $name {
                let mut $op = self;
                $timeout.set_until(at);
                $op
            }
        }
    };
    ($name:ident, $op:ident => $make:expr) => {
        impl From<$name> for $crate::op::Op {
            #[inline]
            fn from($op: $name) -> $crate::op::Op {
                $make
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.describe(f)
            }
        }
    };
}
pub(crate) use face;
