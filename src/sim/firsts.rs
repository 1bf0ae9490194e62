//! Runs every short sequence of events for a task that waits, again and again, for the first of a
//! line, two bytes and a sleep of a second. An oracle is given the same events, and must agree.
//! (For the machines alone: `tests/small_scope`.)

use std::cell::RefCell;
use std::os::unix::io::RawFd;
use std::rc::Rc;
use std::time::Duration;

use super::{owned, with, Kernel};
use crate::machine::tests::script;
use crate::{first, sleep, sys, wait, AsyncFile, End, JoinHandle, Op, Scheduler};

const SECOND: Duration = Duration::from_secs(1);

/// An event that can happen between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// These bytes come in on the file from which a line is read.
    Line(&'static [u8]),
    LineEnds,
    /// One more byte comes in on the file on which two bytes are waited for.
    Byte,
    BytesEnd,
    /// Three fifths of a second pass, or less if the task is woken.
    Time,
    /// The task is cancelled, and another task begins to wait for the same.
    Cancel,
}

use Event::*;

const EVENTS: [Event; 8] = [
    Line(b"a"),
    Line(b"\n"),
    Line(b"b\nc"),
    LineEnds,
    Byte,
    BytesEnd,
    Time,
    Cancel,
];

/// Whether `event` right after `before` can show anything new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    !matches!(
        (before, event),
        (Some(LineEnds), Some(Line(_) | LineEnds))
            | (Some(BytesEnd), Some(Byte | BytesEnd))
            | (Some(Cancel), Some(Cancel) | None)
    )
}

/// The outcome with which the task was resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Line(Option<Vec<u8>>, End),
    Bytes(Vec<u8>, End),
    Tick,
}

/// What has come in and was not handed over, and since when the task's `first` waits.
#[derive(Default)]
struct Oracle {
    line: Vec<u8>,
    has_line_ended: bool,
    bytes: Vec<u8>,
    have_bytes_ended: bool,
    since: Duration,
    /// The end of the lines was reported, so they are not waited for any more.
    is_line_over: bool,
    are_bytes_over: bool,
}

impl Oracle {
    /// If the present `first` ends now, returns its outcome. The task then waits for another one.
    fn next(&mut self, now: Duration) -> Option<Outcome> {
        let outcome = self
            .line()
            .or_else(|| self.bytes())
            .or_else(|| (now >= self.since + SECOND).then_some(Outcome::Tick));
        if outcome.is_some() {
            self.since = now;
        }
        outcome
    }

    fn line(&mut self) -> Option<Outcome> {
        if self.is_line_over {
            return None;
        }
        if let Some(at) = self.line.iter().position(|byte| *byte == b'\n') {
            return Some(Outcome::Line(
                Some(self.line.drain(..=at).collect()),
                End::Complete,
            ));
        }
        if !self.has_line_ended {
            return None;
        }
        self.is_line_over = self.line.is_empty();
        Some(Outcome::Line(
            (!self.is_line_over).then(|| std::mem::take(&mut self.line)),
            End::Eof,
        ))
    }

    fn bytes(&mut self) -> Option<Outcome> {
        if self.are_bytes_over {
            return None;
        }
        if self.bytes.len() >= 2 {
            return Some(Outcome::Bytes(
                self.bytes.drain(..2).collect(),
                End::Complete,
            ));
        }
        if !self.have_bytes_ended {
            return None;
        }
        // While a byte is left to be handed over, this read has it. The read after it reports the
        // end alone.
        self.are_bytes_over = self.bytes.is_empty();
        Some(Outcome::Bytes(std::mem::take(&mut self.bytes), End::Eof))
    }
}

/// The two files, and whether their ends were reported.
struct Files {
    line: AsyncFile,
    bytes: AsyncFile,
    log: RefCell<Vec<Outcome>>,
    is_line_over: RefCell<bool>,
    are_bytes_over: RefCell<bool>,
}

impl Files {
    fn next(&self) -> Op {
        let mut ops: Vec<Op> = Vec::new();
        if !*self.is_line_over.borrow() {
            ops.push(self.line.readline().into());
        }
        if !*self.are_bytes_over.borrow() {
            ops.push(self.bytes.read(2).full().into());
        }
        ops.push(sleep(SECOND).into());
        first(ops).into()
    }

    fn spawn(self: &Rc<Files>, sched: &mut Scheduler<'_>) -> JoinHandle<()> {
        let files = Rc::clone(self);
        sched.spawn(self.next(), move |task| {
            let end = task.end();
            let outcome = match task.outcome() {
                crate::Outcome::Line(line) => Outcome::Line(line.map(<[u8]>::to_vec), end),
                crate::Outcome::Bytes(bytes) => Outcome::Bytes(bytes.to_vec(), end),
                crate::Outcome::Ok => Outcome::Tick,
                other => panic!("{other:?}"),
            };
            match &outcome {
                Outcome::Line(None, _) => *files.is_line_over.borrow_mut() = true,
                Outcome::Bytes(bytes, _) if bytes.is_empty() => {
                    *files.are_bytes_over.borrow_mut() = true
                }
                _ => {}
            }
            files.log.borrow_mut().push(outcome);
            wait(files.next())
        })
    }
}

fn now() -> Duration {
    with(|kernel| kernel.time()).expect("it runs on a kernel")
}

fn write(fd: RawFd, bytes: &[u8]) {
    assert_eq!(sys::write(fd, bytes).unwrap(), bytes.len());
}

/// Lets these events happen, one between two turns. Compares each outcome of the task with that of
/// the oracle.
fn happen(events: &[Event]) {
    let mut kernel = Kernel::new(|_| 0);
    let (line, to_line) = kernel.pipe(4096);
    let (bytes, to_bytes) = kernel.pipe(4096);
    kernel.run(|| {
        let open = |fd| AsyncFile::new(owned(fd)).unwrap();
        let files = Rc::new(Files {
            line: open(line),
            bytes: open(bytes),
            log: RefCell::default(),
            is_line_over: RefCell::default(),
            are_bytes_over: RefCell::default(),
        });
        let mut oracle = Oracle::default();
        let mut sched = Scheduler::new();
        let mut task = files.spawn(&mut sched);
        let mut is_open = [true; 2];
        settle(&mut sched, &mut oracle, &files);
        for event in events {
            match event {
                Line(text) if is_open[0] => {
                    write(to_line, text);
                    oracle.line.extend_from_slice(text);
                }
                LineEnds if std::mem::take(&mut is_open[0]) => {
                    sys::close(to_line);
                    oracle.has_line_ended = true;
                }
                Byte if is_open[1] => {
                    write(to_bytes, b"x");
                    oracle.bytes.push(b'x');
                }
                BytesEnd if std::mem::take(&mut is_open[1]) => {
                    sys::close(to_bytes);
                    oracle.have_bytes_ended = true;
                }
                Time => drop(sched.turn(Some(SECOND * 3 / 5)).unwrap()),
                Cancel => {
                    task.cancel();
                    task = files.spawn(&mut sched);
                    oracle.since = now();
                }
                Line(_) | LineEnds | Byte | BytesEnd => {} // it has ended before
            }
            settle(&mut sched, &mut oracle, &files);
        }
        // The bytes that were not handed over are buffered.
        assert_eq!(
            (files.line.buffered(), files.bytes.buffered()),
            (oracle.line.len(), oracle.bytes.len())
        );
        is_open
            .iter()
            .zip([to_line, to_bytes])
            .filter(|(is_open, _)| **is_open)
            .for_each(|(_, fd)| sys::close(fd));
    });
}

/// Makes two turns, after which nothing more happens unless time passes. Compares the outcomes with
/// those of the oracle.
fn settle(sched: &mut Scheduler<'_>, oracle: &mut Oracle, files: &Files) {
    for _ in 0..2 {
        sched.turn(Some(Duration::ZERO)).unwrap();
        sched.check_invariants();
    }
    let expected: Vec<_> = std::iter::from_fn(|| oracle.next(now())).collect();
    assert_eq!(files.log.take(), expected);
}

#[test]
fn anything_may_happen_to_a_first_of_three() {
    let count = script::for_each(5, &EVENTS, shows, &mut |events| happen(events));
    assert_eq!(count, 18_200);
}
