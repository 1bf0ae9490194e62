//! System calls.

use std::cell::Cell;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, yield_now, AsyncFile, End, Flow, Outcome, Scheduler};

use crate::counters::{calls, calls_of, calls_since, Calls};
use crate::descriptors::{guard, ms, pattern, pipe, pipe_to, sockets, Test, ZERO};

#[test]
fn a_sleep_of_200_ms_is_at_most_three_polls() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    sched.spawn(sleep(ms(200)), |task| done(task.ok()?));
    let start = Instant::now();
    let (counted, ended) = calls_of(|| sched.run());
    ended?;
    assert!(start.elapsed() >= ms(200));
    assert!((1..=3).contains(&counted.polls), "{counted:?}");
    Ok(())
}

#[test]
fn an_idle_loop_is_at_most_three_polls() -> Test {
    let _guard = guard();
    let (quiet, _writer) = pipe()?;
    let (socket, _peer) = sockets()?;
    let mut sched = Scheduler::new();
    for file in [&quiet, &socket] {
        sched.spawn(file.readline().timeout(ms(200)), |task| match task.end() {
            End::TimedOut => done(()),
            _ => panic!("nobody writes"),
        });
    }
    let (counted, ended) = calls_of(|| sched.run());
    ended?;
    // Two deadlines may be two turns.
    assert!(
        (1..=4).contains(&counted.polls) && counted.reads <= 2,
        "{counted:?}"
    );

    let single = sched.spawn(quiet.readline().timeout(ms(200)), |task| done(task.end()));
    let (counted, ended) = calls_of(|| sched.join(single));
    assert_eq!(ended?, End::TimedOut);
    assert!(
        (1..=3).contains(&counted.polls) && counted.reads <= 1,
        "{counted:?}"
    );
    Ok(())
}

#[test]
fn a_dead_peer_that_nobody_waits_for_costs_no_poll() -> Test {
    let _guard = guard();
    let (socket, peer) = sockets()?;
    let (reader, to) = pipe_to()?;
    let (from, writer) = pipe()?;
    drop((peer, reader, writer));
    let mut sched = Scheduler::new();
    sched.spawn(sleep(ms(200)), |task| {
        socket.close();
        to.close();
        from.close();
        done(task.ok()?)
    });
    let (counted, ended) = calls_of(|| sched.run());
    ended?;
    assert!((1..=3).contains(&counted.polls), "{counted:?}");
    Ok(())
}

#[test]
fn a_dead_peer_costs_no_more_polls_after_its_end_was_read() -> Test {
    let _guard = guard();
    let (socket, peer) = sockets()?;
    let at_the_end = Cell::new(None);
    let mut sched = Scheduler::new();
    sched.spawn(socket.readline(), |task| {
        if at_the_end.get().is_some() {
            return done(task.ok()?);
        }
        assert_eq!(task.line()?, None);
        at_the_end.set(Some(calls()));
        wait(sleep(ms(200)))
    });
    sched.turn(Some(ZERO))?;
    drop(peer);
    sched.run()?;
    let counted = calls_since(at_the_end.get().unwrap());
    assert!(
        (1..=3).contains(&counted.polls) && counted.reads == 0,
        "{counted:?}"
    );
    Ok(())
}

#[test]
fn a_peer_that_only_stopped_writing_does_not_wake_the_writer() -> Test {
    let _guard = guard();
    let (socket, peer) = sockets()?;
    peer.shutdown(std::net::Shutdown::Write)?;
    let mut sched = Scheduler::new();
    let writer = sched.spawn(
        socket.write(pattern(8 << 20)).full().timeout(ms(200)),
        |task| done(task.end()),
    );
    let (counted, ended) = calls_of(|| sched.join(writer));
    assert_eq!(ended?, End::TimedOut);
    assert!((1..=4).contains(&counted.polls), "{counted:?}");
    Ok(())
}

#[test]
fn a_chunk_of_64_kib_of_lines_is_one_read_and_one_poll() -> Test {
    let _guard = guard();
    const LINES: usize = 8192;
    let (file, mut writer) = pipe()?;
    writer.write_all(&b"1234567\n".repeat(LINES))?;
    let mut lines = 0;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        assert_eq!(task.line()?, Some(&b"1234567\n"[..]));
        lines += 1;
        if lines == LINES {
            return done(());
        }
        wait(file.readline())
    });
    let (counted, ended) = calls_of(|| sched.join(reader));
    ended?;
    assert_eq!(
        counted,
        Calls {
            polls: 1,
            reads: 1,
            writes: 0
        }
    );
    Ok(())
}

#[test]
fn a_chunk_of_64_kib_of_lines_at_once_is_one_read_and_one_poll() -> Test {
    let _guard = guard();
    const LINES: usize = 8192;
    let (file, mut writer) = pipe()?;
    writer.write_all(&b"1234567\n".repeat(LINES))?;
    let mut lines = 0;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readlines(), |task| {
        lines += task.lines()?.count();
        if lines == LINES {
            return done(());
        }
        wait(file.readlines())
    });
    let (counted, ended) = calls_of(|| sched.join(reader));
    ended?;
    assert_eq!(
        counted,
        Calls {
            polls: 1,
            reads: 1,
            writes: 0
        }
    );
    Ok(())
}

#[test]
fn a_write_that_fits_is_one_write_and_no_poll() -> Test {
    let _guard = guard();
    let (_reader, pipe) = pipe_to()?;
    let (socket, _peer) = sockets()?;
    let mut sched = Scheduler::new();
    for file in [&pipe, &socket] {
        for op in [file.write("it fits"), file.write(pattern(10_000)).full()] {
            let writer = sched.spawn(op, |task| done(task.written()?));
            let (counted, ended) = calls_of(|| sched.join(writer));
            ended?;
            assert_eq!(
                counted,
                Calls {
                    polls: 0,
                    reads: 0,
                    writes: 1
                }
            );
        }
        let (counted, ended) = calls_of(|| sched.block_on(file.write("it fits too")));
        ended?;
        assert_eq!(
            counted,
            Calls {
                polls: 0,
                reads: 0,
                writes: 1
            }
        );
    }
    Ok(())
}

#[test]
fn an_empty_write_and_a_read_of_size_0_are_no_call() -> Test {
    let _guard = guard();
    let (file, _peer) = sockets()?;
    let mut sched = Scheduler::new();
    let (counted, ended) = calls_of(|| {
        sched
            .block_on(file.write(""))
            .and(sched.block_on(file.read(0)))
    });
    ended?;
    assert_eq!(counted, Calls::default());
    Ok(())
}

#[test]
fn what_is_buffered_is_no_call() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"one\ntwo\nthree\nfour")?;
    let mut sched = Scheduler::new();
    let (counted, line) = calls_of(|| sched.block_on(file.readline()));
    line?;
    assert_eq!(
        counted,
        Calls {
            polls: 1,
            reads: 1,
            writes: 0
        }
    );
    let (counted, ended) = calls_of(|| {
        sched.block_on(file.readline())?;
        sched.block_on(file.readlines())?;
        sched.block_on(file.readable())?;
        sched.block_on(file.read(2))?;
        sched.block_on(file.read(2).full())
    });
    assert_eq!(ended?, b"ur");
    assert_eq!(counted, Calls::default());
    Ok(())
}

#[test]
fn work_that_is_ready_is_no_poll_while_nobody_waits_for_a_descriptor() -> Test {
    let _guard = guard();
    let mut rounds = 0;
    let mut sched = Scheduler::new();
    let busy = sched.spawn(yield_now(), |task| {
        task.ok()?;
        rounds += 1;
        if rounds == 1000 {
            return done(());
        }
        wait(yield_now())
    });
    let (counted, ended) = calls_of(|| sched.join(busy));
    ended?;
    assert_eq!(counted, Calls::default());
    Ok(())
}

/// One round trip is a message there and a message back, by two tasks over one pair of sockets,
/// each side reading as `read` says.
fn ping_pong<O: Into<asyncfile::Op>>(read: impl Fn(&AsyncFile) -> O) -> Test {
    const WARM: u64 = 10;
    const ROUNDS: u64 = 1000;
    let (ours, peer) = sockets()?;
    let theirs = AsyncFile::new(peer)?;
    let (mut trips, mut steady) = (0, Calls::default());
    let (mut sent, mut answered) = (false, true);
    let mut sched = Scheduler::new();
    let server = sched.spawn(read(&theirs), |task| {
        answered = !answered;
        if answered {
            task.ok()?;
            return wait(read(&theirs));
        }
        match task.end() {
            End::Eof => done(()),
            _ => wait(theirs.write("pong\n")),
        }
    });
    let client = sched.spawn(ours.write("ping\n"), |task| {
        sent = !sent;
        if sent {
            task.ok()?;
            return wait(read(&ours));
        }
        assert_eq!(task.end(), End::Complete);
        trips += 1;
        match trips {
            WARM => steady = calls(),
            _ if trips == WARM + ROUNDS => {
                ours.close();
                return done(calls_since(steady));
            }
            _ => {}
        }
        wait(ours.write("ping\n"))
    });
    assert_eq!(
        sched.join(client)?,
        Calls {
            polls: 2 * ROUNDS,
            reads: 2 * ROUNDS,
            writes: 2 * ROUNDS
        }
    );
    sched.join(server)?;
    Ok(())
}

#[test]
fn a_round_trip_of_lines_is_two_reads_two_writes_and_two_polls() -> Test {
    let _guard = guard();
    ping_pong(|file| file.readline())
}

#[test]
fn a_round_trip_of_frames_is_two_reads_two_writes_and_two_polls() -> Test {
    let _guard = guard();
    ping_pong(|file| file.read(5).full())
}

#[test]
fn a_round_trip_of_bytes_is_two_reads_two_writes_and_two_polls() -> Test {
    let _guard = guard();
    ping_pong(|file| file.read(100))
}

#[test]
fn a_timeout_on_each_line_costs_no_call() -> Test {
    let _guard = guard();
    ping_pong(|file| file.readline().timeout(Duration::from_secs(60)))
}

#[test]
fn in_a_foreign_loop_the_host_alone_calls_poll() -> Test {
    let _guard = guard();
    let (ours, peer) = sockets()?;
    let theirs = AsyncFile::new(peer)?;
    let trips = Cell::new(0u64);
    let mut sched = Scheduler::new();
    sched.spawn(theirs.readline(), |task| -> Flow {
        match task.outcome() {
            Outcome::Line(Some(line)) => wait(theirs.write(line)),
            Outcome::Written(_) => wait(theirs.readline()),
            other => panic!("{other:?}"),
        }
    });
    sched.spawn(ours.write("there and back\n"), |task| -> Flow {
        match task.outcome() {
            Outcome::Written(_) => wait(ours.readline()),
            Outcome::Line(Some(line)) => {
                trips.set(trips.get() + 1);
                wait(ours.write(line))
            }
            other => panic!("{other:?}"),
        }
    });
    let mut set = Vec::new();
    let before = calls();
    for _ in 0..100 {
        set.clear();
        let wait = sched
            .pollfds(&mut set)
            .map_or(-1, |wait| wait.as_millis() as i32);
        // SAFETY: the pointer and the length are those of one vector.
        assert!(unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, wait) } >= 0);
        assert_eq!(sched.dispatch(&set)?, 2);
    }
    assert_eq!(calls_since(before).polls, 100);
    assert!(trips.get() >= 30, "{} round trips are no work", trips.get());
    Ok(())
}

#[test]
fn a_large_read_is_as_many_reads_as_a_bare_loop_needs() -> Test {
    let _guard = guard();
    let mut regular = tempfile::tempfile()?;
    regular.write_all(&pattern(4 << 20))?;
    std::io::Seek::rewind(&mut regular)?;
    let file = AsyncFile::new(regular)?;
    let mut sched = Scheduler::new();
    let (counted, bytes) = calls_of(|| sched.block_on(file.read_to_end()));
    assert!(bytes? == pattern(4 << 20));
    // 64 KiB a read at the worst, and one that finds the end.
    assert!((2..=65).contains(&counted.reads), "{counted:?}");
    assert!(
        counted.polls <= 4 * 4 + 2,
        "an advance moves 256 KiB: {counted:?}"
    );
    Ok(())
}

#[test]
fn a_writer_that_had_to_wait_tries_again_when_poll_says_so_and_not_before() -> Test {
    let _guard = guard();
    let (mut reader, file) = pipe_to()?;
    let mut sched = Scheduler::new();
    let writer = sched.spawn(file.write(pattern(3 * 65536)).full(), |task| {
        done(task.written()?)
    });
    sched.turn(Some(ZERO))?;
    let (counted, ended) = calls_of(|| (0..10).try_for_each(|_| sched.turn(Some(ZERO)).map(drop)));
    ended?;
    assert_eq!(
        counted,
        Calls {
            polls: 10,
            reads: 0,
            writes: 0
        }
    );
    reader.read_exact(&mut vec![0; 65536])?;
    let (counted, ended) = calls_of(|| sched.turn(Some(ZERO)));
    assert_eq!(ended?, 1);
    assert!(
        counted.polls == 1 && (1..=2).contains(&counted.writes),
        "{counted:?}"
    );
    reader.read_exact(&mut vec![0; 65536])?;
    assert_eq!(sched.join(writer)?, 3 * 65536);
    Ok(())
}
