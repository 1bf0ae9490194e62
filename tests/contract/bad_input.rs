//! Descriptors that are not what they should be: an error that names the operation and the
//! descriptor, and the scheduler goes on.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;

use asyncfile::{done, sleep, yield_now, AsyncFile, Scheduler, TaskError};

use crate::descriptors::{
    alone, assert_names, close_behind, guard, ms, numbered_pipe, numbered_pipe_to, pattern, words,
    Test, ZERO,
};

/// What is wrong with one file is no matter to the scheduler and to others.
fn assert_goes_on(sched: &mut Scheduler<'_>) -> Test {
    let (file, _, mut writer) = numbered_pipe()?;
    writer.write_all(b"a line\n")?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"a line\n"[..])
    );
    sched.run()?;
    Ok(())
}

#[test]
fn a_descriptor_closed_behind_the_library_is_an_error_of_each_operation() -> Test {
    alone(|| {
        let _guard = guard();
        let (file, fd, _writer) = numbered_pipe()?;
        let (_reader, to, to_fd) = numbered_pipe_to()?;
        let mut sched = Scheduler::new();
        close_behind(fd);
        close_behind(to_fd);
        let bad = words(libc::EBADF);
        assert_names(
            &sched.block_on(file.readline()).unwrap_err(),
            "readline",
            fd,
            &bad,
        );
        assert_names(
            &sched.block_on(file.readline().timeout(ms(1))).unwrap_err(),
            "readline",
            fd,
            &bad,
        );
        assert_names(
            &sched.block_on(file.readlines()).unwrap_err(),
            "readlines",
            fd,
            &bad,
        );
        assert_names(&sched.block_on(file.read(1)).unwrap_err(), "read", fd, &bad);
        assert_names(
            &sched.block_on(file.read(1).full()).unwrap_err(),
            "read full",
            fd,
            &bad,
        );
        assert_names(
            &sched.block_on(file.read_to_end()).unwrap_err(),
            "read_to_end",
            fd,
            &bad,
        );
        assert_names(
            &sched.block_on(to.write("x")).unwrap_err(),
            "write",
            to_fd,
            &bad,
        );
        assert_names(
            &sched.block_on(to.write("x").full()).unwrap_err(),
            "write full",
            to_fd,
            &bad,
        );
        drop((file, to));
        assert_goes_on(&mut sched)
    })
}

#[test]
fn a_file_whose_descriptor_is_gone_can_be_closed_and_dropped() -> Test {
    alone(|| {
        let _guard = guard();
        for closes in [true, false] {
            let (file, fd, _writer) = numbered_pipe()?;
            let mut sched = Scheduler::new();
            let waiting = sched.spawn(file.readline(), |task| done(task.line().is_err()));
            assert_eq!(sched.turn(Some(ZERO))?, 1);
            close_behind(fd);
            if closes {
                file.close();
            }
            drop(file);
            assert!(sched.join(waiting)?);
            assert_goes_on(&mut sched)?;
        }
        Ok(())
    })
}

#[test]
fn a_number_that_was_closed_behind_the_library_and_used_again_ends_with_what_it_is_now() -> Test {
    alone(|| {
        let _guard = guard();
        let (file, fd, _writer) = numbered_pipe()?;
        let mut sched = Scheduler::new();
        let reader = sched.spawn(file.readline(), |task| done(task.line().unwrap_err()));
        assert_eq!(sched.turn(Some(ZERO))?, 1);
        close_behind(fd);
        let directory = File::open("/")?;
        assert_eq!(directory.as_raw_fd(), fd);
        assert_names(&sched.join(reader)?, "readline", fd, &words(libc::EISDIR));
        std::mem::forget(directory);
        assert_goes_on(&mut sched)
    })
}

#[test]
fn a_pipe_s_writing_end_cannot_be_read() -> Test {
    let _guard = guard();
    let (_reader, file, fd) = numbered_pipe_to()?;
    let mut sched = Scheduler::new();
    // poll never says that such a descriptor can be read: waiting for it would be for ever.
    let bad = words(libc::EBADF);
    assert_names(
        &sched.block_on(file.readline()).unwrap_err(),
        "readline",
        fd,
        &bad,
    );
    assert_names(&sched.block_on(file.read(1)).unwrap_err(), "read", fd, &bad);
    let reader = sched.spawn(file.read_to_end(), |task| done(task.bytes()?.len()));
    match sched.join(reader) {
        Err(TaskError::Failed(error)) => assert_names(&error, "read_to_end", fd, &bad),
        other => panic!("{other:?}"),
    }
    assert_eq!(sched.block_on(file.write("fine"))?, 4);
    assert_goes_on(&mut sched)
}

#[test]
fn a_pipe_s_reading_end_cannot_be_written() -> Test {
    let _guard = guard();
    let (file, fd, mut writer) = numbered_pipe()?;
    let mut sched = Scheduler::new();
    let bad = words(libc::EBADF);
    assert_names(
        &sched.block_on(file.write("x")).unwrap_err(),
        "write",
        fd,
        &bad,
    );
    assert_names(
        &sched.block_on(file.write("x").full()).unwrap_err(),
        "write full",
        fd,
        &bad,
    );
    writer.write_all(b"fine")?;
    assert_eq!(sched.block_on(file.read(9))?, b"fine");
    assert_goes_on(&mut sched)
}

#[test]
fn a_directory_cannot_be_read() -> Test {
    let _guard = guard();
    let directory = File::open("/")?;
    let fd = directory.as_raw_fd();
    let file = AsyncFile::new(directory)?;
    let mut sched = Scheduler::new();
    let error = sched.block_on(file.read(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    assert_names(&error, "read", fd, &words(libc::EISDIR));
    assert_names(
        &sched.block_on(file.readline()).unwrap_err(),
        "readline",
        fd,
        &words(libc::EISDIR),
    );
    assert_goes_on(&mut sched)
}

#[test]
fn a_write_to_a_closed_reader_is_a_broken_pipe() -> Test {
    let _guard = guard();
    let (reader, file, fd) = numbered_pipe_to()?;
    drop(reader);
    let (ours, peer) = std::os::unix::net::UnixStream::pair()?;
    drop(peer);
    let socket_fd = ours.as_raw_fd();
    let socket = AsyncFile::new(ours)?;
    let mut sched = Scheduler::new();
    for (file, fd) in [(&file, fd), (&socket, socket_fd)] {
        let error = sched.block_on(file.write("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_names(&error, "write", fd, &words(libc::EPIPE));
        let error = sched
            .block_on(file.write(pattern(1 << 20)).full().timeout(ms(60_000)))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_names(&error, "write full", fd, &words(libc::EPIPE));
    }
    assert_goes_on(&mut sched)
}

#[test]
fn a_timeout_says_how_long_it_was_and_what_is_kept() -> Test {
    let _guard = guard();
    let (file, fd, mut writer) = numbered_pipe()?;
    writer.write_all(b"half a line")?;
    let mut sched = Scheduler::new();
    let error = sched.block_on(file.readline().timeout(ms(2))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("readline on fd {fd}: timed out after 2ms, 11 bytes kept")
    );
    assert_goes_on(&mut sched)
}

#[test]
fn an_operation_on_a_closed_file_says_so() -> Test {
    let _guard = guard();
    let (file, fd, _writer) = numbered_pipe()?;
    let (_reader, to, to_fd) = numbered_pipe_to()?;
    file.close();
    to.close();
    let mut sched = Scheduler::new();
    let errors: [(&str, i32, io::Error); 5] = [
        ("read", fd, sched.block_on(file.read(1)).unwrap_err()),
        ("readline", fd, sched.block_on(file.readline()).unwrap_err()),
        ("readable", fd, sched.block_on(file.readable()).unwrap_err()),
        ("write", to_fd, sched.block_on(to.write("x")).unwrap_err()),
        (
            "writable",
            to_fd,
            sched.block_on(to.writable()).unwrap_err(),
        ),
    ];
    for (operation, fd, error) in errors {
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(error.to_string(), format!("{operation} on fd {fd}: closed"));
    }
    assert_goes_on(&mut sched)
}

#[test]
fn a_task_that_fails_on_a_bad_file_leaves_the_others_alone() -> Test {
    let _guard = guard();
    let file = AsyncFile::new(File::open("/")?)?;
    let mut sched = Scheduler::new();
    let other = sched.spawn(sleep(ms(2)), |task| done(task.ok().map(|()| 5)?));
    sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    sched.spawn(yield_now(), |task| done(task.line()?.is_some()));
    let mut kinds = Vec::new();
    while let Err(error) = sched.run() {
        kinds.push(io::Error::from(error).kind());
    }
    assert_eq!(kinds.len(), 2);
    assert!(
        kinds.contains(&ErrorKind::InvalidInput) && kinds.contains(&ErrorKind::IsADirectory),
        "{kinds:?}"
    );
    assert_eq!(sched.join(other)?, 5);
    Ok(())
}
