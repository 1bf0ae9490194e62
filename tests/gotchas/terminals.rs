//! Terminals that may wait, and whose EIO may be no end: gotchas 5, 27 and 29.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Write};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd};

use asyncfile::{done, AsyncFile, End, OperationError, Scheduler};

use crate::descriptors::{alone, guard, ms, pattern, Test, HOUR};

/// A pseudo-terminal, its master first.
fn terminal() -> io::Result<(File, File)> {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two pointers to live ints; the others may be null.
    match unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) } {
        // SAFETY: both are open, and nobody else's.
        0 => Ok(unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// No line discipline: a read ends with `min` bytes, or after `time` tenths of a second.
fn make_raw(terminal: &File, min: u8, time: u8) {
    let fd = terminal.as_raw_fd();
    // SAFETY: the pointers are to one live structure.
    unsafe {
        let mut modes: libc::termios = zeroed();
        assert_eq!(libc::tcgetattr(fd, &mut modes), 0);
        libc::cfmakeraw(&mut modes);
        modes.c_cc[libc::VMIN] = min;
        modes.c_cc[libc::VTIME] = time;
        assert_eq!(libc::tcsetattr(fd, libc::TCSANOW, &modes), 0);
    }
}

/// A duplicate of a terminal that cannot be opened again: another user owns it, and it is exclusive
/// (TIOCEXCL). The process is the test's own: it is another user for a moment.
fn duplicate(terminal: &File) -> io::Result<AsyncFile> {
    let become_user = |id| {
        // SAFETY: takes three numbers; u32::MAX leaves an id as it is.
        unsafe { libc::setresuid(u32::MAX, id, u32::MAX) }
    };
    // SAFETY: TIOCEXCL takes no argument.
    assert_eq!(
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCEXCL) },
        0
    );
    become_user(65534); // where the test is not root's, TIOCEXCL is enough
    let file = AsyncFile::duplicate(terminal);
    become_user(0);
    file
}

// ----------------------------- 27. A terminal waits in read(2) and write(2) in spite of poll(2)

/// Files on descriptions that stay blocking: a master, and slaves that cannot be opened again.
fn each_that_may_wait(body: impl Fn(AsyncFile, File, &str) -> Test) -> Test {
    let (master, slave) = terminal()?;
    make_raw(&slave, 1, 0);
    body(AsyncFile::duplicate(&master)?, slave, "a master")?;
    let (master, slave) = terminal()?;
    make_raw(&slave, 1, 0);
    body(duplicate(&slave)?, master, "a slave")
}

#[test]
fn a_write_to_a_terminal_that_may_wait_is_refused() -> Test {
    alone(|| {
        let _guard = guard();
        each_that_may_wait(|file, _other, name| {
            let mut sched = Scheduler::new();
            let small = sched.block_on(file.write("x")).unwrap_err();
            let large = sched
                .block_on(file.write(pattern(100_000)).full())
                .unwrap_err();
            let ready = sched.block_on(file.writable().timeout(HOUR)).unwrap_err();
            for (operation, error) in [("write", small), ("write full", large), ("writable", ready)]
            {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
                assert!(error.to_string().contains("AsyncFile::new"), "{error}");
                let carried = OperationError::of(&error).unwrap();
                assert_eq!(carried.operation(), operation);
            }
            assert_eq!(sched.block_on(file.write(""))?, 0, "nothing can be written");
            Ok(())
        })
    })
}

#[test]
fn a_read_of_a_terminal_that_may_wait_takes_what_is_there() -> Test {
    alone(|| {
        let _guard = guard();
        each_that_may_wait(|file, mut other, name| {
            let mut sched = Scheduler::new();
            for text in ["a", "four", "a line\n"] {
                other.write_all(text.as_bytes())?;
                let mut come = Vec::new();
                while come.len() < text.len() {
                    come.extend(sched.block_on(file.read(4096))?);
                }
                assert_eq!(come, text.as_bytes(), "{name}");
            }
            let reader = sched.spawn(file.readline(), |task| {
                done(task.line()?.map(<[u8]>::to_vec))
            });
            assert_eq!(sched.turn(Some(ms(1)))?, 1, "{name}: it waits in poll(2)");
            other.write_all(b"half a")?;
            assert_eq!(sched.turn(Some(ms(1)))?, 1, "{name}: for the newline, too");
            other.write_all(b" line\n")?;
            assert_eq!(sched.join(reader)?.unwrap(), b"half a line\n");
            Ok(())
        })
    })
}

#[test]
fn a_read_does_not_wait_for_vmin_and_vtime() -> Test {
    alone(|| {
        let _guard = guard();
        for (min, time) in [(1, 0), (4, 0), (4, 255), (200, 255), (0, 255)] {
            let (mut master, slave) = terminal()?;
            make_raw(&slave, min, time);
            let file = duplicate(&slave)?;
            let mut sched = Scheduler::new();
            let reader = sched.spawn(file.read(100).full(), |task| {
                done((task.end(), task.bytes()?.len()))
            });
            for _ in 0..25 {
                master.write_all(b"four")?;
                // In a read(2) that waits for the rest, a turn would take VTIME or for ever.
                sched.turn(Some(ms(1)))?;
            }
            while !reader.is_finished() && min < 100 {
                sched.turn(Some(ms(100)))?;
            }
            match reader.take() {
                Some(read) => assert_eq!(read?, (End::Complete, 100)),
                None => assert!(min > 100, "VMIN {min}, VTIME {time}"),
            }
        }
        Ok(())
    })
}

#[test]
fn a_control_d_and_a_hangup_end_a_terminal_that_may_wait() -> Test {
    alone(|| {
        let _guard = guard();
        let (mut master, slave) = terminal()?;
        let file = duplicate(&slave)?;
        drop(slave);
        let mut sched = Scheduler::new();
        master.write_all(b"a line\n\x04")?;
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"a line\n");
        assert_eq!(sched.block_on(file.readline())?, None, "^D");
        master.write_all(b"another\n")?;
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"another\n");
        drop(master);
        for _ in 0..3 {
            assert_eq!(sched.block_on(file.readline())?, None, "a hangup");
        }
        Ok(())
    })
}

#[test]
fn the_end_of_a_master_is_that_of_its_last_slave() -> Test {
    let _guard = guard();
    for is_duplicate in [false, true] {
        let (master, mut slave) = terminal()?;
        make_raw(&slave, 1, 0);
        let name = format!("/proc/self/fd/{}", slave.as_raw_fd());
        let name = std::fs::read_link(name)?;
        let file = match is_duplicate {
            true => AsyncFile::duplicate(&master)?,
            false => AsyncFile::new(master.try_clone()?)?,
        };
        let mut sched = Scheduler::new();
        slave.write_all(b"the rest")?;
        drop(slave);
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"the rest");
        for _ in 0..3 {
            assert_eq!(sched.block_on(file.readline())?, None);
        }
        let mut slave = File::options().read(true).write(true).open(name)?;
        slave.write_all(b"the next\n")?;
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"the next\n");
    }
    Ok(())
}

// -------------------------------------- 29. EIO without HUP is a background process's terminal

/// What a job in the background says of its terminal, and then of the line that is typed once it
/// is in the foreground. It ignores SIGTTIN.
fn background(job: fn(File, &mut dyn FnMut(String))) -> io::Result<Vec<String>> {
    let (mut master, slave) = terminal()?;
    let (report, mut out) = io::pipe()?;
    // poll(2) says IN of this, in the background, too.
    master.write_all(b"typed\n")?;
    // SAFETY: this process is the test's own, and has one thread.
    let leader = unsafe { libc::fork() };
    if leader == 0 {
        // SAFETY: numbers of this process, which becomes the leader of a session.
        let worker = unsafe {
            libc::setsid();
            libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0);
            libc::fork()
        };
        if worker == 0 {
            // SAFETY: as above.
            unsafe {
                libc::setpgid(0, 0);
                libc::signal(libc::SIGTTIN, libc::SIG_IGN);
                libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            }
            job(slave, &mut |said| writeln!(out, "{said}").unwrap());
        }
        // SAFETY: the worker has ended, or is this process.
        unsafe {
            libc::waitpid(worker, &mut 0, 0);
            libc::_exit(0)
        }
    }
    drop((slave, out));
    let said = io::BufReader::new(report).lines().collect();
    // SAFETY: a number, and a pointer to a live int.
    unsafe { libc::waitpid(leader, &mut 0, 0) };
    said
}

fn read_in_both(slave: &File, file: io::Result<AsyncFile>, say: &mut dyn FnMut(String)) {
    let file = file.unwrap();
    let mut sched = Scheduler::new();
    let mut read = || match sched.block_on(file.readline().timeout(ms(10_000))) {
        Ok(line) => format!("{:?}", line.map(|line| String::from_utf8(line).unwrap())),
        Err(error) => format!("{:?}", OperationError::of(&error).unwrap().raw_os_error()),
    };
    say(read());
    // SAFETY: two numbers of this process.
    unsafe { libc::tcsetpgrp(slave.as_raw_fd(), libc::getpgrp()) };
    say(read());
}

fn by_new(slave: File, say: &mut dyn FnMut(String)) {
    read_in_both(&slave, slave.try_clone().and_then(AsyncFile::new), say);
}

fn by_duplicate(slave: File, say: &mut dyn FnMut(String)) {
    read_in_both(&slave, AsyncFile::duplicate(&slave), say);
}

fn by_exclusive_duplicate(slave: File, say: &mut dyn FnMut(String)) {
    read_in_both(&slave, duplicate(&slave), say);
}

#[test]
fn eio_of_a_background_process_is_an_error_and_no_end_of_file() -> Test {
    alone(|| {
        let _guard = guard();
        for job in [by_new, by_duplicate, by_exclusive_duplicate] {
            let said = background(job)?;
            let eio = format!("{:?}", Some(libc::EIO));
            assert_eq!(said, [eio, format!("{:?}", Some("typed\n"))]);
        }
        Ok(())
    })
}

#[test]
fn eio_of_what_is_no_terminal_is_an_error() -> Test {
    let memory = File::open("/proc/self/mem")?; // nothing is mapped at its beginning
    for file in [AsyncFile::duplicate(&memory)?, AsyncFile::new(memory)?] {
        let error = Scheduler::new().block_on(file.read(1)).unwrap_err();
        let error = OperationError::of(&error).unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
    Ok(())
}
