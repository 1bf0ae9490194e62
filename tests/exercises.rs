//! The solutions of the guide's exercises (`src/guide/exercises.md`), each with a test.
// Tests are compiled by today's compiler; `done(task.ok()?)` is how a task ends that only waited.
#![allow(clippy::incompatible_msrv, clippy::unit_arg)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::Command;
use std::time::{Duration, Instant};

use asyncfile::{
    again, done, first, queue, sleep, then, ticks, wait, yield_now, AsyncFile, AsyncPipe, Flow,
    JoinHandle, Next, Op, Scheduler, Spawn, StateFlow, Task,
};

type Test = Result<(), Box<dyn std::error::Error>>;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

fn sockets() -> io::Result<(AsyncFile, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((AsyncFile::new(ours)?, theirs))
}

// ------------------------------------------------------------------ 1. Count

/// The number of lines, and of their bytes, newlines included. Each line may take a minute.
fn count<'t>(start: &mut impl Spawn<'t>, file: &AsyncFile) -> JoinHandle<(u64, usize)> {
    let (mut lines, mut bytes) = (0, 0);
    let line = file.readline().timeout(MINUTE);
    start.spawn(line, move |task| match task.line()? {
        Some(line) => {
            lines += 1;
            bytes += line.len();
            again() // the timeout begins anew with each line
        }
        None => done((lines, bytes)),
    })
}

#[test]
fn exercise_1_count() -> Test {
    let (file, mut peer) = sockets()?;
    peer.write_all(b"one\n\nthree")?;
    drop(peer);
    let mut sched = Scheduler::new();
    let counter = count(&mut sched, &file);
    assert_eq!(sched.join(counter)?, (3, 10));
    Ok(())
}

// ------------------------------------------------------------------ 2. A beat

/// The same, with so much time for each line, and a call of `beat` every `period`.
fn count_with_beat<'t>(
    start: &mut impl Spawn<'t>,
    file: &AsyncFile,
    time: Duration,
    period: Duration,
    mut beat: impl FnMut() -> io::Result<()> + 't,
) -> JoinHandle<(u64, usize)> {
    let (mut lines, mut bytes) = (0, 0);
    let line = file.readline().timeout(time);
    // The beat stands first, so that it wins under a flood of lines.
    let ops = first([Op::from(ticks(period)), line.into()]);
    start.spawn(ops, move |task| match task.which() {
        0 => {
            task.ok()?;
            beat()?;
            again() // the line, which has not ended, keeps its running clock
        }
        _ => match task.line()? {
            Some(line) => {
                lines += 1;
                bytes += line.len();
                again()
            }
            None => done((lines, bytes)),
        },
    })
}

#[test]
fn exercise_2_a_beat() -> Test {
    let mut sched = Scheduler::new();
    // While no line comes. Each beat comes in the middle of a line, and the half is not lost.
    let (file, peer) = sockets()?;
    let mut pieces = ["half a ", "line\nand ", "another\n"].into_iter();
    let beat = move || match pieces.next() {
        Some(piece) => (&peer).write_all(piece.as_bytes()),
        None => peer.shutdown(Shutdown::Write),
    };
    let counter = count_with_beat(&mut sched, &file, MINUTE, MS, beat);
    assert_eq!(sched.join(counter)?, (2, 24));

    // While lines come without a pause: a million of them take longer than a millisecond. The first
    // beat cuts the file.
    let mut flood = tempfile::tempfile()?;
    flood.write_all(&[b'\n'; 1_000_000])?;
    flood.rewind()?;
    let file = AsyncFile::new(flood.try_clone()?)?;
    let beats = Cell::new(0);
    let mut sched = Scheduler::new();
    let beat = || {
        beats.set(beats.get() + 1);
        flood.set_len(0)
    };
    let counter = count_with_beat(&mut sched, &file, MINUTE, MS, beat);
    sched.join(counter)?;
    assert!(beats.get() > 0, "no beat while lines came");

    // A beat gives a line no more time.
    let (file, _silent) = sockets()?;
    let mut sched = Scheduler::new();
    let mut left = 1000;
    let beat = move || {
        left -= 1;
        match left {
            0 => Err(io::Error::other("a line has more time with each beat")),
            _ => Ok(()),
        }
    };
    let counter = count_with_beat(&mut sched, &file, 20 * MS, MS, beat);
    let error: io::Error = sched.join(counter).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    Ok(())
}

// ------------------------------------------------------------------ 3. A feeder and a reader

/// What the program makes of the input, without `communicate`.
fn filter(program: &str, input: Vec<u8>) -> io::Result<Vec<u8>> {
    let pipe = AsyncPipe::piped(Command::new(program))?;
    let stdin = pipe.take_stdin().expect("it is piped");
    let mut sched = Scheduler::new();
    let feeder = sched.spawn(stdin.write_all(input), |task| done(task.ok()?));
    drop(stdin); // the feeder has the last handle: the child's input ends with it
    let output = sched.block_on(pipe.read_to_end())?;
    sched.join(feeder)?;
    match sched.block_on(pipe.exit())?.success() {
        true => Ok(output),
        false => Err(io::Error::other("it has failed")),
    }
}

#[test]
fn exercise_3_a_feeder_and_a_reader() -> Test {
    assert_eq!(filter("sort", b"b\na\n".to_vec())?, b"a\nb\n");
    let input = vec![b'x'; 1 << 20]; // more than two pipes hold
    assert_eq!(filter("cat", input.clone())?, input);
    assert!(filter("false", Vec::new()).is_err());
    Ok(())
}

// ------------------------------------------------------------------ 4. One deadline for many lines

/// So many lines, all of them within this time. An end before that is an error.
fn read_lines<'t>(
    start: &mut impl Spawn<'t>,
    file: &AsyncFile,
    count: usize,
    within: Duration,
) -> JoinHandle<Vec<Vec<u8>>> {
    let line = file.readline().until(Instant::now() + within);
    let mut lines = Vec::new();
    start.spawn(line, move |task| match task.line()? {
        Some(line) => {
            lines.push(line.to_vec());
            match lines.len() == count {
                true => done(std::mem::take(&mut lines)),
                false => again(), // an `until` stays where it is
            }
        }
        None => Err(ErrorKind::UnexpectedEof.into()),
    })
}

#[test]
fn exercise_4_one_deadline_for_many_lines() -> Test {
    let (file, mut peer) = sockets()?;
    peer.write_all(b"one\ntwo\nthree\n")?;
    let mut sched = Scheduler::new();
    let two = read_lines(&mut sched, &file, 2, MINUTE);
    assert_eq!(sched.join(two)?, [b"one\n", b"two\n"]);
    assert_eq!(file.buffered(), 6); // the third is the next reader's
                                    // A line each millisecond does not put the deadline off. If it does, the lines end some time.
    let mut left = 1000;
    sched.spawn(sleep(MS), move |task| -> Flow {
        task.ok()?;
        left -= 1;
        if left == 0 {
            peer.shutdown(Shutdown::Write)?;
            return done(());
        }
        peer.write_all(b"more\n")?;
        again()
    });
    let began = Instant::now();
    let many = read_lines(&mut sched, &file, usize::MAX, 20 * MS);
    let error: io::Error = sched.join(many).unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() >= 20 * MS);
    Ok(())
}

// ------------------------------------------------------------------ 5. A semaphore

/// Starts so many tasks, of which at most `at_once` work at a time: one calls `begins`, sleeps a
/// millisecond, and calls `ends`.
fn work_in_turns<'t>(
    start: &mut impl Spawn<'t>,
    tasks: usize,
    at_once: usize,
    begins: impl Fn() + Clone + 't,
    ends: impl Fn() + Clone + 't,
) {
    let permits = queue(at_once);
    while permits.push(()).is_ok() {}
    for _ in 0..tasks {
        let (permits, mut has_permit) = (permits.clone(), false);
        let (begins, ends) = (begins.clone(), ends.clone());
        start.spawn(permits.ready(), move |task| {
            task.ok()?;
            if has_permit {
                ends();
                permits.push(()).expect("its place is free");
                return done(());
            }
            has_permit = permits.pop().is_some();
            begins();
            wait(sleep(MS)) // the work
        });
    }
}

#[test]
fn exercise_5_a_semaphore() -> Test {
    let (busy, most, finished) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut sched = Scheduler::new();
    let begins = || {
        busy.set(busy.get() + 1);
        most.set(most.get().max(busy.get()));
    };
    let ends = || {
        busy.set(busy.get() - 1);
        finished.set(finished.get() + 1);
    };
    work_in_turns(&mut sched, 20, 3, begins, ends);
    sched.run()?;
    assert_eq!((most.get(), finished.get()), (3, 20));
    Ok(())
}

// ------------------------------------------------------------------ 6. A proxy

/// Copies what comes from one file to another, and the end as well.
struct Copy {
    from: AsyncFile,
    to: AsyncFile,
}

impl Copy {
    fn read(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        then(self.from.read(64 * 1024), Self::write)
    }

    fn write(&mut self, task: &mut Task) -> StateFlow<Self> {
        match task.bytes()? {
            [] => then(self.to.shutdown_write(), Self::end),
            bytes => then(self.to.write_all(bytes), Self::read),
        }
    }

    fn end(&mut self, task: &mut Task) -> StateFlow<Self> {
        task.ok()?;
        Next::done()
    }
}

/// Copies both ways, until both have ended: a task for each direction. Reading and writing one socket do not wait for each
/// other, so two tasks are enough.
fn proxy<'t>(
    start: &mut impl Spawn<'t>,
    one: &AsyncFile,
    other: &AsyncFile,
) -> [JoinHandle<Copy>; 2] {
    [(one, other), (other, one)].map(|(from, to)| {
        let (from, to) = (from.clone(), to.clone());
        start.spawn_states(yield_now(), Copy { from, to }, Copy::read)
    })
}

#[test]
fn exercise_6_a_proxy() -> Test {
    let (one, mut client) = sockets()?;
    let (other, mut server) = sockets()?;
    server.set_read_timeout(Some(10_000 * MS))?; // not for ever, if no end comes
    client.write_all(b"a question")?;
    client.shutdown(Shutdown::Write)?; // it still reads
    let server = std::thread::spawn(move || -> io::Result<()> {
        let mut question = String::new();
        server.read_to_string(&mut question)?; // to its end: that has come through
        server.write_all(question.to_uppercase().as_bytes())
    });
    let mut sched = Scheduler::new();
    let [there, back] = proxy(&mut sched, &one, &other);
    sched.join(there)?;
    sched.join(back)?;
    server.join().unwrap()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert_eq!(answer, "A QUESTION");
    Ok(())
}

// ------------------------------------------------------------------ 7. A machine of one's own

/// Frames: a byte that says how long, then so many bytes. It knows no descriptor and no time.
#[derive(Default)]
struct Frames {
    held: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Frame {
    Whole(Vec<u8>),
    /// More bytes must come.
    NotNow,
}

impl Frames {
    fn give(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Frame {
        match self.held.split_first() {
            Some((len, rest)) if rest.len() >= usize::from(*len) => {
                let frame = rest[..usize::from(*len)].to_vec();
                self.held.drain(..=frame.len());
                Frame::Whole(frame)
            }
            _ => Frame::NotNow,
        }
    }
}

#[test]
fn exercise_7_a_machine_of_ones_own() {
    let frames: [&[u8]; 4] = [b"abc", b"", b"\x02", b"de"];
    let text: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [&[frame.len() as u8], *frame].concat())
        .collect();
    let mut tried = 0;
    for cuts in 0..1_u32 << (text.len() - 1) {
        // A piece ends behind byte n if bit n is set.
        let (mut machine, mut found, mut from) = (Frames::default(), Vec::new(), 0);
        for at in 0..text.len() {
            if at + 1 == text.len() || cuts & (1 << at) != 0 {
                machine.give(&text[from..=at]);
                from = at + 1;
                while let Frame::Whole(frame) = machine.next() {
                    found.push(frame);
                }
            }
        }
        assert_eq!(found, frames, "cuts {cuts:b}");
        assert_eq!(machine.next(), Frame::NotNow);
        tried += 1;
    }
    assert_eq!(tried, 512);
}

// ------------------------------------------------------------------ 8. All runs of a simulation

/// The decisions of a run: each with the number of its alternatives.
#[derive(Default)]
struct Choices {
    taken: Vec<(usize, usize)>,
    next: usize,
}

/// So many decisions are tried in every way. Those behind them are 0, which is the calm answer:
/// without a bound a signal could come for ever.
const DEPTH: usize = 14;

impl Choices {
    fn choose(&mut self, below: usize) -> usize {
        if self.next == DEPTH {
            return 0;
        }
        if self.next == self.taken.len() {
            self.taken.push((0, below));
        }
        self.next += 1;
        self.taken[self.next - 1].0
    }

    /// Goes on to the next run: the last decision that can be another one is. False if all were
    /// tried.
    fn go_on(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, below)) = self.taken.pop() {
            if choice + 1 < below {
                self.taken.push((choice + 1, below));
                return true;
            }
        }
        false
    }
}

/// The kernel and the loop of the page on testing.
struct Kernel<'a> {
    choices: &'a mut Choices,
    unsent: VecDeque<u8>,
    pipe: VecDeque<u8>,
    calls: u32,
}

impl Kernel<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        assert!(self.calls < 1000, "the loop spins");
        if self.choices.choose(2) == 1 {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.pipe.is_empty() {
            let has_ended = self.unsent.is_empty();
            return if has_ended {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let size = 1 + self.choices.choose(bytes.len().min(self.pipe.len()));
        for (byte, to) in self.pipe.drain(..size).zip(bytes) {
            *to = byte;
        }
        Ok(size)
    }

    fn poll(&mut self) {
        assert!(!self.unsent.is_empty(), "nothing will ever end this sleep");
        let size = 1 + self.choices.choose(self.unsent.len());
        self.pipe.extend(self.unsent.drain(..size));
    }
}

fn lines(kernel: &mut Kernel, bug: u32, mut line: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut buffer, mut bytes) = (Vec::new(), [0; 4]);
    loop {
        if bug == 1 {
            kernel.poll();
        }
        match kernel.read(&mut bytes) {
            Ok(0) if buffer.is_empty() || bug == 2 => return Ok(()),
            Ok(0) => return Ok(line(&buffer)),
            Ok(size) => buffer.extend_from_slice(&bytes[..size]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => kernel.poll(),
            Err(error) if error.kind() == ErrorKind::Interrupted && bug != 3 => {}
            Err(error) => return Err(error),
        }
        while let Some(at) = buffer.iter().position(|byte| *byte == b'\n') {
            line(&buffer[..=at]);
            buffer.drain(..=at);
            if bug == 4 {
                break;
            }
        }
    }
}

/// One run: which text, and all that happens to it.
fn run(choices: &mut Choices, bug: u32) {
    let size = choices.choose(5);
    let text: Vec<u8> = (0..size).map(|_| b"a\n"[choices.choose(2)]).collect();
    let (unsent, pipe) = (text.iter().copied().collect(), VecDeque::new());
    let mut kernel = Kernel {
        choices,
        unsent,
        pipe,
        calls: 0,
    };
    let mut found = Vec::new();
    lines(&mut kernel, bug, |line| found.push(line.to_vec())).unwrap();
    let expected: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(found, expected);
}

/// How many runs there are, or the number of the first one that fails.
fn run_all(bug: u32) -> Result<u64, u64> {
    let (mut choices, mut count) = (Choices::default(), 0);
    loop {
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| run(&mut choices, bug))).is_err() {
            return Err(count);
        }
        if !choices.go_on() {
            return Ok(count);
        }
    }
}

#[test]
fn exercise_8_all_runs_of_a_simulation() {
    assert_eq!(run_all(0), Ok(26_834)); // no change makes it fewer unnoticed
    for bug in 1..=4 {
        assert!(run_all(bug).is_err(), "bug {bug} is not found");
    }
}
