//! Closing while something waits, and numbers that come back: gotcha 18.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use asyncfile::{done, yield_now, AsyncFile, Scheduler};
use libc::POLLIN;

use crate::descriptors::{
    alone, ask, assert_names, close_behind, guard, idle, ms, numbered_pipe, pattern, pipe, Test,
    ZERO,
};

// ----------------------------------- 18. Closing with an operation pending; descriptor reuse; fd 0

#[test]
fn closing_a_file_ends_all_that_waits_for_it_in_the_same_turn() -> Test {
    let _guard = guard();
    let (ours, _peer) = UnixStream::pair()?;
    let fd = ours.as_raw_fd();
    let file = AsyncFile::new(ours)?;
    let errors = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| {
        done(
            errors
                .borrow_mut()
                .push(("readline", task.line().unwrap_err())),
        )
    });
    sched.spawn(file.read(10), |task| {
        done(
            errors
                .borrow_mut()
                .push(("read", task.bytes().unwrap_err())),
        )
    });
    sched.spawn(file.write(pattern(8 << 20)).full(), |task| {
        done(
            errors
                .borrow_mut()
                .push(("write full", task.written().unwrap_err())),
        )
    });
    sched.spawn(file.readable(), |task| {
        done(
            errors
                .borrow_mut()
                .push(("readable", task.ok().unwrap_err())),
        )
    });
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    assert_eq!(set.len(), 1, "all of them wait for one descriptor");
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        file.close();
        done(())
    });
    assert_eq!(
        sched.turn(None)?,
        0,
        "the one that closes, and the four that waited"
    );
    let errors = errors.borrow();
    assert_eq!(errors.len(), 4);
    for (operation, error) in errors.iter() {
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_names(error, operation, fd, "closed");
    }
    Ok(())
}

#[test]
fn closing_a_file_between_two_turns_ends_what_waits_in_the_next() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        done(task.line().unwrap_err().kind())
    });
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    file.close();
    assert_eq!(sched.turn(None)?, 0);
    assert_eq!(sched.join(reader)?, ErrorKind::NotConnected);
    Ok(())
}

#[test]
fn one_handle_closes_for_all_and_closing_twice_is_no_harm() -> Test {
    let (file, fd, _writer) = numbered_pipe()?;
    let other_handle = file.clone();
    let mut sched = Scheduler::new();
    file.close();
    file.close();
    other_handle.close();
    let error = sched.block_on(other_handle.readline()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_names(&error, "readline", fd, "closed");
    Ok(())
}

#[test]
fn a_number_that_is_used_again_wakes_nobody_who_waited_for_the_old_one() -> Test {
    alone(|| {
        let _guard = guard();
        let (file, fd, _writer) = numbered_pipe()?;
        let mut sched = Scheduler::new();
        let old = sched.spawn(file.readline(), |task| {
            done(task.line().unwrap_err().kind())
        });
        assert_eq!(sched.turn(Some(ZERO))?, 1);
        file.close();
        let (mut reader, mut writer) = io::pipe()?;
        assert_eq!(
            reader.as_raw_fd(),
            fd,
            "the lowest free number is the one that was closed"
        );
        writer.write_all(b"for somebody else")?;
        assert_eq!(sched.turn(None)?, 0);
        assert_eq!(sched.join(old)?, ErrorKind::NotConnected);
        let mut got = [0; 17];
        reader.read_exact(&mut got)?;
        assert_eq!(&got, b"for somebody else");
        Ok(())
    })
}

#[test]
fn a_number_closed_behind_the_library_and_used_again_does_not_end_the_loop() -> Test {
    alone(|| {
        let _guard = guard();
        let (file, fd, writer) = numbered_pipe()?;
        let mut sched = Scheduler::new();
        let reader = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        assert_eq!(sched.turn(Some(ZERO))?, 1);
        close_behind(fd);
        // The number is now another pipe. Nobody can see that from outside: its lines are read, as
        // by any program.
        let (again, mut other) = io::pipe()?;
        assert_eq!(again.as_raw_fd(), fd);
        other.write_all(b"of the second pipe\n")?;
        assert_eq!(
            sched.join(reader)?.as_deref(),
            Some(&b"of the second pipe\n"[..])
        );
        // One of the two owners of the number has to forget it.
        std::mem::forget(again);
        drop(file);
        assert_eq!(
            sched
                .block_on(asyncfile::sleep(ms(1)))
                .map_err(|e| e.kind()),
            Ok(())
        );
        Ok(drop(writer))
    })
}

#[test]
fn what_the_host_says_of_an_old_number_does_not_count_for_its_new_owner() -> Test {
    alone(|| {
        let _guard = guard();
        let (old, fd, mut writer) = numbered_pipe()?;
        let (news, read) = (Cell::new(None), Cell::new(0));
        let mut sched = Scheduler::new();
        let first = sched.spawn(old.readline(), |task| done(task.line().is_err()));
        let mut set = Vec::new();
        idle(&mut sched, &mut set)?;
        writer.write_all(b"old\n")?;
        ask(&mut set)?;
        assert_eq!((set[0].fd, set[0].revents), (fd, POLLIN));
        // Between the answer and dispatch, the file is closed, and another one takes its number and
        // waits.
        old.close();
        let (reader, mut writer) = io::pipe()?;
        assert_eq!(reader.as_raw_fd(), fd);
        let new = AsyncFile::new(reader)?;
        writer.write_all(b"new\n")?;
        let second = sched.spawn(new.readline(), |task| {
            news.set(Some(task.line()? == Some(b"new\n")));
            read.set(read.get() + 1);
            done(())
        });
        // A first dispatch lets it begin to wait; it was in no set that the host has seen.
        sched.dispatch(&[])?;
        sched.dispatch(&set)?;
        assert_eq!(news.get(), None, "the answer was for the old file");
        assert_eq!(new.buffered(), 0);
        assert!(sched.join(first)?);
        sched.join(second)?;
        assert_eq!((news.get(), read.get()), (Some(true), 1));
        Ok(())
    })
}

#[test]
fn fd_0_is_a_descriptor_like_any_other() -> Test {
    alone(|| {
        let _guard = guard();
        close_behind(0);
        let (reader, mut writer) = io::pipe()?;
        assert_eq!(reader.as_raw_fd(), 0);
        let file = AsyncFile::new(reader)?;
        let mut sched = Scheduler::new();
        let line = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        let mut set = Vec::new();
        idle(&mut sched, &mut set)?;
        assert_eq!((set.len(), set[0].fd), (1, 0));
        writer.write_all(b"through fd 0\n")?;
        assert_eq!(sched.join(line)?.as_deref(), Some(&b"through fd 0\n"[..]));
        assert_names(
            &sched.block_on(file.readline().timeout(ms(1))).unwrap_err(),
            "readline",
            0,
            "timed out",
        );

        let waiting = sched.spawn(file.readline(), |task| done(task.line().unwrap_err()));
        assert_eq!(sched.turn(Some(ZERO))?, 1);
        file.close();
        assert_eq!(sched.turn(None)?, 0);
        assert_names(&sched.join(waiting)?, "readline", 0, "closed");
        // It is closed, not forgotten: the number is free.
        let (again, mut peer) = UnixStream::pair()?;
        assert_eq!(again.as_raw_fd(), 0);
        let file = AsyncFile::new(again)?;
        assert_eq!(sched.block_on(file.write("and written"))?, 11);
        peer.read_exact(&mut [0; 11])?;
        assert_eq!(
            file.into_inner()
                .map(|(fd, rest)| (fd.as_raw_fd(), rest))
                .ok(),
            Some((0, vec![]))
        );
        Ok(())
    })
}
