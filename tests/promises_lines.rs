//! Promise 3: readline. Where a line ends, what a limit and an end of file do to it, and what the
//! operations after it find.

mod support;

use std::io::ErrorKind;

use asyncfile::{done, wait, AsyncFile, End, Scheduler};
use support::*;

#[test]
fn a_line_is_handed_over_with_its_newline() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"one\n\ntwo\n");
    for expected in ["one\n", "\n", "two\n"] {
        let (line, end) = line_and_end(&mut sched, file.readline()).unwrap();
        assert_eq!(
            (text(&line.unwrap()).as_str(), end),
            (expected, End::Complete)
        );
    }
}

#[test]
fn a_line_may_arrive_in_pieces() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "line", file.readline());
    for piece in ["a ", "line ", "in ", "pieces"] {
        put(&writer, piece.as_bytes());
        settle(&mut sched);
        assert!(log.borrow().is_empty());
    }
    put(&writer, b"\nand more");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["line: a line in pieces\n"]);
    assert_eq!(file.buffered(), 8);
}

#[test]
fn a_long_line_arrives_whole() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let mut long: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    long.push(b'\n');
    let sent = long.clone();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut std::fs::File::from(writer), &sent).unwrap();
    });
    assert!(line(&mut sched, file.readline()).unwrap().unwrap() == long);
    assert_eq!(line(&mut sched, file.readline()).unwrap(), None);
    sender.join().unwrap();
}

#[test]
fn the_rest_without_newline_comes_at_the_end_of_file_and_then_none_again_and_again() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\nrest");
    drop(writer);
    let mut next = || line_and_end(&mut sched, file.readline()).unwrap();
    assert_eq!(next(), (Some(b"line\n".to_vec()), End::Complete));
    assert_eq!(next(), (Some(b"rest".to_vec()), End::Eof));
    for _ in 0..5 {
        assert_eq!(next(), (None, End::Eof));
    }
}

#[test]
fn only_a_newline_ends_a_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let all_but_newline: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
    put(&writer, &all_but_newline);
    put(&writer, b"\r\n\0\n\xff\xfe\n");
    let expected = [all_but_newline, b"\r\n".to_vec()].concat();
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        expected
    );
    assert_eq!(line(&mut sched, file.readline()).unwrap().unwrap(), b"\0\n");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"\xff\xfe\n"
    );
}

#[test]
fn a_limit_hands_over_a_longer_line_in_parts() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"0123456789\nxyz\n");
    let mut next = || {
        let (line, end) = line_and_end(&mut sched, file.readline().limit(4)).unwrap();
        (text(&line.unwrap()), end)
    };
    assert_eq!(next(), ("0123".to_owned(), End::Limit));
    assert_eq!(next(), ("4567".to_owned(), End::Limit));
    assert_eq!(next(), ("89\n".to_owned(), End::Complete));
    assert_eq!(next(), ("xyz\n".to_owned(), End::Complete));
}

#[test]
fn a_limit_is_reached_without_waiting_for_more() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"0123");
    let limited = line_and_end(&mut sched, file.readline().limit(4)).unwrap();
    assert_eq!(limited, (Some(b"0123".to_vec()), End::Limit));
    put(&writer, b"\n");
    assert_eq!(
        line(&mut sched, file.readline().limit(4)).unwrap().unwrap(),
        b"\n"
    );
}

#[test]
fn a_timed_out_limit_keeps_the_partial_line() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"012");
    let cut = line(&mut sched, file.readline().limit(4).timeout(SHORT));
    assert_eq!(kind(cut), ErrorKind::TimedOut);
    assert_eq!(file.buffered(), 3);
    put(&writer, b"3456\n");
    let limited = line_and_end(&mut sched, file.readline().limit(4)).unwrap();
    assert_eq!(limited, (Some(b"0123".to_vec()), End::Limit));
}

#[test]
fn readline_reads_ahead_and_the_next_operations_take_the_left_over_bytes() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\nleft over\nto the end");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"line\n"
    );
    assert_eq!(pending(&beside), 0);
    assert_eq!(file.buffered(), 20);
    assert_eq!(bytes(&mut sched, file.read(5)).unwrap().0, b"left ");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"over\n"
    );
    assert_eq!(file.buffered(), 10);
    put(&writer, b" of it");
    drop(writer);
    let rest = bytes(&mut sched, file.read_to_end()).unwrap();
    assert_eq!(rest, (b"to the end of it".to_vec(), End::Eof));
    assert_eq!(file.buffered(), 0);
}

#[test]
fn an_emptied_buffer_is_not_an_end_of_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    put(&writer, b"exactly\n");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"exactly\n"
    );
    assert_eq!(file.buffered(), 0);
    logged(&mut sched, &log, "read", file.read(10));
    settle(&mut sched);
    assert!(
        log.borrow().is_empty(),
        "nothing came, and the file is open: {log:?}"
    );
    put(&writer, b"more");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["read: more"]);
}

#[test]
fn a_task_resumed_with_one_line_finds_the_others_without_waiting() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let sent: String = (0..1000).map(|n| format!("{n}\n")).collect();
    put(&writer, sent.as_bytes());
    let mut received = String::new();
    let task = sched.spawn(file.readline(), move |task| {
        received += &text(task.line()?.unwrap());
        match received.ends_with("\n999\n") {
            true => done(std::mem::take(&mut received)),
            false => wait(file.readline()),
        }
    });
    assert_eq!(sched.join(task).unwrap(), sent);
}

#[test]
fn an_end_of_file_behind_the_rest_is_reported_once_from_memory() {
    let _watchdog = watchdog();
    let raw = regular(b"rest");
    let append = |text: &[u8]| {
        let end = raw.metadata().unwrap().len();
        std::os::unix::fs::FileExt::write_all_at(&raw, text, end).unwrap();
    };
    let file = AsyncFile::new(raw.try_clone().unwrap()).unwrap();
    let mut sched = Scheduler::new();
    let rest = line_and_end(&mut sched, file.readline()).unwrap();
    assert_eq!(rest, (Some(b"rest".to_vec()), End::Eof));
    append(b"grown\n");
    assert_eq!(line(&mut sched, file.readline()).unwrap(), None);
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"grown\n"
    );

    append(b"short");
    let short = bytes(&mut sched, file.read(10).full()).unwrap();
    assert_eq!(short, (b"short".to_vec(), End::Eof));
    append(b"grown again\n");
    assert_eq!(
        bytes(&mut sched, file.read(10).full()).unwrap(),
        (vec![], End::Eof)
    );
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"grown again\n"
    );
}

#[test]
fn a_fifo_waits_for_its_first_writer_and_goes_on_with_its_next() {
    let _watchdog = watchdog();
    let fifo = Fifo::new();
    let file = AsyncFile::new(fifo.reader()).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "first", file.readline());
    settle(&mut sched);
    assert!(
        log.borrow().is_empty(),
        "no writer yet is no end of file: {log:?}"
    );

    let writer = fifo.writer();
    put(&writer, b"from the first\n");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["first: from the first\n"]);
    drop(writer);
    assert_eq!(line(&mut sched, file.readline()).unwrap(), None);

    let writer = fifo.writer();
    put(&writer, b"from the next\n");
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"from the next\n"
    );
}
