//! The machine behind `write`, `write` with `full`, and `write_all`.
//!
//! ```text
//! Writing   ── nothing is left, or one write was enough ──► Ended
//! Writing   ── the sink took a part ──► Writing
//! Writing   ── EINTR ──► Writing
//! Writing   ── the share is moved: others first ──► Writing
//! Writing   ── the sink says "not now" ──► Blocked
//! Writing   ── an error ──► Ended
//! Blocked   ── advanced again ──► Writing
//! Writing   ── the deadline has come ──► Ended
//! Blocked   ── the deadline has come ──► Ended
//! ```
//!
//! On a socket that keeps messages apart (datagrams), one write is one message. It may be empty,
//! and it is never split.
//!
//! Most sinks are ready from the start, so a write is tried first, and poll(2) is asked only after
//! EAGAIN: a write that fits costs one system call. POLLOUT says that something fits, not that
//! everything does, so each write may take only a part.

use std::io;

use super::{Advance, End, Sink, SHARE};

/// How far a writer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The writer hands bytes to the sink.
    Writing,
    /// The writer waits until the sink is ready.
    Blocked,
    /// The writer has ended.
    Ended,
}

/// All transitions of a writer.
#[cfg(any(test, fuzzing))]
pub const TRANSITIONS: &[super::table::Edge<State>] = &[
    (
        State::Writing,
        "nothing is left, or one write was enough",
        State::Ended,
    ),
    (State::Writing, "the sink took a part", State::Writing),
    (State::Writing, "EINTR", State::Writing),
    (
        State::Writing,
        "the share is moved: others first",
        State::Writing,
    ),
    (State::Writing, "the sink says \"not now\"", State::Blocked),
    (State::Writing, "an error", State::Ended),
    (State::Blocked, "advanced again", State::Writing),
    (State::Writing, "the deadline has come", State::Ended),
    (State::Blocked, "the deadline has come", State::Ended),
];

/// A write in progress.
///
/// # Example
///
/// This writes all of the data to a sink that takes four bytes at a time:
///
/// ```
/// use asyncfile::machine::{write::{Extent, Writer}, Advance, End};
/// use std::io;
///
/// struct Narrow(Vec<u8>);
///
/// impl io::Write for Narrow {
///     fn write(&mut self, data: &[u8]) -> io::Result<usize> {
///         self.0.extend_from_slice(&data[..data.len().min(4)]);
///         Ok(data.len().min(4))
///     }
///     fn flush(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let mut sink = Narrow(Vec::new());
/// let mut writer = Writer::new();
/// writer.set_extent(Extent::All);
/// let step = writer.advance(b"hello world", &mut sink);
/// assert!(matches!(step, Advance::Ended(End::Complete, 11)), "{step:?}");
/// assert_eq!(sink.0, b"hello world");
/// ```
#[derive(Clone, Debug)]
pub struct Writer {
    written: Count,
    extent: Extent,
    state: State,
}

/// When a writer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// After one write, even if it took only a part.
    Once,
    /// When all bytes are written. The writer ends with fewer bytes only at its deadline.
    Full,
    /// When all bytes are written. A writer that cannot write all of them ends with an error.
    All,
}

/// A count that is aligned to 4 bytes. The fields beside a writer then need no padding, which keeps
/// operations small.
#[derive(Clone, Copy, Debug)]
#[repr(packed(4))]
struct Count(usize);

impl Writer {
    /// A writer at the beginning of its data.
    #[inline]
    pub fn new() -> Writer {
        Writer {
            written: Count(0),
            extent: Extent::Once,
            state: State::Writing,
        }
    }

    /// Sets when the writer ends. The default is after one write.
    pub fn set_extent(&mut self, extent: Extent) {
        self.extent = extent;
    }

    /// When the writer ends.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// How many bytes the sink took so far.
    pub fn written(&self) -> usize {
        self.written.0
    }

    /// The writer's state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The only place where the state changes.
    #[inline(always)]
    fn go(&mut self, cause: &'static str, to: State) {
        #[cfg(any(test, fuzzing))]
        super::table::take(TRANSITIONS, (self.state, cause, to));
        let _ = cause;
        self.state = to;
    }

    /// Writes until the writer ends, the sink says "not now", or the share of this advance is
    /// written. The caller gives the same `data` at each call.
    #[inline]
    pub fn advance(&mut self, data: &[u8], sink: &mut (impl Sink + ?Sized)) -> Advance {
        let is_message = sink.takes_messages();
        let share = if is_message { usize::MAX } else { SHARE };
        let share_ends = self.written.0.saturating_add(share);
        loop {
            match self.state {
                State::Writing if self.written.0 == data.len() && !is_message => {
                    return self.ended(End::Complete);
                }
                State::Writing if self.written.0 == share_ends => {
                    self.go("the share is moved: others first", State::Writing);
                    return Advance::Yield;
                }
                State::Writing if !sink.is_ready() => {
                    self.go("the sink says \"not now\"", State::Blocked);
                    return Advance::Blocked;
                }
                State::Writing => {
                    match sink.write(&data[self.written.0..data.len().min(share_ends)]) {
                        Ok(0) if !is_message => {
                            return self.failed(io::ErrorKind::WriteZero.into())
                        }
                        Ok(size) => {
                            self.written.0 += size;
                            if self.extent == Extent::Once || is_message {
                                return self.ended(End::Complete);
                            }
                            self.go("the sink took a part", State::Writing);
                        }
                        Err(error) => match error.kind() {
                            io::ErrorKind::Interrupted => self.go("EINTR", State::Writing),
                            io::ErrorKind::WouldBlock => {
                                self.go("the sink says \"not now\"", State::Blocked);
                                return Advance::Blocked;
                            }
                            _ => return self.failed(error),
                        },
                    }
                }
                State::Blocked => self.go("advanced again", State::Writing),
                State::Ended => unreachable!("a writer that has ended is not advanced"),
            }
        }
    }

    /// Ends the writer at its deadline. The outcome is the number of bytes written. It is an error
    /// if there are none, or if the writer must write all.
    pub fn time_out(&mut self) -> Advance {
        self.go("the deadline has come", State::Ended);
        match self.written() {
            _ if self.extent == Extent::All => Advance::Failed(io::ErrorKind::TimedOut.into()),
            0 => Advance::Failed(io::ErrorKind::TimedOut.into()),
            written => Advance::Ended(End::TimedOut, written),
        }
    }

    fn ended(&mut self, end: End) -> Advance {
        self.go("nothing is left, or one write was enough", State::Ended);
        Advance::Ended(end, self.written.0)
    }

    #[cold]
    fn failed(&mut self, error: io::Error) -> Advance {
        self.go("an error", State::Ended);
        Advance::Failed(error)
    }
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}
