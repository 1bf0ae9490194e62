//! The reading machine beside the oracle: each call of the source and each outcome is checked.
//!
//! The rig takes the port's place: it keeps what poll(2) said of the source, and what each read
//! says about the next one. The machine sees a [`Source`] that answers from that.

use std::io::{self, ErrorKind};

use asyncfile::machine::read::{Inflow, Reader, State, Want};
use asyncfile::machine::{Advance, End, Source, SHARE};

use super::Naive;

/// A full pipe (pipe(7)): only after a read of at least so many bytes is another one worth making
/// without poll(2).
const CHUNK: usize = 64 * 1024;

/// What the port knows of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// poll(2) said that it is ready, and it was not read since: a reader that needs bytes must
    /// read.
    Ready,
    /// The last read took at least what a full pipe holds: a reader may read again.
    Filled,
    /// Not ready: a reader must not read.
    Unready,
}

impl Known {
    /// What the port answers to a machine that asks.
    pub fn is_ready(self) -> bool {
        self != Known::Unready
    }
}

/// How an advance ended. Bytes are counted; they were compared and consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Blocked,
    Yield,
    Ended(End, usize),
    Failed(ErrorKind),
}

/// The inflow of one file, and the oracle's copy of it. Its readers come and go.
pub struct Rig {
    pub inflow: Inflow,
    pub naive: Naive,
    pub(super) known: Known,
}

impl Rig {
    pub fn new() -> Rig {
        Rig {
            inflow: Inflow::default(),
            naive: Naive::default(),
            known: Known::Unready,
        }
    }

    /// poll(2) says that the source is ready.
    pub fn poll_said(&mut self) {
        self.known = Known::Ready;
    }

    /// Advances the reader with this source, and consumes what it ends with, as its driver would.
    pub fn advance(&mut self, reader: &mut Reader, source: &mut impl io::Read) -> Answer {
        let want = reader.want();
        let delimiter = reader.delimiter();
        let Rig {
            inflow,
            naive,
            known,
        } = self;
        let mut source = Watched {
            source,
            want,
            delimiter,
            naive,
            known,
            moved: 0,
            has_filled: false,
            failed: None,
        };
        let advance = reader.advance(inflow, &mut source);
        let Watched {
            moved,
            has_filled,
            failed,
            ..
        } = source;
        assert!(moved <= SHARE, "{want:?}: one advance moved {moved} bytes");
        let answer = match advance {
            Advance::Ended(end, len) => {
                assert_eq!(
                    self.naive.answer(want, delimiter),
                    Some((end, len)),
                    "{want:?} of {:?}",
                    self.naive.held()
                );
                self.hand_over(reader, end, len)
            }
            Advance::Blocked => {
                assert_eq!(
                    self.naive.answer(want, delimiter),
                    None,
                    "{want:?} is blocked before {:?}",
                    self.naive.held()
                );
                assert_ne!(
                    self.known,
                    Known::Ready,
                    "{want:?} is blocked, and did not ask a source that is ready"
                );
                assert!(
                    !self.known.is_ready(),
                    "{want:?} is blocked, and the source is ready"
                );
                assert_eq!(reader.state(), State::Blocked);
                Answer::Blocked
            }
            Advance::Yield => {
                assert_eq!(
                    self.naive.answer(want, delimiter),
                    None,
                    "{want:?} yields before {:?}",
                    self.naive.held()
                );
                assert_eq!(moved, SHARE, "{want:?} yields before it has had its share");
                // SHARE cuts the last window, so a read that filled it may be too short for the
                // port to call the source ready still.
                assert!(has_filled, "{want:?} yields, and could not go on");
                Answer::Yield
            }
            Advance::Failed(error) => {
                let limit_of_0 = matches!(want, Want::ToEnd(0) | Want::Line(0) | Want::Lines(0));
                let is_exact = matches!(want, Want::Exact(_));
                let at_end = matches!(self.naive.answer(want, delimiter), Some((End::Eof, _)));
                let expected = if limit_of_0 {
                    Some(ErrorKind::InvalidInput)
                } else if is_exact && at_end {
                    self.naive.report_end();
                    Some(ErrorKind::UnexpectedEof)
                } else {
                    failed
                };
                assert_eq!(Some(error.kind()), expected, "{want:?}");
                Answer::Failed(error.kind())
            }
        };
        if let Answer::Ended(..) | Answer::Failed(_) = answer {
            assert_eq!(reader.state(), State::Ended);
        }
        self.check();
        answer
    }

    /// The reader's deadline has come. It was advanced before, and was blocked or yielded.
    pub fn time_out(&mut self, reader: &mut Reader) -> Answer {
        let want = reader.want();
        let answer = match reader.time_out(&self.inflow) {
            Advance::Ended(end, len) => {
                assert_eq!(
                    (end, Some(len)),
                    (End::TimedOut, self.naive.time_out(want)),
                    "{want:?}"
                );
                self.hand_over(reader, end, len)
            }
            Advance::Failed(error) => {
                assert_eq!(
                    (error.kind(), self.naive.time_out(want)),
                    (ErrorKind::TimedOut, None),
                    "{want:?}"
                );
                Answer::Failed(error.kind())
            }
            other => panic!("{want:?} timed out: {other:?}"),
        };
        assert_eq!(reader.state(), State::Ended);
        self.check();
        answer
    }

    fn hand_over(&mut self, reader: &Reader, end: End, len: usize) -> Answer {
        let want = reader.want();
        assert!(
            !matches!((want, end), (Want::Exact(_), End::Eof | End::TimedOut)),
            "an exact read with less"
        );
        if reader.is_peek() {
            assert!(
                self.inflow.buffer.bytes()[..len] == self.naive.held()[..len],
                "{want:?}: other bytes"
            );
            return Answer::Ended(end, len);
        }
        assert!(
            self.inflow.buffer.bytes()[..len] == *self.naive.hand_over(want, end, len),
            "{want:?}: other bytes"
        );
        self.inflow.buffer.consume(len);
        Answer::Ended(end, len)
    }

    /// Bytes come in without a reader.
    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.inflow.buffer.room(bytes.len());
            assert!(
                (1..=bytes.len()).contains(&room.len()),
                "room({}) is {} bytes",
                bytes.len(),
                room.len()
            );
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            self.inflow.buffer.filled(now.len());
            self.naive.give(now);
            bytes = later;
        }
        self.check();
    }

    /// Bytes at the front are taken without a reader.
    pub fn consume(&mut self, size: usize) {
        assert!(
            self.inflow.buffer.bytes()[..size] == *self.naive.take(size),
            "other bytes"
        );
        self.inflow.buffer.consume(size);
        self.check();
    }

    /// Asks the buffer for what lies at its front, and takes nothing. The answer is the length of
    /// the first line.
    pub fn look(&mut self, limit: usize) -> Option<usize> {
        let line = self
            .inflow
            .searched_for(b'\n')
            .line(limit)
            .map(|found| (found.len, found.whole));
        assert_eq!(
            line,
            self.naive.line(limit),
            "line({limit}) of {:?}",
            self.naive.held()
        );
        let lines = self
            .inflow
            .buffer
            .lines(limit)
            .map(|found| (found.len, found.whole));
        assert_eq!(
            lines,
            self.naive.lines(limit),
            "lines({limit}) of {:?}",
            self.naive.held()
        );
        self.check();
        line.map(|(len, _)| len)
    }

    /// The reader parks: the buffer gives back the memory that it does not need.
    pub fn release_spare(&mut self) {
        self.inflow.buffer.release_spare();
        self.check();
    }

    /// What came in was handed over, or is still in the buffer.
    pub fn check(&self) {
        let Rig { inflow, naive, .. } = self;
        assert!(
            inflow.buffer.bytes() == naive.held(),
            "held are {:?}, not {:?}",
            inflow.buffer.bytes(),
            naive.held()
        );
        assert_eq!(inflow.len(), naive.held().len());
        assert_eq!(inflow.ended, naive.ended(), "an end of file");
        assert_eq!(inflow.is_empty(), naive.held().is_empty() && !naive.ended());
    }
}

/// The source as the machine sees it, and the rules for using it.
struct Watched<'a, S> {
    source: &'a mut S,
    want: Want,
    delimiter: u8,
    naive: &'a mut Naive,
    known: &'a mut Known,
    moved: usize,
    /// The last read filled its window.
    has_filled: bool,
    failed: Option<ErrorKind>,
}

impl<S: io::Read> Source for Watched<'_, S> {
    fn is_ready(&mut self) -> bool {
        let Watched {
            want,
            delimiter,
            naive,
            ..
        } = self;
        assert_eq!(
            naive.answer(*want, *delimiter),
            None,
            "{want:?} asked whether the source is ready before it looked at {:?}",
            naive.held()
        );
        self.known.is_ready()
    }

    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let Watched {
            want,
            delimiter,
            naive,
            ..
        } = self;
        assert_ne!(
            *self.known,
            Known::Unready,
            "{want:?}: a source was read that was not ready"
        );
        assert_eq!(
            self.failed, None,
            "{want:?} read from a source that had failed"
        );
        assert_eq!(
            naive.answer(*want, *delimiter),
            None,
            "{want:?} read from the source before it looked at {:?}",
            naive.held()
        );
        assert!(!window.is_empty(), "{want:?} asked for nothing");
        if let Want::Some(size) | Want::Full(size) | Want::Exact(size) | Want::ToEnd(size) = *want {
            assert!(
                naive.held().len() + window.len() <= size,
                "{want:?} asked for {} more",
                window.len()
            );
        }
        let result = self.source.read(window);
        match hear(&result, window, self.naive, self.known) {
            Heard::Bytes(size) => {
                let beyond = &mut window[size..];
                let scribble = beyond.len().min(4);
                beyond[..scribble].fill(self.delimiter);
                self.moved += size;
                self.has_filled = size == window.len();
            }
            Heard::Failed(kind) => self.failed = Some(kind),
            Heard::Nothing => {}
        }
        result
    }
}

/// What a read of a source comes to.
pub(super) enum Heard {
    Bytes(usize),
    /// The end of file, EINTR or EAGAIN.
    Nothing,
    Failed(ErrorKind),
}

/// Notes what a read has returned, and whether another one is worth making: the port's rule.
pub(super) fn hear(
    result: &io::Result<usize>,
    window: &mut [u8],
    naive: &mut Naive,
    known: &mut Known,
) -> Heard {
    let was_known = std::mem::replace(known, Known::Unready);
    match result {
        Ok(0) => {
            naive.end();
            Heard::Nothing
        }
        Ok(size) => {
            naive.give(&window[..*size]);
            // The kernel may write to all of the window. Newlines behind the bytes show a machine
            // that looks too far.
            let beyond = &mut window[*size..];
            let scribble = beyond.len().min(8);
            beyond[..scribble].fill(b'\n');
            if *size >= CHUNK {
                *known = Known::Filled;
            }
            Heard::Bytes(*size)
        }
        Err(error) => match error.kind() {
            ErrorKind::Interrupted => {
                *known = was_known;
                Heard::Nothing
            }
            ErrorKind::WouldBlock => Heard::Nothing,
            kind => Heard::Failed(kind),
        },
    }
}
