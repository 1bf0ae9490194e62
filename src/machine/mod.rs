//! The machines: what an operation does, without a descriptor, a task or a clock.
//!
//! A machine is given a [`Source`] or a [`Sink`], which may say "not now". It answers with
//! [`Advance`]: that it is blocked, that it has moved its share, or how it ended. It never waits
//! and never looks at the time: its driver tells it when its deadline has come. What it read stays
//! in the buffer that it was given, so a machine may be dropped in any state and nothing is lost
//! with it.
//!
//! Each machine has one table of its transitions, and its state changes in one function, which
//! looks the change up there in test builds.

pub mod communicate;
pub mod exit;
pub mod read;
#[cfg(any(test, fuzzing))]
pub mod table;
pub mod write;

use std::fmt;
use std::io;

/// Why an operation ended. See [`Task::end`](crate::Task::end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The operation did what it was asked to do.
    Complete,
    /// The end of file came first: what was there until then is handed over, which may be nothing.
    Eof,
    /// The deadline came: what the operation had until then is handed over, or
    /// [`io::ErrorKind::TimedOut`] if that is nothing.
    TimedOut,
    /// The limit was reached: the rest stays in the file.
    Limit,
    /// An error ended it.
    Failed,
}

/// How a step of a machine ended.
#[derive(Debug)]
pub enum Advance {
    /// The source or the sink said "not now".
    Blocked,
    /// The machine moved [`SHARE`] bytes and could go on: others first.
    Yield,
    /// It ended, with this many bytes: at the front of the buffer for a reader, written for a
    /// writer.
    Ended(End, usize),
    /// It failed. What it had read stays in the buffer.
    Failed(io::Error),
}

/// The most that one advance moves, in bytes, before others have their turn.
pub const SHARE: usize = 256 * 1024;

/// Where a reader's bytes come from.
pub trait Source {
    /// False: not now. A read would wait, or nothing is known of it before poll(2) is asked.
    fn is_ready(&mut self) -> bool;

    /// As read(2): 0 is the end. `WouldBlock` says "not now" as well.
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize>;
}

/// Where a writer's bytes go.
pub trait Sink {
    /// False: not now. A write would wait, or nothing is known of it before poll(2) is asked.
    fn is_ready(&mut self) -> bool;

    /// As write(2). `WouldBlock` says "not now" as well.
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
