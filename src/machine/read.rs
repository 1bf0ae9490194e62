//! The reading machine: read, read full, read_to_end, readline and readlines.
//!
//! They differ only in what satisfies them, which is [`Want`]. The rest is one machine:
//!
//! ```text
//!                  the buffer holds what is wanted, or its end has come
//!      Looking ───────────────────────────────────────────────────────► Ended
//!       │   ▲ ▲
//!  not  │   │ │ bytes, or end of file       ┌── EINTR: again
//!  yet  ▼   │ │                             │
//!      Filling ◄────────────────────────────┘
//!       │     │
//!       │     │ advanced again: poll said something, or another reader of the file has
//!       ▼     │ left bytes in the buffer
//!      Blocked            (EAGAIN, or nothing known of the source)
//! ```
//!
//! An error from the source ends it from `Filling`; the driver's `time_out` ends it from any state.
//! Looking comes before filling: buffered bytes come before an error or an end that lies behind them.

use std::io;

use super::{Advance, End, SHARE};
use crate::line_buffer::LineBuffer;
use crate::pool::CHUNK;

/// What satisfies a reader. Sizes and limits are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// At least one byte, at most so many.
    Some(usize),
    /// Exactly so many; fewer only at the end.
    Full(usize),
    /// Everything until the end, at most so many.
    ToEnd(usize),
    /// One line, or so many bytes of a longer one.
    Line(usize),
    /// All whole lines that are there, at least one, in at most so many bytes.
    Lines(usize),
}

/// What has come in on one file and was not handed over: bytes, and what is known of the source behind them.
#[derive(Debug, Default)]
pub struct Inflow {
    /// The bytes.
    pub buffer: LineBuffer,
    /// The source has something to say: poll(2) said so, or the last read was cut by the size of its window.
    pub ready: bool,
    /// An end of file came behind these bytes and was not reported yet. It is reported once: what the kernel
    /// says afterwards counts again (a file that grew, a FIFO's next writer).
    pub ended: bool,
}

impl Inflow {
    /// How many bytes a reader could have without asking the kernel.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True if a reader could have nothing without asking the kernel, not even an end of file.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.ended
    }
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Looks at what is buffered.
    Looking,
    /// Takes more from the source.
    Filling,
    /// Waits until poll(2) has something to say of the source.
    Blocked,
    /// Over.
    Ended,
}

/// A read in progress. All that it has read is in the [`Inflow`]: dropped in any state, it takes nothing along.
#[derive(Clone, Debug)]
pub struct Reader {
    want: Want,
    /// The most to ask the source for at a time; 0: as much as there is room for. Half a word: a task should be small.
    window: u32,
    state: State,
}

impl Reader {
    /// A reader that wants this. A limit of 0 is an error as soon as it is advanced.
    #[inline]
    pub fn new(want: Want) -> Reader {
        Reader { want, window: 0, state: State::Looking }
    }

    /// What satisfies it.
    #[inline]
    pub fn want(&self) -> Want {
        self.want
    }

    /// Changes what satisfies it; only before it is advanced.
    #[inline]
    pub(crate) fn set_want(&mut self, want: Want) {
        self.want = want;
    }

    /// For lines: take at most so many bytes from the source at a time. 0: the default.
    #[inline]
    pub fn set_window(&mut self, window: usize) {
        self.window = u32::try_from(window).unwrap_or(0); // 4 GiB are more than there is ever room for
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Goes as far as it can without waiting. Calls `source` only when `inflow.ready` is set.
    pub fn advance(&mut self, inflow: &mut Inflow, source: &mut (impl io::Read + ?Sized)) -> Advance {
        if let Want::ToEnd(0) | Want::Line(0) | Want::Lines(0) = self.want {
            self.state = State::Ended;
            return Advance::Failed(io::Error::new(io::ErrorKind::InvalidInput, "a limit of 0"));
        }
        if let State::Blocked | State::Filling = self.state {
            self.state = State::Looking;
        }
        let mut moved = 0;
        loop {
            match self.state {
                State::Looking => match self.look(inflow) {
                    Some((end, len)) => {
                        self.state = State::Ended;
                        return Advance::Ended(end, len);
                    }
                    None => self.state = State::Filling,
                },
                State::Filling if !inflow.ready => self.state = State::Blocked,
                State::Blocked => return Advance::Blocked,
                State::Filling if moved == SHARE => return Advance::Yield,
                State::Filling => {
                    let window = inflow.buffer.room(self.most(inflow.len()).min(SHARE - moved));
                    let size = window.len();
                    match source.read(window) {
                        Ok(read) => {
                            moved += read;
                            // Worth asking again without poll only if the window was what limited the read.
                            // A small one, as of a header, says nothing: its reader would meet EAGAIN.
                            inflow.ready = read == size && (size >= CHUNK || moved == SHARE);
                            inflow.ended = read == 0;
                            inflow.buffer.filled(read);
                            self.state = State::Looking;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => inflow.ready = false,
                        Err(error) => {
                            inflow.ready = false;
                            self.state = State::Ended;
                            return Advance::Failed(error);
                        }
                    }
                }
                State::Ended => unreachable!("a reader that has ended is not advanced"),
            }
        }
    }

    /// Its time is over: hands over what there is, if what it wants can be had in part.
    pub fn time_out(&mut self, inflow: &Inflow) -> Advance {
        self.state = State::Ended;
        match self.want {
            Want::Some(size) | Want::Full(size) | Want::ToEnd(size) if !inflow.buffer.is_empty() => {
                Advance::Ended(End::TimedOut, inflow.len().min(size))
            }
            _ => self.give_up(),
        }
    }

    /// Its time is over, and it is not its turn to have anything.
    pub fn give_up(&mut self) -> Advance {
        self.state = State::Ended;
        Advance::Failed(io::ErrorKind::TimedOut.into())
    }

    /// What the buffer has for this reader, if it is enough.
    fn look(&self, inflow: &mut Inflow) -> Option<(End, usize)> {
        let len = inflow.len();
        let whole = |whole| if whole { End::Complete } else { End::Limit };
        let found = match self.want {
            Want::Some(0) => Some((End::Complete, 0)),
            Want::Some(size) if len > 0 => Some((End::Complete, len.min(size))),
            Want::Full(size) if len >= size => Some((End::Complete, size)),
            Want::ToEnd(limit) if len >= limit => Some((End::Limit, limit)),
            Want::Line(limit) => inflow.buffer.line(limit).map(|found| (whole(found.whole), found.len)),
            Want::Lines(limit) => inflow.buffer.lines(limit).map(|found| (whole(found.whole), found.len)),
            Want::Some(_) | Want::Full(_) | Want::ToEnd(_) => None,
        };
        if found.is_none() && inflow.ended {
            // The end is reported by this very outcome to a read_to_end, and to whom it leaves empty-handed;
            // to others by the outcome after it.
            inflow.ended = len > 0 && !matches!(self.want, Want::ToEnd(_));
            return Some((End::Eof, len));
        }
        found
    }

    /// The most to ask the source for, with `held` bytes buffered. Only line readers read ahead: the others
    /// leave in the kernel what they were not asked for, so that the descriptor can be handed on.
    fn most(&self, held: usize) -> usize {
        match self.want {
            Want::Some(size) | Want::Full(size) | Want::ToEnd(size) => size - held,
            Want::Line(_) | Want::Lines(_) if self.window > 0 => self.window as usize,
            Want::Line(_) | Want::Lines(_) => usize::MAX,
        }
    }
}
