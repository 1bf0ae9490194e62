//! The language-neutral vectors `lines.json` and `timeouts.json`, over pipes and sockets.
//!
//! Each case runs as one task that waits for one operation after the other. Its stream is
//! delivered whole (before the first operation), a chunk at a time, or a byte at a time; the last
//! two in lock step: the next piece is written when the task waits on an empty pipe.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use asyncfile::{done, wait, AsyncFile, End, Op, Scheduler, Task};
use serde_json::Value;
use support::{base64, pending, pipe, put, settle, socketpair, turn_until, watchdog, LONG, SHORT};

struct Case {
    name: String,
    any_delivery: bool,
    /// None: nothing more until the operation that waits has ended.
    chunks: Vec<Option<Vec<u8>>>,
    ops: Vec<Request>,
    expect: Vec<Answer>,
}

#[derive(Clone, Copy)]
struct Request {
    what: What,
    has_timeout: bool,
}

#[derive(Clone, Copy)]
enum What {
    Readline {
        limit: Option<usize>,
        size_hint: Option<usize>,
    },
    Read {
        size: usize,
        full: bool,
    },
    ReadToEnd,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Bytes(Vec<u8>),
    TimedOut,
}

#[derive(Clone, Copy, Debug)]
enum Delivery {
    ByChunk,
    ByByte,
}

#[test]
fn lines_delivered_whole() {
    let _watchdog = watchdog();
    for case in cases(include_str!("vectors/lines.json"))
        .iter()
        .filter(|case| case.any_delivery)
    {
        run_whole(case, pipe());
        run_whole(case, socketpair());
    }
}

#[test]
fn lines_delivered_a_chunk_at_a_time() {
    let _watchdog = watchdog();
    for case in cases(include_str!("vectors/lines.json")) {
        for stream in [pipe, socketpair] {
            assert!(run_in_lock_step(
                &case,
                Delivery::ByChunk,
                stream(),
                &[],
                LONG
            ));
        }
    }
}

#[test]
fn lines_delivered_a_byte_at_a_time() {
    let _watchdog = watchdog();
    for case in cases(include_str!("vectors/lines.json"))
        .iter()
        .filter(|case| case.any_delivery)
    {
        for stream in [pipe, socketpair] {
            assert!(run_in_lock_step(
                case,
                Delivery::ByByte,
                stream(),
                &[],
                LONG
            ));
        }
    }
}

/// The whole delivery tells which operations meet a pause, and have to time out; in lock step only
/// they get a short time, so that a slow machine does not make others time out. If it is so slow
/// that they time out before the pause, they get more.
#[test]
fn timeouts_keep_what_was_read() {
    let _watchdog = watchdog();
    for case in cases(include_str!("vectors/timeouts.json")) {
        let timed_out = run_whole(&case, pipe());
        assert!(!timed_out.is_empty(), "{}: nothing timed out", case.name);
        assert_eq!(run_whole(&case, socketpair()), timed_out, "{}", case.name);
        for delivery in deliveries(&case) {
            for stream in [pipe, socketpair] {
                let mut time = SHORT;
                while !run_in_lock_step(&case, *delivery, stream(), &timed_out, time) {
                    time *= 4;
                    assert!(
                        time < LONG,
                        "{}: {:?} are to time out",
                        case.name,
                        timed_out
                    );
                }
            }
        }
    }
}

/// A read that takes what is there would take single bytes, too, if they came one by one.
fn deliveries(case: &Case) -> &'static [Delivery] {
    match case
        .ops
        .iter()
        .any(|op| matches!(op.what, What::Read { full: false, .. }))
    {
        true => &[Delivery::ByChunk],
        false => &[Delivery::ByChunk, Delivery::ByByte],
    }
}

/// All that comes before a pause is written before the next operation is waited for. Gives the
/// operations that timed out.
fn run_whole(case: &Case, (reader, writer): (OwnedFd, OwnedFd)) -> Vec<usize> {
    let file = AsyncFile::new(reader).unwrap();
    let mut feed = Feed::new(case.chunks.iter().cloned(), writer);
    feed.write_until_pause();
    let mut answers = Vec::new();
    let mut timed_out = Vec::new();
    let mut sched = Scheduler::new();
    let run = sched.spawn(case.ops[0].on(&file, SHORT), |task| {
        let answer = case.ops[answers.len()].answer(task)?;
        if task.end() == End::TimedOut {
            timed_out.push(answers.len());
            feed.write_until_pause();
        }
        answers.push(answer);
        match case.ops.get(answers.len()) {
            Some(op) => wait(op.on(&file, SHORT)),
            None => done(()),
        }
    });
    sched
        .join(run)
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    drop(sched);
    assert_eq!(answers, case.expect, "{}, delivered whole", case.name);
    timed_out
}

/// The next piece is written when the task waits on an empty pipe. The operations that are to time
/// out get `time`, the others that have a timeout a long one. False: a pause met another operation
/// than those, so `time` was too short.
fn run_in_lock_step(
    case: &Case,
    by: Delivery,
    (reader, writer): (OwnedFd, OwnedFd),
    to_time_out: &[usize],
    time: Duration,
) -> bool {
    let probe = support::dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let mut feed = Feed::new(
        case.chunks.iter().flat_map(|chunk| by.pieces(chunk)),
        writer,
    );
    let answers = RefCell::new(Vec::new());
    let waiting_since = Cell::new(Instant::now());
    let timeout = |op: usize| {
        if to_time_out.contains(&op) {
            time
        } else {
            LONG
        }
    };
    let mut sched = Scheduler::new();
    sched.spawn(case.ops[0].on(&file, timeout(0)), |task| {
        let mut answers = answers.borrow_mut();
        let answer = case.ops[answers.len()].answer(task)?;
        if task.end() == End::TimedOut {
            assert!(
                waiting_since.get().elapsed() >= time,
                "{}: timed out early",
                case.name
            );
        }
        answers.push(answer);
        waiting_since.set(Instant::now());
        match case.ops.get(answers.len()) {
            Some(op) => wait(op.on(&file, timeout(answers.len()))),
            None => done(()),
        }
    });
    let ended = || answers.borrow().len();
    while ended() < case.ops.len() {
        let before = ended();
        settle(&mut sched);
        if ended() > before || pending(&probe) > 0 {
            continue;
        }
        match feed.pieces.pop_front() {
            Some(Some(piece)) => put(feed.writer.as_ref().unwrap(), &piece),
            Some(None) if !to_time_out.contains(&before) => return false,
            Some(None) => turn_until(&mut sched, || ended() > before),
            None if feed.writer.is_some() => feed.writer = None,
            None => panic!(
                "{} {by:?}: operation {before} waits for more than the end",
                case.name
            ),
        }
    }
    drop(sched);
    assert_eq!(
        answers.into_inner(),
        case.expect,
        "{}, delivered {by:?}",
        case.name
    );
    true
}

/// What is still to be delivered, and where to.
struct Feed {
    pieces: VecDeque<Option<Vec<u8>>>,
    /// None: the end was delivered.
    writer: Option<OwnedFd>,
}

impl Feed {
    fn new(pieces: impl Iterator<Item = Option<Vec<u8>>>, writer: OwnedFd) -> Feed {
        Feed {
            pieces: pieces.collect(),
            writer: Some(writer),
        }
    }

    fn write_until_pause(&mut self) {
        loop {
            match self.pieces.pop_front() {
                Some(Some(piece)) => put(self.writer.as_ref().unwrap(), &piece),
                Some(None) => return,
                None => return self.writer = None,
            }
        }
    }
}

impl Delivery {
    fn pieces(self, chunk: &Option<Vec<u8>>) -> Vec<Option<Vec<u8>>> {
        match (self, chunk) {
            (Delivery::ByByte, Some(bytes)) => bytes.iter().map(|&byte| Some(vec![byte])).collect(),
            _ => vec![chunk.clone()],
        }
    }
}

impl Request {
    fn on(self, file: &AsyncFile, timeout: Duration) -> Op {
        match self.what {
            What::Readline { limit, size_hint } => {
                let mut op = file.readline();
                if let Some(limit) = limit {
                    op = op.limit(limit);
                }
                if let Some(size_hint) = size_hint {
                    op = op.size_hint(size_hint);
                }
                if self.has_timeout {
                    op.timeout(timeout).into()
                } else {
                    op.into()
                }
            }
            What::Read { size, full } => {
                let op = if full {
                    file.read(size).full()
                } else {
                    file.read(size)
                };
                if self.has_timeout {
                    op.timeout(timeout).into()
                } else {
                    op.into()
                }
            }
            What::ReadToEnd if self.has_timeout => file.read_to_end().timeout(timeout).into(),
            What::ReadToEnd => file.read_to_end().into(),
        }
    }

    /// How the operation ended, with the reason checked against what it handed over.
    fn answer(self, task: &mut Task<'_, '_>) -> io::Result<Answer> {
        let result = match self.what {
            What::Readline { .. } => task.line().map(Option::unwrap_or_default),
            What::Read { .. } | What::ReadToEnd => task.bytes(),
        };
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                assert_eq!(task.end(), End::TimedOut);
                return Ok(Answer::TimedOut);
            }
            Err(error) => return Err(error),
        };
        if !(self.has_timeout && task.end() == End::TimedOut) {
            assert_eq!(task.end(), self.expected_end(bytes), "after {bytes:?}");
        }
        Ok(Answer::Bytes(bytes.to_vec()))
    }

    fn expected_end(self, bytes: &[u8]) -> End {
        match self.what {
            What::Readline { .. } if bytes.ends_with(b"\n") => End::Complete,
            What::Readline {
                limit: Some(limit), ..
            } if bytes.len() == limit => End::Limit,
            What::Read { size, full: true } if bytes.len() == size => End::Complete,
            What::Read { full: false, .. } if !bytes.is_empty() => End::Complete,
            _ => End::Eof,
        }
    }
}

fn cases(json: &str) -> Vec<Case> {
    let cases: Value = serde_json::from_str(json).unwrap();
    cases.as_array().unwrap().iter().map(case).collect()
}

fn case(json: &Value) -> Case {
    let list = |key: &str| json[key].as_array().unwrap().iter();
    let case = Case {
        name: json["name"].as_str().unwrap().to_owned(),
        any_delivery: json["delivery"] == "any",
        chunks: list("chunks")
            .map(|chunk| chunk.as_str().map(base64))
            .collect(),
        ops: list("ops").map(request).collect(),
        expect: list("expect").map(answer).collect(),
    };
    assert_eq!(case.ops.len(), case.expect.len(), "{}", case.name);
    case
}

fn request(json: &Value) -> Request {
    let positive = |key: &str| json[key].as_i64().filter(|&n| n > 0).map(|n| n as usize);
    let what = match (json["op"].as_str().unwrap(), positive("size")) {
        ("readline", limit) => What::Readline {
            limit,
            size_hint: positive("sizehint"),
        },
        ("read", Some(size)) => What::Read {
            size,
            full: json["full"] == true,
        },
        ("read", None) => What::ReadToEnd,
        (other, _) => panic!("unknown operation {other}"),
    };
    Request {
        what,
        has_timeout: json["timeout"] == true,
    }
}

fn answer(json: &Value) -> Answer {
    match json.as_str() {
        Some(bytes) => Answer::Bytes(base64(bytes)),
        None => {
            assert_eq!(json["error"], "timeout");
            Answer::TimedOut
        }
    }
}
