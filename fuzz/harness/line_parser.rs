//! The line buffer and the reading machine against the oracle. A fuzzer's bytes are the steps.
//!
//! The fuzz target runs this, and tests/corpus.rs runs it with each file of the corpus.

use arbitrary::Arbitrary;
use asyncfile::machine::read::{Reader, Want};

use crate::naive::reading::{Answer, Rig};
use crate::script::{self, write_text, Kind, Reply, Script, Size, MOST_BYTES};

/// What happens to a file and its readers.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    /// A reader begins. `beside`: after the reader that is there, as in a `first`; otherwise in the
    /// place of all readers. The window is 0 for the default.
    Begin {
        kind: Kind,
        size: Size,
        window: u8,
        beside: bool,
    },
    /// poll(2) says that the source is ready. It gives these two answers; after them it would
    /// block.
    Source(Reply, Reply),
    /// The readers are advanced although poll(2) has said nothing.
    Spurious,
    /// The first reader's deadline has come.
    Due,
    /// The readers are dropped.
    Cancel,
    /// The reader parks: the buffer releases its spare memory.
    ReleaseSpare,
    /// The buffer is asked for lines, and they are not taken.
    Look(Size),
    /// Bytes come in, or are taken, without a reader.
    Append {
        len: u16,
        newlines: u8,
    },
    Consume(Size),
}

/// A file, its readers in the order in which they are advanced, and each answer of each reader.
struct Bench {
    rig: Rig,
    script: Script,
    readers: Vec<Reader>,
    answers: Vec<(Want, Answer)>,
    /// How many bytes `Step::Look` has searched, and how many were held when the delimiter changed:
    /// they may be searched again.
    looked: u64,
    delimiter: u8,
}

impl Bench {
    fn step(&mut self, step: Step) {
        match step {
            Step::Begin {
                kind,
                size,
                window,
                beside,
            } => {
                if !beside || self.readers.len() == 2 {
                    self.readers.clear();
                }
                let mut reader = kind.reader(size);
                reader.set_window(window.into());
                self.readers.push(reader);
                self.advance();
            }
            Step::Source(first, second) => {
                self.script.answers(first, second);
                self.rig.poll_said();
                self.advance();
            }
            Step::Spurious => self.advance(),
            Step::Due => {
                self.readers.truncate(1);
                self.advance();
                if let Some(mut reader) = self.readers.pop() {
                    let answer = self.rig.time_out(&mut reader);
                    self.answers.push((reader.want(), answer));
                }
            }
            Step::Cancel => self.readers.clear(),
            Step::ReleaseSpare => self.rig.release_spare(),
            Step::Look(size) if size.get() > 0 => {
                let before = searched(&self.rig);
                self.rig.look(size.get());
                self.looked += searched(&self.rig) - before;
                self.delimiter = b'\n'; // the buffer was searched for newlines last
            }
            Step::Look(_) => {} // a limit of 0 is the machine's to refuse
            Step::Append { len, newlines } => {
                let size = usize::from(len).min(MOST_BYTES.saturating_sub(self.script.given));
                let mut text = vec![0; size];
                write_text(newlines, &mut text);
                self.script.given += size;
                self.readers.clear(); // a blocked reader would be woken
                self.rig.append(&text);
            }
            Step::Consume(size) => {
                self.readers.clear();
                self.rig
                    .consume(size.get().min(self.rig.naive.held().len()));
            }
        }
    }

    /// Advances the readers. The first to end gets its bytes, and the others are dropped.
    fn advance(&mut self) {
        let Bench {
            rig,
            script,
            readers,
            answers,
            looked,
            delimiter,
        } = self;
        for reader in readers.iter_mut() {
            if std::mem::replace(delimiter, reader.delimiter()) != reader.delimiter() {
                *looked += rig.naive.held().len() as u64;
            }
            let answer = rig.advance(reader, script);
            answers.push((reader.want(), answer));
            if !matches!(answer, Answer::Blocked | Answer::Yield) {
                readers.clear();
                break;
            }
        }
    }
}

/// The steps that these bytes stand for.
pub fn steps(data: &[u8]) -> Vec<Step> {
    script::steps(data)
}

/// Takes the steps that these bytes stand for, and fails if the oracle disagrees. Returns each
/// answer of each reader.
pub fn run(data: &[u8]) -> Vec<(Want, Answer)> {
    let mut bench = Bench {
        rig: Rig::new(),
        script: Script::default(),
        readers: Vec::new(),
        answers: Vec::new(),
        looked: 0,
        delimiter: b'\n',
    };
    for step in steps(data) {
        bench.step(step);
        let given = bench.script.given as u64;
        assert!(
            searched(&bench.rig) <= 2 * given + bench.looked,
            "{} bytes searched of {given}",
            searched(&bench.rig)
        );
    }
    // After all steps: all bytes that came in were handed over, or are handed over now.
    bench.script.replies.clear();
    bench.step(Step::Begin {
        kind: Kind::ToEnd,
        size: Size::Max,
        window: 0,
        beside: false,
    });
    bench.step(Step::Source(Reply::EndOfFile, Reply::EndOfFile));
    assert!(bench.rig.inflow.is_empty() && bench.rig.naive.taken().len() == bench.script.given);
    bench.answers
}

/// How many bytes were searched for a newline. Only fuzzing builds count them.
fn searched(_rig: &Rig) -> u64 {
    #[cfg(fuzzing)]
    return _rig.inflow.buffer.searched;
    #[cfg(not(fuzzing))]
    0
}
