//! The machine behind `read`, `read` with `full`, `read_exact`, `peek`, `read_to_end`, `readline`
//! and `readlines`.
//!
//! The readers differ in the bytes that satisfy them (see [`Want`]), and a peek leaves the bytes in
//! the buffer. In all else they are the same machine:
//!
//! ```text
//! Looking   ── the limit is 0 ──► Ended
//! Looking   ── enough is buffered, or the end has come ──► Ended
//! Looking   ── not enough yet ──► Filling
//! Filling   ── bytes, or end of file ──► Looking
//! Filling   ── EINTR ──► Looking
//! Filling   ── the source says "not now" ──► Blocked
//! Filling   ── the share is moved: others first ──► Looking
//! Filling   ── an error ──► Ended
//! Blocked   ── advanced again ──► Looking
//! Looking   ── the deadline has come ──► Ended
//! Blocked   ── the deadline has come ──► Ended
//! Looking   ── the source has messages, and the reader wants a stream ──► Ended
//! Filling   ── a message has come, or the messages have ended ──► Ended
//! ```
//!
//! The last two lines of the diagram are for messages alone: see [`message`](super::message). The
//! reader looks before it fills, so buffered bytes are handed over before an error or an end that
//! comes after them.

use std::io;

use super::{Advance, End, Source, SHARE};
use crate::line_buffer::LineBuffer;

/// The bytes that satisfy a reader. Sizes and limits are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// At least one byte, at most this many.
    Some(usize),
    /// Exactly this many bytes. The reader gets fewer only at the end or at its deadline.
    Full(usize),
    /// Exactly this many bytes. If the end or the deadline comes first, the reader fails, and the
    /// bytes stay in the buffer.
    Exact(usize),
    /// All bytes until the end, at most this many.
    ToEnd(usize),
    /// One line. A line that is longer than this many bytes comes in pieces of that size. A
    /// deadline before the line's end is an error, and the bytes stay.
    Line(usize),
    /// All whole lines that are there, at most this many bytes. If the first line is longer, this
    /// many bytes of it.
    Lines(usize),
}

/// The bytes that have come in on one file and were not handed over.
#[derive(Debug)]
pub struct Inflow {
    /// The bytes that came in and were not handed over.
    pub buffer: LineBuffer,
    /// Whether an end of file came after these bytes and was not reported yet. An end is reported
    /// once. After that the kernel is asked again, because a file may grow, and a FIFO may get a
    /// next writer.
    pub ended: bool,
    /// The delimiter for which the buffer was searched last.
    delimiter: u8,
}

impl Default for Inflow {
    fn default() -> Inflow {
        Inflow {
            buffer: LineBuffer::new(),
            ended: false,
            delimiter: b'\n',
        }
    }
}

impl Inflow {
    /// The buffer, to be searched for this delimiter. Bytes that were searched for another
    /// delimiter are searched again.
    #[inline]
    pub fn searched_for(&mut self, delimiter: u8) -> &mut LineBuffer {
        if self.delimiter != delimiter {
            self.delimiter = delimiter;
            self.buffer.search_anew();
        }
        &mut self.buffer
    }

    /// How many bytes a reader can have without a system call.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True if no byte is buffered and no end of file waits to be reported: a reader gets nothing
    /// without a system call.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.ended
    }
}

/// How far a reader has come. The state only shows where the machine has stopped. What the machine
/// does next does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The reader looks at the buffered bytes.
    Looking,
    /// The reader takes more bytes from the source.
    Filling,
    /// The reader waits until the source is ready.
    Blocked,
    /// The reader has ended.
    Ended,
}

/// All transitions of a reader.
#[cfg(any(test, fuzzing))]
pub const TRANSITIONS: &[super::table::Edge<State>] = &[
    (State::Looking, "the limit is 0", State::Ended),
    (
        State::Looking,
        "enough is buffered, or the end has come",
        State::Ended,
    ),
    (State::Looking, "not enough yet", State::Filling),
    (State::Filling, "bytes, or end of file", State::Looking),
    (State::Filling, "EINTR", State::Looking),
    (
        State::Filling,
        "the source says \"not now\"",
        State::Blocked,
    ),
    (
        State::Filling,
        "the share is moved: others first",
        State::Looking,
    ),
    (State::Filling, "an error", State::Ended),
    (State::Blocked, "advanced again", State::Looking),
    (State::Looking, "the deadline has come", State::Ended),
    (State::Blocked, "the deadline has come", State::Ended),
    (
        State::Looking,
        "the source has messages, and the reader wants a stream",
        State::Ended,
    ),
    (
        State::Filling,
        "a message has come, or the messages have ended",
        State::Ended,
    ),
];

/// A read in progress. All bytes that the reader has taken from the source are in the [`Inflow`].
/// So a reader may be dropped in any state, and no byte is lost.
///
/// # Example
///
/// This shows a readline without a descriptor. A slice is a source; a nonblocking socket is one,
/// too:
///
/// ```
/// use asyncfile::machine::{read::{Inflow, Reader, Want}, Advance, End};
///
/// let mut source = &b"one\ntwo"[..];
/// let mut inflow = Inflow::default();
/// match Reader::new(Want::Line(80)).advance(&mut inflow, &mut source) {
///     Advance::Ended(end, len) => {
///         assert_eq!((end, len), (End::Complete, 4));
///         inflow.buffer.consume(len);
///     }
///     other => panic!("{other:?}"),
/// }
/// assert_eq!(inflow.buffer.bytes(), b"two");
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    want: Want,
    /// The most bytes to ask the source for at a time. 0 stands for as many as there is room for. A
    /// `u32` is enough, and keeps operations small.
    window: u32,
    state: State,
    /// The byte that ends a line.
    delimiter: u8,
    /// Whether the reader takes nothing out of the buffer, not even an end of file.
    is_peek: bool,
}

impl Reader {
    /// Makes a reader. A limit of 0 is an error when the reader is advanced.
    #[inline]
    pub fn new(want: Want) -> Reader {
        Reader {
            want,
            window: 0,
            state: State::Looking,
            delimiter: b'\n',
            is_peek: false,
        }
    }

    /// The bytes that satisfy this reader.
    #[inline]
    pub fn want(&self) -> Want {
        self.want
    }

    /// Changes what satisfies the reader. This is allowed only before its first advance.
    #[inline]
    pub(crate) fn set_want(&mut self, want: Want) {
        self.want = want;
    }

    /// Sets the byte that ends a line. The default is a newline.
    #[inline]
    pub fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// The byte that ends a line.
    #[inline]
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Turns this reader into a peek, which shows the bytes and takes nothing. The next reader finds
    /// the same bytes, or the same end. Only a reader of bytes can be a peek, not one of lines.
    #[inline]
    pub fn set_peek(&mut self) {
        self.is_peek = true;
    }

    /// Whether the reader is a peek, which takes nothing.
    #[inline]
    pub fn is_peek(&self) -> bool {
        self.is_peek
    }

    /// Limits how many bytes a reader of lines takes from the source at a time. 0, the default,
    /// sets no limit but the room in the buffer.
    #[inline]
    pub fn set_window(&mut self, window: usize) {
        // A window of 4 GiB or more is larger than any buffer. It is no limit, so it becomes 0.
        self.window = u32::try_from(window).unwrap_or(0);
    }

    /// The reader's state.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// A new reader with the same settings.
    #[inline]
    pub(crate) fn afresh(&self) -> Reader {
        Reader {
            state: State::Looking,
            ..*self
        }
    }

    /// The only place where the state changes.
    #[inline(always)]
    pub(super) fn go(&mut self, cause: &'static str, to: State) {
        #[cfg(any(test, fuzzing))]
        super::table::take(TRANSITIONS, (self.state, cause, to));
        let _ = cause;
        self.state = to;
    }

    /// Advances the reader as far as it goes without waiting.
    #[inline]
    pub fn advance(&mut self, inflow: &mut Inflow, source: &mut (impl Source + ?Sized)) -> Advance {
        if let Some(messages) = source.messages() {
            return self.advance_message(inflow, messages);
        }
        if self.state == State::Blocked {
            self.go("advanced again", State::Looking);
        }
        if let Want::ToEnd(0) | Want::Line(0) | Want::Lines(0) = self.want {
            self.go("the limit is 0", State::Ended);
            return Advance::Failed(io::Error::new(io::ErrorKind::InvalidInput, "a limit of 0"));
        }
        let mut moved = 0;
        loop {
            if let Some((end, len)) = self.look(inflow) {
                self.go("enough is buffered, or the end has come", State::Ended);
                return match self.want {
                    Want::Exact(_) if end == End::Eof => unexpected_end(),
                    _ => Advance::Ended(end, len),
                };
            }
            self.go("not enough yet", State::Filling);
            if moved == SHARE {
                self.go("the share is moved: others first", State::Looking);
                return Advance::Yield;
            }
            if !source.is_ready() {
                return self.block();
            }
            match source.read(
                inflow
                    .buffer
                    .room(self.most(inflow.len()).min(SHARE - moved)),
            ) {
                Ok(read) => {
                    moved += read;
                    inflow.ended = read == 0;
                    inflow.buffer.filled(read);
                    self.go("bytes, or end of file", State::Looking);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => self.go("EINTR", State::Looking),
                    io::ErrorKind::WouldBlock => return self.block(),
                    _ => return self.fail(error),
                },
            }
        }
    }

    #[inline]
    pub(super) fn block(&mut self) -> Advance {
        self.go("the source says \"not now\"", State::Blocked);
        Advance::Blocked
    }

    /// Makes the transitions of an advance that finds an empty buffer and a source that says "not
    /// now". Most reads begin so. Returns false if the reader wants 0 bytes, which never blocks.
    #[inline]
    pub(crate) fn block_at_once(&mut self) -> bool {
        let wants_something = !self.wants_nothing();
        if wants_something && self.state == State::Looking {
            self.go("not enough yet", State::Filling);
            self.block();
        }
        wants_something
    }

    /// Whether the size or the limit is 0. Such a reader ends at once, and waits for no other
    /// reader.
    #[inline]
    pub(crate) fn wants_nothing(&self) -> bool {
        let (Want::Some(size)
        | Want::Full(size)
        | Want::Exact(size)
        | Want::ToEnd(size)
        | Want::Line(size)
        | Want::Lines(size)) = self.want;
        size == 0
    }

    #[cold]
    pub(super) fn fail(&mut self, error: io::Error) -> Advance {
        self.go("an error", State::Ended);
        Advance::Failed(error)
    }

    /// Ends the reader at its deadline. `Some`, `Full` and `ToEnd` hand over the buffered bytes, if
    /// there are any. `Exact`, `Line` and `Lines` fail, and the bytes stay.
    pub fn time_out(&mut self, inflow: &Inflow) -> Advance {
        match self.want {
            Want::Some(size) | Want::Full(size) | Want::ToEnd(size)
                if !inflow.buffer.is_empty() =>
            {
                self.go("the deadline has come", State::Ended);
                Advance::Ended(End::TimedOut, inflow.len().min(size))
            }
            _ => self.give_up(),
        }
    }

    /// Ends the reader at its deadline: it fails, and hands over no bytes. A reader that is not the
    /// front of its queue always ends like this, because the buffered bytes belong to the readers
    /// before it.
    pub fn give_up(&mut self) -> Advance {
        self.go("the deadline has come", State::Ended);
        Advance::Failed(io::ErrorKind::TimedOut.into())
    }

    /// The bytes in the buffer that this reader can have. None if they are not enough.
    #[inline]
    fn look(&self, inflow: &mut Inflow) -> Option<(End, usize)> {
        let len = inflow.len();
        let whole = |whole| if whole { End::Complete } else { End::Limit };
        let found = match self.want {
            Want::Some(0) => Some((End::Complete, 0)),
            Want::Some(size) if len > 0 => Some((End::Complete, len.min(size))),
            Want::Full(size) | Want::Exact(size) if len >= size => Some((End::Complete, size)),
            Want::ToEnd(limit) if len >= limit => Some((End::Limit, limit)),
            Want::Line(limit) => inflow
                .searched_for(self.delimiter)
                .line_until(self.delimiter, limit)
                .map(|found| (whole(found.whole), found.len)),
            Want::Lines(limit) => inflow
                .searched_for(self.delimiter)
                .lines_until(self.delimiter, limit)
                .map(|found| (whole(found.whole), found.len)),
            Want::Some(_) | Want::Full(_) | Want::Exact(_) | Want::ToEnd(_) => None,
        };
        if found.is_none() && inflow.ended {
            // A read_to_end reports the end, together with the bytes before it. A read_exact that
            // has too few bytes reports it, and so does any reader that finds no byte. Otherwise
            // the end is left for the next reader.
            let is_reported = len == 0 || matches!(self.want, Want::ToEnd(_) | Want::Exact(_));
            inflow.ended = self.is_peek || !is_reported;
            return Some((End::Eof, len));
        }
        found
    }

    /// The most bytes to ask the source for, when `held` bytes are buffered already. Only readers
    /// of lines read ahead. The others leave in the kernel the bytes that they do not want, so the
    /// descriptor can be handed on.
    fn most(&self, held: usize) -> usize {
        match self.want {
            Want::Some(size) | Want::Full(size) | Want::Exact(size) | Want::ToEnd(size) => {
                size - held
            }
            Want::Line(_) | Want::Lines(_) if self.window > 0 => self.window as usize,
            Want::Line(_) | Want::Lines(_) => usize::MAX,
        }
    }
}

#[cold]
fn unexpected_end() -> Advance {
    Advance::Failed(io::ErrorKind::UnexpectedEof.into())
}
