//! Time: a moment beside a timeout, waits without end, and a beat.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

mod support;

use std::cell::Cell;
use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use asyncfile::{
    again, channel, done, first, never, sleep, sleep_until, ticks, wait, yield_now, AsyncFile,
    AsyncPipe, End, Flow, Op, Operation, Scheduler, TaskError,
};

use support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// The operation ends at this moment, not before it, with TimedOut.
#[track_caller]
fn assert_ends_at(sched: &mut Scheduler<'_>, at: Instant, op: impl Operation) {
    let error = match sched.block_on(op) {
        Err(error) => error,
        Ok(_) => panic!("it has ended without its deadline"),
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let now = Instant::now();
    assert!(now >= at, "early by {:?}", at - now);
    assert!(now < at + LONG);
}

#[test]
fn every_operation_ends_at_its_moment() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let (reader, _writer) = pipe();
    let (_reader, writer) = pipe();
    fill(&writer);
    let (from, to) = (
        AsyncFile::new(reader).unwrap(),
        AsyncFile::new(writer).unwrap(),
    );
    let child = AsyncPipe::piped(Command::new("sleep").arg("600")).unwrap();
    let other = sched.spawn(never(), |task| done(task.ok()?));
    let (_sender, receiver) = channel::<u8>();
    for both in [false, true] {
        let next = || Instant::now() + SHORT;
        macro_rules! assert_ends {
            ($op:expr) => {{
                let at = next();
                match both {
                    false => assert_ends_at(&mut sched, at, $op.until(at)),
                    true => {
                        assert_ends_at(&mut sched, at, $op.timeout(HOUR).until(at));
                        let at = next();
                        assert_ends_at(&mut sched, at, $op.until(at).timeout(HOUR));
                        let at = next();
                        let later = at + HOUR;
                        assert_ends_at(&mut sched, at, $op.until(later).timeout(SHORT));
                    }
                }
            }};
        }
        assert_ends!(from.read(1));
        assert_ends!(from.read(1).full());
        assert_ends!(from.read_to_end());
        assert_ends!(from.readline());
        assert_ends!(from.readlines());
        assert_ends!(to.write("x"));
        assert_ends!(to.write("x").full());
        assert_ends!(from.readable());
        assert_ends!(to.writable());
        assert_ends!(receiver.ready());
        assert_ends!(sleep(HOUR));
        assert_ends!(sleep_until(Instant::now() + HOUR));
        assert_ends!(never());
        assert_ends!(ticks(HOUR));
        assert_ends!(first([never()]));
        assert_ends!(other.finished());
        assert_ends!(child.exit());
    }
    let at = Instant::now() + SHORT;
    assert_ends_at(
        &mut sched,
        at,
        child.communicate(()).timeout(HOUR).until(at),
    );
    sched.block_on(yield_now().until(at)).unwrap();
    child.kill().unwrap();
}

#[test]
fn a_moment_that_has_passed_is_what_can_be_had_without_waiting() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let past = Instant::now();
    assert_eq!(
        kind(sched.block_on(file.readline().until(past))),
        ErrorKind::TimedOut
    );
    put(&writer, b"a line\n");
    let line = sched.block_on(file.readline().until(past)).unwrap();
    assert_eq!(line.unwrap(), b"a line\n");
    let long_past = past.checked_sub(Duration::from_secs(1)).unwrap();
    sched.block_on(sleep_until(long_past)).unwrap();
    put(&writer, b"more");
    assert_eq!(
        sched.block_on(file.read(9).until(long_past)).unwrap(),
        b"more"
    );
}

#[test]
fn the_error_says_whether_a_span_or_a_moment_has_come() {
    let mut sched = Scheduler::new();
    let (reader, writer) = pipe();
    put(&writer, b"abc");
    let file = AsyncFile::new(reader).unwrap();
    let past = Instant::now();
    let text = |op: asyncfile::op::Readline, sched: &mut Scheduler<'_>| {
        sched.block_on(op).unwrap_err().to_string()
    };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    assert_eq!(
        text(file.readline().until(past), &mut sched),
        format!("readline on fd {fd}: timed out at the moment that was set, 3 bytes kept")
    );
    let span = file.readline().timeout(Duration::ZERO).until(past + HOUR);
    assert_eq!(
        text(span, &mut sched),
        format!("readline on fd {fd}: timed out after 0ms, 3 bytes kept")
    );
}

#[test]
fn again_starts_a_timeout_anew_and_leaves_a_moment_where_it_is() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let at = Instant::now() + 3 * SHORT;
    let mut ends = 0;
    let op = file.readline().timeout(SHORT).until(at);
    let task = sched.spawn(op, move |task| {
        assert_eq!(task.end(), End::TimedOut);
        ends += 1;
        match Instant::now() >= at {
            true => done(ends),
            false => again(),
        }
    });
    let ends = sched.join(task).unwrap();
    assert!(
        (1..=3).contains(&ends),
        "the moment cuts the last span: {ends} ends"
    );
}

#[test]
fn a_moment_outlasts_a_first_that_is_made_anew() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let at = Instant::now() + 4 * SHORT;
    let next = move || first([Op::from(sleep(SHORT)), file.readline().until(at).into()]);
    let task = sched.spawn(next(), move |task| match task.which() {
        0 => wait(next()),
        _ => done(task.line().unwrap_err().kind()),
    });
    assert_eq!(sched.join(task).unwrap(), ErrorKind::TimedOut);
    assert!(Instant::now() >= at);
}

#[test]
fn what_a_task_reads_off_its_clock_is_the_moment_it_waits_for() {
    let _alive = watchdog();
    let at = Cell::new(None);
    let mut sched = Scheduler::new();
    let task = sched.spawn(yield_now(), |task| match at.get() {
        None => {
            at.set(Some(task.clock() + SHORT));
            wait(sleep_until(task.clock() + SHORT))
        }
        Some(at) => done(task.clock() >= at),
    });
    assert!(sched.join(task).unwrap());
}

#[test]
fn a_task_that_waits_only_for_never_is_stalled() {
    for op in [
        Op::from(never()),
        sleep(Duration::MAX).into(),
        ticks(Duration::MAX).into(),
    ] {
        let mut sched = Scheduler::new();
        drop(sched.spawn(op, |task| done(task.ok()?)));
        match sched.run() {
            Err(TaskError::Stalled(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_period_of_zero_is_invalid_input_when_it_is_waited_for() {
    let error = Scheduler::new()
        .block_on(ticks(Duration::ZERO))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "ticks: a period of 0");
}

#[test]
fn ticks_that_were_missed_count_as_one_and_the_beat_stays() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let made = Instant::now();
    let beat = ticks(SHORT);
    std::thread::sleep(SHORT * 5 / 2);
    let polls = Instant::now();
    sched.block_on(beat.clone()).unwrap(); // two have passed: at once
    assert!(polls.elapsed() < LONG);
    sched.block_on(beat.clone()).unwrap();
    assert!(
        made.elapsed() >= 3 * SHORT,
        "the next multiple, not the one that has passed"
    );
    sched.block_on(beat).unwrap();
    assert!(made.elapsed() >= 4 * SHORT);
}

#[test]
fn a_tick_ends_one_wait_of_all_clones() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let made = Instant::now();
    let beat = ticks(SHORT);
    let tasks: Vec<_> = (0..4)
        .map(|_| sched.spawn(beat.clone(), |task| done((task.ok()?, Instant::now()).1)))
        .collect();
    let mut ends: Vec<_> = tasks
        .into_iter()
        .map(|task| sched.join(task).unwrap())
        .collect();
    ends.sort();
    for (end, n) in ends.into_iter().zip(1..) {
        assert!(end >= made + n * SHORT, "tick {n} is early");
    }
}

#[test]
fn a_tick_that_a_timeout_cuts_is_not_lost() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let made = Instant::now();
    let beat = ticks(2 * SHORT);
    let cut = sched.block_on(beat.clone().timeout(Duration::ZERO));
    assert_eq!(kind(cut), ErrorKind::TimedOut);
    sched.block_on(beat).unwrap();
    assert!(made.elapsed() >= 2 * SHORT);
}

#[test]
fn a_beat_that_stands_first_ticks_under_a_flood_of_lines() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let flood = regular("a line\n".repeat(200_000).as_bytes());
    let file = AsyncFile::new(flood).unwrap();
    let beat = ticks(Duration::from_micros(100));
    let (mut lines, mut beats) = (0, 0);
    let task = sched.spawn(
        first([Op::from(beat), file.readline().into()]),
        move |task| -> Flow<(u32, u32)> {
            match task.which() {
                0 => beats += 1,
                _ => match task.line()? {
                    Some(_) => lines += 1,
                    None => return done((lines, beats)),
                },
            }
            again()
        },
    );
    let (lines, beats) = sched.join(task).unwrap();
    assert_eq!(lines, 200_000, "no line is lost when a beat wins");
    assert!(beats > 0);
}
