//! All the machines on the same three streams and children, told what to do by a fuzzer's bytes: readers of stdout and stderr in
//! all their wants, writers to stdin, a communicate over all three, a wait for the exits. Each may be dropped at any step, and
//! another may begin on what it leaves behind.
//!
//! Each has an oracle at its side, and those that share a stream share what the oracles know of it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use arbitrary::Arbitrary;
use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::write::Writer;

use crate::naive::communicating::{self, Input, Ports, Standing};
use crate::naive::{exiting, reading, writing};
use crate::script::{self, write_text, Kind, Reply, Script, Size, Which, MOST_BYTES};

/// What happens to the streams, the children and the machines.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    /// A reader begins, in place of those that are reading from this stream or (as in a `first`) after them.
    Read {
        stream: Which,
        kind: Kind,
        size: Size,
        beside: bool,
    },
    /// A writer begins, in place of the one that is writing.
    Write {
        full: bool,
        size: Size,
    },
    /// A communicate begins or goes on, where no reader or writer is before it, with this limit.
    Communicate {
        limit: Size,
    },
    /// A wait for the exits begins again.
    Exit,
    /// poll(2) speaks of a stream, and it answers this and then that; after them it would block.
    Source(Which, Reply, Reply),
    /// The same of stdin.
    Sink(Taking, Taking),
    /// All that wait are advanced although nothing has happened.
    Spurious,
    /// Their time is over.
    Due(Who),
    Cancel(Who),
    /// A stream's buffer rests, as while its reader is blocked.
    Rest(Which),
    LastExits,
    OthersExit,
    /// So many quarters of a millisecond pass.
    Passes(u16),
    /// Whether something tells of the exits.
    Told(bool),
    /// The time for stragglers is over as soon as the children have exited.
    Linger,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Who {
    StdoutReaders,
    StderrReaders,
    Writer,
    Communicate,
}

/// How stdin answers.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Taking {
    /// It takes so many bytes, or all if they are fewer.
    Some(Size),
    Nothing,
    WouldBlock,
    Interrupted,
    Fails,
    BrokenPipe,
}

/// The answers of stdin that are left, the last one first; after them it would block.
#[derive(Default)]
struct Sink {
    answers: Vec<Taking>,
}

impl io::Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.answers.pop().unwrap_or(Taking::WouldBlock) {
            Taking::Some(size) => Ok(size.get().clamp(1, data.len())),
            Taking::Nothing => Ok(0),
            Taking::WouldBlock => Err(ErrorKind::WouldBlock.into()),
            Taking::Interrupted => Err(ErrorKind::Interrupted.into()),
            Taking::Fails => Err(ErrorKind::StorageFull.into()),
            Taking::BrokenPipe => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a machine said, and which it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    Reader(Want, reading::Answer),
    Writer { full: bool, answer: writing::Answer },
    Communicator(&'static str, communicating::Answer),
    Waiter(asyncfile::machine::exit::State),
}

struct Bench {
    /// The streams, and the communicate over them.
    rig: communicating::Rig,
    scripts: [Script; 2],
    readers: [Vec<Reader>; 2],
    /// What a writer knows of stdin; a communicate knows the same.
    writing: writing::Rig,
    writer: Option<Writer>,
    data: Vec<u8>,
    sink: Sink,
    exits: exiting::Rig,
    /// The time for stragglers is over with the exit.
    lingers: bool,
    /// The limit of the communicate, if there is one.
    communicate: Option<usize>,
    said: Vec<Said>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            rig: communicating::Rig::new(Input::Bytes(vec![b'i'; 100_000].into()), [true; 2]),
            scripts: Default::default(),
            readers: Default::default(),
            writing: writing::Rig::new(true),
            writer: None,
            data: Vec::new(),
            sink: Sink::default(),
            exits: exiting::Rig::new(),
            lingers: false,
            communicate: None,
            said: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read { stream, kind, size, beside } => {
                let readers = &mut self.readers[stream as usize];
                if !beside || readers.len() == 2 {
                    readers.clear();
                }
                readers.push(Reader::new(kind.want(size)));
                self.advance_readers(stream);
            }
            Step::Write { full, size } => {
                self.writer = Some(self.writing.begin(full));
                self.data.resize(size.get().min(MOST_BYTES), 0);
                write_text(0, &mut self.data);
                self.advance_writer();
            }
            Step::Communicate { limit } => {
                self.communicate = Some(limit.get());
                self.communicate();
            }
            Step::Exit => {
                self.exits.begin_again();
                self.waits();
            }
            Step::Source(which, first, second) => {
                self.scripts[which as usize].answers(first, second);
                self.rig.streams[which as usize].poll_said();
                self.advance_readers(which);
                self.communicate();
            }
            Step::Sink(first, second) => {
                self.sink.answers = vec![second, first];
                self.writing.poll_said();
                self.advance_writer();
                self.communicate();
            }
            Step::Spurious => {
                self.advance_readers(Which::Stdout);
                self.advance_readers(Which::Stderr);
                self.advance_writer();
                self.communicate();
            }
            Step::Due(Who::StdoutReaders) => self.reader_is_due(Which::Stdout),
            Step::Due(Who::StderrReaders) => self.reader_is_due(Which::Stderr),
            Step::Due(Who::Writer) => {
                self.advance_writer();
                if let Some(mut writer) = self.writer.take() {
                    let answer = self.writing.time_out(&mut writer, &self.data);
                    self.said.push(Said::Writer { full: writer.is_full(), answer });
                }
            }
            Step::Cancel(Who::StdoutReaders) => self.readers[0].clear(),
            Step::Cancel(Who::StderrReaders) => self.readers[1].clear(),
            Step::Cancel(Who::Writer) => self.writer = None,
            // What it has collected is in the streams: there is nothing to hand over.
            Step::Due(Who::Communicate) | Step::Cancel(Who::Communicate) => self.communicate = None,
            Step::Rest(which) => self.rig.streams[which as usize].rest(),
            Step::LastExits => {
                self.exits.last_exits();
                self.waits();
            }
            Step::OthersExit => {
                self.exits.others_exit();
                self.waits();
            }
            Step::Passes(quarters) => {
                self.exits.passes(Duration::from_micros(250) * u32::from(quarters));
                self.waits();
            }
            Step::Told(is_told) => self.exits.is_told = is_told,
            Step::Linger => self.lingers = true,
        }
    }

    /// Advances a stream's readers. The first to end is served, and the others are dropped.
    fn advance_readers(&mut self, which: Which) {
        let Bench { rig, scripts, readers, said, .. } = self;
        let (stream, script) = (&mut rig.streams[which as usize], &mut scripts[which as usize]);
        let readers = &mut readers[which as usize];
        for reader in readers.iter_mut() {
            let answer = stream.advance(reader, script);
            said.push(Said::Reader(reader.want(), answer));
            if !matches!(answer, reading::Answer::Blocked | reading::Answer::Yield) {
                readers.clear();
                break;
            }
        }
    }

    /// The time of the first of a stream's readers is over.
    fn reader_is_due(&mut self, which: Which) {
        self.readers[which as usize].truncate(1);
        self.advance_readers(which);
        if let Some(mut reader) = self.readers[which as usize].pop() {
            let answer = self.rig.streams[which as usize].time_out(&mut reader);
            self.said.push(Said::Reader(reader.want(), answer));
        }
    }

    fn advance_writer(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            let answer = self.writing.advance(&mut writer, &self.data, &mut self.sink);
            self.said.push(Said::Writer { full: writer.is_full(), answer });
            if let writing::Answer::Blocked | writing::Answer::Yield = answer {
                self.writer = Some(writer);
            }
        }
    }

    /// Advances the communicate over those streams that nobody else uses.
    fn communicate(&mut self) {
        let Some(limit) = self.communicate.filter(|_| !self.rig.is_over()) else { return };
        let has_exited = self.exits.has_exited();
        let standing = Standing {
            turns: [self.writer.is_none(), self.readers[0].is_empty(), self.readers[1].is_empty(), true],
            is_hung_up: false,
            has_exited,
            is_over: has_exited && self.lingers,
            limit,
        };
        let [stdout, stderr] = &mut self.scripts;
        let ports = Ports { stdin: &mut self.sink, stdout, stderr, input: &mut io::empty() };
        self.rig.outflow = self.writing.outflow;
        let answer = self.rig.advance(standing, ports);
        self.writing.outflow = self.rig.outflow;
        self.said.push(Said::Communicator(self.rig.state(), answer));
        if !matches!(answer, communicating::Answer::Blocked(_) | communicating::Answer::Yield) {
            self.communicate = None;
        }
    }

    /// Asks who has exited.
    fn waits(&mut self) {
        let (state, _) = self.exits.advance();
        self.said.push(Said::Waiter(state));
    }
}

/// The steps that these bytes stand for.
pub fn steps(data: &[u8]) -> Vec<Step> {
    script::steps(data)
}

/// Takes the steps that these bytes stand for, and fails if an oracle disagrees. The answer is what each machine said.
pub fn run(data: &[u8]) -> Vec<Said> {
    let mut bench = Bench::new();
    for step in steps(data) {
        bench.step(step);
    }
    // Whatever was done: all that came in was handed over, or is handed over now.
    for (stream, script) in bench.rig.streams.iter_mut().zip(&bench.scripts) {
        let mut end: &[u8] = &[];
        stream.poll_said();
        stream.advance(&mut Reader::new(Want::ToEnd(usize::MAX)), &mut end);
        assert!(stream.inflow.is_empty() && stream.naive.taken().len() == script.given);
    }
    bench.said
}
