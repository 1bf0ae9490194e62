//! readable and writable, readlines, and block_on: how they fit into promises 1 to 7.

mod support;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use asyncfile::{done, wait, AsyncFile, End, Scheduler};
use support::*;

// readable, writable

#[test]
fn readable_is_true_while_bytes_are_buffered() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\nrest");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"line\n"
    );
    sched.block_on(file.readable()).unwrap();
    sched.block_on(file.readable()).unwrap();
    assert_eq!(bytes(&mut sched, file.read(9)).unwrap().0, b"rest");
    let not_now = sched.block_on(file.readable().timeout(SHORT));
    assert_eq!(kind(not_now), ErrorKind::TimedOut);
}

/// What wakes is not the kernel, which has nothing more, but the other reader, which has read
/// ahead.
#[test]
fn readable_is_true_for_what_another_reader_left_in_the_buffer() {
    let _watchdog = watchdog();
    for (sent, ended) in [
        ("line\nrest", vec!["readable: ok", "reader: line\n"]),
        ("part", vec!["readable: ok"]),
    ] {
        let (reader, writer) = pipe();
        let file = AsyncFile::new(reader).unwrap();
        let log = Log::default();
        let mut sched = Scheduler::new();
        logged(&mut sched, &log, "reader", file.readline());
        settle(&mut sched);
        // It comes to wait in the turn in which the reader takes everything.
        logged(&mut sched, &log, "readable", file.readable());
        put(&writer, sent.as_bytes());
        settle(&mut sched);
        assert_eq!(file.buffered(), 4);
        log.borrow_mut().sort();
        assert_eq!(*log.borrow(), ended);
    }
}

#[test]
fn readable_takes_nothing() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "readable", file.readable());
    settle(&mut sched);
    assert!(log.borrow().is_empty(), "{log:?}");
    put(&writer, b"x");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["readable: ok"]);
    assert_eq!(file.buffered(), 0);
    assert_eq!(get(&beside, 9), b"x");
}

#[test]
fn an_end_of_file_is_readable() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    drop(writer);
    sched.block_on(file.readable()).unwrap();
    assert_eq!(sched.block_on(file.readline()).unwrap(), None);
}

#[test]
fn readiness_does_not_queue() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let file = AsyncFile::new(socket).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "full", file.read(9).full());
    logged(&mut sched, &log, "readable", file.readable());
    logged(&mut sched, &log, "also readable", file.readable());
    logged(&mut sched, &log, "writable", file.writable());
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["writable: ok"]);
    put(&peer, b"x");
    settle(&mut sched);
    log.borrow_mut().sort();
    assert_eq!(
        *log.borrow(),
        ["also readable: ok", "readable: ok", "writable: ok"]
    );
    put(&peer, b"xxxxxxxx");
    sched.run().unwrap();
    assert_eq!(log.borrow()[3], "full: xxxxxxxxx");
}

#[test]
fn writable_waits_for_room() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    fill(&writer);
    let file = AsyncFile::new(writer).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "writable", file.writable());
    settle(&mut sched);
    assert!(log.borrow().is_empty(), "{log:?}");
    drain(&reader);
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["writable: ok"]);
}

#[test]
fn readiness_times_out_and_not_early() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    assert_eq!(
        kind(sched.block_on(file.readable().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn a_listener_is_readable_when_somebody_connects() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let file = AsyncFile::new(listener.try_clone().unwrap()).unwrap();
    let mut sched = Scheduler::new();
    let accepted = sched.spawn(file.readable(), move |task| {
        task.ok()?;
        done(listener.accept()?.1)
    });
    settle(&mut sched);
    assert!(!accepted.is_finished());
    let stream = TcpStream::connect(address).unwrap();
    assert_eq!(sched.join(accepted).unwrap(), stream.local_addr().unwrap());
}

#[test]
fn closing_ends_readiness() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "readable", file.readable());
    settle(&mut sched);
    file.close();
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["readable: NotConnected"]);
}

// readlines

#[test]
fn readlines_hands_over_all_whole_lines_that_are_there() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\n\nthr");
    assert_eq!(
        sched.block_on(file.readlines()).unwrap(),
        [&b"one\n"[..], b"two\n", b"\n"]
    );
    assert_eq!(file.buffered(), 3);
    put(&writer, b"ee\nrest");
    drop(writer);
    assert_eq!(sched.block_on(file.readlines()).unwrap(), [b"three\n"]);
    assert_eq!(sched.block_on(file.readlines()).unwrap(), [b"rest"]);
    assert!(sched.block_on(file.readlines()).unwrap().is_empty());
}

#[test]
fn readlines_waits_for_at_least_one_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let lines = sched.spawn(file.readlines(), |task| {
        done(task.lines()?.map(<[u8]>::to_vec).collect::<Vec<_>>())
    });
    put(&writer, b"part");
    settle(&mut sched);
    assert!(!lines.is_finished());
    put(&writer, b"ial\n");
    assert_eq!(sched.join(lines).unwrap(), [b"partial\n"]);
}

#[test]
fn lines_that_were_not_yielded_stay_in_the_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\nthree\nfour\n");
    let first = sched.spawn(file.readlines(), |task| {
        done(task.lines()?.next().map(<[u8]>::to_vec))
    });
    assert_eq!(sched.join(first).unwrap().unwrap(), b"one\n");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"two\n"
    );
    let none = sched.spawn(file.readlines(), |task| {
        task.lines()?;
        done(())
    });
    sched.join(none).unwrap();
    assert_eq!(file.buffered(), 11);
    assert_eq!(
        sched.block_on(file.readlines()).unwrap(),
        [&b"three\n"[..], b"four\n"]
    );
}

#[test]
fn a_limit_hands_over_the_whole_lines_that_fit() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\nthree\n");
    assert_eq!(
        sched.block_on(file.readlines().limit(10)).unwrap(),
        [b"one\n", b"two\n"]
    );
    assert_eq!(
        sched.block_on(file.readlines().limit(6)).unwrap(),
        [b"three\n"]
    );
    assert_eq!(
        kind(sched.block_on(file.readlines().limit(0))),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_task_may_close_the_file_whose_lines_it_has() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\ntwo\nthree\n");
    let task = sched.spawn(file.readlines(), |task| {
        let mut lines = task.lines()?;
        assert_eq!(lines.next().unwrap(), b"one\n");
        file.close();
        assert_eq!(lines.next().unwrap(), b"two\n"); // what was lent is still there
        done(())
    });
    sched.join(task).unwrap();
    assert_eq!(
        kind(sched.block_on(file.readlines())),
        ErrorKind::NotConnected
    );
}

#[test]
fn a_timed_out_readlines_keeps_the_partial_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"par");
    assert_eq!(
        kind(sched.block_on(file.readlines().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    assert_eq!(file.buffered(), 3);
    put(&writer, b"tial\n");
    assert_eq!(sched.block_on(file.readlines()).unwrap(), [b"partial\n"]);
}

#[test]
fn many_readlines_conserve_every_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let sent: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    let data = sent.clone().into_bytes();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut std::fs::File::from(writer), &data).unwrap();
    });
    let mut received = Vec::<u8>::new();
    let mut sched = Scheduler::new();
    let reading = sched.spawn(file.readlines(), |task| {
        let before = received.len();
        for line in task.lines()? {
            assert_eq!(line.last(), Some(&b'\n'));
            received.extend(line);
        }
        match received.len() > before {
            true => wait(file.readlines()),
            false => {
                assert_eq!(task.end(), End::Eof);
                done(())
            }
        }
    });
    sched.join(reading).unwrap();
    drop(sched);
    assert!(received == sent.as_bytes());
    sender.join().unwrap();
}

// block_on

#[test]
fn block_on_gives_owned_outcomes() {
    let _watchdog = watchdog();
    let (socket, peer) = socketpair();
    let file = AsyncFile::new(socket).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(file.write("question")).unwrap(), 8);
    assert_eq!(drain(&peer), b"question");
    put(&peer, b"answer\nsecond\nlast");
    assert_eq!(
        sched.block_on(file.readline()).unwrap().unwrap(),
        b"answer\n"
    );
    assert_eq!(sched.block_on(file.read(3)).unwrap(), b"sec");
    drop(peer);
    assert_eq!(sched.block_on(file.read_to_end()).unwrap(), b"ond\nlast");
    sched.block_on(asyncfile::yield_now()).unwrap();
    sched.block_on(asyncfile::sleep(SHORT)).unwrap();
}

#[test]
fn a_read_cut_by_its_timeout_is_an_error_of_block_on_and_its_bytes_are_kept() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"kept");
    let cut = sched.block_on(file.read(9).full().timeout(SHORT));
    assert_eq!(kind(cut), ErrorKind::TimedOut);
    assert_eq!(file.buffered(), 4);
    let cut = sched.block_on(file.read_to_end().timeout(SHORT));
    assert_eq!(kind(cut), ErrorKind::TimedOut);
    assert_eq!(file.buffered(), 4);
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"kept");
}

#[test]
fn block_on_runs_the_other_tasks_meanwhile() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let (reader, writer) = (
        AsyncFile::new(reader).unwrap(),
        AsyncFile::new(writer).unwrap(),
    );
    let mut sched = Scheduler::new();
    sched.spawn(writer.write("from a task\n"), |task| done(task.ok()?));
    assert_eq!(
        sched.block_on(reader.readline()).unwrap().unwrap(),
        b"from a task\n"
    );
}
