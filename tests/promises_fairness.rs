//! Promise 8: nobody is served for so long that the others starve.

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use asyncfile::{done, sleep, wait, yield_now, AsyncFile, Scheduler};
use support::*;

const ADVANCE: usize = 256 << 10;

#[test]
fn one_read_moves_at_most_256_kib() {
    let _watchdog = watchdog();
    let file = AsyncFile::new(regular(&vec![b'x'; 4 * ADVANCE])).unwrap();
    let mut sched = Scheduler::new();
    let (read, _) = bytes(&mut sched, file.read(4 * ADVANCE)).unwrap();
    assert!((1..=ADVANCE).contains(&read.len()), "{}", read.len());
}

#[test]
fn one_write_moves_at_most_256_kib() {
    let _watchdog = watchdog();
    let file = AsyncFile::new(regular(b"")).unwrap();
    let mut sched = Scheduler::new();
    let (count, _) = written(&mut sched, file.write(vec![b'x'; 4 * ADVANCE])).unwrap();
    assert!((1..=ADVANCE).contains(&count), "{count}");
}

/// A regular file is always ready, so only the bound makes a long operation give way.
#[test]
fn a_long_operation_moves_at_most_256_kib_a_turn() {
    let _watchdog = watchdog();
    const SIZE: usize = 16 * ADVANCE;
    let mut raw = regular(&vec![b'x'; SIZE]);
    let file = AsyncFile::new(raw.try_clone().unwrap()).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    for round in 0..4 {
        raw.rewind().unwrap();
        log.borrow_mut().clear();
        let name = ["read full", "read_to_end", "readline", "write full"][round];
        match round {
            0 => logged(&mut sched, &log, name, file.read(SIZE).full()),
            1 => logged(&mut sched, &log, name, file.read_to_end().limit(SIZE)),
            2 => logged(&mut sched, &log, name, file.readline().limit(SIZE)),
            _ => logged(&mut sched, &log, name, file.write(vec![b'x'; SIZE]).full()),
        };
        let mut position = 0;
        while log.borrow().is_empty() {
            sched.turn(Some(Duration::ZERO)).unwrap();
            let moved = raw.stream_position().unwrap() as usize - position;
            assert!(moved <= ADVANCE, "{name}: {moved} bytes in one turn");
            position += moved;
        }
        assert_eq!(position, SIZE, "{name}");
    }
}

/// /dev/zero never runs dry. Everybody else comes to their turn within a bounded number of its
/// task's resumes.
#[test]
fn a_task_whose_data_never_runs_dry_starves_nobody() {
    let _watchdog = watchdog();
    const TOO_LONG: u32 = 1_000_000;
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let zero = AsyncFile::new(File::open("/dev/zero").unwrap()).unwrap();
    let log = Log::default();
    let mut resumes = 0;
    let mut sched = Scheduler::new();
    sched.spawn(zero.read(16), |task| {
        assert_eq!(task.bytes()?, [0; 16]);
        resumes += 1;
        assert!(resumes < TOO_LONG, "the others starve: {log:?}");
        match log.borrow().len() < 5 {
            true => wait(zero.read(16)),
            false => done(()),
        }
    });
    put(&writer, b"ready\n");
    logged(&mut sched, &log, "a line that is there", file.readline());
    logged(
        &mut sched,
        &log,
        "a deadline",
        file.readline().timeout(Duration::from_millis(1)),
    );
    logged(&mut sched, &log, "a sleep", sleep(Duration::from_millis(1)));
    logged(&mut sched, &log, "a yield", yield_now());
    logged(&mut sched, &log, "the same file", zero.read(1));
    sched.run().unwrap();

    let mut log = log.borrow_mut();
    log.sort();
    assert_eq!(
        *log,
        [
            "a deadline: TimedOut",
            "a line that is there: ready\n",
            "a sleep: ok",
            "a yield: ok",
            "the same file: \0"
        ]
    );
}

/// Buffered lines are data that does not run dry, either: between them, poll is asked.
#[test]
fn a_task_that_works_off_buffered_lines_starves_nobody() {
    let _watchdog = watchdog();
    let lines = AsyncFile::new(regular(&b"\n".repeat(1_000_000))).unwrap();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let count = Cell::new(0);
    let mut sched = Scheduler::new();
    let busy = sched.spawn(lines.readline(), |task| match task.line()? {
        Some(_) => {
            count.set(count.get() + 1);
            wait(lines.readline())
        }
        None => done(()),
    });
    put(&writer, b"ready\n");
    let other = sched.spawn(file.readline(), |task| {
        task.line()?;
        done(count.get())
    });
    let before = sched.join(other).unwrap();
    assert!(
        before < 100_000,
        "{before} lines were read before the other task came to its turn"
    );
    sched.join(busy).unwrap();
    assert_eq!(count.get(), 1_000_000);
}

#[test]
fn a_task_that_only_yields_starves_nobody() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut resumes = 0;
    let mut sched = Scheduler::new();
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        resumes += 1;
        assert!(resumes < 1_000_000, "the others starve: {log:?}");
        match log.borrow().len() < 2 {
            true => wait(yield_now()),
            false => done(()),
        }
    });
    logged(&mut sched, &log, "line", file.readline());
    logged(&mut sched, &log, "sleep", sleep(Duration::from_micros(100)));
    put(&writer, b"ready\n");
    sched.run().unwrap();
    assert_eq!(log.borrow().len(), 2);
}
