//! A sandbox that refuses a call (seccomp), with each errno that it may choose: gotcha 33.

#![cfg(target_os = "linux")]

use std::io::{self, Write};
use std::os::fd::AsRawFd;
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
        // A signal looks first whether the child has been reaped.
        let answers = [
            ("try_wait", child.try_wait().map(drop)),
            ("signal", child.signal(0)),
        ];
        for (operation, answer) in answers {
            let error = answer.unwrap_err();
            let carried = OperationError::of(&error).expect("it names the operation");
            assert_eq!(carried.raw_os_error(), Some(errno), "{error}");
            let head = format!("{operation} of child {}: ", child.ids()[0]);
            assert!(error.to_string().starts_with(&head), "{error}");
        }
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

/// A child's streams are pipes that the library made: without preadv2 and pwritev2 they become
/// nonblocking, and no call waits.
#[test]
fn a_child_is_talked_to_without_preadv2_and_pwritev2() -> Test {
    let _guard = guard();
    const MORE_THAN_A_PIPE: usize = 300_000;
    refused(&[libc::SYS_preadv2, libc::SYS_pwritev2], |_| {
        let child = AsyncPipe::piped(Command::new("cat"))?;
        let mut sched = Scheduler::new();
        // cat stops when nobody reads what it has said: a write that may wait would do so here.
        let data = vec![b'x'; MORE_THAN_A_PIPE];
        let write = child.write(&data).full().timeout(ms(50));
        let written = sched.spawn(write, |task| done(task.written()?));
        let written = sched.join(written)?;
        assert!(0 < written && written < MORE_THAN_A_PIPE, "{written}");
        assert_eq!(sched.block_on(child.read(written).full())?.len(), written);
        let error = sched.block_on(child.read(1).timeout(ms(1))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let output = sched.block_on(child.communicate(data))?;
        assert_eq!(output.stdout.len(), MORE_THAN_A_PIPE);
        assert!(output.status.success());
        Ok(())
    })
}

/// A duplicate, too, does not wait where another reader was faster: the flags are still not
/// changed, and each answer of poll(2) allows one call.
#[test]
fn a_duplicated_pipe_keeps_its_flags_without_preadv2() -> Test {
    let _guard = guard();
    refused(&[libc::SYS_preadv2], |_| {
        let (mut reader, mut writer) = io::pipe()?;
        let file = AsyncFile::duplicate(&reader)?;
        // SAFETY: F_GETFL takes no third argument.
        let flags = || unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) };
        let before = flags();
        writer.write_all(b"first\n")?;
        let mut sched = Scheduler::new();
        assert_eq!(sched.block_on(file.readline())?.unwrap(), b"first\n");
        assert_eq!(flags(), before);
        assert_eq!(before & libc::O_NONBLOCK, 0);
        // What has come is gone again before the next read.
        writer.write_all(b"x")?;
        io::Read::read_exact(&mut reader, &mut [0])?;
        let error = sched.block_on(file.read(1).timeout(ms(1))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Ok(())
    })
}

/// A handler of SIGSYS, which answers the call that was stopped.
#[cfg(target_arch = "x86_64")]
type Answer = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// From here on the handler answers the calls of this thread that the filter stops.
#[cfg(target_arch = "x86_64")]
fn trap(answer: Answer, filter: Vec<libc::sock_filter>) {
    // SAFETY: a zeroed sigaction is valid, and each handler here may run at any moment: it makes at
    // most one system call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = answer as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let answer = libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut());
        assert_eq!(answer, 0);
    }
    install(filter);
}

// -------------------------------------------------------------------- EINTR in the write of a wake

/// The write(2) of one byte is interrupted so many times, and then made.
#[cfg(target_arch = "x86_64")]
mod interrupted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{step, trap};

    pub static LEFT: AtomicU32 = AtomicU32::new(0);

    /// Answers a call that seccomp(2) has stopped: EINTR, as often as it is to be; then what
    /// writev(2), which is not stopped, says.
    extern "C" fn answer(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel hands over a live context, and the registers are those of a write(2).
        unsafe {
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let is_left = LEFT.load(Ordering::Relaxed) > 0;
            registers[libc::REG_RAX as usize] = if is_left {
                LEFT.fetch_sub(1, Ordering::Relaxed);
                -i64::from(libc::EINTR)
            } else {
                let part = libc::iovec {
                    iov_base: registers[libc::REG_RSI as usize] as *mut _,
                    iov_len: registers[libc::REG_RDX as usize] as usize,
                };
                libc::writev(registers[libc::REG_RDI as usize] as i32, &part, 1) as i64
            };
        }
    }

    /// From here on this thread's write(2) of one byte is interrupted `LEFT` times.
    pub fn begin() {
        trap(
            answer,
            vec![
                step(0x20, 0, 0, 0),
                step(0x15, 0, 3, libc::SYS_write as u32),
                step(0x20, 0, 0, 32), // the third argument
                step(0x15, 0, 1, 1),
                step(0x06, 0, 0, libc::SECCOMP_RET_TRAP),
            ],
        );
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_wake_whose_write_is_interrupted_is_not_lost() -> Test {
    use std::sync::atomic::Ordering;
    alone(|| {
        let _guard = guard();
        let mut sched = Scheduler::new();
        let remote = sched.remote()?;
        sched.spawn(asyncfile::sleep(HOUR), |_| done(()));
        let mut set = Vec::new();
        crate::descriptors::idle(&mut sched, &mut set)?;
        let waker = std::thread::spawn(move || {
            interrupted::begin();
            interrupted::LEFT.store(3, Ordering::Relaxed);
            remote.wake();
        });
        waker.join().expect("no assertion fails");
        assert_eq!(interrupted::LEFT.load(Ordering::Relaxed), 0);
        crate::descriptors::ask(&mut set)?;
        assert!(
            set.iter().any(|entry| entry.revents == libc::POLLIN),
            "{set:?}"
        );
        assert_eq!(sched.turn(None)?, 1, "it ends a sleep");
        Ok(())
    })
}

// --------------------------------------------- A child that outlives its thread, and is reaped by
// --------------------------------------------- somebody else

/// Each wait4(2) of this thread is counted, and says that there is no such child.
#[cfg(target_arch = "x86_64")]
mod counted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{step, trap};

    pub static WAITS: AtomicU32 = AtomicU32::new(0);

    extern "C" fn answer(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        WAITS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the kernel hands over a live context.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        registers[libc::REG_RAX as usize] = -i64::from(libc::ECHILD);
    }

    pub fn begin() {
        trap(
            answer,
            vec![
                step(0x20, 0, 0, 0),
                step(0x15, 0, 1, libc::SYS_wait4 as u32),
                step(0x06, 0, 0, libc::SECCOMP_RET_TRAP),
            ],
        );
    }
}

/// It is asked for once more, and never again.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_child_that_outlived_its_thread_and_was_reaped_by_somebody_else_is_forgotten() -> Test {
    use std::sync::atomic::Ordering;
    alone(|| {
        let _guard = guard();
        let starting = std::thread::spawn(|| -> io::Result<u32> {
            let child = AsyncPipe::piped(Command::new("sleep").arg("60"))?;
            Ok(child.ids()[0]) // the child lives, and so does its entry
        });
        let id = starting.join().unwrap()? as libc::pid_t;
        // SAFETY: takes two numbers; the child is not reaped. A null status is allowed.
        unsafe {
            assert_eq!(libc::kill(id, libc::SIGKILL), 0);
            assert_eq!(libc::waitpid(id, std::ptr::null_mut(), 0), id);
        }
        counted::begin();
        let mut sched = Scheduler::new();
        let waits = || counted::WAITS.load(Ordering::Relaxed);
        sched.block_on(asyncfile::yield_now())?;
        assert_eq!(waits(), 1);
        for _ in 0..10 {
            sched.block_on(asyncfile::yield_now())?;
        }
        assert_eq!(waits(), 1, "it is asked for again and again");
        Ok(())
    })
}
