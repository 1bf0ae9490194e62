//! The communicating machine: feed a child, collect what it says, all at once.
//!
//! Three things go on side by side, and each stands in one of two states:
//!
//! ```text
//!   input ──► child's stdin       Feeding    ── input ends, or EPIPE ──► closed
//!   child's stdout ──► buffer     Collecting ── end of file ──► ended
//!   child's stderr ──► buffer     Collecting ── end of file ──► ended
//!   child                         running    ── exit ──► exited
//! ```
//!
//! It has ended when both streams have and the child has: what was not fed by then nobody will read. When the child has exited and
//! the time for stragglers is over (a grandchild may keep the streams open for ever), it ends with what there is.
//!
//! All it has collected is in the streams' own buffers, and all it has not fed in the input's. The machine can be dropped or
//! resumed in any state.

use std::io;

use super::read::{Inflow, Reader, Want};
use super::write::Outflow;
use super::{Advance, SHARE};
use crate::pool::CHUNK;

/// What is fed to the child.
pub enum Input<'a> {
    /// Nothing, or nothing any more.
    None,
    /// All that is left.
    Bytes(&'a [u8]),
    /// What is buffered, then what the source has.
    Stream(&'a mut Inflow, &'a mut dyn io::Read),
    /// The same, of a regular file: it always has something to say, and poll(2) is never asked.
    File(&'a mut Inflow, &'a mut dyn io::Read),
    /// A stream that is another operation's turn to read.
    Elsewhere,
}

/// The child's stdin.
pub struct Sink<'a> {
    /// What is known of it.
    pub outflow: &'a mut Outflow,
    /// Where bytes go.
    pub sink: &'a mut dyn io::Write,
    /// poll(2) said that nobody reads any more.
    pub is_hung_up: bool,
}

/// The child's stdout or stderr.
pub struct Tap<'a> {
    /// What came in.
    pub inflow: &'a mut Inflow,
    /// Where more comes from.
    pub source: &'a mut dyn io::Read,
}

/// What the machine is given: each part None if it was not piped, or is another operation's turn to use.
pub struct Given<'a> {
    /// What to feed.
    pub input: Input<'a>,
    /// Where to.
    pub stdin: Option<Sink<'a>>,
    /// What the child says.
    pub stdout: Option<Tap<'a>>,
    /// What it complains of.
    pub stderr: Option<Tap<'a>>,
    /// The child has exited.
    pub has_exited: bool,
    /// It has exited, and the time for stragglers is over.
    pub is_over: bool,
    /// The most to collect from both streams together.
    pub limit: usize,
}

/// What the machine is blocked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// More input.
    pub input: bool,
    /// Room in stdin.
    pub stdin: bool,
    /// stdin's reader going away, while there is no input.
    pub hangup: bool,
    /// Bytes, or the end.
    pub stdout: bool,
    /// Bytes, or the end.
    pub stderr: bool,
}

/// What the machine answers.
#[derive(Debug)]
pub enum Answer {
    /// Nothing to do until one of these comes, or the exit.
    Blocked(Interests),
    /// It moved its share and could go on.
    Yield,
    /// Everything is said.
    Ended,
    /// More than the limit came. What came is in the buffers.
    Limit,
    /// A stream failed. What came is in the buffers.
    Failed(io::Error),
}

/// Whether stdin is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// There may be more to feed.
    Open,
    /// The input has ended, or its reader has gone: stdin is to be closed.
    Closed,
}

/// Whether a stream is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collecting {
    /// There may be more.
    Open,
    /// Its end has come.
    Ended,
}

/// A conversation with a child.
#[derive(Clone, Debug)]
pub struct Communicator {
    feeding: Feeding,
    /// Of `Input::Bytes`, how many were fed since the beginning.
    fed: usize,
    stdout: Collecting,
    stderr: Collecting,
}

/// How one of the three came along.
enum Part {
    Done,
    Blocked,
    BlockedOnInput,
    Yield,
    Limit,
}

impl Communicator {
    /// A conversation before its first word. `has_stdout`, `has_stderr`: there is such a stream.
    pub fn new(has_stdout: bool, has_stderr: bool) -> Communicator {
        let collecting = |has| if has { Collecting::Open } else { Collecting::Ended };
        Communicator { feeding: Feeding::Open, fed: 0, stdout: collecting(has_stdout), stderr: collecting(has_stderr) }
    }

    /// stdin is to be closed.
    pub fn is_fed(&self) -> bool {
        self.feeding == Feeding::Closed
    }

    /// How many bytes of `Input::Bytes` were fed: the next time, the input is what follows them.
    pub fn fed(&self) -> usize {
        self.fed
    }

    /// There is no stdin, or it was closed: nothing more is fed.
    pub fn stop_feeding(&mut self) {
        self.feeding = Feeding::Closed;
    }

    /// The state in one word, for traces.
    pub fn state(&self) -> &'static str {
        match (self.feeding, self.stdout, self.stderr) {
            (Feeding::Open, ..) => "Feeding",
            (_, Collecting::Ended, Collecting::Ended) => "AwaitingExit",
            _ => "Collecting",
        }
    }

    /// Goes as far as it can without waiting.
    pub fn advance(&mut self, given: Given<'_>) -> Answer {
        match self.converse(given) {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(error),
        }
    }

    fn converse(&mut self, mut given: Given<'_>) -> io::Result<Answer> {
        let fed = match self.feed(&mut given.input, &mut given.stdin) {
            Ok(fed) => fed,
            Err(error) => {
                self.stop_feeding(); // an input that has failed will not do better
                return Err(error);
            }
        };
        let beside = given.stderr.as_ref().map_or(0, |tap| tap.inflow.len());
        let out = collect(&mut self.stdout, &mut given.stdout, given.limit, beside, given.is_over)?;
        let beside = given.stdout.as_ref().map_or(0, |tap| tap.inflow.len());
        let err = collect(&mut self.stderr, &mut given.stderr, given.limit, beside, given.is_over)?;
        let both_ended = self.stdout == Collecting::Ended && self.stderr == Collecting::Ended;
        if matches!(out, Part::Limit) || matches!(err, Part::Limit) {
            Ok(Answer::Limit)
        } else if given.has_exited && (both_ended || given.is_over) {
            self.stop_feeding();
            Ok(Answer::Ended)
        } else if [&fed, &out, &err].iter().any(|part| matches!(part, Part::Yield)) {
            Ok(Answer::Yield)
        } else {
            let input = matches!(fed, Part::BlockedOnInput);
            Ok(Answer::Blocked(Interests {
                input,
                hangup: input,
                stdin: matches!(fed, Part::Blocked) && given.stdin.is_some(),
                stdout: matches!(out, Part::Blocked) && given.stdout.is_some(),
                stderr: matches!(err, Part::Blocked) && given.stderr.is_some(),
            }))
        }
    }

    fn feed(&mut self, input: &mut Input<'_>, stdin: &mut Option<Sink<'_>>) -> io::Result<Part> {
        let stdin = match stdin {
            _ if self.feeding == Feeding::Closed => return Ok(Part::Done),
            Some(stdin) => stdin,
            None => return Ok(Part::Blocked),
        };
        if stdin.is_hung_up {
            return Ok(self.close());
        }
        let (mut moved, mut offset) = (0, 0);
        loop {
            if let Input::File(inflow, _) = input {
                inflow.ready = true;
            }
            let piece = match input {
                Input::None => return Ok(self.close()),
                Input::Elsewhere => return Ok(Part::BlockedOnInput),
                Input::Bytes(bytes) => &bytes[offset..],
                Input::Stream(inflow, source) | Input::File(inflow, source) => {
                    if inflow.buffer.is_empty() {
                        match Reader::new(Want::Some(CHUNK)).advance(inflow, source) {
                            Advance::Ended(_, 0) => return Ok(self.close()),
                            Advance::Ended(..) => {}
                            Advance::Blocked => return Ok(Part::BlockedOnInput),
                            Advance::Yield => return Ok(Part::Yield),
                            Advance::Failed(error) => return Err(error),
                        }
                    }
                    inflow.buffer.bytes()
                }
            };
            if piece.is_empty() {
                return Ok(self.close());
            }
            if !stdin.outflow.ready {
                return Ok(Part::Blocked);
            }
            if moved == SHARE {
                return Ok(Part::Yield);
            }
            match stdin.sink.write(&piece[..piece.len().min(SHARE - moved)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(size) => {
                    moved += size;
                    match input {
                        Input::Stream(inflow, _) | Input::File(inflow, _) => inflow.buffer.consume(size),
                        _ => {
                            offset += size;
                            self.fed += size;
                        }
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => stdin.outflow.ready = false,
                    // The child reads no more: its right, and no error.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Ok(self.close()),
                    _ => return Err(error),
                },
            }
        }
    }

    fn close(&mut self) -> Part {
        self.stop_feeding();
        Part::Done
    }
}

/// What a pipe holds at most, unless somebody privileged has made it larger (pipe(7), pipe-max-size): 1 MiB.
const PIPE_MAX: usize = 1024 * 1024;

/// Takes in what a stream has. `beside`: how much the other one has. `is_last`: there will be no other time, so what the child
/// said before its exit is taken now, whether poll(2) has told of it or not; not what somebody goes on saying.
fn collect(
    state: &mut Collecting,
    tap: &mut Option<Tap<'_>>,
    limit: usize,
    beside: usize,
    is_last: bool,
) -> io::Result<Part> {
    // Also of streams that have ended: a limit may be lower than that of the communicate that collected.
    if tap.as_ref().map_or(0, |tap| tap.inflow.len()) + beside > limit {
        return Ok(Part::Limit);
    }
    let tap = match tap {
        _ if *state == Collecting::Ended => return Ok(Part::Done),
        Some(tap) => tap,
        None => return Ok(Part::Blocked),
    };
    // One byte more than allowed tells too much from just enough.
    let room = (limit - beside).saturating_add(1);
    let begun_at = tap.inflow.len();
    loop {
        let before = tap.inflow.len();
        // It is asked, and then known. If it need not be, it stays as it was.
        tap.inflow.ready |= is_last && before < room && !tap.inflow.ended;
        match Reader::new(Want::ToEnd(room)).advance(tap.inflow, &mut tap.source) {
            Advance::Ended(super::End::Eof, _) => {
                *state = Collecting::Ended;
                return Ok(Part::Done);
            }
            Advance::Ended(..) => return Ok(Part::Limit),
            Advance::Blocked | Advance::Yield
                if is_last && tap.inflow.len() > before && tap.inflow.len() - begun_at < PIPE_MAX => {}
            Advance::Blocked => return Ok(Part::Blocked),
            Advance::Yield => return Ok(Part::Yield),
            Advance::Failed(error) => return Err(error),
        }
    }
}
