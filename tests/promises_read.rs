//! Promise 2: what read and read_to_end hand over, and what they leave to the kernel.

mod support;

use std::io::{ErrorKind, Write};

use asyncfile::{done, AsyncFile, End, Scheduler};
use support::*;

#[test]
fn a_read_ends_with_the_bytes_that_are_there() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    assert_eq!(
        bytes(&mut sched, file.read(10)).unwrap(),
        (b"abc".to_vec(), End::Complete)
    );
    put(&writer, b"defg");
    assert_eq!(
        bytes(&mut sched, file.read(2)).unwrap(),
        (b"de".to_vec(), End::Complete)
    );
    assert_eq!(
        bytes(&mut sched, file.read(2)).unwrap(),
        (b"fg".to_vec(), End::Complete)
    );
}

#[test]
fn a_read_hands_over_buffered_bytes_without_waiting_for_more() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\nrest");
    line(&mut sched, file.readline()).unwrap();
    assert_eq!(file.buffered(), 4);
    assert_eq!(
        bytes(&mut sched, file.read(3)).unwrap(),
        (b"res".to_vec(), End::Complete)
    );
    assert_eq!(
        bytes(&mut sched, file.read(3)).unwrap(),
        (b"t".to_vec(), End::Complete)
    );
}

#[test]
fn a_read_takes_no_more_from_the_kernel_than_was_asked() {
    let _watchdog = watchdog();
    for (reader, writer) in [pipe(), socketpair()] {
        let beside = dup(&reader);
        let file = AsyncFile::new(reader).unwrap();
        let mut sched = Scheduler::new();
        put(&writer, b"0123456789");
        assert_eq!(bytes(&mut sched, file.read(4)).unwrap().0, b"0123");
        assert_eq!(get(&beside, 2), b"45");
        assert_eq!(bytes(&mut sched, file.read(3).full()).unwrap().0, b"678");
        assert_eq!(file.buffered(), 0);
        assert_eq!(get(&beside, 100), b"9");
    }
}

#[test]
fn a_full_read_that_waits_takes_no_more_from_the_kernel_than_was_asked() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "read", file.read(5).full());
    put(&writer, b"012");
    settle(&mut sched);
    assert_eq!(pending(&beside), 0);
    put(&writer, b"3456");
    settle(&mut sched);
    assert_eq!(*log.borrow(), ["read: 01234"]);
    assert_eq!(get(&beside, 100), b"56");
}

#[test]
fn a_full_read_after_a_readline_takes_only_what_the_buffer_lacks() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let beside = dup(&reader);
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\n01");
    line(&mut sched, file.readline()).unwrap();
    assert_eq!(file.buffered(), 2);
    put(&writer, b"23456");
    assert_eq!(bytes(&mut sched, file.read(4).full()).unwrap().0, b"0123");
    assert_eq!(get(&beside, 100), b"456");
}

#[test]
fn a_size_is_a_limit_and_not_a_reservation() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"small\n");
    assert_eq!(
        bytes(&mut sched, file.read(usize::MAX)).unwrap().0,
        b"small\n"
    );
    put(&writer, b"line\nrest");
    let op = file.readline().limit(usize::MAX);
    assert_eq!(line(&mut sched, op).unwrap().unwrap(), b"line\n");
    drop(writer);
    let end = bytes(&mut sched, file.read(usize::MAX).full()).unwrap();
    assert_eq!(end, (b"rest".to_vec(), End::Eof));
    let op = file.read_to_end().limit(usize::MAX);
    assert_eq!(bytes(&mut sched, op).unwrap(), (vec![], End::Eof));
}

#[test]
fn a_full_read_waits_for_exactly_its_size() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let full = sched.spawn(file.read(4).full(), |task| {
        done((task.bytes()?.to_vec(), task.end()))
    });
    for piece in [b"a", b"b", b"c"] {
        put(&writer, piece);
        settle(&mut sched);
        assert!(!full.is_finished());
    }
    put(&writer, b"def");
    assert_eq!(sched.join(full).unwrap(), (b"abcd".to_vec(), End::Complete));
    assert_eq!(bytes(&mut sched, file.read(4)).unwrap().0, b"ef");
}

#[test]
fn a_full_read_hands_over_fewer_at_the_end_of_file() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    drop(writer);
    let full = bytes(&mut sched, file.read(4).full()).unwrap();
    assert_eq!(full, (b"abc".to_vec(), End::Eof));
    for _ in 0..3 {
        let full = bytes(&mut sched, file.read(4).full()).unwrap();
        assert_eq!(full, (vec![], End::Eof));
    }
}

#[test]
fn a_timed_out_full_read_hands_over_the_bytes_so_far_and_consumes_them() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    let cut = bytes(&mut sched, file.read(4).full().timeout(SHORT)).unwrap();
    assert_eq!(cut, (b"abc".to_vec(), End::TimedOut));
    assert_eq!(
        kind(bytes(&mut sched, file.read(4).full().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read(4).timeout(SHORT))),
        ErrorKind::TimedOut
    );
    put(&writer, b"defg");
    assert_eq!(bytes(&mut sched, file.read(4).full()).unwrap().0, b"defg");
}

#[test]
fn read_to_end_hands_over_everything() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let all: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = all.clone();
    let sender = std::thread::spawn(move || std::fs::File::from(writer).write_all(&all).unwrap());
    assert_eq!(
        bytes(&mut sched, file.read_to_end()).unwrap(),
        (expected, End::Eof)
    );
    assert_eq!(
        bytes(&mut sched, file.read_to_end()).unwrap(),
        (vec![], End::Eof)
    );
    sender.join().unwrap();
}

#[test]
fn read_to_end_with_a_limit_leaves_the_rest() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"0123456");
    // The stream is still open: the limit is reached, the end of file is not waited for.
    let limited = bytes(&mut sched, file.read_to_end().limit(3)).unwrap();
    assert_eq!(limited, (b"012".to_vec(), End::Limit));
    drop(writer);
    let limited = bytes(&mut sched, file.read_to_end().limit(3)).unwrap();
    assert_eq!(limited, (b"345".to_vec(), End::Limit));
    let limited = bytes(&mut sched, file.read_to_end().limit(3)).unwrap();
    assert_eq!(limited, (b"6".to_vec(), End::Eof));
}

#[test]
fn read_to_end_with_a_limit_leaves_the_rest_of_what_was_read_ahead() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\n0123456");
    line(&mut sched, file.readline()).unwrap();
    let limited = bytes(&mut sched, file.read_to_end().limit(3)).unwrap();
    assert_eq!(limited, (b"012".to_vec(), End::Limit));
    assert_eq!(
        bytes(&mut sched, file.read(2).full()).unwrap(),
        (b"34".to_vec(), End::Complete)
    );
    assert_eq!(file.buffered(), 2);
}

#[test]
fn a_timed_out_read_to_end_hands_over_the_bytes_so_far() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    let nothing = bytes(&mut sched, file.read_to_end().timeout(SHORT));
    assert_eq!(kind(nothing), ErrorKind::TimedOut);
    put(&writer, b"so far");
    let cut = bytes(&mut sched, file.read_to_end().timeout(SHORT)).unwrap();
    assert_eq!(cut, (b"so far".to_vec(), End::TimedOut));
    put(&writer, b"the rest");
    drop(writer);
    let rest = bytes(&mut sched, file.read_to_end().timeout(LONG)).unwrap();
    assert_eq!(rest, (b"the rest".to_vec(), End::Eof));
}

#[test]
fn size_zero_ends_at_once_with_nothing() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    // Nothing is there, and it does not wait.
    assert_eq!(
        bytes(&mut sched, file.read(0)).unwrap(),
        (vec![], End::Complete)
    );
    assert_eq!(
        bytes(&mut sched, file.read(0).full()).unwrap(),
        (vec![], End::Complete)
    );
    // Something is there, and it does not take it.
    put(&writer, b"x");
    assert_eq!(
        bytes(&mut sched, file.read(0)).unwrap(),
        (vec![], End::Complete)
    );
    assert_eq!(bytes(&mut sched, file.read(1)).unwrap().0, b"x");
}

#[test]
fn limit_zero_is_invalid_and_takes_nothing() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"line\n");
    assert_eq!(
        kind(line(&mut sched, file.readline().limit(0))),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read_to_end().limit(0))),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        line(&mut sched, file.readline()).unwrap().unwrap(),
        b"line\n"
    );
}
