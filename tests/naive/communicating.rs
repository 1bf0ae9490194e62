//! The communicating machine beside its oracle: each call of a source or a sink and each answer is
//! checked.
//!
//! The oracle knows what the child got, what it said, and which parts have come to their end; what
//! the machine may answer follows from that.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use asyncfile::machine::communicate::{
    self, Child, Communicator, Given, Interests, Part, State, Stdin, Tap,
};
use asyncfile::machine::read::Inflow;
use asyncfile::machine::{Sink, Source, SHARE};

use super::reading::{self, hear, Heard, Known};
use super::Naive;

/// The most that is read of an input at a time: what a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// The most that is taken of a stream when there will be no other time, besides the share that was
/// begun.
const PIPE_MAX: usize = 1024 * 1024;

/// What the child is fed.
#[derive(Clone, Debug)]
pub enum Input {
    None,
    Bytes(Rc<[u8]>),
    Stream,
    /// A stream that has always something to say.
    File,
}

/// What the machine answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Blocked(Interests),
    Yield,
    Ended,
    Limit,
    Failed(Part, ErrorKind),
}

/// How things stand with the child.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whose turn it is to use stdin, stdout, stderr and the input: ours, or another operation's.
    pub turns: [bool; 4],
    /// poll(2) said that nobody reads stdin any more.
    pub is_hung_up: bool,
    pub child: Child,
    /// There will be no other time: the port asks poll(2) itself.
    pub is_last: bool,
    pub limit: usize,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            turns: [true; 4],
            is_hung_up: false,
            child: Child::Running,
            is_last: false,
            limit: usize::MAX,
        }
    }
}

/// Where bytes go to and come from.
pub struct Ports<'a> {
    pub stdin: &'a mut dyn io::Write,
    pub stdout: &'a mut dyn io::Read,
    pub stderr: &'a mut dyn io::Read,
    pub input: &'a mut dyn io::Read,
}

/// A conversation with a child, whoever else uses its streams.
pub struct Rig {
    machine: Communicator,
    input: Input,
    /// What is fed: what is offered so far, how much of it the child got, and what poll(2) said of
    /// its source.
    pub feed: reading::Rig,
    /// stdin is worth a call, as far as is known.
    pub is_stdin_ready: bool,
    /// stdout and stderr.
    pub streams: [reading::Rig; 2],
    has_ended: [bool; 2],
    is_fed: bool,
    /// The machine has seen that both streams have ended.
    has_said_all: bool,
    /// It ended, and its bytes were handed over: nobody asks again.
    is_over: bool,
}

impl Rig {
    /// A conversation that feeds this, with a child that has stdout, stderr or both.
    pub fn new(input: Input, [has_stdout, has_stderr]: [bool; 2]) -> Rig {
        let mut feed = reading::Rig::new();
        if let Input::Bytes(bytes) = &input {
            feed.naive.give(bytes);
        }
        Rig {
            machine: Communicator::new(has_stdout, has_stderr),
            input,
            feed,
            is_stdin_ready: true,
            streams: [reading::Rig::new(), reading::Rig::new()],
            has_ended: [!has_stdout, !has_stderr],
            is_fed: false,
            has_said_all: false,
            is_over: false,
        }
    }

    /// stdin is closed, or was never there.
    pub fn stop_feeding(&mut self) {
        self.machine.stop_feeding();
        self.is_fed = true;
    }

    /// stdin is closed.
    pub fn is_fed(&self) -> bool {
        self.is_fed
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Which of stdout and stderr have ended.
    pub fn has_ended(&self) -> [bool; 2] {
        self.has_ended
    }

    /// How far it has come.
    pub fn state(&self) -> &'static str {
        match self.machine.state() {
            State::Feeding => "Feeding",
            State::Collecting => "Collecting",
            State::AwaitingExit => "AwaitingExit",
            State::Ended => "Ended",
        }
    }

    /// How many bytes are held of the streams that are ours to use.
    fn held(&self, turns: [bool; 4]) -> usize {
        (0..2)
            .filter(|&which| turns[1 + which])
            .map(|which| self.streams[which].naive.held().len())
            .sum()
    }

    /// Advances the machine, and consumes what it ends with, as its driver would.
    pub fn advance(&mut self, standing: Standing, ports: Ports<'_>) -> Answer {
        let Standing {
            turns,
            is_hung_up,
            child,
            is_last,
            limit,
        } = standing;
        let [has_stdin, _, _, has_input] = turns;
        let said = Said {
            failed: Cell::new(None),
            held: Cell::new(self.held(turns)),
            limit,
        };
        let feeds = has_stdin && !is_hung_up && !self.is_fed;

        let Rig {
            machine,
            input,
            feed,
            is_stdin_ready,
            streams: [out, err],
            has_ended,
            ..
        } = self;
        let fed = feed.naive.taken().len();
        assert!(
            !matches!(input, Input::Bytes(_)) || machine.fed() == fed,
            "{} count as fed, of {fed}",
            machine.fed()
        );
        let (out_inflow, mut stdout) = Watched::new(
            ports.stdout,
            Part::Stdout,
            out,
            &said,
            turns[1] && !has_ended[0],
            is_last,
        );
        let (err_inflow, mut stderr) = Watched::new(
            ports.stderr,
            Part::Stderr,
            err,
            &said,
            turns[2] && !has_ended[1],
            is_last,
        );
        let reading::Rig {
            inflow,
            naive,
            known,
        } = feed;
        let naive = RefCell::new(naive);
        let is_file = matches!(input, Input::File);
        let mut source = Feed {
            source: ports.input,
            naive: &naive,
            known,
            said: &said,
            feeds,
            is_file,
            moved: 0,
        };
        let mut sink = Taker {
            sink: ports.stdin,
            naive: &naive,
            said: &said,
            feeds,
            is_ready: is_stdin_ready,
            is_gone: false,
            moved: 0,
        };
        let answer = machine.advance(Given {
            input: match input {
                Input::None => communicate::Input::None,
                Input::Bytes(bytes) => communicate::Input::Bytes(&bytes[fed..]),
                Input::Stream | Input::File if !has_input => communicate::Input::Elsewhere,
                Input::Stream | Input::File => communicate::Input::Stream(inflow, &mut source),
            },
            stdin: has_stdin.then_some(Stdin {
                sink: &mut sink,
                is_hung_up,
            }),
            stdout: turns[1].then_some(Tap {
                inflow: out_inflow,
                source: &mut stdout,
            }),
            stderr: turns[2].then_some(Tap {
                inflow: err_inflow,
                source: &mut stderr,
            }),
            child,
            is_last,
            limit,
        });

        let (
            Taker {
                is_gone,
                moved: written,
                ..
            },
            Feed { moved: read, .. },
        ) = (sink, source);
        let moved = [stdout.moved, stderr.moved];
        assert!(
            written <= SHARE && read <= SHARE + CHUNK,
            "one advance fed {written} bytes, and read {read} for that"
        );
        assert!(
            moved
                .iter()
                .all(|&moved| moved <= if is_last { PIPE_MAX + SHARE } else { SHARE }),
            "{moved:?} bytes"
        );
        self.feed_comes_to_its_end(standing, is_gone, said.has_feeding_failed());
        self.streams_come_to_their_ends(standing, &answer);
        let answer = self.judge(
            standing,
            answer,
            said.failed.get(),
            [written, moved[0], moved[1]],
        );
        self.check();
        answer
    }

    /// Notes whether the child is to be fed no more.
    fn feed_comes_to_its_end(&mut self, standing: Standing, is_gone: bool, has_failed: bool) {
        let Standing {
            turns: [has_stdin, .., has_input],
            is_hung_up,
            ..
        } = standing;
        let Naive { ended, .. } = &self.feed.naive;
        let is_at_end = match self.input {
            Input::None => true,
            Input::Bytes(_) => self.feed.naive.held().is_empty(),
            Input::Stream | Input::File => has_input && self.feed.naive.held().is_empty() && *ended,
        };
        self.is_fed |= has_stdin && (is_at_end || is_hung_up || is_gone || has_failed);
        self.feed.naive.ended &= self.feed.inflow.ended;
    }

    /// Notes which streams have ended: those whose ends came in and were seen.
    fn streams_come_to_their_ends(&mut self, standing: Standing, answer: &communicate::Answer) {
        // An end behind more bytes than the limit was not seen, nor one behind another part's
        // failure.
        let may_be_unseen = matches!(
            answer,
            communicate::Answer::Limit | communicate::Answer::Failed(..)
        );
        for (which, stream) in self.streams.iter_mut().enumerate() {
            if standing.turns[1 + which] && !self.has_ended[which] && stream.naive.ended {
                self.has_ended[which] = !stream.inflow.ended;
                stream.naive.ended = stream.inflow.ended;
                assert!(
                    may_be_unseen || self.has_ended[which],
                    "the end of stream {which} was not seen"
                );
            }
        }
    }

    /// What follows from what was said.
    fn judge(
        &mut self,
        standing: Standing,
        answer: communicate::Answer,
        failed: Option<(Part, ErrorKind)>,
        moved: [usize; 3],
    ) -> Answer {
        let Standing {
            turns,
            child,
            limit,
            ..
        } = standing;
        let is_said = match child {
            Child::Running => false,
            Child::Exited => self.has_ended == [true; 2],
            Child::Over => true,
        };
        let is_too_much = self.held(turns) > limit;
        assert_eq!(
            failed.is_some(),
            matches!(answer, communicate::Answer::Failed(..)),
            "{failed:?}, then {answer:?}"
        );
        let answer = match answer {
            communicate::Answer::Failed(part, error) => {
                assert_eq!(Some((part, error.kind())), failed);
                Answer::Failed(part, error.kind())
            }
            communicate::Answer::Limit => {
                assert!(
                    is_too_much,
                    "{} bytes are not more than {limit}",
                    self.held(turns)
                );
                Answer::Limit
            }
            answer => {
                assert!(!is_too_much, "{answer:?} with more than {limit} bytes");
                assert_eq!(
                    is_said,
                    matches!(answer, communicate::Answer::Ended),
                    "{answer:?}, {standing:?}"
                );
                match answer {
                    communicate::Answer::Ended => Answer::Ended,
                    communicate::Answer::Yield => {
                        assert!(
                            moved.iter().any(|&moved| moved >= SHARE),
                            "yields, and moved {moved:?} bytes"
                        );
                        Answer::Yield
                    }
                    communicate::Answer::Blocked(interests) => {
                        self.waits_for_what_can_come(standing, interests);
                        Answer::Blocked(interests)
                    }
                    _ => unreachable!("they were looked at before"),
                }
            }
        };
        if !matches!(answer, Answer::Limit | Answer::Failed(..)) {
            self.has_said_all = self.has_ended == [true; 2] && self.is_fed;
        }
        if answer == Answer::Ended {
            self.is_fed = true;
            self.is_over = true;
            for which in (0..2).filter(|which| turns[1 + which]) {
                let stream = &mut self.streams[which];
                stream.consume(stream.naive.held().len());
            }
        }
        assert_eq!(
            self.machine.is_fed(),
            self.is_fed,
            "stdin is to be closed, after {answer:?}"
        );
        assert_eq!(self.machine.state(), self.expected_state());
        answer
    }

    /// How far the conversation has come.
    fn expected_state(&self) -> State {
        match self.has_ended {
            _ if self.is_over => State::Ended,
            _ if !self.is_fed => State::Feeding,
            [true, true] if self.has_said_all => State::AwaitingExit,
            _ => State::Collecting,
        }
    }

    /// It waits for each part that is ours and may still have something to say, and for nothing
    /// else.
    fn waits_for_what_can_come(&self, standing: Standing, interests: Interests) {
        let Standing {
            turns: [has_stdin, .., has_input],
            ..
        } = standing;
        for (which, interest) in [interests.stdout, interests.stderr].into_iter().enumerate() {
            let stream = &self.streams[which];
            assert_eq!(
                interest,
                standing.turns[1 + which] && !self.has_ended[which],
                "stream {which} of {standing:?}"
            );
            assert!(
                !interest || !stream.known.is_ready(),
                "stream {which} was not asked"
            );
        }
        let Interests { input, stdin, .. } = interests;
        assert_eq!(
            input as u8 + stdin as u8,
            (has_stdin && !self.is_fed) as u8,
            "{interests:?} of {standing:?}"
        );
        if stdin {
            assert!(!self.is_stdin_ready, "stdin was not tried");
        }
        if input && has_input {
            assert!(
                matches!(self.input, Input::Stream),
                "{:?} is waited for",
                self.input
            );
            assert!(
                self.feed.naive.held().is_empty(),
                "there is something to feed"
            );
            assert!(!self.feed.known.is_ready(), "the input was not asked");
        }
    }

    /// Everything is where it belongs.
    fn check(&mut self) {
        self.streams.iter().for_each(reading::Rig::check);
        if let Input::Stream | Input::File = self.input {
            self.feed.check();
        }
    }
}

/// What all the parts have said in one advance.
struct Said {
    failed: Cell<Option<(Part, ErrorKind)>>,
    /// Of stdout and stderr together.
    held: Cell<usize>,
    limit: usize,
}

impl Said {
    fn has_feeding_failed(&self) -> bool {
        matches!(self.failed.get(), Some((Part::Input | Part::Stdin, _)))
    }
}

/// stdout or stderr, and what the machine may do with it.
struct Watched<'a> {
    source: &'a mut dyn io::Read,
    part: Part,
    naive: &'a mut Naive,
    known: &'a mut Known,
    said: &'a Said,
    /// It is ours to use, and has not ended.
    is_open: bool,
    /// There will be no other time: the port asks poll(2) itself, until it has said no once.
    may_look: bool,
    moved: usize,
}

impl<'a> Watched<'a> {
    fn new(
        source: &'a mut dyn io::Read,
        part: Part,
        rig: &'a mut reading::Rig,
        said: &'a Said,
        is_open: bool,
        may_look: bool,
    ) -> (&'a mut Inflow, Watched<'a>) {
        let reading::Rig {
            inflow,
            naive,
            known,
        } = rig;
        (
            inflow,
            Watched {
                source,
                part,
                naive,
                known,
                said,
                is_open,
                may_look,
                moved: 0,
            },
        )
    }
}

impl Source for Watched<'_> {
    /// To ask poll(2) is to try here: a source that has nothing says so.
    fn is_ready(&mut self) -> bool {
        self.known.is_ready() || self.may_look
    }

    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let Said {
            failed,
            held,
            limit,
            ..
        } = self.said;
        assert!(
            self.is_open,
            "a stream was read that has ended, or is another's to use"
        );
        assert!(!self.naive.ended(), "a stream was read behind its end");
        assert_eq!(failed.get(), None, "a stream was read after a failure");
        assert!(self.is_ready(), "a stream was read that was not ready");
        assert!(!window.is_empty(), "a stream was asked for nothing");
        // One byte more than allowed tells too much from just enough.
        assert!(
            held.get() + window.len() <= limit.saturating_add(1),
            "{} more of {limit}",
            window.len()
        );
        let result = self.source.read(window);
        match hear(&result, window, self.naive, self.known) {
            Heard::Bytes(size) => {
                self.moved += size;
                held.set(held.get() + size);
            }
            Heard::Failed(kind) => failed.set(Some((self.part, kind))),
            Heard::Nothing => {
                let kind = result.as_ref().err().map(io::Error::kind);
                self.may_look &= kind != Some(ErrorKind::WouldBlock);
            }
        }
        result
    }
}

/// The input's source, and what the machine may do with it.
struct Feed<'a> {
    source: &'a mut dyn io::Read,
    naive: &'a RefCell<&'a mut Naive>,
    known: &'a mut Known,
    said: &'a Said,
    feeds: bool,
    is_file: bool,
    moved: usize,
}

impl Source for Feed<'_> {
    fn is_ready(&mut self) -> bool {
        self.is_file || self.known.is_ready()
    }

    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let mut naive = self.naive.borrow_mut();
        assert!(self.feeds, "the input was read, and nobody is to be fed");
        assert!(
            naive.held().is_empty() && !naive.ended(),
            "the input was read before what is there was fed"
        );
        assert_eq!(
            self.said.failed.get(),
            None,
            "the input was read after a failure"
        );
        assert!(self.is_ready(), "the input was read, and was not ready");
        assert!(
            (1..=CHUNK).contains(&window.len()),
            "the input was asked for {} bytes",
            window.len()
        );
        let result = self.source.read(window);
        match hear(&result, window, &mut naive, self.known) {
            Heard::Bytes(size) => self.moved += size,
            Heard::Failed(kind) => self.said.failed.set(Some((Part::Input, kind))),
            Heard::Nothing => {}
        }
        result
    }
}

/// The child's stdin, and what the machine may do with it.
struct Taker<'a> {
    sink: &'a mut dyn io::Write,
    naive: &'a RefCell<&'a mut Naive>,
    said: &'a Said,
    feeds: bool,
    is_ready: &'a mut bool,
    /// It reads no more.
    is_gone: bool,
    moved: usize,
}

impl Taker<'_> {
    fn fails(&self, kind: ErrorKind) {
        self.said.failed.set(Some((Part::Stdin, kind)));
    }
}

impl Sink for Taker<'_> {
    fn is_ready(&mut self) -> bool {
        *self.is_ready
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut naive = self.naive.borrow_mut();
        assert!(
            self.feeds && !self.is_gone,
            "stdin was written to, and nobody is to be fed"
        );
        assert!(*self.is_ready, "stdin was written to, and was not ready");
        assert_eq!(
            self.said.failed.get(),
            None,
            "stdin was written to after a failure"
        );
        assert!(
            (1..=naive.held().len()).contains(&data.len()),
            "{} bytes were offered to stdin",
            data.len()
        );
        let result = self.sink.write(data);
        match &result {
            Ok(0) => self.fails(ErrorKind::WriteZero),
            Ok(size) => {
                assert!(
                    naive.take(*size) == &data[..*size],
                    "stdin was offered other bytes"
                );
                self.moved += size;
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => *self.is_ready = false,
                // The child's right, and no error.
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.is_gone = true,
                kind => self.fails(kind),
            },
        }
        result
    }
}
