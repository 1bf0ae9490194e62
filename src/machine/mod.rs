//! The machines: what an operation does, without a descriptor, a task or a clock.
//!
//! A machine is given a source or a sink, and what poll(2) said of it; it answers [`Advance`]: that it is
//! blocked, that it has moved its share, or how it ended. It never waits and never looks at the time: whoever
//! drives it tells it when its time is over. What it read stays in the buffer that it was given, so a machine
//! may be dropped in any state and nothing is lost with it.

pub mod communicate;
pub mod exit;
pub mod read;
pub mod write;

use std::io;

/// Why an operation ended. See [`Task::end`](crate::Task::end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It did what it was asked to do.
    Complete,
    /// The end of file came first: what was there until then is handed over, which may be nothing.
    Eof,
    /// Its time was over: what it had until then is handed over, or [`io::ErrorKind::TimedOut`] if that is nothing.
    TimedOut,
    /// Its limit was reached: the rest stays in the file.
    Limit,
    /// An error ended it.
    Failed,
}

/// What a machine answers when it is advanced.
#[derive(Debug)]
pub enum Advance {
    /// Nothing to be had until poll(2) says so.
    Blocked,
    /// It moved [`SHARE`] bytes and could go on: others first.
    Yield,
    /// It ended, with this many bytes: at the front of the buffer for a reader, written for a writer.
    Ended(End, usize),
    /// It failed. What it had read stays in the buffer.
    Failed(io::Error),
}

/// The most that one advance moves, in bytes, before others have their turn.
pub const SHARE: usize = 256 * 1024;
