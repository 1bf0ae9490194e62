//! The communicating machine: feed a child, collect its output, and wait for its exit, all at once.
//!
//! ```text
//!   input           ->  child's stdin    the child is fed
//!   child's stdout  ->  buffer           what it says is collected
//!   child's stderr  ->  buffer           what it says is collected
//! ```
//!
//! The machine's state says how far the conversation has come:
//!
//! ```text
//! Feeding   ── each part says "not now" ──► Feeding
//! Feeding   ── a share is moved: others first ──► Feeding
//! Feeding   ── more than the limit came ──► Feeding
//! Feeding   ── a stream has failed ──► Feeding
//! Feeding   ── the input has ended ──► Collecting
//! Feeding   ── the child reads no more ──► Collecting
//! Feeding   ── the input or stdin has failed ──► Collecting
//! Feeding   ── stdin is closed ──► Collecting
//! Feeding   ── the streams have ended, and the child ──► Ended
//! Feeding   ── the child has ended, and the time to linger ──► Ended
//! Collecting ── each part says "not now" ──► Collecting
//! Collecting ── a share is moved: others first ──► Collecting
//! Collecting ── more than the limit came ──► Collecting
//! Collecting ── a stream has failed ──► Collecting
//! Collecting ── the streams have ended ──► AwaitingExit
//! Collecting ── the child has ended, and the time to linger ──► Ended
//! AwaitingExit ── the child runs ──► AwaitingExit
//! AwaitingExit ── more than the limit came ──► AwaitingExit
//! AwaitingExit ── the streams have ended, and the child ──► Ended
//! ```
//!
//! When the child and its streams have ended, the rest of the input is not fed, because nobody
//! would read it. A grandchild may keep stdout or stderr open after the child's end, even for ever.
//! The machine then waits for the ends of the streams for a limited time only: the time to linger.
//!
//! The collected bytes lie in the buffers of the streams, and the bytes not yet fed stay in the
//! input. A machine that is interrupted therefore loses nothing, and can go on later.

use std::io;

use super::read::{Inflow, Reader, Want};
use super::{Advance, End, Sink, Source, SHARE};
use crate::pool::CHUNK;

/// The input of a communicate: what the child is fed.
#[derive(Debug)]
pub enum Input<'a> {
    /// No input, or no more of it.
    None,
    /// The bytes that are not yet fed.
    Bytes(&'a [u8]),
    /// The bytes of a file: first those in its buffer, then those of its source.
    Stream(&'a mut Inflow, &'a mut dyn Source),
    /// A stream that another operation reads first: nothing can be fed in this advance.
    Elsewhere,
}

/// The child's stdin.
#[derive(Debug)]
pub struct Stdin<'a> {
    /// The stream as a sink.
    pub sink: &'a mut dyn Sink,
    /// Whether poll(2) has reported that nobody reads the stream any more.
    pub is_hung_up: bool,
}

/// The child's stdout or stderr.
#[derive(Debug)]
pub struct Tap<'a> {
    /// The bytes that came in on the stream.
    pub inflow: &'a mut Inflow,
    /// The stream as a source.
    pub source: &'a mut dyn Source,
}

/// Whether the child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// The child runs, as far as the machine knows.
    Running,
    /// The child has ended.
    Exited,
    /// The child has ended, and the time to linger is over: the machine does not wait for the ends
    /// of the streams.
    Over,
}

/// The machine's input for one advance. A stream is None if it was not piped, or if another
/// operation uses it first.
#[derive(Debug)]
pub struct Given<'a> {
    /// The input.
    pub input: Input<'a>,
    /// The child's stdin, where the input goes.
    pub stdin: Option<Stdin<'a>>,
    /// The child's stdout.
    pub stdout: Option<Tap<'a>>,
    /// The child's stderr.
    pub stderr: Option<Tap<'a>>,
    /// Whether the child has ended.
    pub child: Child,
    /// Whether this is the last advance, because the deadline or the end of the linger time has
    /// come. The machine then collects all that the child has written by now.
    pub is_last: bool,
    /// The most bytes to collect from both streams together.
    pub limit: usize,
}

/// The events that the machine waits for, besides the child's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// More input. While the machine waits for input, it also waits for a hangup of stdin.
    pub input: bool,
    /// Room in the pipe to the child's stdin.
    pub stdin: bool,
    /// Bytes on the child's stdout, or its end.
    pub stdout: bool,
    /// Bytes on the child's stderr, or its end.
    pub stderr: bool,
}

/// One of the four streams of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The input.
    Input,
    /// The child's stdin.
    Stdin,
    /// The child's stdout.
    Stdout,
    /// The child's stderr.
    Stderr,
}

/// The answer of an advance.
#[derive(Debug)]
pub enum Answer {
    /// The machine waits for one of these events, or for the child's end.
    Blocked(Interests),
    /// The machine has moved its share and could go on, but other tasks come first.
    Yield,
    /// The child has ended, and its output is in the buffers.
    Ended,
    /// The output is longer than the limit. It stays in the buffers.
    Limit,
    /// This stream has failed. The output so far is in the buffers.
    Failed(Part, io::Error),
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The child is fed, and its output is collected.
    Feeding,
    /// The child has all its input, and its output is collected. Whoever advances the machine closes
    /// the child's stdin.
    Collecting,
    /// All output has come, and the machine waits for the child's end.
    AwaitingExit,
    /// The child has ended, and so has the conversation.
    Ended,
}

/// All transitions of a conversation.
#[cfg(any(test, fuzzing))]
#[rustfmt::skip]
pub const TRANSITIONS: &[super::table::Edge<State>] = &[
    (State::Feeding, "each part says \"not now\"", State::Feeding),
    (State::Feeding, "a share is moved: others first", State::Feeding),
    (State::Feeding, "more than the limit came", State::Feeding),
    (State::Feeding, "a stream has failed", State::Feeding),
    (State::Feeding, "the input has ended", State::Collecting),
    (State::Feeding, "the child reads no more", State::Collecting),
    (State::Feeding, "the input or stdin has failed", State::Collecting),
    (State::Feeding, "stdin is closed", State::Collecting),
    (State::Feeding, "the streams have ended, and the child", State::Ended),
    (State::Feeding, "the child has ended, and the time to linger", State::Ended),
    (State::Collecting, "each part says \"not now\"", State::Collecting),
    (State::Collecting, "a share is moved: others first", State::Collecting),
    (State::Collecting, "more than the limit came", State::Collecting),
    (State::Collecting, "a stream has failed", State::Collecting),
    (State::Collecting, "the streams have ended", State::AwaitingExit),
    (State::Collecting, "the child has ended, and the time to linger", State::Ended),
    (State::AwaitingExit, "the child runs", State::AwaitingExit),
    (State::AwaitingExit, "more than the limit came", State::AwaitingExit),
    (State::AwaitingExit, "the streams have ended, and the child", State::Ended),
];

/// A conversation with a child: input, output, exit.
#[derive(Clone, Debug)]
pub struct Communicator {
    state: State,
    /// How many bytes of `Input::Bytes` were fed since the beginning.
    fed: usize,
    /// For stdout and for stderr: whether the stream has ended or was never piped.
    has_ended: [bool; 2],
}

/// Why one stream goes no further in this advance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Done,
    NotNow,
    NoInput,
    Share,
    Limit,
}

impl Communicator {
    /// Makes a conversation. `has_stdout` and `has_stderr` say which streams were piped.
    pub fn new(has_stdout: bool, has_stderr: bool) -> Communicator {
        Communicator {
            state: State::Feeding,
            fed: 0,
            has_ended: [!has_stdout, !has_stderr],
        }
    }

    /// The state of the conversation.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the input has ended, so that stdin is to be closed.
    pub fn is_fed(&self) -> bool {
        self.state != State::Feeding
    }

    /// How many bytes of `Input::Bytes` were fed. The input of the next advance begins after them.
    pub fn fed(&self) -> usize {
        self.fed
    }

    /// Ends the feeding: there is no stdin, or it was closed.
    pub fn stop_feeding(&mut self) {
        if self.state == State::Feeding {
            self.go("stdin is closed", State::Collecting);
        }
    }

    /// The only place where the state changes.
    fn go(&mut self, cause: &'static str, to: State) {
        #[cfg(any(test, fuzzing))]
        super::table::take(TRANSITIONS, (self.state, cause, to));
        let _ = cause;
        self.state = to;
    }

    /// Goes as far as it can without waiting.
    pub fn advance(&mut self, mut given: Given<'_>) -> Answer {
        let fed = match self.feed(&mut given.input, &mut given.stdin) {
            Ok(fed) => fed,
            Err((part, error)) => {
                self.go("the input or stdin has failed", State::Collecting);
                return Answer::Failed(part, error);
            }
        };
        let out = match self.collect(Part::Stdout, &mut given) {
            Ok(out) => out,
            Err(error) => return self.failed(Part::Stdout, error),
        };
        let err = match self.collect(Part::Stderr, &mut given) {
            Ok(err) => err,
            Err(error) => return self.failed(Part::Stderr, error),
        };
        let stops = [fed, out, err];
        if stops.contains(&Stop::Limit) {
            self.go("more than the limit came", self.state);
            return Answer::Limit;
        }
        if self.comes_to_its_end(given.child) {
            return Answer::Ended;
        }
        if stops.contains(&Stop::Share) {
            self.go("a share is moved: others first", self.state);
            return Answer::Yield;
        }
        match self.state {
            State::AwaitingExit => self.go("the child runs", self.state),
            state => self.go("each part says \"not now\"", state),
        }
        Answer::Blocked(Interests {
            input: fed == Stop::NoInput,
            stdin: fed == Stop::NotNow && given.stdin.is_some(),
            stdout: out == Stop::NotNow && given.stdout.is_some(),
            stderr: err == Stop::NotNow && given.stderr.is_some(),
        })
    }

    fn comes_to_its_end(&mut self, child: Child) -> bool {
        let has_said_all = self.has_ended == [true; 2];
        if has_said_all && self.state == State::Collecting {
            self.go("the streams have ended", State::AwaitingExit);
        }
        match child {
            Child::Exited | Child::Over if has_said_all => {
                self.go("the streams have ended, and the child", State::Ended);
            }
            Child::Over => self.go("the child has ended, and the time to linger", State::Ended),
            Child::Running | Child::Exited => {}
        }
        self.state == State::Ended
    }

    fn failed(&mut self, part: Part, error: io::Error) -> Answer {
        self.go("a stream has failed", self.state);
        Answer::Failed(part, error)
    }

    /// Feeds the child as much as its stdin takes.
    fn feed(
        &mut self,
        input: &mut Input<'_>,
        stdin: &mut Option<Stdin<'_>>,
    ) -> Result<Stop, (Part, io::Error)> {
        let stdin = match stdin {
            _ if self.state != State::Feeding => return Ok(Stop::Done),
            Some(stdin) => stdin,
            None => return Ok(Stop::NotNow),
        };
        if stdin.is_hung_up {
            return Ok(self.reads_no_more());
        }
        let mut moved = 0;
        loop {
            let piece = match input.piece() {
                Ok(Some(piece)) if !piece.is_empty() => piece,
                Ok(Some(_)) => {
                    self.go("the input has ended", State::Collecting);
                    return Ok(Stop::Done);
                }
                Ok(None) => return Ok(Stop::NoInput),
                Err(error) => return Err((Part::Input, error)),
            };
            if !stdin.sink.is_ready() {
                return Ok(Stop::NotNow);
            }
            if moved == SHARE {
                return Ok(Stop::Share);
            }
            match stdin.sink.write(&piece[..piece.len().min(SHARE - moved)]) {
                Ok(0) => return Err((Part::Stdin, io::ErrorKind::WriteZero.into())),
                Ok(size) => {
                    moved += size;
                    self.fed += input.consume(size);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(Stop::NotNow),
                    // A child may stop reading before the input ends. That is no error.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Ok(self.reads_no_more());
                    }
                    _ => return Err((Part::Stdin, error)),
                },
            }
        }
    }

    fn reads_no_more(&mut self) -> Stop {
        self.go("the child reads no more", State::Collecting);
        Stop::Done
    }

    /// Collects the bytes that a stream has.
    fn collect(&mut self, part: Part, given: &mut Given<'_>) -> io::Result<Stop> {
        let (index, tap, other) = match part {
            Part::Stderr => (1, &mut given.stderr, &given.stdout),
            _ => (0, &mut given.stdout, &given.stderr),
        };
        let held = |tap: &Option<Tap<'_>>| tap.as_ref().map_or(0, |tap| tap.inflow.len());
        let (before, beside) = (held(tap), held(other));
        // The limit is also checked for a stream that has ended, because it may be lower than when
        // the bytes were collected.
        if before + beside > given.limit {
            return Ok(Stop::Limit);
        }
        let tap = match tap {
            _ if self.has_ended[index] => return Ok(Stop::Done),
            Some(tap) => tap,
            None => return Ok(Stop::NotNow),
        };
        // One byte more than the limit is read: it shows whether the output is longer than the
        // limit.
        let room = (given.limit - beside).saturating_add(1);
        loop {
            match Reader::new(Want::ToEnd(room)).advance(tap.inflow, tap.source) {
                Advance::Ended(End::Eof, _) => {
                    self.has_ended[index] = true;
                    return Ok(Stop::Done);
                }
                Advance::Ended(..) => return Ok(Stop::Limit),
                Advance::Blocked => return Ok(Stop::NotNow),
                Advance::Yield if given.is_last && tap.inflow.len() - before < PIPE_MAX => {}
                Advance::Yield => return Ok(Stop::Share),
                Advance::Failed(error) => return Err(error),
            }
        }
    }
}

/// The most bytes that a pipe holds, unless a privileged process has made it larger (pipe(7),
/// pipe-max-size). A child that has ended can have left this many bytes. The last advance therefore
/// goes on reading until it has so many, even beyond the share of an advance. It reads no more,
/// because a grandchild may go on writing.
const PIPE_MAX: usize = 1024 * 1024;

impl Input<'_> {
    /// The next bytes to be fed; empty at the end of the input. None says "not now".
    fn piece(&mut self) -> io::Result<Option<&[u8]>> {
        match self {
            Input::None => Ok(Some(&[])),
            Input::Bytes(bytes) => Ok(Some(bytes)),
            Input::Stream(inflow, source) => {
                if inflow.buffer.is_empty() {
                    match Reader::new(Want::Some(CHUNK)).advance(inflow, *source) {
                        Advance::Ended(..) => {}
                        Advance::Blocked | Advance::Yield => return Ok(None),
                        Advance::Failed(error) => return Err(error),
                    }
                }
                Ok(Some(inflow.buffer.bytes()))
            }
            Input::Elsewhere => Ok(None),
        }
    }

    /// Notes that `size` bytes of the piece were fed. Returns how many of them came from
    /// `Input::Bytes`.
    fn consume(&mut self, size: usize) -> usize {
        match self {
            Input::Bytes(bytes) => {
                *bytes = &bytes[size..];
                size
            }
            Input::Stream(inflow, _) => {
                inflow.buffer.consume(size);
                0
            }
            Input::None | Input::Elsewhere => unreachable!("there was nothing to feed"),
        }
    }
}
