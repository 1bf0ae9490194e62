//! Promise 7: operations of one direction on one file are served in the order they were waited for,
//! and the two directions do not wait for each other.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};

use asyncfile::{done, wait, yield_now, AsyncFile, JoinHandle, Op, Outcome, Scheduler, TaskError};
use support::*;

#[test]
fn readers_of_one_file_are_served_in_the_order_they_waited() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let another_handle = file.clone();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "1", file.readline());
    logged(&mut sched, &log, "2", another_handle.read(3));
    logged(&mut sched, &log, "3", file.readline().limit(2));
    logged(&mut sched, &log, "4", another_handle.read(4).full());
    logged(&mut sched, &log, "5", file.read_to_end());
    settle(&mut sched);
    put(&writer, b"one\ntwothrefourfi");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["1: one\n", "2: two", "3: th", "4: refo"]);
    drop(writer);
    sched.run().unwrap();
    assert_eq!(log.borrow()[4], "5: urfi");
}

#[test]
fn two_readers_of_one_file_take_turns() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for name in ["a", "b"] {
        let (file, log) = (&file, &log);
        sched.spawn(file.readline(), move |task| match task.line()? {
            Some(line) => {
                log.borrow_mut()
                    .push(format!("{name}{}", text(line).trim_end()));
                wait(file.readline())
            }
            None => done(()),
        });
    }
    settle(&mut sched);
    put(&writer, b"0\n1\n2\n3\n4\n5\n");
    drop(writer);
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["a0", "b1", "a2", "b3", "a4", "b5"]);
}

#[test]
fn a_short_operation_does_not_overtake_a_long_one() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "long", file.read(8).full());
    put(&writer, b"a\nb\n");
    settle(&mut sched);
    logged(&mut sched, &log, "short", file.readline());
    settle(&mut sched);
    assert!(log.borrow().is_empty(), "{log:?}");
    put(&writer, b"c\nd\ne\n");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["long: a\nb\nc\nd\n", "short: e\n"]);
}

#[test]
fn a_reader_that_times_out_leaves_the_queue() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "head", file.readline().timeout(SHORT));
    logged(&mut sched, &log, "second", file.readline());
    logged(&mut sched, &log, "middle", file.readline().timeout(SHORT));
    logged(&mut sched, &log, "last", file.readline());
    put(&writer, b"par");
    turn_until(&mut sched, || log.borrow().len() == 2);
    put(&writer, b"tial\nnext\n");
    sched.run().unwrap();
    assert_eq!(log.borrow()[2..], ["second: partial\n", "last: next\n"]);
    log.borrow_mut().sort();
    assert_eq!(log.borrow()[0], "head: TimedOut");
    assert_eq!(log.borrow()[2], "middle: TimedOut");
}

#[test]
fn a_reader_that_is_cancelled_leaves_the_queue() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let head = logged(&mut sched, &log, "head", file.readline());
    logged(&mut sched, &log, "second", file.readline());
    let middle = logged(&mut sched, &log, "middle", file.readline());
    logged(&mut sched, &log, "last", file.readline());
    put(&writer, b"par");
    settle(&mut sched);
    head.cancel();
    middle.cancel();
    settle(&mut sched);
    put(&writer, b"tial\nnext\n");
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["second: partial\n", "last: next\n"]);
}

/// What the head of the queue had collected when it left may be all that the next one needs: no
/// further byte comes to wake it.
#[test]
fn the_next_in_the_queue_is_served_from_what_the_head_left() {
    let _watchdog = watchdog();
    for cancels in [true, false] {
        let (reader, writer) = pipe();
        let file = AsyncFile::new(reader).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        let head = match cancels {
            true => logged(&mut sched, &log, "head", file.readline()),
            false => logged(&mut sched, &log, "head", file.readline().timeout(SHORT)),
        };
        logged(&mut sched, &log, "next", file.read(100));
        put(&writer, b"part");
        settle(&mut sched);
        if cancels {
            head.cancel();
        }
        turn_until(&mut sched, || {
            log.borrow().last().is_some_and(|last| last == "next: part")
        });
    }
}

#[test]
fn writers_of_one_file_are_served_in_the_order_they_waited() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let size = 200_000;
    for (name, byte) in [("a", b'a'), ("b", b'b'), ("c", b'c')] {
        logged(&mut sched, &log, name, file.write(vec![byte; size]).full());
    }
    logged(&mut sched, &log, "d", file.write("d"));
    let mut received = Vec::new();
    while received.len() < 3 * size + 1 {
        sched.turn(Some(SHORT)).unwrap();
        received.extend(drain(&reader));
    }
    sched.run().unwrap();
    let expected = [
        vec![b'a'; size],
        vec![b'b'; size],
        vec![b'c'; size],
        b"d".to_vec(),
    ]
    .concat();
    assert!(received == expected, "the writes are mixed");
    assert_eq!(
        *log.borrow(),
        ["a: 200000", "b: 200000", "c: 200000", "d: 1"]
    );
}

/// The newcomer is looked at in the same turn as the news that there is room, and before the one
/// who waits for it.
#[test]
fn who_comes_when_there_is_room_or_data_again_does_not_overtake() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let filled = fill(&socket);
    let file = AsyncFile::new(socket).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "old writer", file.write("old "));
    logged(&mut sched, &log, "old reader", file.read(2));
    settle(&mut sched);
    logged(&mut sched, &log, "new writer", file.write("new"));
    logged(&mut sched, &log, "new reader", file.read(2));
    assert_eq!(drain(&peer).len(), filled);
    put(&peer, b"1 2 ");
    settle(&mut sched);
    assert_eq!(text(&drain(&peer)), "old new");
    log.borrow_mut().sort();
    assert_eq!(
        *log.borrow(),
        [
            "new reader: 2 ",
            "new writer: 3",
            "old reader: 1 ",
            "old writer: 4"
        ]
    );
}

#[test]
fn a_writer_that_times_out_or_is_cancelled_leaves_the_queue() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    fill(&writer);
    let file = AsyncFile::new(writer).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "late", file.write("late").timeout(SHORT));
    logged(&mut sched, &log, "second", file.write("second"));
    let cancelled = logged(&mut sched, &log, "cancelled", file.write("cancelled"));
    logged(&mut sched, &log, "last", file.write("last"));
    turn_until(&mut sched, || !log.borrow().is_empty());
    cancelled.cancel();
    settle(&mut sched);
    drain(&reader);
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["late: TimedOut", "second: 6", "last: 4"]);
    assert_eq!(text(&drain(&reader)), "secondlast");
}

/// One socket, one task that writes 1 MiB, one that reads it back from an echo: neither end holds
/// so much, so that neither task may wait for the other.
#[test]
fn two_tasks_use_one_socket_in_both_directions() {
    let _watchdog = watchdog();
    const TOTAL: usize = 16 << 20;
    let (socket, mut peer) = tcp_pair();
    let echo = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut left = TOTAL;
        while left > 0 {
            let n = peer.read(&mut buffer).unwrap();
            assert!(n > 0, "the socket was closed early");
            peer.write_all(&buffer[..n]).unwrap();
            left -= n;
        }
    });
    let sent: Vec<u8> = (0..)
        .flat_map(|n: u32| format!("line {n}\n").into_bytes())
        .take(TOTAL)
        .collect();
    let file = AsyncFile::new(socket).unwrap();
    let mut chunks = sent.chunks(16 << 10);
    let mut received = Vec::<u8>::new();
    let mut sched = Scheduler::new();
    let write = sched.spawn(file.write(chunks.next().unwrap()).full(), |task| {
        task.written()?;
        match chunks.next() {
            Some(chunk) => wait(file.write(chunk).full()),
            None => done(()),
        }
    });
    let read = sched.spawn(file.read(1 << 20), |task| {
        received.extend(task.bytes()?);
        match received.len() < TOTAL {
            true => wait(file.read(1 << 20)),
            false => done(()),
        }
    });
    sched.join(write).unwrap();
    sched.join(read).unwrap();
    drop(sched);
    assert!(received == sent);
    echo.join().unwrap();
}

#[test]
fn a_blocked_reader_does_not_keep_a_writer_waiting() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let file = AsyncFile::new(socket).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "reader", file.readline());
    settle(&mut sched);
    logged(&mut sched, &log, "writer", file.write("question\n"));
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["writer: 9"]);
    assert_eq!(drain(&peer), b"question\n");
    put(&peer, b"answer\n");
    sched.run().unwrap();
    assert_eq!(log.borrow()[1], "reader: answer\n");
}

/// Both files have a line in the same turn; who is resumed first cancels the other one, whose line
/// must still be in its file.
#[test]
fn a_task_cancelled_in_the_turn_its_line_arrived_leaves_the_line() {
    let _watchdog = watchdog();
    let pipes = [pipe(), pipe()];
    let files = pipes
        .each_ref()
        .map(|(reader, _)| AsyncFile::new(dup(reader)).unwrap());
    let handles = RefCell::new(Vec::<JoinHandle<()>>::new());
    let resumed = Cell::new(None);
    let drops = [CountDrops::default(), CountDrops::default()];
    let counts = drops.each_ref().map(|drops| drops.0.clone());
    let mut sched = Scheduler::new();
    for (me, body_drop) in drops.into_iter().enumerate() {
        let (handles_of_all, resumed) = (&handles, &resumed);
        let handle = sched.spawn(files[me].readline(), move |task| {
            let _alive = &body_drop;
            assert_eq!(task.line()?.unwrap(), format!("line {me}\n").as_bytes());
            assert_eq!(resumed.replace(Some(me)), None);
            handles_of_all.borrow()[1 - me].cancel();
            done(())
        });
        handles.borrow_mut().push(handle);
    }
    settle(&mut sched);
    for (me, (_, writer)) in pipes.iter().enumerate() {
        put(writer, format!("line {me}\n").as_bytes());
    }
    sched.run().unwrap();

    let other = 1 - resumed.get().unwrap();
    let cancelled = handles.borrow_mut()[other].take();
    assert!(matches!(cancelled, Some(Err(TaskError::Cancelled))));
    assert_eq!(counts.each_ref().map(|count| count.get()), [1, 1]);
    let kept = line(&mut sched, files[other].readline()).unwrap().unwrap();
    assert_eq!(kept, format!("line {other}\n").as_bytes());
}

/// A task waits from when it is spawned, not from when it is first looked at.
#[test]
fn a_task_that_is_spawned_by_another_takes_its_place_at_once() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let mut begun = false;
    let (file, log_of_all) = (&file, &log);
    sched.spawn(yield_now(), move |task| {
        if begun {
            log_of_all
                .borrow_mut()
                .push(format!("parent: {}", text(task.line()?.unwrap())));
            return done(());
        }
        begun = true;
        task.ok()?;
        task.spawn(file.readline(), |task| {
            log_of_all
                .borrow_mut()
                .push(format!("child: {}", text(task.line()?.unwrap())));
            done(())
        });
        wait(file.readline())
    });
    put(&writer, b"1\n2\n");
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["child: 1\n", "parent: 2\n"]);
}

#[test]
fn waiting_for_one_file_in_two_schedulers_is_an_error_at_once() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut one = Scheduler::new();
    let mut another = Scheduler::new();
    logged(&mut one, &log, "one", file.readline());
    logged(&mut one, &log, "readable", file.readable());
    settle(&mut one);
    // Those who wait do not feel the attempts.
    let attempts = [Op::from(file.readline()), file.readable().into()];
    let refused = attempts.map(|op| {
        another.spawn(op, |task| {
            done(matches!(task.outcome(), Outcome::Failed(_)))
        })
    });
    assert_eq!(
        refused.map(|task| another.join(task).unwrap()),
        [true, true]
    );
    put(&writer, b"first\nsecond\n");
    settle(&mut one);
    log.borrow_mut().sort();
    assert_eq!(*log.borrow(), ["one: first\n", "readable: ok"]);
    // Nobody waits in the first one now: the file has moved.
    assert_eq!(
        line(&mut another, file.readline()).unwrap().unwrap(),
        b"second\n"
    );
}

/// Who wants nothing takes nothing from anybody.
#[test]
fn what_has_a_size_of_0_ends_at_once_behind_whomever() {
    let _watchdog = watchdog();
    let (ours, theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    let reader = logged(&mut sched, &log, "line", file.readline());
    let writer = logged(
        &mut sched,
        &log,
        "much",
        file.write(vec![0; 4 << 20]).full(),
    );
    settle(&mut sched);
    logged(&mut sched, &log, "read", file.read(0));
    logged(&mut sched, &log, "full", file.read(0).full());
    logged(&mut sched, &log, "limit", file.read_to_end().limit(0));
    logged(&mut sched, &log, "write", file.write(""));
    settle(&mut sched);
    assert_eq!(
        *log.borrow(),
        ["read: ", "full: ", "limit: InvalidInput", "write: 0"]
    );
    assert!(!reader.is_finished() && !writer.is_finished());
    put(&theirs, b"go\n");
    sched.join(reader).unwrap();
}
