//! Promise 5: a deadline belongs to one operation, the whole of it. Lower bounds are exact; there
//! are no upper ones, besides the guard against a hang.

mod support;

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, yield_now, AsyncFile, End, Op, Scheduler};
use support::*;

#[test]
fn no_operation_times_out_early() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let (_reader, full) = pipe();
    fill(&full);
    let reading = AsyncFile::new(reader).unwrap();
    let writing = AsyncFile::new(full).unwrap();
    let mut sched = Scheduler::new();
    for micros in [1, 300, 900, 1_000, 1_100, 1_999, 7_000, 20_000] {
        let time = Duration::from_micros(micros);
        let ops: [Op; 6] = [
            reading.readline().timeout(time).into(),
            reading.read(1).timeout(time).into(),
            reading.read(2).full().timeout(time).into(),
            reading.read_to_end().timeout(time).into(),
            writing.write("x").timeout(time).into(),
            writing.write("xy").full().timeout(time).into(),
        ];
        for op in ops {
            let log = Log::default();
            let mut alone = Scheduler::new();
            let start = Instant::now();
            logged(&mut alone, &log, "op", op);
            alone.run().unwrap();
            assert!(
                start.elapsed() >= time,
                "{time:?}: after {:?}",
                start.elapsed()
            );
            assert_eq!(*log.borrow(), ["op: TimedOut"]);
        }
        let start = Instant::now();
        let slept = sched.spawn(sleep(time), |task| done(task.ok()?));
        sched.join(slept).unwrap();
        assert!(
            start.elapsed() >= time,
            "{time:?}: after {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_trickle_does_not_extend_a_deadline() {
    let _watchdog = watchdog();
    let ops: [fn(&AsyncFile) -> Op; 3] = [
        |file| file.readline().timeout(4 * SHORT).into(),
        |file| file.read(usize::MAX).full().timeout(4 * SHORT).into(),
        |file| file.read_to_end().timeout(4 * SHORT).into(),
    ];
    for op in ops {
        let (reader, writer) = pipe();
        let beside = dup(&reader);
        let file = AsyncFile::new(reader).unwrap();
        let ended = Cell::new(None);
        let start = Instant::now();
        let mut sched = Scheduler::new();
        sched.spawn(op(&file), |task| {
            ended.set(Some(start.elapsed()));
            assert_eq!(task.end(), End::TimedOut);
            done(())
        });
        let mut sent = 0;
        while ended.get().is_none() {
            if pending(&beside) == 0 {
                put(&writer, b".");
                sent += 1;
            }
            sched.turn(Some(Duration::from_millis(1))).unwrap();
            assert!(start.elapsed() < LONG, "each byte extends the deadline");
        }
        assert!(ended.get().unwrap() >= 4 * SHORT);
        assert!(sent > 1, "not a trickle");
    }
}

#[test]
fn a_trickle_of_room_does_not_extend_the_deadline_of_a_full_write() {
    let _watchdog = watchdog();
    const SIZE: usize = 64 << 20;
    let (reader, writer) = pipe();
    fill(&writer);
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    let write = sched.spawn(
        file.write(vec![b'x'; SIZE]).full().timeout(4 * SHORT),
        |task| done((task.written()?, task.end())),
    );
    let tick = Duration::from_millis(1);
    let mut trickles = 0;
    while !write.is_finished() {
        if start.elapsed() > trickles * tick {
            get(&reader, 4096); // a page, so that there is room
            trickles += 1;
        }
        sched.turn(Some(tick)).unwrap();
        assert!(start.elapsed() < LONG, "progress extends the deadline");
    }
    assert!(start.elapsed() >= 4 * SHORT);
    let (count, end) = sched.join(write).unwrap();
    assert_eq!(end, End::TimedOut);
    assert!(0 < count && count < SIZE);
}

/// The task is busy for longer than the timeout before it waits: the clock is read afresh then, and
/// not taken from the beginning of the turn.
#[test]
fn a_deadline_counts_from_when_the_operation_is_waited_for() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut waiting_since = None;
    let mut sched = Scheduler::new();
    let task = sched.spawn(yield_now(), move |task| match waiting_since {
        None => {
            task.ok()?;
            let busy = Instant::now();
            while busy.elapsed() < 2 * SHORT {}
            waiting_since = Some(Instant::now());
            wait(file.readline().timeout(SHORT))
        }
        Some(since) => {
            assert_eq!(task.line().unwrap_err().kind(), ErrorKind::TimedOut);
            done(since.elapsed())
        }
    });
    let waited = sched.join(task).unwrap();
    assert!(waited >= SHORT, "{waited:?}");
}

#[test]
fn a_sleep_counts_from_when_it_is_waited_for() {
    let _watchdog = watchdog();
    let mut waiting_since = None;
    let mut sched = Scheduler::new();
    let task = sched.spawn(yield_now(), move |task| {
        task.ok()?;
        match waiting_since {
            None => {
                let busy = Instant::now();
                while busy.elapsed() < 2 * SHORT {}
                waiting_since = Some(Instant::now());
                wait(sleep(SHORT))
            }
            Some(since) => done(since.elapsed()),
        }
    });
    let slept = sched.join(task).unwrap();
    assert!(slept >= SHORT, "{slept:?}");
}

#[test]
fn each_operation_of_a_task_has_its_own_deadline() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"before\n");
    let mut lines = 0;
    let task = sched.spawn(file.readline().timeout(SHORT), move |task| {
        task.line()?;
        lines += 1;
        match lines {
            1 => wait(file.readline()), // no timeout: the one before is no longer felt
            _ => done(()),
        }
    });
    let start = Instant::now();
    while start.elapsed() < 2 * SHORT {
        sched.turn(Some(SHORT)).unwrap();
    }
    put(&writer, b"after\n");
    sched.join(task).unwrap();
}

#[test]
fn the_other_direction_does_not_feel_a_deadline() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let filled = fill(&socket);
    let beside = dup(&socket);
    let file = AsyncFile::new(socket).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "write", file.write("sent"));
    logged(&mut sched, &log, "read", file.read(10).timeout(SHORT));
    turn_until(&mut sched, || !log.borrow().is_empty());
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["read: TimedOut"]);
    assert_eq!(drain(&peer).len(), filled);
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["read: TimedOut", "write: 4"]);
    assert_eq!(drain(&peer), b"sent");

    // The other way round.
    log.borrow_mut().clear();
    fill(&beside);
    logged(&mut sched, &log, "read", file.read(10));
    logged(&mut sched, &log, "write", file.write("x").timeout(SHORT));
    turn_until(&mut sched, || !log.borrow().is_empty());
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["write: TimedOut"]);
    put(&peer, b"received");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["write: TimedOut", "read: received"]);
}

/// The scheduler is not turned until both the data and the deadline are there.
#[test]
fn data_beats_the_deadline() {
    let _watchdog = watchdog();
    type Case = (fn(&AsyncFile) -> Op, &'static str);
    let cases: [Case; 5] = [
        (|file| file.readline().timeout(SHORT).into(), "op: li\n"),
        (
            |file| file.readline().limit(2).timeout(SHORT).into(),
            "op: li",
        ),
        (|file| file.read(9).timeout(SHORT).into(), "op: li\n"),
        (|file| file.read(3).full().timeout(SHORT).into(), "op: li\n"),
        (|file| file.read(9).full().timeout(SHORT).into(), "op: li\n"), // too few: the bytes so far
    ];
    for (op, expected) in cases {
        let (reader, writer) = pipe();
        let file = AsyncFile::new(reader).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        let start = Instant::now();
        logged(&mut sched, &log, "op", op(&file));
        sched.turn(Some(Duration::ZERO)).unwrap();
        assert!(log.borrow().is_empty());
        while start.elapsed() < 2 * SHORT {}
        put(&writer, b"li\n");
        settle(&mut sched);
        assert_eq!(*log.borrow(), [expected]);
    }
}

#[test]
fn room_beats_the_deadline() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    fill(&writer);
    let file = AsyncFile::new(writer).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    logged(&mut sched, &log, "write", file.write("late").timeout(SHORT));
    sched.turn(Some(Duration::ZERO)).unwrap();
    assert!(log.borrow().is_empty());
    while start.elapsed() < 2 * SHORT {}
    drain(&reader);
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["write: 4"]);
}

#[test]
fn operations_time_out_in_the_order_of_their_deadlines() {
    let _watchdog = watchdog();
    let streams: Vec<_> = (0..3).map(|_| pipe()).collect();
    let files: Vec<_> = streams
        .iter()
        .map(|(reader, _)| AsyncFile::new(dup(reader)).unwrap())
        .collect();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(
        &mut sched,
        &log,
        "third",
        files[0].readline().timeout(5 * SHORT),
    );
    logged(
        &mut sched,
        &log,
        "first",
        files[1].readline().timeout(SHORT),
    );
    logged(
        &mut sched,
        &log,
        "second",
        files[2].readline().timeout(3 * SHORT),
    );
    sched.run().unwrap();
    assert_eq!(
        *log.borrow(),
        ["first: TimedOut", "second: TimedOut", "third: TimedOut"]
    );
}

#[test]
fn a_duration_of_max_is_never() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let (drain_end, full) = pipe();
    fill(&full);
    let reading = AsyncFile::new(reader).unwrap();
    let writing = AsyncFile::new(full).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let asleep = logged(&mut sched, &log, "sleep", sleep(Duration::MAX));
    logged(
        &mut sched,
        &log,
        "readline",
        reading.readline().timeout(Duration::MAX),
    );
    logged(
        &mut sched,
        &log,
        "write",
        writing.write("x").timeout(Duration::MAX),
    );
    settle(&mut sched);
    // Nearly never is not now either.
    sched.turn(Some(Duration::from_millis(1))).unwrap();
    assert!(log.borrow().is_empty(), "{log:?}");

    put(&writer, b"line\n");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["readline: line\n"]);
    drain(&drain_end);
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["readline: line\n", "write: 1"]);
    asleep.cancel();
    assert_eq!(sched.turn(Some(Duration::ZERO)).unwrap(), 0);
}

#[test]
fn durations_near_max_neither_overflow_nor_end() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let days = |n: u64| Duration::from_secs(n * 24 * 60 * 60);
    for time in [
        Duration::MAX - Duration::from_nanos(1),
        Duration::MAX / 2,
        days(25),
        days(50),
    ] {
        logged(&mut sched, &log, "readline", file.readline().timeout(time));
    }
    settle(&mut sched);
    sched.turn(Some(Duration::from_millis(1))).unwrap();
    assert!(log.borrow().is_empty(), "{log:?}");
    put(&writer, b"1\n2\n3\n4\n");
    sched.run().unwrap();
    assert_eq!(log.borrow().len(), 4);
}

#[test]
fn a_duration_of_zero_is_what_can_be_had_without_waiting() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let zero = Duration::ZERO;

    assert_eq!(
        kind(line(&mut sched, file.readline().timeout(zero))),
        ErrorKind::TimedOut
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read(4).timeout(zero))),
        ErrorKind::TimedOut
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read(4).full().timeout(zero))),
        ErrorKind::TimedOut
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read_to_end().timeout(zero))),
        ErrorKind::TimedOut
    );

    // In the kernel, and then in the buffer.
    put(&writer, b"one\ntwo\npart");
    for expected in [b"one\n", b"two\n"] {
        let line = line(&mut sched, file.readline().timeout(zero))
            .unwrap()
            .unwrap();
        assert_eq!(line, expected);
    }
    assert_eq!(
        kind(line(&mut sched, file.readline().timeout(zero))),
        ErrorKind::TimedOut
    );
    assert_eq!(file.buffered(), 4);
    let cut = bytes(&mut sched, file.read(9).full().timeout(zero)).unwrap();
    assert_eq!(cut, (b"part".to_vec(), End::TimedOut));

    put(&writer, b"all that is there");
    let cut = bytes(&mut sched, file.read_to_end().timeout(zero)).unwrap();
    assert_eq!(cut, (b"all that is there".to_vec(), End::TimedOut));
    drop(writer);
    let end = bytes(&mut sched, file.read_to_end().timeout(zero)).unwrap();
    assert_eq!(end, (vec![], End::Eof));
    assert_eq!(
        line(&mut sched, file.readline().timeout(zero)).unwrap(),
        None
    );
}

#[test]
fn a_write_with_a_duration_of_zero_takes_what_fits() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let zero = Duration::ZERO;
    assert_eq!(
        written(&mut sched, file.write("fits").timeout(zero)).unwrap(),
        (4, End::Complete)
    );
    let much = vec![b'x'; 4 << 20];
    let (count, end) = written(&mut sched, file.write(&much).full().timeout(zero)).unwrap();
    assert!(0 < count && count < much.len());
    assert_eq!(end, End::TimedOut);
    assert_eq!(
        kind(written(&mut sched, file.write("x").timeout(zero))),
        ErrorKind::TimedOut
    );
    assert_eq!(drain(&reader).len(), 4 + count);
}

/// An operation that another one keeps waiting in the queue times out all the same.
#[test]
fn a_deadline_is_felt_in_the_queue() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    logged(&mut sched, &log, "first", file.readline());
    logged(&mut sched, &log, "queued", file.readline().timeout(SHORT));
    turn_until(&mut sched, || !log.borrow().is_empty());
    assert!(start.elapsed() >= SHORT);
    assert_eq!(*log.borrow(), ["queued: TimedOut"]);
    put(&writer, b"line\n");
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["queued: TimedOut", "first: line\n"]);
}

/// TCP_USER_TIMEOUT: the kernel gives a connection up whose peer takes nothing, with ETIMEDOUT.
/// That is an error of the file, not the deadline of an operation, which has none here.
#[cfg(target_os = "linux")]
#[test]
fn a_timeout_of_the_kernel_is_not_a_deadline() {
    use std::os::fd::AsRawFd;
    let _watchdog = watchdog();
    let (socket, _peer) = tcp_pair();
    let time: libc::c_uint = 100;
    // SAFETY: the option's value is an unsigned int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            (&raw const time).cast(),
            size_of_val(&time) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    let file = AsyncFile::new(socket).unwrap();
    let mut sched = Scheduler::new();
    // More than the peer's window takes, so that some of it waits to be sent.
    let filled = written(
        &mut sched,
        file.write(vec![0; 64 << 20]).full().timeout(SHORT),
    );
    assert_eq!(filled.unwrap().1, End::TimedOut);
    let failed = sched.spawn(file.readline(), |task| {
        let end = task.end();
        done((end, task.line().unwrap_err().to_string()))
    });
    let (end, message) = sched.join(failed).unwrap();
    assert!(
        message.ends_with(&std::io::Error::from_raw_os_error(libc::ETIMEDOUT).to_string()),
        "{message}"
    );
    assert_eq!(end, End::Failed);
}

/// Zero is what can be had without waiting: an end behind the bytes, too.
#[test]
fn a_deadline_that_comes_with_bytes_has_the_end_behind_them() {
    let _watchdog = watchdog();
    let zero = Duration::ZERO;
    let ended = |bytes: &[u8]| {
        let (reader, writer) = pipe();
        put(&writer, bytes);
        AsyncFile::new(reader).unwrap()
    };
    let mut sched = Scheduler::new();
    let ops = [
        Op::from(ended(b"all").read_to_end().timeout(zero)),
        ended(b"all").read(10).full().timeout(zero).into(),
    ];
    for op in ops {
        let task = sched.spawn(op, |task| done((task.end(), task.bytes()?.to_vec())));
        assert_eq!(sched.join(task).unwrap(), (End::Eof, b"all".to_vec()));
    }
    let line = sched
        .block_on(ended(b"last").readline().timeout(zero))
        .unwrap();
    assert_eq!(line.as_deref(), Some(&b"last"[..]));
}

/// What has come by the deadline's turn is had, in however many reads: the first ones took no more
/// than their windows.
#[test]
fn a_deadline_that_comes_with_bytes_has_those_behind_them() {
    let _watchdog = watchdog();
    const LINE: &[u8] = b"a line of thirty-five bytes, or so\n";
    let mut sched = Scheduler::new();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    put(&writer, LINE);
    put(&writer, b"rest");
    let line = sched
        .block_on(file.readline().size_hint(10).timeout(Duration::ZERO))
        .unwrap()
        .unwrap();
    assert_eq!(line, LINE);
    let file = AsyncFile::new(regular(LINE)).unwrap();
    let line = sched
        .block_on(file.readline().size_hint(10).timeout(Duration::ZERO))
        .unwrap()
        .unwrap();
    assert_eq!(line, LINE);

    // Beside the part of a line that is held, there is room for a part of what has come.
    let (ours, theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    put(&theirs, &[b'x'; 40_000]);
    let line = sched.spawn(file.readline().timeout(SHORT), |task| {
        done(task.line()?.map(<[u8]>::len))
    });
    settle(&mut sched);
    std::thread::sleep(2 * SHORT);
    put(&theirs, &[b'y'; 60_000]);
    put(&theirs, b"\n");
    assert_eq!(sched.join(line).unwrap(), Some(100_001));
}

/// On a pipe that blocks, a call writes no more than a page.
#[test]
fn a_deadline_that_comes_with_room_has_all_of_it() {
    let _watchdog = watchdog();
    let (_reader, writer) = pipe();
    let file = AsyncFile::duplicate(&writer).unwrap();
    let mut sched = Scheduler::new();
    let all = written(
        &mut sched,
        file.write(vec![0; 8192]).full().timeout(Duration::ZERO),
    );
    assert_eq!(all.unwrap(), (8192, End::Complete));
}

/// A source that always has more does not keep an operation beyond its deadline: it has its share
/// then.
#[test]
fn a_deadline_ends_what_never_has_to_wait() {
    let _watchdog = watchdog();
    let file = AsyncFile::new(std::fs::File::open("/dev/zero").unwrap()).unwrap();
    let mut sched = Scheduler::new();
    for after in [Duration::ZERO, SHORT] {
        let (bytes, end) = bytes(&mut sched, file.read_to_end().timeout(after)).unwrap();
        assert_eq!((bytes.is_empty(), end), (false, End::TimedOut));
    }
    let reader = file.readline().size_hint(1).timeout(Duration::ZERO);
    assert_eq!(kind(sched.block_on(reader)), ErrorKind::TimedOut);
}
