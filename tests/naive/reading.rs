//! The reading machine beside the oracle: each call of the source and each answer is checked.

use std::io::{self, ErrorKind};

use asyncfile::machine::read::{Inflow, Reader, State, Want};
use asyncfile::machine::{Advance, End, SHARE};

use super::Naive;

/// What is known of the source from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// poll(2) has spoken since it was last called: it must be called if it is needed.
    Ready,
    /// It filled the whole window: it may be called again.
    Filled,
    /// Nothing to be had: it must not be called.
    Unready,
}

/// How an advance ended. Bytes are counted; they were compared and consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Blocked,
    Yield,
    Ended(End, usize),
    Failed(ErrorKind),
}

/// One file's inflow, and the oracle's idea of it. Its readers come and go.
pub struct Rig {
    pub inflow: Inflow,
    pub naive: Naive,
    pub(super) known: Known,
}

impl Rig {
    pub fn new() -> Rig {
        Rig { inflow: Inflow::default(), naive: Naive::default(), known: Known::Unready }
    }

    /// poll(2) says that the source has something to say.
    pub fn poll_said(&mut self) {
        self.inflow.ready = true;
        self.known = Known::Ready;
    }

    /// Advances the reader with this source, and consumes what it ends with, as its driver would.
    pub fn advance(&mut self, reader: &mut Reader, source: &mut impl io::Read) -> Answer {
        let want = reader.want();
        let Rig { inflow, naive, known } = self;
        let mut source = Watched { source, want, naive, known, moved: 0, failed: None };
        let advance = reader.advance(inflow, &mut source);
        let Watched { moved, failed, .. } = source;
        assert!(moved <= SHARE, "{want:?}: one advance moved {moved} bytes");
        let answer = match advance {
            Advance::Ended(end, len) => {
                assert_eq!(self.naive.answer(want), Some((end, len)), "{want:?} of {:?}", self.naive.held());
                self.hand_over(want, end, len)
            }
            Advance::Blocked => {
                assert_eq!(self.naive.answer(want), None, "{want:?} is blocked before {:?}", self.naive.held());
                assert_ne!(self.known, Known::Ready, "{want:?} is blocked, and did not ask a source that is ready");
                assert!(!self.inflow.ready, "{want:?} is blocked, and says that the source is ready");
                assert_eq!(reader.state(), State::Blocked);
                Answer::Blocked
            }
            Advance::Yield => {
                assert_eq!(self.naive.answer(want), None, "{want:?} yields before {:?}", self.naive.held());
                assert_eq!(moved, SHARE, "{want:?} yields before it has had its share");
                assert!(self.inflow.ready, "{want:?} yields, and could not go on");
                Answer::Yield
            }
            Advance::Failed(error) => {
                let limit_of_0 = matches!(want, Want::ToEnd(0) | Want::Line(0) | Want::Lines(0));
                let expected = if limit_of_0 { Some(ErrorKind::InvalidInput) } else { failed };
                assert_eq!(Some(error.kind()), expected, "{want:?}");
                Answer::Failed(error.kind())
            }
        };
        if let Answer::Ended(..) | Answer::Failed(_) = answer {
            assert_eq!(reader.state(), State::Ended);
        }
        self.check();
        self.settle();
        answer
    }

    /// What the inflow says of the source is what it is held to.
    pub(super) fn settle(&mut self) {
        if !self.inflow.ready {
            self.known = Known::Unready;
        }
    }

    /// The reader's time is over. It was advanced before, and was blocked or yielded.
    pub fn time_out(&mut self, reader: &mut Reader) -> Answer {
        let want = reader.want();
        let answer = match reader.time_out(&self.inflow) {
            Advance::Ended(end, len) => {
                assert_eq!((end, Some(len)), (End::TimedOut, self.naive.time_out(want)), "{want:?}");
                self.hand_over(want, end, len)
            }
            Advance::Failed(error) => {
                assert_eq!((error.kind(), self.naive.time_out(want)), (ErrorKind::TimedOut, None), "{want:?}");
                Answer::Failed(error.kind())
            }
            other => panic!("{want:?} timed out: {other:?}"),
        };
        assert_eq!(reader.state(), State::Ended);
        self.check();
        answer
    }

    fn hand_over(&mut self, want: Want, end: End, len: usize) -> Answer {
        assert!(self.inflow.buffer.bytes()[..len] == *self.naive.hand_over(want, end, len), "{want:?}: other bytes");
        self.inflow.buffer.consume(len);
        Answer::Ended(end, len)
    }

    /// Bytes come in without a reader.
    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.inflow.buffer.room(bytes.len());
            assert!((1..=bytes.len()).contains(&room.len()), "room({}) is {} bytes", bytes.len(), room.len());
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
        assert!(self.inflow.buffer.bytes()[..size] == *self.naive.take(size), "other bytes");
        self.inflow.buffer.consume(size);
        self.check();
    }

    /// Asks the buffer for what lies at its front, and takes nothing. The answer is the first line's length.
    pub fn look(&mut self, limit: usize) -> Option<usize> {
        let line = self.inflow.buffer.line(limit).map(|found| (found.len, found.whole));
        assert_eq!(line, self.naive.line(limit), "line({limit}) of {:?}", self.naive.held());
        let lines = self.inflow.buffer.lines(limit).map(|found| (found.len, found.whole));
        assert_eq!(lines, self.naive.lines(limit), "lines({limit}) of {:?}", self.naive.held());
        self.check();
        line.map(|(len, _)| len)
    }

    /// The file's reader is blocked: the buffer gives back what it can.
    pub fn rest(&mut self) {
        self.inflow.buffer.rest();
        self.check();
    }

    /// What came in was handed over, or is still in the buffer.
    pub fn check(&self) {
        let Rig { inflow, naive, known } = self;
        assert!(inflow.buffer.bytes() == naive.held(), "held are {:?}, not {:?}", inflow.buffer.bytes(), naive.held());
        assert_eq!(inflow.len(), naive.held().len());
        assert_eq!(inflow.ended, naive.ended(), "an end of file");
        assert_eq!(inflow.is_empty(), naive.held().is_empty() && !naive.ended());
        assert!(!inflow.ready || *known != Known::Unready, "a source with nothing to say counts as ready");
    }
}

/// The source, and what the machine may do with it.
struct Watched<'a, S> {
    source: &'a mut S,
    want: Want,
    naive: &'a mut Naive,
    known: &'a mut Known,
    moved: usize,
    failed: Option<ErrorKind>,
}

impl<S: io::Read> io::Read for Watched<'_, S> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let Watched { want, naive, .. } = self;
        assert_ne!(*self.known, Known::Unready, "{want:?} called a source that was not ready");
        assert_eq!(self.failed, None, "{want:?} called a source that had failed");
        assert_eq!(naive.answer(*want), None, "{want:?} called the source before it looked at {:?}", naive.held());
        assert!(!window.is_empty(), "{want:?} asked for nothing");
        if let Want::Some(size) | Want::Full(size) | Want::ToEnd(size) = *want {
            assert!(naive.held().len() + window.len() <= size, "{want:?} asked for {} more", window.len());
        }
        let result = self.source.read(window);
        match hear(&result, window, self.naive, self.known) {
            Heard::Bytes(size) => self.moved += size,
            Heard::Failed(kind) => self.failed = Some(kind),
            Heard::Nothing => {}
        }
        result
    }
}

/// What a call of a source comes to.
pub(super) enum Heard {
    Bytes(usize),
    /// The end of file, EINTR or EAGAIN.
    Nothing,
    Failed(ErrorKind),
}

/// Notes what the source has answered, and what may be done with it from then on.
pub(super) fn hear(result: &io::Result<usize>, window: &mut [u8], naive: &mut Naive, known: &mut Known) -> Heard {
    let was_known = std::mem::replace(known, Known::Unready);
    match result {
        Ok(0) => {
            naive.end();
            Heard::Nothing
        }
        Ok(size) => {
            naive.give(&window[..*size]);
            // The window beyond is the kernel's to write to.
            let beyond = &mut window[*size..];
            let scribble = beyond.len().min(8);
            beyond[..scribble].fill(b'\n');
            if beyond.is_empty() {
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
