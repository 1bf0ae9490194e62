//! Exact reads, other delimiters, peeks and writes of all: what ends them, what they keep, and what
//! their errors say.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

mod support;

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use asyncfile::{
    again, done, first, wait, yield_now, AsyncFile, AsyncPipe, End, Flow, Op, OperationError,
    Scheduler,
};

use support::*;

fn reader() -> (AsyncFile, std::os::fd::OwnedFd) {
    let (reader, writer) = pipe();
    (AsyncFile::new(reader).unwrap(), writer)
}

// read_exact

#[test]
fn an_exact_read_has_so_many_bytes_and_leaves_the_rest_in_the_kernel() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"abcdef");
    assert_eq!(
        bytes(&mut sched, file.read_exact(4)).unwrap(),
        (b"abcd".to_vec(), End::Complete)
    );
    assert_eq!(file.buffered(), 0);
    assert_eq!(
        bytes(&mut sched, file.read_exact(0)).unwrap(),
        (vec![], End::Complete)
    );
    let rest = sched.spawn(file.read_exact(4), |task| done(task.bytes()?.to_vec()));
    settle(&mut sched);
    assert!(!rest.is_finished());
    put(&writer, b"gh");
    assert_eq!(sched.join(rest).unwrap(), b"efgh");
}

#[test]
fn an_end_before_an_exact_read_is_an_error_and_what_came_stays() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    drop(writer);
    for _ in 0..2 {
        let error = sched.block_on(file.read_exact(4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let fd = file.as_raw_fd();
        assert_eq!(
            error.to_string(),
            format!("read_exact on fd {fd}: unexpected end of file, 3 bytes kept")
        );
        assert!(OperationError::of(&error).is_some());
    }
    assert_eq!(sched.block_on(file.read_exact(3)).unwrap(), b"abc");
    let error = sched.block_on(file.read_exact(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(sched.block_on(file.read(1)).unwrap(), b"");
}

#[test]
fn an_exact_read_that_its_deadline_cuts_is_an_error_and_what_came_stays() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    for op in [
        file.read_exact(4).timeout(Duration::ZERO),
        file.read_exact(4).until(Instant::now()),
        file.read_exact(4).timeout(Duration::ZERO).full(),
    ] {
        assert_eq!(kind(sched.block_on(op)), ErrorKind::TimedOut);
        assert_eq!(file.buffered(), 3);
    }
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"abc");
}

#[test]
fn a_file_that_grew_after_an_unexpected_end_is_read_on() {
    let content = regular(b"abc");
    let file = AsyncFile::duplicate(&content).unwrap();
    let mut sched = Scheduler::new();
    assert_eq!(
        kind(sched.block_on(file.read_exact(5))),
        ErrorKind::UnexpectedEof
    );
    std::os::unix::fs::FileExt::write_all_at(&content, b"de", 3).unwrap();
    assert_eq!(sched.block_on(file.read_exact(5)).unwrap(), b"abcde");
}

// Delimiters

#[test]
fn only_the_delimiter_ends_a_record() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"a\nb\0c;\0d");
    drop(writer);
    let mut next = |byte| sched.block_on(file.read_until(byte)).unwrap();
    assert_eq!(next(0).unwrap(), b"a\nb\0");
    assert_eq!(next(b';').unwrap(), b"c;");
    assert_eq!(next(0).unwrap(), b"\0");
    assert_eq!(next(0).unwrap(), b"d");
    assert_eq!(next(0), None);
}

/// What is buffered is searched again for each delimiter, and records are found in any order.
#[test]
fn delimiters_may_change_with_every_record_also_in_a_run_of_lines() {
    let _alive = watchdog();
    let (file, writer) = reader();
    put(&writer, b"a\nb\nc\0d\0e\nf;g\0h\ni\n");
    drop(writer);
    let mut sched = Scheduler::new();
    let delimiters = [b'\n', b'\n', 0, 0, b'\n', b';', 0, b'\n', b'\n', b'\n'];
    let mut read = Vec::new();
    let mut at = 0;
    let task = sched.spawn(file.readline(), move |task| -> Flow<Vec<String>> {
        if let Some(line) = task.line()? {
            read.push(text(line));
        }
        at += 1;
        match delimiters.get(at) {
            Some(delimiter) => wait(file.read_until(*delimiter)),
            None => done(std::mem::take(&mut read)),
        }
    });
    assert_eq!(
        sched.join(task).unwrap(),
        ["a\n", "b\n", "c\0", "d\0", "e\n", "f;", "g\0", "h\n", "i\n"]
    );
}

#[test]
fn again_after_a_record_waits_for_the_next_one_with_the_same_delimiter_and_limit() {
    let _alive = watchdog();
    let (file, writer) = reader();
    put(&writer, b"a\n\0bb\0ccccc\0");
    drop(writer);
    let mut sched = Scheduler::new();
    let mut read = Vec::new();
    let task = sched.spawn(file.read_until(0).limit(4), move |task| {
        match task.line()? {
            Some(line) => {
                read.push(text(line));
                again()
            }
            None => done(std::mem::take(&mut read)),
        }
    });
    assert_eq!(sched.join(task).unwrap(), ["a\n\0", "bb\0", "cccc", "c\0"]);
}

#[test]
fn all_whole_records_of_another_delimiter_come_at_once_and_the_rest_stays() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"a\n\0b\0\0c\nd");
    let records = sched.block_on(file.readlines().delimiter(0)).unwrap();
    assert_eq!(records, [&b"a\n\0"[..], b"b\0", b"\0"]);
    assert_eq!(sched.block_on(file.readlines()).unwrap(), [b"c\n"]);
    drop(writer);
    let rest = sched.block_on(file.readlines().delimiter(0)).unwrap();
    assert_eq!(rest, [b"d"]);
}

#[test]
fn an_error_of_a_record_names_read_until() {
    let (file, _writer) = reader();
    let mut sched = Scheduler::new();
    let error = sched
        .block_on(file.read_until(0).timeout(Duration::ZERO))
        .unwrap_err();
    let fd = file.as_raw_fd();
    assert_eq!(
        error.to_string(),
        format!("read_until on fd {fd}: timed out after 0ms")
    );
    assert_eq!(
        kind(sched.block_on(file.read_until(0).limit(0))),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        format!("{:?}", file.read_until(0)),
        format!("read_until fd {fd}")
    );
}

/// The rest in one piece is what the iterator has not yielded. It counts as taken.
#[test]
fn lines_that_are_taken_in_one_piece_do_not_stay() {
    let _alive = watchdog();
    let (file, writer) = reader();
    put(&writer, b"one\ntwo\nthree\nfo");
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readlines(), |task| {
        let mut lines = task.lines()?;
        assert_eq!(lines.next(), Some(&b"one\n"[..]));
        let before = task.lines()?;
        let rest = lines.into_slice();
        assert_eq!(
            before.clone().count(),
            3,
            "another iterator is where it was"
        );
        assert_eq!(before.into_slice(), b"one\ntwo\nthree\n");
        done(rest.to_vec())
    });
    assert_eq!(sched.join(task).unwrap(), b"two\nthree\n");
    assert_eq!(file.buffered(), 2);
    // What no iterator has yielded stays.
    put(&writer, b"ur\nfive\n");
    let task = sched.spawn(file.readlines(), |task| {
        let mut lines = task.lines()?;
        lines.next();
        done(task.lines()?.next().map(<[u8]>::to_vec))
    });
    assert_eq!(sched.join(task).unwrap().unwrap(), b"four\n");
    assert_eq!(sched.block_on(file.readline()).unwrap().unwrap(), b"five\n");
}

// Peeks

#[test]
fn a_peek_shows_what_the_next_read_takes() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    let peek = sched.spawn(file.peek(2), |task| done(task.bytes()?.to_vec()));
    settle(&mut sched);
    put(&writer, b"abc\nd");
    assert_eq!(sched.join(peek).unwrap(), b"ab");
    assert_eq!(
        (file.buffered(), pending(&writer)),
        (2, 3),
        "no more than it was asked for"
    );
    assert_eq!(
        bytes(&mut sched, file.peek(4).full()).unwrap(),
        (b"abc\n".to_vec(), End::Complete)
    );
    assert_eq!(sched.block_on(file.readline()).unwrap().unwrap(), b"abc\n");
    drop(writer);
    assert_eq!(
        bytes(&mut sched, file.peek(4).full()).unwrap(),
        (b"d".to_vec(), End::Eof)
    );
    assert_eq!(
        bytes(&mut sched, file.peek(4).full()).unwrap(),
        (b"d".to_vec(), End::Eof)
    );
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"d");
    for _ in 0..2 {
        assert_eq!(bytes(&mut sched, file.peek(1)).unwrap(), (vec![], End::Eof));
    }
    assert_eq!(bytes(&mut sched, file.read(1)).unwrap(), (vec![], End::Eof));
}

#[test]
fn a_peek_for_nothing_ends_at_once_with_nothing() {
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    for op in [file.peek(0), file.peek(0).full()] {
        assert_eq!(bytes(&mut sched, op).unwrap(), (vec![], End::Complete));
    }
    put(&writer, b"a");
    sched.block_on(file.peek(1)).unwrap();
    assert_eq!(
        bytes(&mut sched, file.peek(0)).unwrap(),
        (vec![], End::Complete)
    );
}

#[test]
fn again_after_a_peek_ends_at_once_with_the_same_bytes() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    let mut peeks = 0;
    let task = sched.spawn(file.peek(3), move |task| {
        assert_eq!(task.bytes()?, b"abc");
        peeks += 1;
        if peeks < 1000 {
            again()
        } else {
            done(())
        }
    });
    sched.join(task).unwrap();
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"abc");
}

/// The body may do anything with the file while it looks at the bytes.
#[test]
fn peeked_bytes_are_lent_and_still_in_the_file() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    put(&writer, b"abc");
    let handle = file.clone();
    let task = sched.spawn(file.peek(9), move |task| {
        let bytes = task.bytes()?;
        assert_eq!(handle.buffered(), 3);
        assert_eq!(bytes, task.bytes()?);
        handle.close();
        done(bytes.to_vec())
    });
    assert_eq!(sched.join(task).unwrap(), b"abc");

    let (file, writer) = reader();
    put(&writer, b"abc");
    sched.block_on(file.peek(2)).unwrap();
    let (_, held) = file.into_inner().unwrap();
    assert_eq!(held, b"ab");
}

#[test]
fn a_peek_that_its_deadline_cuts_shows_what_there_is() {
    let _alive = watchdog();
    let (file, writer) = reader();
    let mut sched = Scheduler::new();
    let peek = || file.peek(4).full().timeout(Duration::ZERO);
    assert_eq!(kind(sched.block_on(peek())), ErrorKind::TimedOut);
    put(&writer, b"abc");
    assert_eq!(
        bytes(&mut sched, peek()).unwrap(),
        (b"abc".to_vec(), End::TimedOut)
    );
    let error = sched.block_on(peek()).unwrap_err();
    assert!(error.to_string().starts_with("peek full on fd"), "{error}");
    assert!(error.to_string().ends_with("3 bytes kept"), "{error}");
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"abc");
    put(&writer, b"x");
    let which = sched
        .block_on(first([Op::from(file.peek(1)), yield_now().into()]))
        .unwrap();
    assert!(which < 2);
    assert_eq!(sched.block_on(file.read(9)).unwrap(), b"x");
}

// Writes of all

#[test]
fn a_short_write_is_an_error_to_ok_and_says_how_much() {
    let _alive = watchdog();
    let (ours, _theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.write(vec![0; 4_000_000]), |task| {
        let error = task.ok().unwrap_err();
        let written = task.written()?;
        assert!(written < 4_000_000);
        assert_eq!(task.end(), End::Complete);
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        done((error, written))
    });
    let (error, written) = sched.join(task).unwrap();
    let fd = file.as_raw_fd();
    assert_eq!(
        error.to_string(),
        format!(
            "write on fd {fd}: {written} of 4000000 bytes written: see written() or write_all()"
        )
    );
    assert!(OperationError::of(&error).is_some());
}

#[test]
fn a_task_that_asks_whether_a_short_write_is_ok_ends_with_its_error() {
    let (ours, _theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.write(vec![0; 4_000_000]), |task| done(task.ok()?));
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    // To look at the count is enough.
    let (ours, _theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let written = sched.block_on(file.write(vec![0; 4_000_000])).unwrap();
    assert!(written < 4_000_000);
}

#[test]
fn a_write_of_all_that_its_deadline_cuts_is_timed_out_and_says_how_much() {
    let _alive = watchdog();
    let (ours, theirs) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let op = file.write_all(vec![0; 4_000_000]).timeout(Duration::ZERO);
    let error = sched.block_on(op).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let (fd, there) = (file.as_raw_fd(), drain(&theirs).len());
    assert_eq!(
        error.to_string(),
        format!("write_all on fd {fd}: timed out after 0ms, {there} bytes written")
    );
    // With `full` the count is the outcome.
    let op = file
        .write(vec![0; 4_000_000])
        .full()
        .timeout(Duration::ZERO);
    assert!(sched.block_on(op).unwrap() > 0);
    assert_eq!(
        format!("{:?}", file.write_all("ab").full()),
        format!("write_all fd {fd}, 0 of 2 B written")
    );
}

#[test]
fn a_write_of_all_whose_reader_goes_says_how_much_was_written() {
    let _alive = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.write_all(vec![0; 100_000]), |task| done(task.ok()?));
    settle(&mut sched);
    assert!(!task.is_finished());
    drop(reader);
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(
        error.to_string().ends_with(", 65536 bytes written"),
        "{error}"
    );
    let cause = OperationError::of(&error).unwrap();
    assert_eq!(
        (cause.operation(), cause.raw_os_error()),
        ("write_all", Some(libc::EPIPE))
    );
}

#[test]
fn a_child_is_fed_all_of_it_and_arrays_are_written() {
    let _alive = watchdog();
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::piped(Command::new("cat")).unwrap();
    let feeder = sched.spawn(pipe.write_all(vec![b'x'; 1_000_000]), |task| {
        done((task.ok()?, task.written()?).1)
    });
    let read = sched.block_on(pipe.stdout().unwrap().read_exact(1_000_000));
    assert_eq!(read.unwrap().len(), 1_000_000);
    assert_eq!(sched.join(feeder).unwrap(), 1_000_000);
    sched.block_on(pipe.write([7; 5])).unwrap();
    sched.block_on(pipe.write([8; 100])).unwrap();
    let mut expected = vec![7; 5];
    expected.extend([8; 100]);
    assert_eq!(
        sched
            .block_on(pipe.stdout().unwrap().read_exact(105))
            .unwrap(),
        expected
    );
    pipe.close();
}

#[test]
fn again_after_a_write_of_all_is_invalid_input() {
    let (_reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.write_all("x"), |task| -> Flow {
        task.ok()?;
        again()
    });
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("write_all on fd"), "{error}");
}
