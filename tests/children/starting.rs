//! Starting children: as the command says, or piped; what the command keeps; what a failure says.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use asyncfile::{AsyncPipe, OperationError, Scheduler};

use crate::help::{assert_output, sh};
use crate::support::watchdog;

#[test]
fn a_command_is_started_as_it_says() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let mut command = sh("cat; echo out; echo err >&2");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    for _ in 0..2 {
        let pipe = AsyncPipe::spawn(&mut command).unwrap();
        assert!(pipe.stdin().is_none());
        let output = sched.block_on(pipe.communicate(())).unwrap();
        assert_output(&output, 0, "out\n", "err\n");
    }
    // Nothing is piped that it does not say.
    let mut command = sh("exit 3");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let pipe = AsyncPipe::spawn(command).unwrap();
    assert!(pipe.stdin().is_none() && pipe.stdout().is_none() && pipe.stderr().is_none());
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(3));
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 3, "", "");
}

#[test]
fn piped_pipes_stdin_and_stdout_whatever_the_command_says() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let mut command = sh("cat; echo err >&2");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let pipe = AsyncPipe::piped(command.stderr(Stdio::null())).unwrap();
    assert!(pipe.stderr().is_none());
    let output = sched.block_on(pipe.communicate("in")).unwrap();
    assert_output(&output, 0, "in", "");
    // These two settings stay: the next spawn, as the command says, is piped, too.
    let pipe = AsyncPipe::spawn(&mut command).unwrap();
    let output = sched.block_on(pipe.communicate("in")).unwrap();
    assert_output(&output, 0, "in", "");
}

/// A command that kept the child's end of stdout would keep its reader from the end of file.
#[test]
fn a_command_that_lives_on_keeps_no_end_of_a_pipe() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let mut commands = [sh("cat"), sh("cat")];
    let pipe = AsyncPipe::pipeline(&mut commands).unwrap();
    assert_output(&sched.block_on(pipe.communicate("x")).unwrap(), 0, "x", "");
    let pipe = AsyncPipe::piped(&mut commands[0]).unwrap();
    pipe.close_stdin();
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"");
}

#[test]
fn a_command_may_be_given_by_value_or_borrowed() {
    let _watchdog = watchdog();
    let mut command = Command::new("true");
    AsyncPipe::spawn(&mut command).unwrap();
    AsyncPipe::piped(&mut command).unwrap();
    AsyncPipe::spawn(Command::new("true")).unwrap();
    AsyncPipe::piped(Command::new("true").arg("ignored")).unwrap();
    AsyncPipe::pipeline([Command::new("true"), Command::new("true")]).unwrap();
    AsyncPipe::pipeline(vec![&mut command]).unwrap();
}

#[test]
fn a_failed_spawn_keeps_its_errno_and_names_the_program() {
    let _watchdog = watchdog();
    let missing = || Command::new("/missing/program");
    let mut large = Command::new("true");
    large.arg("x".repeat(10_000_000));
    for (error, errno, program) in [
        (
            AsyncPipe::spawn(missing()),
            libc::ENOENT,
            "/missing/program",
        ),
        (
            AsyncPipe::piped(missing()),
            libc::ENOENT,
            "/missing/program",
        ),
        (
            AsyncPipe::pipeline([sh("cat"), missing()]),
            libc::ENOENT,
            "/missing/program",
        ),
        (AsyncPipe::piped(&mut large), libc::E2BIG, "true"),
    ] {
        let error = error.unwrap_err();
        let cause = OperationError::of(&error).expect("a spawn has failed");
        assert_eq!((cause.operation(), cause.fd()), ("spawn", None));
        assert_eq!(cause.raw_os_error(), Some(errno));
        let text = error.to_string();
        assert!(text.starts_with(&format!("spawn {program}: ")), "{text}");
    }
    let error = AsyncPipe::pipeline(Vec::<Command>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
