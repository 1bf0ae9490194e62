//! A sandbox that refuses a call (seccomp), with each errno that it may choose: gotcha 33.

#![cfg(target_os = "linux")]

use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use asyncfile::{done, AsyncFile, AsyncPipe, OperationError, Scheduler};
use libc::{c_int, c_long, EACCES, EINVAL, ENOSYS, EOPNOTSUPP, EPERM};

use crate::descriptors::{alone, guard, ms, Test, HOUR};

/// What an old kernel and a sandbox refuse a call with.
const REFUSALS: [c_int; 5] = [ENOSYS, EPERM, EACCES, EINVAL, EOPNOTSUPP];

/// From here on these calls fail with this errno, in this thread and its children. 0: they only
/// pretend to succeed.
fn refuse(calls: &[c_long], errno: c_int) {
    let mut filter = vec![step(0x20, 0, 0, 0)]; // load the call's number
    for call in calls {
        filter.push(step(0x15, 0, 1, *call as u32)); // if it is this one
        filter.push(refusal(errno));
    }
    install(filter);
}

/// As [`refuse`], for a call whose second argument is this.
fn refuse_if(call: c_long, argument: c_int, errno: c_int) {
    let low = if cfg!(target_endian = "little") {
        24
    } else {
        28
    };
    install(vec![
        step(0x20, 0, 0, 0),
        step(0x15, 0, 3, call as u32),
        step(0x20, 0, 0, low),
        step(0x15, 0, 1, argument as u32),
        refusal(errno),
    ]);
}

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn refusal(errno: c_int) -> libc::sock_filter {
    step(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32)
}

fn install(mut filter: Vec<libc::sock_filter>) {
    filter.push(step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: filter.len() as _,
        filter: filter.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives through the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &program), 0);
    }
}

/// Runs `body` once for each errno, on a thread on which these calls are refused with it. Filters
/// are a thread's, and add up: each has its own.
fn refused(calls: &'static [c_long], body: fn(c_int) -> Test) -> Test {
    for errno in REFUSALS {
        let thread = std::thread::spawn(move || {
            refuse(calls, errno);
            body(errno).map_err(|error| format!("errno {errno}: {error}"))
        });
        thread.join().expect("no assertion fails")?;
    }
    Ok(())
}

// ------------------------------ 33. A sandbox says EPERM where an old kernel says ENOSYS or EINVAL

#[test]
fn a_duplicated_pipe_is_read_without_preadv2() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_preadv2], |_| {
        let (reader, mut writer) = io::pipe()?;
        let file = AsyncFile::duplicate(&reader)?;
        writer.write_all(b"line\nhalf")?;
        let mut sched = Scheduler::new();
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"line\n");
        assert_eq!(sched.block_on(file.read(4))?, b"half");
        let reading = sched.spawn(file.readline(), |task| done(task.line()?.is_none()));
        assert_eq!(sched.turn(Some(ms(1)))?, 1, "it waits in poll(2)");
        drop(writer);
        assert!(sched.join(reading)?);
        Ok(())
    })
}

#[test]
fn a_childs_pipes_are_used_without_preadv2_and_pwritev2() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_preadv2, libc::SYS_pwritev2], |_| {
        let data = vec![7; 300_000]; // more than both pipes hold: it must wait
        let child = AsyncPipe::piped(Command::new("cat"))?;
        let output = Scheduler::new().block_on(child.communicate(data.clone()))?;
        assert!(output.status.success() && output.stdout == data);
        Ok(())
    })
}

#[test]
fn a_scheduler_is_woken_where_pipe2_takes_no_flags() -> Test {
    let _guard = guard();
    for errno in REFUSALS {
        let thread = std::thread::spawn(move || {
            // glibc's pipe(3) is a pipe2(2) without flags.
            refuse_if(libc::SYS_pipe2, libc::O_NONBLOCK | libc::O_CLOEXEC, errno);
            let mut sched = Scheduler::new();
            let remote = sched.remote().expect("the flags are set afterwards");
            let task = sched.spawn(asyncfile::sleep(HOUR), |_| done(()));
            let waker = std::thread::spawn(move || remote.stop());
            sched.run().unwrap();
            assert!(!task.is_finished(), "it was stopped");
            waker.join().unwrap();
        });
        thread.join().expect("no assertion fails");
    }
    Ok(())
}

#[test]
fn an_exit_is_noticed_without_pidfd_open() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_pidfd_open], |_| {
        let child = AsyncPipe::piped(Command::new("cat"))?;
        let mut sched = Scheduler::new();
        let output = sched.block_on(child.communicate("said\n"))?;
        assert_eq!(output.stdout, b"said\n");
        assert!(output.status.success());
        Ok(())
    })
}

#[test]
fn a_wait_that_is_refused_is_an_error_and_says_nothing_of_others() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_wait4, libc::SYS_waitid], |errno| {
        let child = AsyncPipe::piped(Command::new("true"))?;
        let mut sched = Scheduler::new();
        for _ in 0..2 {
            let error = sched.block_on(child.exit()).unwrap_err();
            let carried = OperationError::of(&error).expect("an exit has failed");
            assert_eq!(carried.raw_os_error(), Some(errno), "{error}");
            assert!(!error.to_string().contains("reaped"), "{error}");
        }
        let error = sched.block_on(child.communicate(())).unwrap_err();
        assert!(!error.to_string().contains("reaped"), "{error}");
        assert_eq!(child.statuses(), [None]);
        let error = child.try_wait().unwrap_err();
        assert!(!error.to_string().contains("reaped"), "{error}");
        Ok(())
    })
}

#[test]
fn a_dropped_child_is_reaped_once_waiting_is_allowed_again() -> Test {
    alone(|| {
        let _guard = guard();
        let dropping = std::thread::spawn(|| -> io::Result<u32> {
            let child = AsyncPipe::piped(Command::new("true"))?;
            refuse(&[libc::SYS_wait4, libc::SYS_waitid], EPERM);
            Ok(child.ids()[0])
        });
        let id = dropping.join().unwrap()?;
        let mut sched = Scheduler::new();
        let path = format!("/proc/{id}");
        while std::path::Path::new(&path).exists() {
            sched.block_on(asyncfile::sleep(ms(10)))?;
        }
        Ok(())
    })
}

#[test]
fn a_regular_file_is_one_also_without_fstatfs() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_fstatfs], |_| {
        let mut file = tempfile::tempfile()?;
        file.write_all(b"a line\n")?;
        io::Seek::rewind(&mut file)?;
        let file = AsyncFile::new(file)?;
        assert_eq!(
            Scheduler::new().block_on(file.readline())?.unwrap(),
            b"a line\n"
        );
        Ok(())
    })
}

#[test]
fn a_tracer_that_only_pretends_to_call_pipe2_does_not_make_the_library_try_for_ever() -> Test {
    alone(|| {
        let _guard = guard();
        let thread = std::thread::spawn(|| {
            refuse(&[libc::SYS_pipe2], 0); // "success", and both numbers are what they were: 0
            AsyncPipe::piped(Command::new("true")).map(drop)
        });
        let _ = thread.join(); // whatever comes of it
        Ok(())
    })
}

/// A leader that waitid(2) may not look at is looked at by waitpid(2), which reaps it if it has
/// ended. Its group is not signalled after that.
#[test]
fn a_group_is_stopped_and_killed_without_waitid() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_waitid], |_| {
        let start = || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $$; exec sleep 1000"]);
            AsyncPipe::piped(command.process_group(0))
        };
        let mut sched = Scheduler::new();
        let child = start()?;
        child.kill_group()?;
        let status = sched.block_on(child.exit())?;
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(child.kill_group().is_err(), "it is reaped");

        let child = start()?;
        let status = sched.block_on(child.stop(HOUR))?;
        assert_eq!(status.signal(), Some(libc::SIGTERM));

        let child = AsyncPipe::piped(Command::new("true").process_group(0))?;
        sched.block_on(child.exit())?;
        let status = sched.block_on(child.stop(HOUR))?;
        assert!(status.success(), "it has ended before");

        let child = start()?.kill_on_drop();
        let stdout = child.stdout().expect("it is piped").clone();
        sched.block_on(stdout.readline())?;
        drop(child);
        assert_eq!(sched.block_on(stdout.read(1))?, b"", "no process has it");
        Ok(())
    })
}
