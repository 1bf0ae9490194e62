//! The communicating machine and a child that is simulated: it reads its stdin and writes its
//! stdout and stderr through pipes, closes ends, forks and exits, all in the order that a fuzzer's
//! bytes say.
//!
//! The oracle judges each call and each answer. What it cannot know is seen here: that the child
//! and the machine, left alone, come to an end, and that then everything has arrived on the other
//! side.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use asyncfile::machine::communicate::{Child, Interests};

use crate::naive::communicating::{Answer, Input, Ports, Rig, Standing};
use crate::script::{self, Kind, Size, Which, MOST_BYTES};

/// Short counts are what a run spends most of its time with, if there are many.
const MOST_PIECES: usize = 100;

/// What a conversation begins with.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Beginning {
    input: Fed,
    /// Whether stdin, stdout and stderr are pipes.
    is_piped: [bool; 3],
    /// The pipes hold 1 MiB, not 64 KiB.
    are_large: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Fed {
    None,
    Bytes(Size),
    Stream,
    File(Size),
}

/// What happens to the child and the conversation.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    /// poll(2) speaks of those things that the bits say, as far as they are true, and the machine
    /// is advanced.
    Turn {
        told: u8,
    },
    /// The machine is advanced, and finds that poll(2) was wrong, or nothing has happened.
    Spurious {
        told: u8,
    },
    /// The child reads so many bytes of its stdin.
    Reads(Size),
    /// It says them again, as cat does.
    Echoes(Size, Which),
    /// It, or one that it has forked, says something.
    Says(Size, Which),
    ClosesStdin,
    Closes(Which),
    /// A grandchild keeps stdout and stderr.
    Forks,
    GrandchildExits,
    Exits,
    /// The input has so many bytes more.
    Arrives(Size),
    InputEnds,
    /// The next call of this part fails, or is interrupted.
    Fails(Part, Failure),
    /// Each of the next calls of a pipe moves at most so many bytes.
    Pieces(Size),
    /// These parts are another operation's turn to use.
    Elsewhere {
        parts: u8,
    },
    /// While the conversation is cut another operation reads.
    Read(Which, Kind, Size),
    /// It is cut; what goes on with it has this limit.
    Limit(Size),
    /// The time to linger is over as soon as the child has exited.
    Linger,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Part {
    Stdin,
    Stdout,
    Stderr,
    Input,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Failure {
    Interrupted,
    Fails,
    Resets,
}

/// A pipe, or a file whose writers have gone.
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// The most that a call moves, for so many calls.
    piece: usize,
    pieces: usize,
    has_reader: bool,
    writers: usize,
    failure: Option<Failure>,
}

impl Pipe {
    fn new(capacity: usize) -> Pipe {
        Pipe {
            bytes: VecDeque::new(),
            capacity,
            piece: usize::MAX,
            pieces: 0,
            has_reader: true,
            writers: 1,
            failure: None,
        }
    }

    fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// What poll(2) would say to its reader, and to its writer.
    fn can_be_read(&self) -> bool {
        !self.bytes.is_empty() || self.writers == 0 || self.failure.is_some()
    }

    fn can_be_written(&self) -> bool {
        self.room() > 0 || !self.has_reader || self.failure.is_some()
    }

    fn piece(&mut self) -> usize {
        match self.pieces {
            0 => usize::MAX,
            _ => {
                self.pieces -= 1;
                self.piece
            }
        }
    }

    fn fail(&mut self) -> io::Result<()> {
        match self.failure.take() {
            None => Ok(()),
            Some(Failure::Interrupted) => Err(ErrorKind::Interrupted.into()),
            Some(Failure::Fails) => Err(ErrorKind::PermissionDenied.into()),
            Some(Failure::Resets) => Err(ErrorKind::ConnectionReset.into()),
        }
    }
}

impl io::Read for Pipe {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        self.fail()?;
        if self.bytes.is_empty() && self.writers > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = window.len().min(self.piece());
        self.bytes.read(&mut window[..size])
    }
}

impl io::Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.fail()?;
        if !self.has_reader {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let size = data.len().min(self.room());
        if size == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = size.min(self.piece());
        self.bytes.extend(&data[..size]);
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the streams say, and what the child is fed: where a byte belongs shows.
fn text(which: usize) -> &'static [u8] {
    static TEXTS: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    let text = |which| (0..MOST_BYTES).map(|at| (at % 251) as u8 ^ which).collect();
    &TEXTS.get_or_init(|| [0, 1, 2].map(text))[which]
}

/// The child, the conversation with it, and what lies between.
struct World {
    rig: Rig,
    /// stdin, stdout, stderr and the input.
    is_there: [bool; 4],
    standing: Standing,
    lingers: bool,
    /// What the last advance waits for.
    interests: Interests,
    stdin: Pipe,
    /// stdout and stderr.
    streams: [Pipe; 2],
    input: Pipe,
    /// What has come into the input.
    arrived: usize,
    /// What the child has read, and has said.
    read: Vec<u8>,
    said: [Vec<u8>; 2],
    is_alive: bool,
    holds: [bool; 2],
    /// What a grandchild holds of them.
    grandchild_holds: [bool; 2],
    answers: Vec<(&'static str, Answer)>,
}

impl World {
    fn new(beginning: Beginning) -> World {
        let capacity = if beginning.are_large {
            1024 * 1024
        } else {
            64 * 1024
        };
        let [has_stdin, has_stdout, has_stderr] = beginning.is_piped;
        let mut input = Pipe::new(usize::MAX);
        let mut arrived = 0;
        let fed = match beginning.input {
            Fed::None => Input::None,
            Fed::Stream => Input::Stream,
            Fed::Bytes(size) => Input::Bytes(text(2)[..size.get().min(MOST_BYTES)].into()),
            Fed::File(size) => {
                arrived = size.get().min(MOST_BYTES);
                input.bytes.extend(&text(2)[..arrived]);
                input.writers = 0;
                Input::File
            }
        };
        let mut rig = Rig::new(fed, [has_stdout, has_stderr]);
        let is_there = [has_stdin, has_stdout, has_stderr, true];
        if !has_stdin {
            rig.stop_feeding();
        }
        World {
            rig,
            is_there,
            standing: Standing {
                turns: is_there,
                ..Standing::default()
            },
            lingers: false,
            interests: Interests::default(),
            stdin: Pipe {
                has_reader: has_stdin,
                ..Pipe::new(capacity)
            },
            streams: [Pipe::new(capacity), Pipe::new(capacity)],
            input,
            arrived,
            read: Vec::new(),
            said: [Vec::new(), Vec::new()],
            is_alive: true,
            holds: [true; 2],
            grandchild_holds: [false; 2],
            answers: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Turn { told } => {
                self.tell(told, false);
                self.advance();
            }
            Step::Spurious { told } => {
                self.tell(told, true);
                self.advance();
            }
            Step::Reads(size) => drop(self.reads(size.get())),
            Step::Echoes(size, which) => {
                let echo = self.reads(size.get());
                self.says(which, &echo);
            }
            Step::Says(size, which) => {
                let said = self.said[which as usize].len();
                let size = size.get().min(MOST_BYTES - said);
                self.says(which, &text(which as usize)[said..said + size]);
            }
            Step::ClosesStdin => self.stdin.has_reader = false,
            Step::Closes(which) => self.holds[which as usize] = false,
            Step::Forks if self.is_alive => self.grandchild_holds = self.holds,
            Step::Forks => {}
            Step::GrandchildExits => self.grandchild_holds = [false; 2],
            Step::Exits => self.exits(),
            Step::Arrives(size) => {
                let size = size.get().min(MOST_BYTES - self.arrived);
                self.input
                    .bytes
                    .extend(&text(2)[self.arrived..self.arrived + size]);
                self.arrived += size;
            }
            Step::InputEnds => self.input.writers = 0,
            Step::Fails(part, failure) => self.part(part).failure = Some(failure),
            Step::Pieces(size) => {
                for part in [Part::Stdin, Part::Stdout, Part::Stderr, Part::Input] {
                    let pipe = self.part(part);
                    (pipe.piece, pipe.pieces) = (size.get().max(1), MOST_PIECES);
                }
            }
            Step::Elsewhere { parts } => {
                self.standing.turns =
                    std::array::from_fn(|part| self.is_there[part] && parts >> part & 1 == 0);
            }
            Step::Read(which, kind, size) => {
                let which = which as usize;
                let stream = &mut self.rig.streams[which];
                stream.poll_said();
                stream.advance(&mut kind.reader(size), &mut self.streams[which]);
            }
            Step::Limit(size) => self.standing.limit = size.get().max(1),
            Step::Linger => self.lingers = true,
        }
        for which in 0..2 {
            self.streams[which].writers = usize::from(self.is_alive && self.holds[which])
                + usize::from(self.grandchild_holds[which]);
        }
    }

    fn part(&mut self, part: Part) -> &mut Pipe {
        match part {
            Part::Stdin => &mut self.stdin,
            Part::Stdout => &mut self.streams[0],
            Part::Stderr => &mut self.streams[1],
            Part::Input => &mut self.input,
        }
    }

    fn reads(&mut self, size: usize) -> Vec<u8> {
        if !self.is_alive || !self.stdin.has_reader {
            return Vec::new();
        }
        let size = size.min(self.stdin.bytes.len());
        let bytes = self.stdin.bytes.make_contiguous()[..size].to_vec();
        self.stdin.bytes.drain(..size);
        self.read.extend_from_slice(&bytes);
        bytes
    }

    fn says(&mut self, which: Which, bytes: &[u8]) {
        let which = which as usize;
        let pipe = &mut self.streams[which];
        if pipe.writers > 0 {
            let size = bytes
                .len()
                .min(pipe.room())
                .min(MOST_BYTES - self.said[which].len());
            self.said[which].extend_from_slice(&bytes[..size]);
            pipe.bytes.extend(&bytes[..size]);
        }
    }

    fn exits(&mut self) {
        self.is_alive = false;
        self.stdin.has_reader = false;
    }

    /// What poll(2) and others tell, as far as the bits say; what is not true only if it lies. The
    /// answer is whether there was anything to tell.
    fn tell(&mut self, told: u8, lies: bool) -> bool {
        let World {
            rig,
            stdin,
            streams,
            input,
            interests,
            standing,
            ..
        } = self;
        let is_told = |bit: u8| told >> bit & 1 == 1;
        let mut anything = false;
        if interests.stdin && is_told(0) && (lies || stdin.can_be_written()) {
            rig.is_stdin_ready = true;
            anything = true;
        }
        for (which, interest) in [interests.stdout, interests.stderr].into_iter().enumerate() {
            if interest && is_told(1 + which as u8) && (lies || streams[which].can_be_read()) {
                rig.streams[which].poll_said();
                anything = true;
            }
        }
        if interests.input && is_told(3) && (lies || input.can_be_read()) {
            rig.feed.poll_said();
            anything = true;
        }
        if interests.input && is_told(4) && !stdin.has_reader {
            standing.is_hung_up = true;
            anything = true;
        }
        if is_told(5) && !self.is_alive && standing.child == Child::Running {
            standing.child = Child::Exited;
            anything = true;
        }
        if standing.child == Child::Exited && self.lingers {
            standing.child = Child::Over;
            anything = true;
        }
        standing.is_last = standing.child == Child::Over;
        anything
    }

    /// Advances the machine; the answer is None if the conversation is over.
    fn advance(&mut self) -> Option<Answer> {
        if self.rig.is_over() {
            return None;
        }
        let [stdout, stderr] = &mut self.streams;
        let ports = Ports {
            stdin: &mut self.stdin,
            stdout,
            stderr,
            input: &mut self.input,
        };
        let state = self.rig.state();
        let answer = self.rig.advance(self.standing, ports);
        if self.rig.is_fed() {
            self.stdin.writers = 0;
        }
        self.interests = match answer {
            Answer::Blocked(interests) => interests,
            _ => Interests::default(),
        };
        if answer == Answer::Ended {
            for which in (0..2).filter(|which| self.standing.turns[1 + which]) {
                assert!(
                    self.streams[which].bytes.is_empty(),
                    "what the child said before its exit is left in a pipe"
                );
            }
        }
        self.answers.push((state, answer));
        Some(answer)
    }

    /// The child goes on to its end, as cat would, and the machine with it.
    fn comes_to_its_end(&mut self) {
        self.standing.limit = usize::MAX;
        self.standing.turns = self.is_there;
        self.step(Step::InputEnds);
        self.step(Step::Pieces(Size::Max));
        self.step(Step::GrandchildExits);
        let mut failures = 4;
        while let Some(answer) = self.advance() {
            self.step(Step::Reads(Size::Max));
            if self.stdin.writers == 0 || !self.stdin.has_reader {
                self.exits();
                self.step(Step::GrandchildExits);
            }
            match answer {
                Answer::Blocked(_) => assert!(
                    self.tell(u8::MAX, false),
                    "{answer:?}, and nothing comes any more"
                ),
                Answer::Yield => {}
                Answer::Failed(..) if failures > 0 => failures -= 1,
                _ => assert!(self.rig.is_over(), "{answer:?}, and it goes on so"),
            }
        }
    }

    /// All that was said has arrived, once and in order: the oracle has seen that it was handed
    /// over so, or is held.
    fn check(&self) {
        for which in 0..2 {
            let arrived = self.rig.streams[which].naive.given();
            let said = &self.said[which];
            let left = self.streams[which].bytes.len();
            assert!(
                *arrived == said[..arrived.len()],
                "other bytes came from stream {which}"
            );
            assert_eq!(
                arrived.len() + left,
                said.len(),
                "stream {which} was read in part"
            );
        }
        let got = self.rig.feed.naive.taken();
        assert!(
            self.read == got[..self.read.len()],
            "the child read something else"
        );
        assert_eq!(
            self.read.len() + self.stdin.bytes.len(),
            got.len(),
            "the child was given something in part"
        );
    }
}

/// What these bytes stand for.
pub fn steps(data: &[u8]) -> (Option<Beginning>, Vec<Step>) {
    let mut data = Unstructured::new(data);
    let beginning = Beginning::arbitrary(&mut data).ok();
    (beginning, script::steps(data.take_rest()))
}

/// Takes the steps that these bytes stand for, and fails if the oracle disagrees. The answer is
/// what the machine said, and how it stood then.
pub fn run(data: &[u8]) -> Vec<(&'static str, Answer)> {
    let (Some(beginning), steps) = steps(data) else {
        return Vec::new();
    };
    let mut world = World::new(beginning);
    for step in steps {
        world.step(step);
    }
    world.comes_to_its_end();
    world.check();
    world.answers
}
