//! All machines on the same three streams and children: readers of stdout and stderr of all kinds,
//! writers to stdin, a communicate over all three, a wait for the exits. A fuzzer's bytes are the
//! steps. Each machine may be dropped at any step, and another one goes on with what it leaves.
//!
//! Each machine has an oracle beside it. Machines that share a stream share the oracle's knowledge
//! of it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use asyncfile::machine::communicate::Child;
use asyncfile::machine::read::{Reader, Want};
use asyncfile::machine::write::{Extent, Writer};

use crate::naive::communicating::{self, Input, Ports, Standing};
use crate::naive::{exiting, reading, writing};
use crate::script::{self, write_text, Kind, Reply, Script, Size, Which, MOST_BYTES};

/// What happens to the streams, the children and the machines.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    /// A reader begins. `beside`: after the reader of this stream that is there, as in a `first`;
    /// otherwise in the place of all its readers.
    Read {
        stream: Which,
        kind: Kind,
        size: Size,
        beside: bool,
    },
    /// A writer begins, in the place of the one that is there.
    Write {
        amount: Amount,
        size: Size,
    },
    /// A communicate begins or goes on, with this limit, on the streams that no reader or writer
    /// uses.
    Communicate {
        limit: Size,
    },
    /// A wait for the exits begins again.
    Exit,
    /// poll(2) says that a stream is ready. It gives these two answers; after them it would block.
    Source(Which, Reply, Reply),
    /// The same for stdin.
    Sink(Taking, Taking),
    /// All machines are advanced although nothing has happened.
    Spurious,
    /// A deadline has come.
    Due(Who),
    Cancel(Who),
    /// The reader parks: the stream's buffer releases its spare memory.
    ReleaseSpare(Which),
    Exits,
    /// The wait for the exit is advanced although nothing has happened.
    Asks,
    /// This many quarters of a millisecond pass.
    Passes(u16),
    /// Whether poll(2) will tell of the exit.
    Watched(bool),
    /// The time to linger is over as soon as the child has exited.
    Linger,
}

/// When a writer ends.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    Once,
    Full,
    All,
}

impl<'a> Arbitrary<'a> for Amount {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Amount> {
        Ok(match u8::arbitrary(u)? & 3 {
            0 | 2 => Amount::Once,
            1 => Amount::Full,
            _ => Amount::All,
        })
    }
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
    /// It takes so many bytes, or all if there are fewer.
    Some(Size),
    Nothing,
    WouldBlock,
    Interrupted,
    Fails,
    BrokenPipe,
}

/// The next answers of stdin, the last one first. After them it would block.
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

/// A machine, and its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    Reader(Want, reading::Answer),
    Writer {
        extent: Extent,
        answer: writing::Answer,
    },
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
            Step::Read {
                stream,
                kind,
                size,
                beside,
            } => {
                let readers = &mut self.readers[stream as usize];
                if !beside || readers.len() == 2 {
                    readers.clear();
                }
                readers.push(kind.reader(size));
                self.advance_readers(stream);
            }
            Step::Write { amount, size } => {
                self.writer = Some(self.writing.begin(match amount {
                    Amount::Once => Extent::Once,
                    Amount::Full => Extent::Full,
                    Amount::All => Extent::All,
                }));
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
                    self.said.push(Said::Writer {
                        extent: writer.extent(),
                        answer,
                    });
                }
            }
            Step::Cancel(Who::StdoutReaders) => self.readers[0].clear(),
            Step::Cancel(Who::StderrReaders) => self.readers[1].clear(),
            Step::Cancel(Who::Writer) => self.writer = None,
            // What it has collected is in the streams' buffers: there is nothing to hand over.
            Step::Due(Who::Communicate) | Step::Cancel(Who::Communicate) => self.communicate = None,
            Step::ReleaseSpare(which) => self.rig.streams[which as usize].release_spare(),
            Step::Exits => {
                self.exits.exits();
                self.waits();
            }
            Step::Asks => self.waits(),
            Step::Passes(quarters) => {
                self.exits
                    .passes(Duration::from_micros(250) * u32::from(quarters));
                self.waits();
            }
            Step::Watched(is_watched) => self.exits.is_watched = is_watched,
            Step::Linger => self.lingers = true,
        }
    }

    /// Advances a stream's readers. The first to end gets its bytes, and the others are dropped.
    fn advance_readers(&mut self, which: Which) {
        let Bench {
            rig,
            scripts,
            readers,
            said,
            ..
        } = self;
        let (stream, script) = (
            &mut rig.streams[which as usize],
            &mut scripts[which as usize],
        );
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

    /// The deadline of the first of a stream's readers has come.
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
            let answer = self
                .writing
                .advance(&mut writer, &self.data, &mut self.sink);
            self.said.push(Said::Writer {
                extent: writer.extent(),
                answer,
            });
            if let writing::Answer::Blocked | writing::Answer::Yield = answer {
                self.writer = Some(writer);
            }
        }
    }

    /// Advances the communicate, on the streams that no reader or writer uses.
    fn communicate(&mut self) {
        let Some(limit) = self.communicate.filter(|_| !self.rig.is_over()) else {
            return;
        };
        let child = match self.exits.has_exited() {
            true if self.lingers => Child::Over,
            true => Child::Exited,
            false => Child::Running,
        };
        let standing = Standing {
            turns: [
                self.writer.is_none(),
                self.readers[0].is_empty(),
                self.readers[1].is_empty(),
                true,
            ],
            is_hung_up: false,
            child,
            is_last: child == Child::Over,
            limit,
        };
        let [stdout, stderr] = &mut self.scripts;
        let ports = Ports {
            stdin: &mut self.sink,
            stdout,
            stderr,
            input: &mut io::empty(),
        };
        self.rig.is_stdin_ready = self.writing.is_ready;
        let answer = self.rig.advance(standing, ports);
        self.writing.is_ready = self.rig.is_stdin_ready;
        self.said.push(Said::Communicator(self.rig.state(), answer));
        if !matches!(
            answer,
            communicating::Answer::Blocked(_) | communicating::Answer::Yield
        ) {
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

/// Takes the steps that these bytes stand for, and fails if an oracle disagrees. Returns each
/// answer of each machine.
pub fn run(data: &[u8]) -> Vec<Said> {
    let mut bench = Bench::new();
    for step in steps(data) {
        bench.step(step);
    }
    // After all steps: all bytes that came in were handed over, or are handed over now.
    for (stream, script) in bench.rig.streams.iter_mut().zip(&bench.scripts) {
        let mut end: &[u8] = &[];
        stream.poll_said();
        stream.advance(&mut Reader::new(Want::ToEnd(usize::MAX)), &mut end);
        assert!(stream.inflow.is_empty() && stream.naive.taken().len() == script.given);
    }
    bench.said
}
