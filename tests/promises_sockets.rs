//! What sockets have besides reading and writing: a half-close, other events, a second descriptor.
#![allow(clippy::incompatible_msrv)] // Tests are compiled by today's compiler.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use asyncfile::{again, done, first, sleep, AsyncFile, Op, OperationError, Outcome, Scheduler};
use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLPRI, POLLRDHUP};

use support::*;

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    OperationError::of(&result.unwrap_err())
        .unwrap()
        .raw_os_error()
}

// shutdown_write

#[test]
fn a_half_close_comes_behind_the_writes_before_it_and_reading_goes_on() {
    let _alive = watchdog();
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let write = sched.spawn(file.write_all(vec![b'x'; 1_000_000]), |task| {
        done(task.ok()?)
    });
    let shutdown = sched.spawn(file.shutdown_write(), |task| done(task.ok()?));
    let late = sched.spawn(file.write("late"), |task| {
        done(task.ok().unwrap_err().kind())
    });
    settle(&mut sched);
    assert!(!write.is_finished() && !shutdown.is_finished() && !late.is_finished());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        theirs.write_all(b"answer").unwrap();
        all.len()
    });
    sched.join(write).unwrap();
    sched.join(shutdown).unwrap();
    assert_eq!(sched.join(late).unwrap(), ErrorKind::BrokenPipe);
    assert_eq!(reader.join().unwrap(), 1_000_000);
    assert_eq!(sched.block_on(file.read(99)).unwrap(), b"answer");
    assert_eq!(errno(sched.block_on(file.write("x"))), Some(libc::EPIPE));
    sched.block_on(file.shutdown_write()).unwrap();
}

#[test]
fn a_half_close_that_its_deadline_cuts_has_no_effect() {
    let _alive = watchdog();
    let (theirs, ours) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let write = sched.spawn(file.write_all(vec![b'x'; 1_000_000]), |task| {
        done(task.ok()?)
    });
    settle(&mut sched);
    for op in [
        file.shutdown_write().timeout(SHORT),
        file.shutdown_write().timeout(Duration::ZERO),
    ] {
        let error = sched.block_on(op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(
            error.to_string().starts_with("shutdown_write on fd"),
            "{error}"
        );
    }
    // A loser has no effect either, and neither has one that is cancelled.
    let both = first([
        Op::from(file.shutdown_write()),
        sleep(Duration::ZERO).into(),
    ]);
    assert_eq!(sched.block_on(both).unwrap(), 1);
    let cancelled = sched.spawn(file.shutdown_write(), |task| done(task.ok()?));
    settle(&mut sched);
    cancelled.cancel();
    settle(&mut sched);
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; 1_000_001];
        let mut theirs = UnixStream::from(theirs);
        theirs.read_exact(&mut all).unwrap();
        drop(theirs);
    });
    sched.join(write).unwrap();
    sched.block_on(file.write("y")).unwrap();
    reader.join().unwrap();
}

#[test]
fn a_half_close_of_what_is_no_socket_is_enotsock() {
    let (reader, writer) = pipe();
    let mut sched = Scheduler::new();
    for fd in [reader, writer] {
        let file = AsyncFile::new(fd).unwrap();
        assert_eq!(
            errno(sched.block_on(file.shutdown_write())),
            Some(libc::ENOTSOCK)
        );
        file.close();
        assert_eq!(
            kind(sched.block_on(file.shutdown_write())),
            ErrorKind::NotConnected
        );
    }
}

#[test]
fn a_task_may_wait_for_a_half_close_again() {
    let (_theirs, ours) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let mut times = 0;
    let task = sched.spawn(file.shutdown_write(), move |task| {
        task.ok()?;
        times += 1;
        if times < 3 {
            again()
        } else {
            done(times)
        }
    });
    assert_eq!(sched.join(task).unwrap(), 3);
}

// readiness

#[test]
fn the_hangup_alone_wakes_who_waits_for_no_event() {
    let _alive = watchdog();
    let (theirs, ours) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let hangup = sched.spawn(file.readiness(0), |task| {
        task.ok()?;
        assert!(matches!(task.outcome(), Outcome::Revents(_)));
        done(task.revents()?)
    });
    put(&theirs, b"data is no hangup");
    settle(&mut sched);
    assert!(!hangup.is_finished());
    drop(theirs);
    let revents = sched.join(hangup).unwrap();
    assert!(
        revents & POLLHUP != 0 && revents & POLLIN == 0,
        "{revents:#x}"
    );
    assert_eq!(sched.block_on(file.read(4)).unwrap(), b"data");
}

#[test]
fn a_peer_that_sends_no_more_is_pollrdhup() {
    let _alive = watchdog();
    let (theirs, ours) = UnixStream::pair().unwrap();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let half = sched.spawn(file.readiness(POLLRDHUP), |task| done(task.revents()?));
    settle(&mut sched);
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(sched.join(half).unwrap(), POLLRDHUP);
}

#[test]
fn urgent_data_is_pollpri() {
    let _alive = watchdog();
    let (theirs, ours) = tcp_pair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let urgent = sched.spawn(file.readiness(POLLPRI), |task| done(task.revents()?));
    put(&theirs, b"not urgent");
    settle(&mut sched);
    assert!(!urgent.is_finished());
    // SAFETY: the pointer and the length are those of a live slice.
    let sent = unsafe { libc::send(theirs.as_raw_fd(), [b'!'].as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
    assert_eq!(sched.join(urgent).unwrap(), POLLPRI);
}

#[test]
fn readiness_knows_nothing_of_what_is_buffered() {
    let _alive = watchdog();
    let (theirs, ours) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    put(&theirs, b"one\ntwo\n");
    sched.block_on(file.readline()).unwrap();
    assert_eq!(file.buffered(), 4);
    sched.block_on(file.readable()).unwrap();
    let ready = || file.readiness(POLLIN);
    assert_eq!(
        kind(sched.block_on(ready().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    // Both wait at once, and a reader beside them.
    let waiting = sched.spawn(ready(), |task| done(task.revents()?));
    let reader = sched.spawn(file.read(99).full(), |task| done(task.bytes()?.len()));
    settle(&mut sched);
    assert!(!waiting.is_finished());
    put(&theirs, b"x");
    assert_eq!(sched.join(waiting).unwrap(), POLLIN);
    drop(theirs);
    assert_eq!(sched.join(reader).unwrap(), 5);
}

#[test]
fn readiness_may_be_waited_for_again_and_its_accessors_fit_it_alone() {
    let _alive = watchdog();
    let (theirs, ours) = socketpair();
    put(&theirs, b"x");
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let mut times = 0;
    let task = sched.spawn(file.readiness(POLLIN), move |task| {
        assert_eq!(task.revents()?, POLLIN);
        assert_eq!(kind(task.bytes().map(drop)), ErrorKind::InvalidInput);
        times += 1;
        if times < 3 {
            again()
        } else {
            done(())
        }
    });
    sched.join(task).unwrap();
    let task = sched.spawn(file.readable(), |task| {
        task.ok()?;
        done(task.revents().unwrap_err().to_string())
    });
    let text = sched.join(task).unwrap();
    assert!(
        text.starts_with("revents() does not fit: the task waited for readable"),
        "{text}"
    );
    file.close();
    assert_eq!(
        kind(sched.block_on(file.readiness(0))),
        ErrorKind::NotConnected
    );
}

/// Bits that are no events of poll(2) wake nobody and confuse nobody.
#[test]
fn odd_events_are_the_hangup_alone() {
    let _alive = watchdog();
    let (theirs, ours) = socketpair();
    let file = AsyncFile::new(ours).unwrap();
    let mut sched = Scheduler::new();
    let odd = file.readiness(1 << 14 | POLLHUP | POLLERR | POLLNVAL);
    let task = sched.spawn(odd, |task| done(task.revents()?));
    settle(&mut sched);
    assert!(!task.is_finished());
    drop(theirs);
    assert!(sched.join(task).unwrap() & POLLHUP != 0);
}

// A second descriptor

#[test]
fn a_clone_of_the_descriptor_has_the_same_options_and_outlives_the_file() {
    let (theirs, ours) = tcp_pair();
    let file = AsyncFile::new(ours).unwrap();
    let second = TcpStream::from(file.try_clone_to_owned().unwrap());
    second.set_nodelay(true).unwrap();
    assert_ne!(second.as_raw_fd(), file.as_raw_fd());
    file.close();
    let error = file.try_clone_to_owned().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(
        error.to_string().starts_with("try_clone_to_owned on fd"),
        "{error}"
    );
    put(&second, b"still open");
    assert_eq!(get(&theirs, 99), b"still open");
    assert!(second.nodelay().unwrap());
}
