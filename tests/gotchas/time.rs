//! Deadlines: gotchas 7, 9 and 10. A lower bound is exact, an upper bound is a guard.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use asyncfile::{done, first, sleep, wait, yield_now, AsyncFile, End, Flow, Scheduler};

use crate::descriptors::{ask, guard, idle, ms, pattern, pipe, sockets, Test, ZERO};

const DAY: Duration = Duration::from_secs(24 * 3600);

// ------------------------------------------------------- 7. Timeouts: round up, clamp, no overflow

#[test]
fn a_sleep_is_never_early() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for micros in [0, 1, 100, 900, 999, 1_000, 1_001, 1_900, 10_100] {
        let duration = Duration::from_micros(micros);
        let start = Instant::now();
        sched.block_on(sleep(duration))?;
        assert!(
            start.elapsed() >= duration,
            "{:?} for {duration:?}",
            start.elapsed()
        );
    }
    Ok(())
}

#[test]
fn a_timeout_is_never_early() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    for micros in [1, 900, 1_900, 10_100] {
        let timeout = Duration::from_micros(micros);
        let start = Instant::now();
        let error = sched
            .block_on(file.readline().timeout(timeout))
            .unwrap_err();
        assert!(
            start.elapsed() >= timeout,
            "{:?} for {timeout:?}",
            start.elapsed()
        );
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    Ok(())
}

#[test]
fn the_last_fraction_of_a_millisecond_is_slept_and_not_spun() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for micros in [900, 1_900, 5_500] {
        sched.spawn(sleep(Duration::from_micros(micros)), |task| {
            done(task.ok()?)
        });
        let mut turns = 1;
        while sched.turn(None)? > 0 {
            turns += 1;
        }
        assert!(turns <= 3, "{turns} turns for {micros} us");
    }
    Ok(())
}

#[test]
fn a_timeout_that_poll_cannot_express_does_not_fall_due() -> Test {
    let _guard = guard();
    let past_the_int = Duration::from_millis(i32::MAX as u64 + 1);
    for timeout in [
        30 * DAY,
        past_the_int,
        Duration::from_secs(u32::MAX as u64),
        Duration::from_secs(i64::MAX as u64),
        Duration::MAX,
    ] {
        let (file, mut writer) = pipe()?;
        let line = Cell::new(false);
        let mut sched = Scheduler::new();
        sched.spawn(file.readline().timeout(timeout), |task| {
            line.set(task.line()? == Some(b"in time\n"));
            done(())
        });
        let wait = idle(&mut sched, &mut Vec::new())?;
        assert!(
            wait.is_none_or(|wait| wait > ms(i32::MAX as u64) - DAY),
            "{wait:?} for {timeout:?}"
        );
        assert_eq!(sched.turn(Some(ms(1)))?, 1, "{timeout:?}");
        // The poll of this turn is asked for the whole timeout; the line that comes meanwhile ends
        // it.
        let other_side = thread::spawn(move || writer.write_all(b"in time\n"));
        sched.run()?;
        other_side.join().unwrap()?;
        assert!(line.get(), "{timeout:?}");
    }
    Ok(())
}

#[test]
fn a_sleep_that_poll_cannot_express_goes_on() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for long in [30 * DAY, Duration::from_secs(u64::MAX / 2), Duration::MAX] {
        assert_eq!(
            sched.block_on(first([
                asyncfile::Op::from(sleep(long)),
                sleep(ms(2)).into()
            ]))?,
            1,
            "{long:?}"
        );
    }
    Ok(())
}

#[test]
fn a_turn_may_be_given_any_time() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for timeout in [30 * DAY, Duration::MAX] {
        sched.spawn(sleep(ms(2)), |task| done(task.ok()?));
        while sched.turn(Some(timeout))? > 0 {}
    }
    Ok(())
}

#[test]
fn a_turn_in_which_nothing_happens_is_as_long_as_it_was_told() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    // To let the new task begin is work; the next turn has none.
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    let start = Instant::now();
    assert_eq!(sched.turn(Some(Duration::from_micros(1_900)))?, 1);
    assert!(start.elapsed() >= Duration::from_micros(1_900));
    Ok(())
}

// ------------------------------------------------------------------ 9. Data beats deadline

#[test]
fn a_line_that_is_there_when_the_deadline_is_noticed_is_read() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().timeout(ms(5)), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    // This one keeps the loop busy past the deadline, as a slow task would, in the turn in which
    // the reader began to wait.
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        writer.write_all(b"late, and there\n")?;
        let begin = Instant::now();
        while begin.elapsed() < ms(20) {}
        done(())
    });
    assert_eq!(
        sched.join(reader)?.as_deref(),
        Some(&b"late, and there\n"[..])
    );
    Ok(())
}

#[test]
fn what_the_host_says_in_a_turn_comes_before_the_deadline_of_that_turn() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().timeout(ms(5)), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    let mut set = Vec::new();
    let wait = idle(&mut sched, &mut set)?.unwrap();
    let begin = Instant::now();
    while begin.elapsed() <= wait {}
    writer.write_all(b"at the last moment\n")?;
    ask(&mut set)?;
    sched.dispatch(&set)?;
    assert_eq!(
        sched.join(reader)?.as_deref(),
        Some(&b"at the last moment\n"[..])
    );
    Ok(())
}

#[test]
fn without_data_the_same_turn_times_out() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().timeout(ms(5)), |task| {
        done(task.line().unwrap_err().kind())
    });
    let mut set = Vec::new();
    let wait = idle(&mut sched, &mut set)?.unwrap();
    let begin = Instant::now();
    while begin.elapsed() <= wait {}
    ask(&mut set)?;
    assert_eq!(sched.dispatch(&set)?, 0);
    assert_eq!(sched.join(reader)?, ErrorKind::TimedOut);
    Ok(())
}

// --------------------------------------------------- 10. A deadline is that of the whole operation

#[test]
fn a_trickle_does_not_extend_the_deadline() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let (sent, reading) = (Cell::new(0), Cell::new(true));
    let start = Instant::now();
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline().timeout(ms(60)), |task| {
        reading.set(false);
        done((task.line().unwrap_err().kind(), start.elapsed()))
    });
    // The trickle does not end before the reader does: a deadline that it extends never comes.
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        if !reading.get() {
            return done(());
        }
        writer.write_all(b"x")?;
        sent.set(sent.get() + 1);
        wait(sleep(ms(5)))
    });
    let (kind, after) = sched.join(reader)?;
    assert_eq!(kind, ErrorKind::TimedOut);
    assert!(after >= ms(60), "{after:?}");
    sched.run()?;
    drop(sched);
    drop(writer);
    let whole = Scheduler::new().block_on(file.readline())?.unwrap();
    assert_eq!(
        whole,
        vec![b'x'; sent.get()],
        "what came before the deadline is kept, and what came after it follows"
    );
    Ok(())
}

#[test]
fn a_slow_reader_does_not_extend_the_deadline_of_a_full_write() -> Test {
    let _guard = guard();
    let (file, peer) = sockets()?;
    let other = AsyncFile::new(peer)?;
    let (writing, mut taken, mut slept) = (Cell::new(true), 0, true);
    let start = Instant::now();
    let mut sched = Scheduler::new();
    let writer = sched.spawn(
        file.write(vec![b'x'; 16 << 20]).full().timeout(ms(60)),
        |task| {
            assert_eq!(task.end(), End::TimedOut);
            writing.set(false);
            file.close();
            done((task.written()?, start.elapsed()))
        },
    );
    // A piece every 5 ms for as long as the writer is there, then the rest.
    let reader = sched.spawn(sleep(ms(5)), |task| {
        if !std::mem::replace(&mut slept, false) {
            match task.bytes()? {
                [] => return done(taken),
                bytes => taken += bytes.len(),
            }
            if writing.get() {
                slept = true;
                return wait(sleep(ms(5)));
            }
        }
        wait(other.read(4096))
    });
    let (written, after) = sched.join(writer)?;
    assert!(after >= ms(60), "{after:?}");
    assert!(written < 16 << 20);
    assert_eq!(
        sched.join(reader)?,
        written,
        "the count is what the other side could read"
    );
    Ok(())
}

#[test]
fn the_other_direction_does_not_feel_a_deadline() -> Test {
    let _guard = guard();
    let (file, peer) = sockets()?;
    let other = AsyncFile::new(peer)?;
    let timeouts = Cell::new(0);
    let data = pattern(4 << 20);
    let mut sched = Scheduler::new();
    let writer = sched.spawn(file.write(&data).full(), |task| {
        done((task.end(), task.written()?))
    });
    sched.spawn(file.readline().timeout(ms(3)), |task| -> Flow {
        assert_eq!(task.end(), End::TimedOut);
        timeouts.set(timeouts.get() + 1);
        wait(file.readline().timeout(ms(3)))
    });
    while timeouts.get() < 5 {
        sched.turn(None)?;
    }
    assert!(!writer.is_finished());
    assert!(sched.block_on(other.read(data.len()).full())? == data);
    assert_eq!(sched.join(writer)?, (End::Complete, data.len()));
    Ok(())
}

#[test]
fn the_clock_starts_when_the_operation_is_waited_for() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let made_early = file.readline().timeout(ms(20));
    let begin = Instant::now();
    while begin.elapsed() < ms(30) {}
    let waited_for = Instant::now();
    assert_eq!(
        sched.block_on(made_early).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert!(waited_for.elapsed() >= ms(20));
    Ok(())
}

#[test]
fn a_task_that_works_long_before_it_waits_has_its_whole_time() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let waited_for = Cell::new(None);
    let mut sched = Scheduler::new();
    let task = sched.spawn(yield_now(), |task| {
        if waited_for.get().is_some() {
            return done(task.line().unwrap_err().kind());
        }
        // The time at which this turn began is long ago when the operation is waited for.
        while task.clock().elapsed() < ms(30) {}
        waited_for.set(Some(Instant::now()));
        wait(file.readline().timeout(ms(20)))
    });
    assert_eq!(sched.join(task)?, ErrorKind::TimedOut);
    assert!(waited_for.get().unwrap().elapsed() >= ms(20));
    Ok(())
}

#[test]
fn a_deadline_that_is_zero_asks_once() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let mut sched = Scheduler::new();
    assert_eq!(
        sched
            .block_on(file.readline().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    writer.write_all(b"there\nand half")?;
    assert_eq!(
        sched.block_on(file.readline().timeout(ZERO))?.as_deref(),
        Some(&b"there\n"[..])
    );
    assert_eq!(
        sched
            .block_on(file.readline().timeout(ZERO))
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    assert_eq!(file.buffered(), 8);
    Ok(())
}
