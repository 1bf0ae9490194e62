//! Starting children: as the command says, or piped; what the command keeps; what a failure says.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use asyncfile::{AsyncPipe, Scheduler};

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

/// A command that kept the child's end of a pipe would keep its reader from the end of file.
#[test]
fn a_command_that_lives_on_keeps_no_descriptor_of_ours() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let mut commands = [sh("cat; echo err >&2"), sh("cat")];
    commands[0].stderr(Stdio::null());
    let pipe = AsyncPipe::pipeline(&mut commands).unwrap();
    assert_output(&sched.block_on(pipe.communicate("x")).unwrap(), 0, "x", "");
    let starts: [fn(&mut Command) -> std::io::Result<AsyncPipe>; 4] = [
        |command| AsyncPipe::piped(command),
        |command| AsyncPipe::merged(command),
        |command| AsyncPipe::spawn(command.stdin(Stdio::piped()).stderr(Stdio::piped())),
        |command| AsyncPipe::pipeline([command]),
    ];
    let mut cat = Command::new("cat");
    for start in starts {
        let pipe = start(&mut commands[0]).unwrap();
        let (stdin, stderr) = (pipe.stdin().unwrap().clone(), pipe.stderr().cloned());
        stdin.close();
        let out = sched.block_on(pipe.read_to_end()).unwrap();
        let err = stderr.map(|file| sched.block_on(file.read_to_end()).unwrap());
        assert_eq!([out, err.unwrap_or_default()].concat().len() % 4, 0);
        // The child's stdin: a writer would be told by nobody that its reader is gone.
        let pipe = start(&mut cat).unwrap();
        pipe.kill().unwrap();
        sched.block_on(pipe.exit()).unwrap();
        // A child of another test may have the reader, too, until its exec.
        let stdin = pipe.stdin().unwrap();
        sched.block_on(stdin.readiness(0)).unwrap();
        let error = sched.block_on(pipe.write("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn merged_has_stderr_in_stdouts_pipe_in_the_order_written() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; cat; exit 3";
    let all = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n";
    let mut command = sh(script);
    command.stderr(Stdio::piped()).stdin(Stdio::null());
    for _ in 0..2 {
        let pipe = AsyncPipe::merged(&mut command).unwrap();
        assert!(pipe.stderr().is_none());
        let output = sched.block_on(pipe.communicate("in")).unwrap();
        assert_output(&output, 3, &format!("{all}in"), "");
    }
    let pipe = AsyncPipe::merged(command).unwrap();
    for line in all.split_inclusive('\n') {
        assert_eq!(
            sched.block_on(pipe.readline()).unwrap().unwrap(),
            line.as_bytes()
        );
    }
    let error = sched.block_on(pipe.read_stderr(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_command_may_be_given_by_value_or_borrowed() {
    let _watchdog = watchdog();
    let mut command = Command::new("true");
    AsyncPipe::spawn(&mut command).unwrap();
    AsyncPipe::piped(&mut command).unwrap();
    AsyncPipe::merged(&mut command).unwrap();
    AsyncPipe::spawn(Command::new("true")).unwrap();
    AsyncPipe::piped(Command::new("true").arg("ignored")).unwrap();
    AsyncPipe::merged(Command::new("true")).unwrap();
    AsyncPipe::pipeline([Command::new("true"), Command::new("true")]).unwrap();
    AsyncPipe::pipeline(vec![&mut command]).unwrap();
}

#[test]
fn a_pipeline_of_no_commands_is_refused() {
    let error = AsyncPipe::pipeline(Vec::<Command>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
