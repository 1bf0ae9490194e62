//! Children: gotchas 36 to 38. (14, 15 and 21 to 25 are in tests/children.)

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use asyncfile::{AsyncPipe, OperationError, Scheduler};

use crate::descriptors::{alone, guard, ms, words, Test, HOUR, ZERO};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

// --------------------------------------------- 36. a spawn's errno is what users match on

#[test]
fn the_errno_the_stage_and_a_missing_working_directory_are_in_the_error() {
    let _guard = guard();
    let mut lost = sh("true");
    lost.current_dir("/no/such/directory");
    for (error, text) in [
        (
            AsyncPipe::spawn(Command::new("/no/such/program")),
            "spawn /no/such/program: ",
        ),
        (
            AsyncPipe::spawn(&mut lost),
            "spawn sh, working directory /no/such/directory: ",
        ),
        (
            AsyncPipe::pipeline([&mut sh("cat"), &mut lost]),
            "spawn sh, stage 2 of 2, working directory /no/such/directory: ",
        ),
    ] {
        let error = error.unwrap_err();
        let cause = OperationError::of(&error).expect("a spawn has failed");
        assert_eq!(cause.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(error.to_string(), format!("{text}{}", words(libc::ENOENT)));
    }
}

// --------------------------------------------- 37. dropped children cost a turn nothing

#[test]
fn of_dropped_children_64_are_watched() -> Test {
    alone(|| {
        let _guard = guard();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut sched = Scheduler::new();
        let before = descriptors();
        let mut ids = Vec::new();
        for _ in 0..100 {
            let mut command = Command::new("sleep");
            command
                .arg("100")
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let pipe = AsyncPipe::spawn(command)?;
            ids.extend(pipe.ids());
        }
        for _ in 0..10 {
            sched.turn(Some(ZERO))?;
        }
        assert_eq!(descriptors(), before + 64);
        let mut set = Vec::new();
        sched.pollfds(&mut set);
        assert_eq!(set.len(), 64);
        for id in ids {
            // SAFETY: takes two numbers.
            assert_eq!(unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) }, 0);
        }
        while descriptors() > before {
            sched.turn(Some(ms(10)))?;
        }
        Ok(())
    })
}

// --------------------------------------------- 38. a signal need not arrive

#[test]
fn a_child_inherits_the_signal_mask_and_a_stop_ends_it_all_the_same() -> Test {
    alone(|| {
        let _guard = guard();
        // SAFETY: a zeroed sigset_t is filled in, and the pointers are to live ones.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            assert_eq!(
                libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()),
                0
            );
        }
        let mut sched = Scheduler::new();
        let pipe = AsyncPipe::piped(Command::new("cat"))?;
        pipe.signal(libc::SIGTERM)?;
        assert_eq!(sched.block_on(pipe.write("alive"))?, 5);
        assert_eq!(sched.block_on(pipe.read(5).full())?, b"alive");
        let status = sched.block_on(pipe.stop(ms(20)))?;
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        Ok(())
    })
}

#[test]
fn nothing_tells_of_a_child_that_was_stopped_and_sigcont_lets_it_go_on() {
    let _guard = guard();
    let mut sched = Scheduler::new();
    // SIGTTIN does not stop a process of an orphaned group, and this may be one; SIGSTOP does.
    let pipe = AsyncPipe::piped(sh("kill -STOP $$; echo on; exit 3")).unwrap();
    let error = sched.block_on(pipe.exit().timeout(ms(20))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(pipe.statuses(), [None]);
    // It may not have stopped yet: it is continued until it goes on.
    let status = loop {
        pipe.signal(libc::SIGCONT).unwrap();
        match sched.block_on(pipe.exit().timeout(ms(20))) {
            Ok(status) => break status,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut),
        }
    };
    assert_eq!(status.code(), Some(3));
    assert_eq!(
        sched.block_on(pipe.read_to_end().timeout(HOUR)).unwrap(),
        b"on\n"
    );
}
