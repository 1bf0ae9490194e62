//! The machines: what an operation does, without a descriptor, a task or a clock.
//!
//! A machine is given a [`Source`] or a [`Sink`], which may say "not now". It answers with an
//! [`Advance`], which says that it is blocked, that it has moved its share, or how it ended. It
//! never waits and never looks at the time: its driver tells it when its deadline has come. What it
//! read stays in the buffer that it was given, so a machine may be dropped in any state and nothing
//! is lost with it.
//!
//! Each machine has one table of its transitions. Its state changes in one function only. In test
//! builds that function looks each change up in the table.

pub mod communicate;
pub mod exit;
pub mod message;
pub mod read;
#[cfg(any(test, fuzzing))]
pub mod table;
pub mod write;

use std::fmt;
use std::io;

/// Why an operation ended. See [`Task::end`](crate::Task::end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The operation has done what it was asked to do.
    Complete,
    /// The end of file came before the operation was complete. The bytes before the end, if there
    /// are any, are handed over.
    Eof,
    /// The deadline came before the operation was complete. A part that is of use without the rest
    /// is handed over: the bytes of a read, or the count of a write. For a part that is of no use
    /// (half a line, for example) the outcome is an error, [`io::ErrorKind::TimedOut`], and what
    /// was read stays in the file.
    TimedOut,
    /// The limit was reached. The rest of a stream stays in the file. The rest of a message is
    /// gone, but for a peek, which takes nothing.
    Limit,
    /// An error ended the operation.
    Failed,
}

/// How a step of a machine ended.
#[derive(Debug)]
pub enum Advance {
    /// The source or the sink said "not now".
    Blocked,
    /// The machine has moved [`SHARE`] bytes and could go on, but other tasks come first.
    Yield,
    /// The machine has ended. The number says how many bytes at the front of the buffer a reader
    /// hands over, or how many bytes a writer has written.
    Ended(End, usize),
    /// The machine has failed. What it had read stays in the buffer.
    Failed(io::Error),
}

/// The most bytes that one advance moves before other tasks are advanced.
pub const SHARE: usize = 256 * 1024;

/// Where a reader's bytes come from.
pub trait Source {
    /// This source as a source of messages. None if it is a stream of bytes.
    #[inline]
    fn messages(&mut self) -> Option<&mut dyn message::MessageSource> {
        None
    }

    /// Whether a read may be tried. False says "not now": the read would wait, or poll(2) must be
    /// asked first.
    fn is_ready(&mut self) -> bool;

    /// The same as read(2): 0 is the end. The error `WouldBlock` also says "not now".
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize>;
}

/// Where a writer's bytes go.
pub trait Sink {
    /// Whether each write is one message, which is never split. An empty write is a message, too.
    fn takes_messages(&self) -> bool {
        false
    }

    /// Whether a write may be tried. False says "not now": the write would wait, or poll(2) must be
    /// asked first.
    fn is_ready(&mut self) -> bool;

    /// The same as write(2). The error `WouldBlock` also says "not now".
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

impl fmt::Debug for dyn Source + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl fmt::Debug for dyn Sink + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl<T: io::Read + ?Sized> Source for T {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, window)
    }
}

impl<T: io::Write + ?Sized> Sink for T {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests;
