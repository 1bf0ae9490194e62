//! Memory: what a task is, what a resume and an operation are, and what somebody who waits holds.

use std::cell::Cell;
use std::io::{Read, Write};
use std::mem::size_of_val;
use std::os::fd::AsFd;
use std::time::Duration;

use asyncfile::{done, sleep, then, wait, yield_now, AsyncFile, Flow, Next, Scheduler, Task};

use crate::counters::memory;
use crate::descriptors::{guard, ms, pattern, pipe, pipe_to, sockets, Test, HOUR, ZERO};

/// How many allocations `run` makes.
fn allocations_of<T>(run: impl FnOnce() -> T) -> (u64, T) {
    let before = memory().allocations;
    let value = run();
    (memory().allocations - before, value)
}

/// A scheduler whose tables have room for some hundred tasks, whatever they wait for.
fn warm<'t>() -> Result<Scheduler<'t>, asyncfile::TaskError> {
    let mut sched = Scheduler::new();
    for _ in 0..200 {
        sched.spawn(sleep(ms(1)), |task| done(task.ok()?));
        let mut rounds = 0;
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            rounds += 1;
            if rounds == 3 {
                return done(());
            }
            wait(yield_now())
        });
    }
    sched.run()?;
    Ok(sched)
}

#[test]
fn a_task_is_two_allocations_when_it_is_spawned_and_none_later() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    let resumed = Cell::new(0u64);
    let mut sched = warm()?;
    // A line has been read before, so that the file and the pool have what they keep.
    writer.write_all(b"first\n")?;
    sched.block_on(file.readline())?;
    for reads in [false, true, false, true] {
        let body = |task: &mut Task<'_, '_>| -> Flow<u64> {
            task.end();
            resumed.set(resumed.get() + 1);
            if resumed.get() % 2 == 1 {
                return wait(yield_now());
            }
            done(resumed.get())
        };
        assert!(
            size_of_val(&body) > 0,
            "a closure that owns nothing needs no allocation"
        );
        let (spawned, handle) = if reads {
            writer.write_all(b"a line\n")?;
            allocations_of(|| sched.spawn(file.readline(), body))
        } else {
            allocations_of(|| sched.spawn(yield_now(), body))
        };
        assert_eq!(spawned, 2, "the body, and the slot that its handle shares");
        let (ran, value) = allocations_of(|| sched.join(handle));
        value?;
        assert_eq!(ran, 0);
    }
    Ok(())
}

#[test]
fn a_task_that_is_spawned_by_a_task_is_two_allocations() -> Test {
    let _guard = guard();
    let cell = Cell::new(0);
    let mut sched = warm()?;
    let parent = sched.spawn(yield_now(), |task| {
        task.ok()?;
        let cell = &cell;
        let (spawned, _) = allocations_of(|| {
            task.spawn(yield_now(), move |task| {
                task.ok()?;
                done(cell.set(1))
            })
        });
        done(spawned)
    });
    assert_eq!(sched.join(parent)?, 2);
    sched.run()?;
    assert_eq!(cell.get(), 1);
    Ok(())
}

#[test]
fn resumes_and_sleeps_are_no_allocation() -> Test {
    let _guard = guard();
    let mut rounds = 0;
    let mut sched = warm()?;
    let task = sched.spawn(yield_now(), |task| {
        task.ok()?;
        rounds += 1;
        match rounds {
            1000 => done(()),
            n if n % 100 == 0 => wait(sleep(ms(1))),
            _ => wait(yield_now()),
        }
    });
    let (allocations, ended) = allocations_of(|| sched.join(task));
    ended?;
    assert_eq!(allocations, 0);
    Ok(())
}

struct PingPong {
    here: AsyncFile,
    there: AsyncFile,
    trips: u32,
    warm: u64,
}

impl PingPong {
    fn send(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        task.ok()?;
        self.trips += 1;
        match self.trips {
            // Some turns later: a task that always can go on lets others have theirs only now and
            // then.
            500 => self.warm = memory().allocations,
            2000 => return Next::done(),
            _ => {}
        }
        then(self.here.write(b"some bytes\n").full(), Self::arrive)
    }

    fn arrive(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        task.ok()?;
        then(self.there.readline().timeout(HOUR), Self::answer)
    }

    fn answer(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        then(self.there.write(task.line()?.unwrap()), Self::come_back)
    }

    fn come_back(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        assert_eq!(task.written()?, 11);
        then(self.here.read(11).full(), Self::check)
    }

    fn check(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        assert_eq!(task.bytes()?, b"some bytes\n");
        then(sleep(Duration::ZERO), Self::send)
    }
}

#[test]
fn reads_and_writes_of_every_kind_are_no_allocation() -> Test {
    let _guard = guard();
    let (here, peer) = sockets()?;
    let there = AsyncFile::new(peer)?;
    let mut sched = warm()?;
    let task = sched.spawn_states(
        yield_now(),
        PingPong {
            here,
            there,
            trips: 0,
            warm: 0,
        },
        PingPong::send,
    );
    let last = sched.join(task)?;
    assert_eq!(memory().allocations - last.warm, 0);
    Ok(())
}

#[test]
fn a_write_that_waits_is_no_allocation_when_another_has_waited_before() -> Test {
    let _guard = guard();
    let (reader, file) = pipe_to()?;
    let reader = AsyncFile::new(reader)?;
    let data = pattern(50_000);
    let (mut rounds, mut warm_at) = (0, 0);
    let mut sched = Scheduler::new();
    let drain = sched.spawn(reader.read(65536), |task| match task.bytes()? {
        [] => done(()),
        _ => wait(reader.read(65536)),
    });
    let writer = sched.spawn(yield_now(), |task| {
        task.ok()?;
        rounds += 1;
        match rounds {
            10 => warm_at = memory().allocations,
            100 => {
                file.close();
                return done(memory().allocations - warm_at);
            }
            _ => {}
        }
        wait(file.write(&data).full())
    });
    assert_eq!(
        sched.join(writer)?,
        0,
        "what is copied goes into a buffer that was used before"
    );
    sched.join(drain)?;
    Ok(())
}

#[test]
fn a_reader_that_has_timed_out_holds_no_read_buffer() -> Test {
    let _guard = guard();
    const READERS: usize = 100;
    let sockets: Vec<_> = std::iter::repeat_with(std::os::unix::net::UnixStream::pair)
        .take(READERS)
        .collect::<Result<_, _>>()?;
    let files = (sockets.iter())
        .map(|(_, ours)| AsyncFile::new(ours.try_clone()?))
        .collect::<Result<Vec<_>, _>>()?;
    let timed_out = Cell::new(0);
    let mut sched = Scheduler::new();
    let before = memory().live;
    for file in &files {
        let timed_out = &timed_out;
        sched.spawn(file.readline().timeout(ZERO), move |task| -> Flow {
            assert_eq!(
                task.line().unwrap_err().kind(),
                std::io::ErrorKind::TimedOut
            );
            timed_out.set(timed_out.get() + 1);
            wait(file.readline())
        });
    }
    while timed_out.get() < READERS {
        sched.turn(None)?;
    }
    sched.turn(Some(ZERO))?;
    let each = (memory().live - before) / READERS as i64;
    assert!(each < 16 * 1024, "{each} bytes each");
    Ok(())
}

#[test]
fn a_blocked_reader_holds_no_read_buffer() -> Test {
    let _guard = guard();
    const READERS: usize = 200;
    let (files, mut writers): (Vec<_>, Vec<_>) = std::iter::repeat_with(pipe)
        .take(READERS)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .unzip();
    let lines = Cell::new(0);
    let mut sched = Scheduler::new();
    let before = memory().live;
    for file in &files {
        let lines = &lines;
        sched.spawn(file.readline(), move |task| -> Flow {
            lines.set(lines.get() + task.line()?.iter().len());
            wait(file.readline())
        });
    }
    let mut held_after = |sched: &mut Scheduler<'_>,
                          text: &[u8],
                          lines_then: usize|
     -> Result<i64, Box<dyn std::error::Error>> {
        for writer in &mut writers {
            writer.write_all(text)?;
        }
        while lines.get() < lines_then
            || files.iter().any(|file| {
                file.buffered() != text.len() - 1 - text.iter().rposition(|&b| b == b'\n').unwrap()
            })
        {
            sched.turn(None)?;
        }
        sched.turn(Some(ZERO))?;
        Ok((memory().live - before) / READERS as i64)
    };
    // Each has read a line; the pool may keep a few buffers of 64 KiB for all of them.
    let held = held_after(&mut sched, b"a line\n", READERS)?;
    assert!(held < 2_000, "{held} bytes for each blocked reader");
    // Half a line is kept in a small buffer of its own.
    let held = held_after(&mut sched, b"a line\nand half a line", 2 * READERS)?;
    assert!(
        held < 6_000,
        "{held} bytes for each reader with half a line"
    );
    // And that is given back with the line.
    let held = held_after(&mut sched, b", whole\n", 3 * READERS)?;
    assert!(
        held < 2_000,
        "{held} bytes for each blocked reader after half a line"
    );
    Ok(())
}

#[test]
fn a_long_line_s_buffer_is_not_kept_when_it_is_empty() -> Test {
    let _guard = guard();
    const READERS: usize = 16;
    const LENGTH: usize = 1 << 20;
    let mut sched = Scheduler::new();
    let before = memory().live;
    let mut files = Vec::new();
    for _ in 0..READERS {
        let (file, mut writer) = pipe()?;
        let other_side = std::thread::spawn(move || {
            writer
                .write_all(&[vec![b'x'; LENGTH], vec![b'\n']].concat())
                .map(|()| writer)
        });
        assert_eq!(
            sched.block_on(file.readline())?.map(|line| line.len()),
            Some(LENGTH + 1)
        );
        let blocked = file.clone();
        sched.spawn(file.readline(), move |task| {
            let _owned = &blocked;
            done(task.line()?.is_some())
        });
        sched.turn(Some(ZERO))?;
        files.push((file, other_side.join().unwrap()?));
    }
    let held = memory().live - before;
    assert!(
        held < (READERS * LENGTH / 4) as i64,
        "{held} bytes for {READERS} blocked readers"
    );
    Ok(())
}

/// The bytes for each of `count` tasks that `spawn` made and one turn has put to wait, without the
/// closure's own.
fn cost_of_idle_tasks<'t>(
    sched: &mut Scheduler<'t>,
    count: usize,
    mut spawn: impl FnMut(&mut Scheduler<'t>, usize) -> usize,
) -> Result<f64, asyncfile::TaskError> {
    let before = memory().live;
    let mut closures = 0;
    for nth in 0..count {
        closures += spawn(sched, nth);
    }
    assert_eq!(sched.turn(Some(ZERO))?, count);
    Ok((memory().live - before - closures as i64) as f64 / count as f64)
}

#[test]
fn ten_thousand_sleeping_tasks_are_at_most_300_bytes_each() -> Test {
    let _guard = guard();
    let witness = Cell::new(0u64);
    let mut sched = Scheduler::new();
    let cost = cost_of_idle_tasks(&mut sched, 10_000, |sched, nth| {
        let witness = &witness;
        let body = move |task: &mut Task<'_, '_>| {
            witness.set(witness.get() + nth as u64);
            done(task.ok()?)
        };
        let size = size_of_val(&body);
        sched.spawn(sleep(HOUR), body);
        size
    })?;
    assert!((1.0..=300.0).contains(&cost), "{cost} bytes for each task");
    Ok(())
}

#[test]
fn ten_thousand_tasks_that_wait_for_lines_are_at_most_300_bytes_each() -> Test {
    let _guard = guard();
    // As many descriptors as the system gives; all of them are one silent pipe.
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid struct, twice.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let count = (limit.rlim_cur as usize).saturating_sub(2_000).min(10_000);
    assert!(
        count >= 1_000,
        "a limit of {} descriptors is too small to measure",
        limit.rlim_cur
    );
    let (reader, _writer) = std::io::pipe()?;
    let files = (0..count)
        .map(|_| AsyncFile::new(reader.as_fd().try_clone_to_owned()?))
        .collect::<Result<Vec<_>, _>>()?;
    let witness = Cell::new(0u64);
    let mut sched = Scheduler::new();
    let cost = cost_of_idle_tasks(&mut sched, count, |sched, nth| {
        let witness = &witness;
        let body = move |task: &mut Task<'_, '_>| {
            witness.set(witness.get() + nth as u64);
            done(task.line()?.is_some())
        };
        let size = size_of_val(&body);
        sched.spawn(files[nth].readline().timeout(HOUR), body);
        size
    })?;
    assert!((1.0..=300.0).contains(&cost), "{cost} bytes for each task");
    Ok(())
}

#[test]
fn a_task_that_has_ended_leaves_nothing() -> Test {
    let _guard = guard();
    let (mut reader, file) = pipe_to()?;
    let mut sched = warm()?;
    let mut round = |sched: &mut Scheduler<'_>| -> Test {
        for _ in 0..100 {
            let writer = sched.spawn(file.write("some bytes").full().timeout(HOUR), |task| {
                done(task.written()?.to_string())
            });
            assert_eq!(sched.join(writer)?, "10");
            reader.read_exact(&mut [0; 10])?;
        }
        Ok(())
    };
    round(&mut sched)?;
    let before = memory().live;
    for _ in 0..10 {
        round(&mut sched)?;
    }
    assert_eq!(memory().live, before);
    Ok(())
}

/// A heap entry stays when its operation ends in time. If no deadline ever comes, such entries must
/// be dropped all the same: each of these tasks has a timeout of an hour.
#[test]
fn entries_of_deadlines_that_never_come_do_not_pile_up() -> Test {
    let _guard = guard();
    let (file, mut peer) = sockets()?;
    let mut sched = warm()?;
    let mut rounds = |count: usize| -> Test {
        for _ in 0..count {
            let reader = sched.spawn(file.readline().timeout(HOUR), |task| {
                done(task.line()?.map_or(0, <[u8]>::len))
            });
            sched.turn(Some(ZERO))?; // it blocks, and its clock starts
            peer.write_all(b"line\n")?;
            assert_eq!(sched.join(reader)?, 5);
        }
        Ok(())
    };
    rounds(1_000)?;
    let before = memory().live;
    rounds(5_000)?;
    assert!(memory().live - before < 4_096, "bytes that are left");
    Ok(())
}
