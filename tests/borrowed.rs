//! Promise 10, gotchas 5 and 17: a descriptor that somebody else keeps and shares.
//! [`AsyncFile::duplicate`] works on it, its flags are never changed, nobody's call waits in the
//! kernel, and it stays open. All descriptors are real.
#![allow(clippy::incompatible_msrv)]

mod descriptors;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, ptr};

use asyncfile::{done, sleep, wait, AsyncFile, End, Flow, Outcome, Scheduler};
use descriptors::{alone, ask, guard, idle, ms, pattern, Test, HOUR, ZERO};

/// What a write takes at once that another one cannot interrupt.
const PIPE_BUF: usize = libc::PIPE_BUF;

/// The status flags of the open file description, as any of those who share it see them.
#[track_caller]
fn flags(fd: &impl AsFd) -> i32 {
    // SAFETY: F_GETFL takes no third argument.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    assert_ne!(flags, -1, "{}", io::Error::last_os_error());
    flags
}

/// The same, where nobody has set O_NONBLOCK.
#[track_caller]
fn blocking_flags(fd: &impl AsFd) -> i32 {
    let flags = flags(fd);
    assert_eq!(flags & libc::O_NONBLOCK, 0);
    flags
}

/// A terminal's two sides: the master and the slave, which hands on what it gets as it is, without
/// echo. For a process of one's own: another thread's child would inherit a side of it, and keep it
/// open.
fn pty() -> io::Result<(File, File)> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the pointers are to two ints; the null ones are allowed.
    let answer = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made these two for us.
    let sides = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
    for fd in [master, slave] {
        // SAFETY: F_SETFD takes an int.
        assert_ne!(
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) },
            -1
        );
    }
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills in what the two others read, and is asserted to have done so.
    unsafe {
        assert_eq!(libc::tcgetattr(slave, settings.as_mut_ptr()), 0);
        libc::cfmakeraw(settings.as_mut_ptr());
        assert_eq!(libc::tcsetattr(slave, libc::TCSANOW, settings.as_ptr()), 0);
    }
    Ok(sides)
}

/// The slave's name, which tells one pty from another.
fn slave_name(master: &impl AsRawFd) -> io::Result<Vec<u8>> {
    let mut name = [0_u8; 256];
    // SAFETY: the pointer and the length are those of a live array.
    match unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr().cast(), name.len()) } {
        0 => Ok(name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn is_open(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFD takes no third argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) != -1 }
}

// ------------------------------------------------------------------ A terminal: gotcha 17

#[test]
fn a_terminals_flags_are_the_same_before_during_and_after() -> Test {
    alone(|| {
        let _guard = guard();
        let (mut master, slave) = pty()?;
        let before = blocking_flags(&slave);
        let file = AsyncFile::duplicate(&slave)?;
        assert_eq!(flags(&slave), before, "made");

        let mut sched = Scheduler::new();
        let reader = sched.spawn(file.readline(), |task| {
            done(task.line()?.map(<[u8]>::to_vec))
        });
        idle(&mut sched, &mut Vec::new())?;
        assert!(!reader.is_finished());
        assert_eq!(flags(&slave), before, "a reader waits");

        master.write_all(b"typed\n")?;
        assert_eq!(sched.join(reader)?.as_deref(), Some(&b"typed\n"[..]));
        assert_eq!(flags(&slave), before, "it has read");

        assert_eq!(sched.block_on(file.write("shown").full())?, 5);
        let mut shown = [0; 5];
        master.read_exact(&mut shown)?;
        assert_eq!(&shown, b"shown");
        assert_eq!(flags(&slave), before, "it has written");

        drop(file);
        assert!(is_open(&slave));
        assert_eq!(flags(&slave), before, "dropped");
        (&slave).write_all(b"still")?;
        master.read_exact(&mut shown)?;
        assert_eq!(&shown, b"still");
        Ok(())
    })
}

const ROLE: &str = "ASYNCFILE_TEST_BORROWS_STDIN";

/// Starts this binary once more, for one test's other role, with the terminal as its stdin: one
/// open file description in two processes.
fn borrower(test: &str, slave: &File) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .stdin(slave.try_clone()?)
        .stdout(Stdio::null())
        .spawn()
}

/// What the child does: it says with one byte that its read waits, answers a line with a byte, and
/// waits for another one.
fn borrow_stdin() -> Test {
    let before = blocking_flags(&io::stdin());
    let file = AsyncFile::duplicate(&io::stdin())?;
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        let reader = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
        idle(&mut sched, &mut Vec::new())?;
        sched.block_on(file.write("w").full())?;
        assert_eq!(flags(&io::stdin()), before);
        assert!(sched.join(reader)?, "the terminal has hung up");
        assert_eq!(flags(&io::stdin()), before);
    }
    drop(file);
    assert_eq!(flags(&io::stdin()), before);
    Ok(())
}

#[test]
fn another_process_leaves_the_flags_of_a_shared_terminal_alone() -> Test {
    if env::var_os(ROLE).is_some() {
        return borrow_stdin();
    }
    alone(|| {
        let _guard = guard();
        let (mut master, slave) = pty()?;
        let before = blocking_flags(&slave);
        let mut child = borrower(
            "another_process_leaves_the_flags_of_a_shared_terminal_alone",
            &slave,
        )?;
        for _ in 0..2 {
            master.read_exact(&mut [0])?;
            assert_eq!(flags(&slave), before, "its read waits");
            master.write_all(b"typed\n")?;
        }
        assert!(child.wait()?.success());
        assert_eq!(flags(&slave), before, "it has exited");
        Ok(())
    })
}

#[test]
fn a_process_that_is_killed_in_a_read_leaves_the_flags_of_a_shared_terminal_alone() -> Test {
    if env::var_os(ROLE).is_some() {
        return borrow_stdin();
    }
    alone(|| {
        let _guard = guard();
        let (mut master, slave) = pty()?;
        let before = blocking_flags(&slave);
        let test = "a_process_that_is_killed_in_a_read_leaves_the_flags_of_a_shared_terminal_alone";
        let mut child = borrower(test, &slave)?;
        master.read_exact(&mut [0])?;
        assert_eq!(flags(&slave), before, "its read waits");
        child.kill()?;
        assert_eq!(child.wait()?.signal(), Some(libc::SIGKILL));
        assert_eq!(flags(&slave), before, "it was killed");
        Ok(())
    })
}

#[test]
fn the_master_side_is_duplicated_without_making_another_pty() -> Test {
    alone(|| {
        let _guard = guard();
        let (master, mut slave) = pty()?;
        let before = blocking_flags(&master);
        let file = AsyncFile::duplicate(&master)?;
        assert_eq!(slave_name(&file)?, slave_name(&master)?);

        let mut sched = Scheduler::new();
        // A write might wait: gotcha 27.
        let refused = sched.block_on(file.write("typed").full()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        slave.write_all(b"shown\n")?;
        assert_eq!(
            sched.block_on(file.readline())?.as_deref(),
            Some(&b"shown\n"[..])
        );
        assert_eq!(flags(&master), before);
        drop(file);
        assert!(is_open(&master));
        assert_eq!(flags(&master), before);
        Ok(())
    })
}

// -------------------------------------------------- A terminal whose other side has gone: gotcha 5

/// At its end for every operation, again and again, and nothing that wakes the loop while nobody
/// asks.
#[track_caller]
fn assert_at_its_end(file: &AsyncFile) -> Test {
    let ends = Cell::new(0);
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        assert_eq!(sched.block_on(file.readline())?, None);
        assert!(sched.block_on(file.read(10))?.is_empty());
    }
    sched.spawn(file.readline(), |task| match task.outcome() {
        Outcome::Line(None) => {
            ends.set(ends.get() + 1);
            wait(sleep(HOUR))
        }
        _slept => done(()),
    });
    let mut set = Vec::new();
    // The turns that it takes to find the end, and not one that finds nothing.
    for _ in 0..10 {
        idle(&mut sched, &mut set)?;
        ask(&mut set)?;
        sched.dispatch(&set)?;
    }
    assert_eq!(ends.get(), 1);
    assert!(idle(&mut sched, &mut set)?.is_some_and(|wait| wait > ZERO));
    assert!(set.is_empty(), "{set:?}");
    Ok(())
}

#[test]
fn a_master_whose_slave_has_gone_is_at_its_end() -> Test {
    alone(|| {
        let _guard = guard();
        let (master, slave) = pty()?;
        drop(slave);
        let error = (&master).read(&mut [0]).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(libc::EIO),
            "this is what the kernel says"
        );
        assert_at_its_end(&AsyncFile::duplicate(&master)?)?;
        assert_at_its_end(&AsyncFile::new(master)?)
    })
}

#[test]
fn a_slave_whose_master_has_gone_is_at_its_end() -> Test {
    alone(|| {
        let _guard = guard();
        let (master, slave) = pty()?;
        let early = AsyncFile::duplicate(&slave)?;
        drop(master);
        let before = flags(&slave);
        assert_at_its_end(&early)?;
        assert_at_its_end(&AsyncFile::duplicate(&slave)?)?;
        assert_eq!(flags(&slave), before);
        assert_at_its_end(&AsyncFile::new(slave)?)
    })
}

#[test]
fn the_last_words_of_a_terminal_come_before_its_end() -> Test {
    alone(|| {
        let _guard = guard();
        for is_duplicate in [false, true] {
            let (master, mut slave) = pty()?;
            let file = if is_duplicate {
                AsyncFile::duplicate(&master)?
            } else {
                AsyncFile::new(master.try_clone()?)?
            };
            let mut sched = Scheduler::new();
            let reader = sched.spawn(file.readline(), |task| {
                done(task.line()?.map(<[u8]>::to_vec))
            });
            idle(&mut sched, &mut Vec::new())?;
            slave.write_all(b"bye\nand")?;
            drop(slave);
            assert_eq!(sched.join(reader)?.as_deref(), Some(&b"bye\n"[..]));
            assert_eq!(
                sched.block_on(file.readline())?.as_deref(),
                Some(&b"and"[..])
            );
            assert_eq!(sched.block_on(file.readline())?, None);
        }
        Ok(())
    })
}

// ------------------------------------------------------------------ A pipe

#[test]
fn a_pipes_flags_never_change() -> Test {
    let _guard = guard();
    let (reader, writer) = io::pipe()?;
    let before = (blocking_flags(&reader), blocking_flags(&writer));
    let now = || (flags(&reader), flags(&writer));
    let (from, to) = (
        AsyncFile::duplicate(&reader)?,
        AsyncFile::duplicate(&writer)?,
    );
    let mut sched = Scheduler::new();
    let waits = sched.spawn(from.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    idle(&mut sched, &mut Vec::new())?;
    assert_eq!(now(), before, "a reader waits");
    assert_eq!(sched.block_on(to.write("line\n").full())?, 5);
    assert_eq!(sched.join(waits)?.as_deref(), Some(&b"line\n"[..]));
    assert_eq!(now(), before, "it was used");
    from.close();
    drop(to);
    assert_eq!(now(), before, "closed and dropped");
    (&writer).write_all(b"x")?;
    (&reader).read_exact(&mut [0])?;
    Ok(())
}

#[test]
fn a_read_does_not_wait_for_what_another_duplicate_has_taken() -> Test {
    let _guard = guard();
    let (reader, mut writer) = io::pipe()?;
    let files = [
        AsyncFile::duplicate(&reader)?,
        AsyncFile::duplicate(&reader)?,
    ];
    let taken = Cell::new(0);
    let count = &taken;
    let mut sched = Scheduler::new();
    for file in &files {
        sched.spawn(file.read(10), move |task| {
            count.set(count.get() + task.bytes()?.len());
            done(())
        });
    }
    let mut set = Vec::new();
    for so_far in 1..=2 {
        idle(&mut sched, &mut set)?;
        writer.write_all(b"x")?;
        // Each who still waits is told of the one byte.
        ask(&mut set)?;
        assert!(
            set.iter().all(|entry| entry.revents & libc::POLLIN != 0),
            "{set:?}"
        );
        sched.dispatch(&set)?;
        idle(&mut sched, &mut set)?;
        assert_eq!(taken.get(), so_far);
    }
    Ok(())
}

#[test]
fn a_read_does_not_wait_for_what_the_owner_has_taken_after_poll() -> Test {
    let _guard = guard();
    let (mut reader, mut writer) = io::pipe()?;
    let file = AsyncFile::duplicate(&reader)?;
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    writer.write_all(b"x")?;
    ask(&mut set)?;
    assert_eq!((set.len(), set[0].revents), (1, libc::POLLIN));
    reader.read_exact(&mut [0])?;
    sched.dispatch(&set)?;
    assert!(!task.is_finished());
    writer.write_all(b"line\n")?;
    assert_eq!(sched.join(task)?.as_deref(), Some(&b"line\n"[..]));
    Ok(())
}

#[test]
fn a_large_write_to_a_pipe_that_nobody_reads_times_out_with_a_count() -> Test {
    let _guard = guard();
    let (mut reader, writer) = io::pipe()?;
    let before = blocking_flags(&writer);
    let file = AsyncFile::duplicate(&writer)?;
    let data = pattern(4 << 20);
    let ticks = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.spawn(sleep(ms(1)), |task| -> Flow<()> {
        task.ok()?;
        ticks.set(ticks.get() + 1);
        wait(sleep(ms(1)))
    });
    let write = sched.spawn(file.write(&data).full().timeout(ms(50)), |task| {
        let count = task.written()?;
        done((count, task.end()))
    });
    let start = Instant::now();
    let (count, end): (usize, End) = sched.join(write)?;
    assert!(
        (ms(50)..ms(30_000)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(end, End::TimedOut);
    assert!(PIPE_BUF < count && count < data.len(), "{count}");
    assert!(ticks.get() > 0, "the others went on");
    assert_eq!(flags(&writer), before);

    let error = sched
        .block_on(file.write(&data).timeout(ms(1)))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop((file, writer));
    let mut arrived = Vec::new();
    reader.read_to_end(&mut arrived)?;
    assert!(
        arrived == data[..count],
        "{} bytes arrived, {count} were counted",
        arrived.len()
    );
    Ok(())
}

#[test]
fn a_large_write_to_a_pipe_goes_on_as_it_is_read() -> Test {
    let _guard = guard();
    let (reader, writer) = io::pipe()?;
    let (from, to) = (
        AsyncFile::duplicate(&reader)?,
        AsyncFile::duplicate(&writer)?,
    );
    drop(writer);
    let data = pattern(1 << 20);
    let mut sched = Scheduler::new();
    let write = sched.spawn(to.write(&data).full(), move |task| {
        to.close();
        done(task.written()?)
    });
    assert!(sched.block_on(from.read_to_end())? == data);
    assert_eq!(sched.join(write)?, data.len());
    Ok(())
}

// ------------------------------------------------------------------ A socket, a regular file

#[test]
fn a_sockets_flags_are_untouched() -> Test {
    let _guard = guard();
    let (ours, mut peer) = UnixStream::pair()?;
    let before = blocking_flags(&ours);
    let file = AsyncFile::duplicate(&ours)?;
    let mut sched = Scheduler::new();
    let reader = sched.spawn(file.readline(), |task| {
        done(task.line()?.map(<[u8]>::to_vec))
    });
    idle(&mut sched, &mut Vec::new())?;
    assert_eq!(flags(&ours), before, "a reader waits");
    peer.write_all(b"hello\n")?;
    assert_eq!(sched.join(reader)?.as_deref(), Some(&b"hello\n"[..]));
    let write = sched.spawn(
        file.write(pattern(4 << 20)).full().timeout(ms(20)),
        |task| {
            let count = task.written()?;
            done((count, task.end()))
        },
    );
    let (count, end) = sched.join(write)?;
    assert!(0 < count && count < 4 << 20, "{count}");
    assert_eq!(end, End::TimedOut);
    assert_eq!(flags(&ours), before, "it was used");
    drop(file);
    assert_eq!(flags(&ours), before, "dropped");
    let mut arrived = vec![0; count];
    peer.read_exact(&mut arrived)?;
    assert!(arrived == pattern(count));
    (&ours).write_all(b"!")?;
    peer.read_exact(&mut [0])?;
    Ok(())
}

#[test]
fn a_regular_file_is_read_and_written_through_a_duplicate() -> Test {
    let _guard = guard();
    let mut original = tempfile::tempfile()?;
    let before = blocking_flags(&original);
    let file = AsyncFile::duplicate(&original)?;
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(file.write("one\ntwo").full())?, 7);
    assert_eq!(original.stream_position()?, 7, "they share the position");
    original.seek(SeekFrom::Start(0))?;
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"one\n"[..])
    );
    assert_eq!(
        sched.block_on(file.readline())?.as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(sched.block_on(file.readline())?, None);
    assert_eq!(flags(&original), before);
    drop(file);
    assert!(is_open(&original));
    assert_eq!(original.metadata()?.len(), 7);
    Ok(())
}

// ------------------------------------------------------------------ The original stays open

#[test]
fn the_original_outlives_every_way_to_close_a_duplicate() -> Test {
    let _guard = guard();
    let (mut reader, mut writer) = io::pipe()?;
    let before = blocking_flags(&reader);
    let dropped = AsyncFile::duplicate(&reader)?;
    assert_ne!(dropped.as_raw_fd(), reader.as_raw_fd());
    drop(dropped);
    AsyncFile::duplicate(&reader)?.close();
    let (copy, ahead): (OwnedFd, Vec<u8>) = AsyncFile::duplicate(&reader)?
        .into_inner()
        .map_err(|_| "it is ours")?;
    assert!(ahead.is_empty());
    drop(copy);
    assert_eq!(flags(&reader), before);
    writer.write_all(b"x")?;
    reader.read_exact(&mut [0])?;
    Ok(())
}

// ---------------------------------------------------------------- What a duplicate is, and is not

/// What fcntl(2) says of a descriptor.
fn asked(fd: &impl AsRawFd, question: libc::c_int) -> libc::c_int {
    // SAFETY: F_GETFD and F_GETFL take no third argument.
    let answer = unsafe { libc::fcntl(fd.as_raw_fd(), question) };
    assert_ne!(answer, -1, "{}", io::Error::last_os_error());
    answer
}

/// fcntl(2) has a file's flags changed for all who share the description: none is, be it one that
/// the library never touches.
#[test]
fn every_flag_of_the_description_stays_as_found() -> Test {
    let _guard = guard();
    let changed = [
        libc::O_APPEND,
        libc::O_NONBLOCK,
        libc::O_APPEND | libc::O_NONBLOCK,
    ];
    for more in changed {
        let (left, right) = UnixStream::pair()?;
        let (reader, writer) = io::pipe()?;
        let kinds: [(&str, OwnedFd); 5] = [
            ("a pipe", writer.into()),
            ("a pipe's reader", reader.into()),
            ("a socket", left.into()),
            ("a file", tempfile::tempfile()?.into()),
            (
                "a device",
                File::options().write(true).open("/dev/null")?.into(),
            ),
        ];
        for (name, fd) in &kinds {
            let before = flags(fd) | more;
            // SAFETY: F_SETFL takes an int.
            assert_eq!(
                unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, before) },
                0
            );
            let before = flags(fd);
            assert_eq!(before & more, more, "{name}");
            let file = AsyncFile::duplicate(fd)?;
            assert_eq!(flags(fd), before, "{name}: made");
            let mut sched = Scheduler::new();
            if *name != "a pipe's reader" {
                assert_eq!(sched.block_on(file.write("x"))?, 1, "{name}");
            } else {
                assert!(sched.block_on(file.read(1).timeout(HOUR)).is_ok(), "{name}");
            }
            assert_eq!(flags(fd), before, "{name}: used");
            drop(file);
            assert_eq!(flags(fd), before, "{name}: dropped");
            // Taken over: O_NONBLOCK is all that changes, and the rest is there afterwards.
            let file = AsyncFile::new(fd.try_clone()?)?;
            assert_eq!(
                flags(fd) & !libc::O_NONBLOCK,
                before & !libc::O_NONBLOCK,
                "{name}"
            );
            drop(file);
            assert_eq!(flags(fd), before, "{name}: put back");
        }
        drop(right);
    }
    Ok(())
}

/// 0, 1 and 2 are taken for the standard streams by whoever finds them free.
#[test]
fn a_duplicate_never_has_a_standard_streams_number_and_is_closed_on_exec() -> Test {
    alone(|| {
        let _guard = guard();
        let (_master, slave) = pty()?;
        let (left, _right) = UnixStream::pair()?;
        let (reader, writer) = io::pipe()?;
        let kinds: [(&str, OwnedFd); 6] = [
            ("a pipe", writer.into()),
            ("a pipe's reader", reader.into()),
            ("a socket", left.into()),
            ("a file", tempfile::tempfile()?.into()),
            ("a device", File::open("/dev/null")?.into()),
            ("a terminal", slave.into()),
        ];
        // SAFETY: stdin is nobody's in this process but the test's.
        let stdin = unsafe { OwnedFd::from_raw_fd(0) };
        let saved = stdin.try_clone()?;
        drop(stdin);
        let mut wrong = Vec::new();
        for (name, fd) in &kinds {
            let file = AsyncFile::duplicate(fd)?;
            if file.as_raw_fd() <= 2 || asked(&file, libc::F_GETFD) & libc::FD_CLOEXEC == 0 {
                wrong.push((name, file.as_raw_fd()));
            }
        }
        // SAFETY: as above.
        assert_eq!(unsafe { libc::dup2(saved.as_raw_fd(), 0) }, 0);
        assert!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    })
}

/// A terminal is opened once more: the same device, for what the original was opened for, closed on
/// exec, and it does not become the controlling terminal of a session that has none.
#[test]
fn a_terminal_that_is_opened_again_is_the_same_device_and_nothing_more() -> Test {
    alone(|| {
        let _guard = guard();
        let (master, _slave) = pty()?;
        let name = slave_name(&master)?;
        let path = std::path::PathBuf::from(String::from_utf8(name)?);
        // SAFETY: takes nothing; this process leads no group, so it may lead a session.
        assert_ne!(unsafe { libc::setsid() }, -1);
        let has_terminal = || File::open("/dev/tty").is_ok();
        assert!(!has_terminal());
        let open = |read, write| {
            use std::os::unix::fs::OpenOptionsExt;
            let mut options = File::options();
            options.read(read).write(write).custom_flags(libc::O_NOCTTY);
            options.open(&path)
        };
        for (read, write) in [(true, false), (false, true), (true, true)] {
            let theirs = open(read, write)?;
            let ours = AsyncFile::duplicate(&theirs)?;
            assert!(!has_terminal(), "O_NOCTTY");
            let access = |fd: &dyn AsRawFd| asked(&fd.as_raw_fd(), libc::F_GETFL) & libc::O_ACCMODE;
            assert_eq!(access(&ours), access(&theirs));
            assert_ne!(asked(&ours, libc::F_GETFD) & libc::FD_CLOEXEC, 0);
            assert_ne!(
                asked(&ours, libc::F_GETFL) & libc::O_NONBLOCK,
                0,
                "opened again"
            );
            assert_eq!(asked(&theirs, libc::F_GETFL) & libc::O_NONBLOCK, 0);
            let device = |fd: &dyn AsRawFd| -> io::Result<_> {
                use std::os::unix::fs::MetadataExt;
                let at = format!("/proc/self/fd/{}", fd.as_raw_fd());
                let found = std::fs::metadata(at)?;
                Ok((found.dev(), found.ino(), found.rdev()))
            };
            assert_eq!(device(&ours)?, device(&theirs)?);
            let mut sched = Scheduler::new();
            if !read {
                let error = sched.block_on(ours.read(1)).unwrap_err();
                let carried = asyncfile::OperationError::of(&error).unwrap();
                assert_eq!(carried.raw_os_error(), Some(libc::EBADF));
            }
            if !write {
                let error = sched.block_on(ours.write("x")).unwrap_err();
                let carried = asyncfile::OperationError::of(&error).unwrap();
                assert_eq!(carried.raw_os_error(), Some(libc::EBADF));
            }
        }
        Ok(())
    })
}
