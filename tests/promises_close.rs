//! Promise 9: closing a file ends what waits on it, and a descriptor number that is reused wakes
//! nobody.

mod support;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use asyncfile::{done, wait, yield_now, AsyncFile, Scheduler};
use support::*;

#[test]
fn closing_ends_all_waiters_in_the_same_turn() {
    let _watchdog = watchdog();
    let (socket, _peer) = socketpair();
    fill(&socket);
    let file = AsyncFile::new(socket).unwrap();
    let log = Log::default();
    let closed = Cell::new(false);
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "readline", file.readline());
    logged(&mut sched, &log, "read", file.read(9));
    logged(&mut sched, &log, "full", file.read(9).full().timeout(LONG));
    logged(&mut sched, &log, "to the end", file.read_to_end());
    logged(&mut sched, &log, "write", file.write("x"));
    logged(
        &mut sched,
        &log,
        "write full",
        file.write("x").full().timeout(LONG),
    );
    settle(&mut sched);
    assert!(log.borrow().is_empty(), "{log:?}");

    sched.spawn(yield_now(), |task| {
        task.ok()?;
        file.close();
        closed.set(true);
        done(())
    });
    while !closed.get() {
        sched.turn(Some(Duration::ZERO)).unwrap();
    }
    log.borrow_mut().sort();
    assert_eq!(
        *log.borrow(),
        [
            "full: NotConnected",
            "read: NotConnected",
            "readline: NotConnected",
            "to the end: NotConnected",
            "write full: NotConnected",
            "write: NotConnected"
        ]
    );
}

#[test]
fn closing_ends_thousands_of_waiters_in_the_same_turn() {
    let _watchdog = watchdog();
    const WAITERS: usize = 3000;
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let ended = Cell::new(0);
    let closed = Cell::new(false);
    let mut sched = Scheduler::new();
    for _ in 0..WAITERS {
        sched.spawn(file.readline(), |task| {
            assert_eq!(task.line().unwrap_err().kind(), ErrorKind::NotConnected);
            ended.set(ended.get() + 1);
            done(())
        });
    }
    settle(&mut sched);
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        file.close();
        closed.set(true);
        done(())
    });
    while !closed.get() {
        assert_eq!(ended.get(), 0);
        sched.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(ended.get(), WAITERS);
}

#[test]
fn closing_between_two_turns_ends_all_waiters_in_the_next() {
    let _watchdog = watchdog();
    let (reader, _writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "a", file.readline());
    logged(&mut sched, &log, "b", file.readline());
    settle(&mut sched);
    file.close();
    assert_eq!(sched.turn(Some(LONG)).unwrap(), 0);
    assert_eq!(*log.borrow(), ["a: NotConnected", "b: NotConnected"]);
}

#[test]
fn a_task_may_close_the_file_it_was_resumed_from() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(reader).unwrap();
    let mut sched = Scheduler::new();
    put(&writer, b"last\nnot read\n");
    let task = sched.spawn(file.readline(), |task| match task.line() {
        Ok(line) => {
            file.close();
            assert_eq!(line.unwrap(), b"last\n"); // what was lent is still there
            wait(file.readline())
        }
        Err(error) => done(error.kind()),
    });
    assert_eq!(sched.join(task).unwrap(), ErrorKind::NotConnected);
}

#[test]
fn an_operation_on_a_closed_file_says_so() {
    let _watchdog = watchdog();
    let (socket, _peer) = socketpair();
    let number = socket.as_raw_fd();
    let file = AsyncFile::new(socket).unwrap();
    let another_handle = file.clone();
    let mut sched = Scheduler::new();
    file.close();
    let error = line(&mut sched, another_handle.readline()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_eq!(
        error.to_string(),
        format!("readline on fd {number}: closed")
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read(1))),
        ErrorKind::NotConnected
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read(1).full())),
        ErrorKind::NotConnected
    );
    assert_eq!(
        kind(bytes(&mut sched, file.read_to_end())),
        ErrorKind::NotConnected
    );
    assert_eq!(
        kind(written(&mut sched, file.write("x"))),
        ErrorKind::NotConnected
    );
    assert_eq!(
        kind(written(&mut sched, file.write("x").full())),
        ErrorKind::NotConnected
    );
    file.close(); // twice is once
}

#[test]
fn closing_closes_the_descriptor_for_all_handles() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    let file = AsyncFile::new(writer).unwrap();
    let _another_handle = file.clone();
    file.close();
    assert_eq!(get(&reader, 1), b"", "the reader sees the end of file");
}

/// The number is taken again, by a pipe with data, before the scheduler looks: the operation that
/// waited ends as closed, and the data is not touched.
#[test]
fn a_reused_descriptor_number_wakes_nobody() {
    let _watchdog = watchdog();
    const NUMBER: i32 = 200;
    let (old, _old_writer) = pipe();
    let (new, new_writer) = pipe();
    let file = AsyncFile::new(renumber(old, NUMBER)).unwrap();
    let mut new = Some(new);
    let reused = RefCell::new(None::<OwnedFd>);
    let log = Log::default();
    let mut sched = Scheduler::new();
    logged(&mut sched, &log, "old", file.readline());
    settle(&mut sched);

    sched.spawn(yield_now(), |task| {
        task.ok()?;
        file.close();
        *reused.borrow_mut() = new.take().map(|new| renumber(new, NUMBER));
        put(&new_writer, b"not for the old one\n");
        done(())
    });
    sched.run().unwrap();
    assert_eq!(*log.borrow(), ["old: NotConnected"]);
    assert_eq!(pending(reused.borrow().as_ref().unwrap()), 20);
    let new = AsyncFile::new(reused.take().unwrap()).unwrap();
    let received = line(&mut sched, new.readline()).unwrap().unwrap();
    assert_eq!(received, b"not for the old one\n");
}

/// The same, while the new file under the old number is waited for in the same scheduler.
#[test]
fn a_file_under_a_reused_number_is_waited_for_afresh() {
    let _watchdog = watchdog();
    const NUMBER: i32 = 220;
    let log = Log::default();
    let mut sched = Scheduler::new();
    for _ in 0..3 {
        let (reader, writer) = pipe();
        let file = AsyncFile::new(renumber(reader, NUMBER)).unwrap();
        logged(&mut sched, &log, "waits", file.readline());
        settle(&mut sched);
        drop(writer); // an end of file that nobody is to see
        file.close();
    }
    let (reader, writer) = pipe();
    let file = AsyncFile::new(renumber(reader, NUMBER)).unwrap();
    logged(&mut sched, &log, "last", file.readline());
    settle(&mut sched);
    let closed = "waits: NotConnected";
    assert_eq!(*log.borrow(), [closed, closed, closed]);
    put(&writer, b"line\n");
    sched.run().unwrap();
    assert_eq!(log.borrow()[3], "last: line\n");
}
