//! The writing machine beside its oracle, which is a `Vec<u8>` of what the sink took.
//!
//! The rig takes the port's place: it keeps whether the sink is ready, and the machine sees a
//! [`Sink`] that answers from that.

use std::io::{self, ErrorKind};

use asyncfile::machine::write::{Extent, State, Writer};
use asyncfile::machine::{Advance, End, Sink, SHARE};

pub use super::reading::Answer;

/// One sink, and what it took of one writer's data.
pub struct Rig {
    /// What the port knows of the sink. It is ready until a write is EAGAIN.
    pub is_ready: bool,
    taken: Vec<u8>,
}

impl Rig {
    /// `is_ready`: a writer may try the sink before poll(2) was asked.
    pub fn new(is_ready: bool) -> Rig {
        Rig {
            is_ready,
            taken: Vec::new(),
        }
    }

    /// Another writer begins: nothing was taken of its data.
    pub fn begin(&mut self, extent: Extent) -> Writer {
        self.taken.clear();
        let mut writer = Writer::new();
        writer.set_extent(extent);
        writer
    }

    /// poll(2) says that the sink is ready.
    pub fn poll_said(&mut self) {
        self.is_ready = true;
    }

    /// Advances the writer with this sink.
    pub fn advance(
        &mut self,
        writer: &mut Writer,
        data: &[u8],
        sink: &mut impl io::Write,
    ) -> Answer {
        let begun_at = self.taken.len();
        let was_ready = self.is_ready;
        let rest = if was_ready { &data[begun_at..] } else { &[] };
        let mut sink = Watched {
            sink,
            is_ready: &mut self.is_ready,
            rest,
            taken: &mut self.taken,
            is_full: writer.extent() != Extent::Once,
            wrote: false,
            said: None,
        };
        let advance = writer.advance(data, &mut sink);
        let Watched { said, .. } = sink;
        let moved = self.taken.len() - begun_at;
        assert!(moved <= SHARE, "one advance moved {moved} bytes");
        let is_done = self.taken.len() == data.len()
            || writer.extent() == Extent::Once && !self.taken.is_empty();
        let answer = match advance {
            Advance::Ended(end, len) => {
                assert_eq!((end, len), (End::Complete, self.taken.len()));
                assert!(is_done, "ended with {len} of {} bytes written", data.len());
                Answer::Ended(end, len)
            }
            Advance::Blocked => {
                assert!(!is_done, "blocked at the end");
                assert!(
                    !was_ready || said == Some(ErrorKind::WouldBlock),
                    "blocked, and the sink did not say so"
                );
                assert!(!self.is_ready);
                assert_eq!(writer.state(), State::Blocked);
                Answer::Blocked
            }
            Advance::Yield => {
                assert!(!is_done && moved == SHARE && self.is_ready);
                Answer::Yield
            }
            Advance::Failed(error) => {
                assert_eq!(Some(error.kind()), said);
                assert!(!matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted
                ));
                Answer::Failed(error.kind())
            }
        };
        self.check(writer, data, answer)
    }

    /// The writer's deadline has come.
    pub fn time_out(&mut self, writer: &mut Writer, data: &[u8]) -> Answer {
        let answer = match writer.time_out() {
            Advance::Ended(end, len) => {
                assert_eq!((end, len), (End::TimedOut, self.taken.len()));
                assert!(len > 0 && writer.extent() != Extent::All);
                Answer::Ended(end, len)
            }
            Advance::Failed(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(self.taken.is_empty() || writer.extent() == Extent::All);
                Answer::Failed(error.kind())
            }
            other => panic!("timed out: {other:?}"),
        };
        self.check(writer, data, answer)
    }

    /// The sink took the data's beginning, once, in order, and the writer knows how much.
    fn check(&self, writer: &Writer, data: &[u8], answer: Answer) -> Answer {
        assert!(
            self.taken == data[..self.taken.len()],
            "the sink took {:?} of {data:?}",
            self.taken
        );
        assert_eq!(writer.written(), self.taken.len());
        let is_over = matches!(answer, Answer::Ended(..) | Answer::Failed(_));
        assert_eq!(writer.state() == State::Ended, is_over);
        answer
    }
}

/// The sink as the machine sees it, and the rules for using it.
struct Watched<'a, S> {
    sink: &'a mut S,
    is_ready: &'a mut bool,
    /// The next write must offer the beginning of this; empty: there must be no write.
    rest: &'a [u8],
    taken: &'a mut Vec<u8>,
    is_full: bool,
    wrote: bool,
    said: Option<ErrorKind>,
}

impl<S: io::Write> Sink for Watched<'_, S> {
    fn is_ready(&mut self) -> bool {
        *self.is_ready
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        assert!(*self.is_ready, "a sink was written to that was not ready");
        assert!(
            !data.is_empty() && self.rest.starts_with(data),
            "the sink was offered {data:?} of {:?}",
            self.rest
        );
        assert!(
            self.is_full || !self.wrote,
            "a second write of one that is not full"
        );
        assert!(
            self.said.is_none_or(|kind| kind == ErrorKind::Interrupted),
            "the sink had said {:?}",
            self.said
        );
        let result = self.sink.write(data);
        match &result {
            Ok(0) => self.said = Some(ErrorKind::WriteZero),
            Ok(size) => {
                self.wrote = true;
                self.taken.extend_from_slice(&data[..*size]);
                self.rest = &self.rest[*size..];
            }
            Err(error) => {
                self.said = Some(error.kind());
                *self.is_ready &= error.kind() != ErrorKind::WouldBlock;
            }
        }
        result
    }
}
