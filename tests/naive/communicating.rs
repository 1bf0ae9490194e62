//! The communicating machine beside its oracle: each call of a source or a sink and each answer is checked.
//!
//! The oracle knows what the child got, what it said, and which parts have come to their end; what the machine may answer
//! follows from that.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use asyncfile::machine::communicate::{self, Communicator, Given, Interests, Sink, Tap};
use asyncfile::machine::write::Outflow;
use asyncfile::machine::SHARE;

use super::reading::{self, hear, Heard, Known};
use super::Naive;

/// The most that is read of an input at a time: what a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// The most that is taken of a stream when there will be no other time, besides the share that was begun.
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
    Failed(ErrorKind),
}

/// How things stand with the child.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whose turn it is to use stdin, stdout, stderr and the input: ours, or another operation's.
    pub turns: [bool; 4],
    /// poll(2) said that nobody reads stdin any more.
    pub is_hung_up: bool,
    pub has_exited: bool,
    pub is_over: bool,
    pub limit: usize,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing { turns: [true; 4], is_hung_up: false, has_exited: false, is_over: false, limit: usize::MAX }
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
    /// What is fed: what is offered so far, how much of it the child got, and what poll(2) said of its source.
    pub feed: reading::Rig,
    pub outflow: Outflow,
    /// stdout and stderr.
    pub streams: [reading::Rig; 2],
    has_ended: [bool; 2],
    is_fed: bool,
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
            outflow: Outflow { ready: true },
            streams: [reading::Rig::new(), reading::Rig::new()],
            has_ended: [!has_stdout, !has_stderr],
            is_fed: false,
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

    /// The state in one word.
    pub fn state(&self) -> &'static str {
        self.machine.state()
    }

    /// How many bytes are held of the streams that are ours to use.
    fn held(&self, turns: [bool; 4]) -> usize {
        (0..2).filter(|&which| turns[1 + which]).map(|which| self.streams[which].naive.held().len()).sum()
    }

    /// Advances the machine, and consumes what it ends with, as its driver would.
    pub fn advance(&mut self, standing: Standing, ports: Ports<'_>) -> Answer {
        let Standing { turns, is_hung_up, has_exited, is_over, limit } = standing;
        let [has_stdin, _, _, has_input] = turns;
        let said = Said {
            failed: Cell::new(None),
            has_feeding_failed: Cell::new(false),
            held: Cell::new(self.held(turns)),
            limit,
        };
        let feeds = has_stdin && !is_hung_up && !self.is_fed;

        let Rig { machine, input, feed, outflow, streams: [out, err], has_ended, .. } = self;
        let fed = feed.naive.taken().len();
        assert!(!matches!(input, Input::Bytes(_)) || machine.fed() == fed, "{} count as fed, of {fed}", machine.fed());
        let (out_inflow, mut stdout) = Watched::new(ports.stdout, out, &said, turns[1] && !has_ended[0], is_over);
        let (err_inflow, mut stderr) = Watched::new(ports.stderr, err, &said, turns[2] && !has_ended[1], is_over);
        let reading::Rig { inflow, naive, known } = feed;
        let naive = RefCell::new(naive);
        let is_file = matches!(input, Input::File);
        let mut source = Feed { source: ports.input, naive: &naive, known, said: &said, feeds, is_file, moved: 0 };
        let was_ready = outflow.ready;
        let mut sink = Taker {
            sink: ports.stdin,
            naive: &naive,
            said: &said,
            feeds,
            is_ready: was_ready,
            is_gone: false,
            moved: 0,
        };
        let answer = machine.advance(Given {
            input: match input {
                Input::None => communicate::Input::None,
                Input::Bytes(bytes) => communicate::Input::Bytes(&bytes[fed..]),
                Input::Stream | Input::File if !has_input => communicate::Input::Elsewhere,
                Input::Stream => communicate::Input::Stream(inflow, &mut source),
                Input::File => communicate::Input::File(inflow, &mut source),
            },
            stdin: has_stdin.then_some(Sink { outflow, sink: &mut sink, is_hung_up }),
            stdout: turns[1].then_some(Tap { inflow: out_inflow, source: &mut stdout }),
            stderr: turns[2].then_some(Tap { inflow: err_inflow, source: &mut stderr }),
            has_exited,
            is_over,
            limit,
        });

        let (Taker { is_ready, is_gone, moved: written, .. }, Feed { moved: read, .. }) = (sink, source);
        let moved = [stdout.moved, stderr.moved];
        assert!(written <= SHARE && read <= SHARE + CHUNK, "one advance fed {written} bytes, and read {read} for that");
        assert!(moved.iter().all(|&moved| moved <= if is_over { PIPE_MAX + SHARE } else { SHARE }), "{moved:?} bytes");
        assert!(!self.outflow.ready || is_ready, "stdin counts as ready, and would block");
        self.feed_comes_to_its_end(standing, is_gone, said.has_feeding_failed.get());
        self.streams_come_to_their_ends(standing, &answer);
        let answer = self.judge(standing, answer, said.failed.get(), [written, moved[0], moved[1]]);
        self.check();
        answer
    }

    /// Notes whether the child is to be fed no more.
    fn feed_comes_to_its_end(&mut self, standing: Standing, is_gone: bool, has_failed: bool) {
        let Standing { turns: [has_stdin, .., has_input], is_hung_up, .. } = standing;
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
        // An end behind more bytes than the limit was not seen, nor one behind another part's failure.
        let may_be_unseen = matches!(answer, communicate::Answer::Limit | communicate::Answer::Failed(_));
        for (which, stream) in self.streams.iter_mut().enumerate() {
            if standing.turns[1 + which] && !self.has_ended[which] && stream.naive.ended {
                self.has_ended[which] = !stream.inflow.ended;
                stream.naive.ended = stream.inflow.ended;
                assert!(may_be_unseen || self.has_ended[which], "the end of stream {which} was not seen");
            }
        }
    }

    /// What follows from what was said.
    fn judge(
        &mut self,
        standing: Standing,
        answer: communicate::Answer,
        failed: Option<ErrorKind>,
        moved: [usize; 3],
    ) -> Answer {
        let Standing { turns, has_exited, is_over, limit, .. } = standing;
        let is_said = has_exited && (is_over || self.has_ended == [true; 2]);
        let is_too_much = self.held(turns) > limit;
        assert_eq!(failed.is_some(), matches!(answer, communicate::Answer::Failed(_)), "{failed:?}, then {answer:?}");
        let answer = match answer {
            communicate::Answer::Failed(error) => {
                assert_eq!(Some(error.kind()), failed);
                Answer::Failed(error.kind())
            }
            communicate::Answer::Limit => {
                assert!(is_too_much, "{} bytes are not more than {limit}", self.held(turns));
                Answer::Limit
            }
            answer => {
                assert!(!is_too_much, "{answer:?} with more than {limit} bytes");
                assert_eq!(is_said, matches!(answer, communicate::Answer::Ended), "{answer:?}, {standing:?}");
                match answer {
                    communicate::Answer::Ended => Answer::Ended,
                    communicate::Answer::Yield => {
                        assert!(moved.iter().any(|&moved| moved >= SHARE), "yields, and moved {moved:?} bytes");
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
        if answer == Answer::Ended {
            self.is_fed = true;
            self.is_over = true;
            for which in (0..2).filter(|which| turns[1 + which]) {
                let stream = &mut self.streams[which];
                stream.consume(stream.naive.held().len());
            }
        }
        assert_eq!(self.machine.is_fed(), self.is_fed, "stdin is to be closed, after {answer:?}");
        answer
    }

    /// It waits for each part that is ours and may still have something to say, and for nothing else.
    fn waits_for_what_can_come(&self, standing: Standing, interests: Interests) {
        let Standing { turns: [has_stdin, .., has_input], .. } = standing;
        for (which, interest) in [interests.stdout, interests.stderr].into_iter().enumerate() {
            let stream = &self.streams[which];
            assert_eq!(interest, standing.turns[1 + which] && !self.has_ended[which], "stream {which} of {standing:?}");
            assert!(!interest || !stream.inflow.ready && stream.known != Known::Ready, "stream {which} was not asked");
        }
        let Interests { input, stdin, hangup, .. } = interests;
        assert_eq!(input, hangup, "while there is no input, and only then, stdin's reader may go away unnoticed");
        assert_eq!(input as u8 + stdin as u8, (has_stdin && !self.is_fed) as u8, "{interests:?} of {standing:?}");
        if stdin {
            assert!(!self.outflow.ready, "stdin was not tried");
        }
        if input && has_input {
            assert!(matches!(self.input, Input::Stream), "{:?} is waited for", self.input);
            assert!(self.feed.naive.held().is_empty(), "there is something to feed");
            assert!(!self.feed.inflow.ready && self.feed.known != Known::Ready, "the input was not asked");
        }
    }

    /// Everything is where it belongs.
    fn check(&mut self) {
        for stream in &mut self.streams {
            stream.settle();
            stream.check();
        }
        if let Input::Stream | Input::File = self.input {
            self.feed.settle();
            if let Input::File = self.input {
                self.feed.inflow.ready = false; // it needs no telling
                self.feed.known = Known::Unready;
            }
            self.feed.check();
        }
    }
}

/// What all the parts have said in one advance.
struct Said {
    failed: Cell<Option<ErrorKind>>,
    /// It was the input or stdin.
    has_feeding_failed: Cell<bool>,
    /// Of stdout and stderr together.
    held: Cell<usize>,
    limit: usize,
}

impl Said {
    fn feeding_fails(&self, kind: ErrorKind) {
        self.failed.set(Some(kind));
        self.has_feeding_failed.set(true);
    }
}

/// stdout or stderr, and what the machine may do with it.
struct Watched<'a> {
    source: &'a mut dyn io::Read,
    naive: &'a mut Naive,
    known: &'a mut Known,
    said: &'a Said,
    /// It is ours to use, and has not ended.
    is_open: bool,
    /// There will be no other time: it may be asked although nothing was said of it.
    is_last: bool,
    /// How often it was asked and had nothing, since it had something.
    in_vain: usize,
    moved: usize,
}

impl<'a> Watched<'a> {
    fn new(
        source: &'a mut dyn io::Read,
        rig: &'a mut reading::Rig,
        said: &'a Said,
        is_open: bool,
        is_last: bool,
    ) -> (&'a mut asyncfile::machine::read::Inflow, Watched<'a>) {
        let reading::Rig { inflow, naive, known } = rig;
        (inflow, Watched { source, naive, known, said, is_open, is_last, in_vain: 0, moved: 0 })
    }
}

impl io::Read for Watched<'_> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let Said { failed, held, limit, .. } = self.said;
        assert!(self.is_open, "a stream was read that has ended, or is another's to use");
        assert!(!self.naive.ended(), "a stream was read behind its end");
        assert_eq!(failed.get(), None, "a stream was read after a failure");
        let may_be_asked = *self.known != Known::Unready || self.is_last && self.in_vain < 2;
        assert!(may_be_asked, "a stream was read that was not ready");
        assert!(!window.is_empty(), "a stream was asked for nothing");
        // One byte more than allowed tells too much from just enough.
        assert!(held.get() + window.len() <= limit.saturating_add(1), "{} more of {limit}", window.len());
        let result = self.source.read(window);
        match hear(&result, window, self.naive, self.known) {
            Heard::Bytes(size) => {
                self.in_vain = 0;
                self.moved += size;
                held.set(held.get() + size);
            }
            Heard::Failed(kind) => failed.set(Some(kind)),
            Heard::Nothing if *self.known == Known::Unready => self.in_vain += 1,
            Heard::Nothing => {}
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

impl io::Read for Feed<'_> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let mut naive = self.naive.borrow_mut();
        assert!(self.feeds, "the input was read, and nobody is to be fed");
        assert!(naive.held().is_empty() && !naive.ended(), "the input was read before what is there was fed");
        assert_eq!(self.said.failed.get(), None, "the input was read after a failure");
        assert!(self.is_file || *self.known != Known::Unready, "the input was read, and was not ready");
        assert!((1..=CHUNK).contains(&window.len()), "the input was asked for {} bytes", window.len());
        let result = self.source.read(window);
        match hear(&result, window, &mut naive, self.known) {
            Heard::Bytes(size) => self.moved += size,
            Heard::Failed(kind) => self.said.feeding_fails(kind),
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
    is_ready: bool,
    /// It reads no more.
    is_gone: bool,
    moved: usize,
}

impl io::Write for Taker<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut naive = self.naive.borrow_mut();
        assert!(self.feeds && !self.is_gone, "stdin was written to, and nobody is to be fed");
        assert!(self.is_ready, "stdin was written to, and was not ready");
        assert_eq!(self.said.failed.get(), None, "stdin was written to after a failure");
        assert!((1..=naive.held().len()).contains(&data.len()), "{} bytes were offered to stdin", data.len());
        let result = self.sink.write(data);
        match &result {
            Ok(0) => self.said.feeding_fails(ErrorKind::WriteZero),
            Ok(size) => {
                assert!(naive.take(*size) == &data[..*size], "stdin was offered other bytes");
                self.moved += size;
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => self.is_ready = false,
                // The child's right, and no error.
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.is_gone = true,
                kind => self.said.feeding_fails(kind),
            },
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        panic!("the machine has nothing to flush");
    }
}
