//! exit, try_wait, statuses, kill and signal. Gotchas 21 and 24.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, wait, AsyncPipe, End, Flow, OperationError, Scheduler};

use crate::help::{assert_output, await_end, cat, code, failure, kill, pattern, piped, spawn};
use crate::support::{kind, put, settle, watchdog, SHORT};

#[test]
fn exit_gives_the_code_or_the_signal() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    for (script, expected) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -TERM $$", -15),
        ("kill -KILL $$", -9),
    ] {
        assert_eq!(
            code(sched.block_on(spawn(script).exit()).unwrap()),
            expected
        );
    }
}

#[test]
fn exit_closes_nothing() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    sched.block_on(pipe.write("kept").full()).unwrap();
    assert_eq!(
        kind(sched.block_on(pipe.exit().timeout(SHORT))),
        ErrorKind::TimedOut,
        "the child reads on"
    );
    pipe.close_stdin();
    assert!(sched.block_on(pipe.exit()).unwrap().success());
    assert_eq!(
        sched.block_on(pipe.read_to_end()).unwrap(),
        b"kept",
        "stdout was not closed"
    );
}

#[test]
fn exit_leaves_stdin_open_if_a_handle_to_it_was_taken() {
    let _watchdog = watchdog();
    let pipe = cat();
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    assert_eq!(
        kind(sched.block_on(pipe.exit().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    sched.block_on(stdin.write("still open").full()).unwrap();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut sched);
    stdin.close();
    assert!(sched.join(exit).unwrap().success());
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"still open");
}

#[test]
fn exit_waits_for_a_write_that_is_under_way() {
    let _watchdog = watchdog();
    let pipe = spawn("wc -c");
    let mut sched = Scheduler::new();
    let feeder = sched.spawn(pipe.write(pattern(1_000_000)).full(), |task| {
        done(task.written()?)
    });
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    assert_eq!(sched.join(feeder).unwrap(), 1_000_000);
    // Nothing tells the waiting exit that the last handle to stdin has gone.
    pipe.close_stdin();
    assert!(sched.join(exit).unwrap().success());
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"1000000\n"
    );
}

#[test]
fn an_exit_that_times_out_comes_no_earlier_than_it_should_and_the_child_lives_on() {
    let _watchdog = watchdog();
    let pipe = cat();
    let _stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let start = Instant::now();
    let (error, end) = failure(&mut sched, pipe.exit().timeout(5 * SHORT));
    assert!(start.elapsed() >= 5 * SHORT);
    assert_eq!((error.kind(), end), (ErrorKind::TimedOut, End::TimedOut));
    assert_eq!(error.to_string(), "exit: timed out after 100ms");
    assert_eq!(pipe.try_wait().unwrap(), None);
    pipe.kill().unwrap();
    assert_eq!(code(sched.block_on(pipe.exit()).unwrap()), -9);
}

#[test]
fn many_tasks_wait_for_one_exit() {
    let _watchdog = watchdog();
    let pipe = spawn("read line; exit 5");
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let tasks: Vec<_> = (0..10)
        .map(|_| sched.spawn(pipe.exit(), |task| done(task.exit()?.code())))
        .collect();
    settle(&mut sched);
    sched.block_on(stdin.write("\n")).unwrap();
    for task in tasks {
        assert_eq!(sched.join(task).unwrap(), Some(5));
    }
    assert_eq!(
        sched.block_on(pipe.exit()).unwrap().code(),
        Some(5),
        "and again"
    );
}

#[test]
fn an_exit_waited_for_in_two_schedulers_hangs_in_neither() {
    let _watchdog = watchdog();
    let pipe = spawn("read line; exit 5");
    let stdin = pipe.stdin().unwrap().clone();
    let (mut one, mut other) = (Scheduler::new(), Scheduler::new());
    let first = one.spawn(pipe.exit(), |task| done(task.exit()?.code()));
    settle(&mut one);
    let second = other.spawn(pipe.exit(), |task| done(task.exit()?.code()));
    settle(&mut other);
    one.block_on(stdin.write("\n")).unwrap();
    assert_eq!(other.join(second).unwrap(), Some(5));
    assert_eq!(one.join(first).unwrap(), Some(5));
}

/// The list of children without a pipe watches a child where a task already does.
#[test]
fn an_exit_that_is_waited_for_when_its_pipe_is_closed_comes_in_its_scheduler() {
    let _watchdog = watchdog();
    let pipe = cat();
    let (mut one, mut other) = (Scheduler::new(), Scheduler::new());
    let exit = one.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut one);
    settle(&mut other);
    pipe.close();
    assert!(one.join(exit).unwrap().success());
    settle(&mut other);
}

#[test]
fn try_wait_and_statuses_know_the_end_without_waiting() {
    let _watchdog = watchdog();
    let pipe = spawn("read line; exit 6");
    assert_eq!(pipe.try_wait().unwrap(), None);
    assert_eq!(pipe.statuses(), [None]);
    assert_eq!(pipe.try_wait().unwrap(), None, "its stdin was not closed");
    pipe.close_stdin();
    await_end(pipe.ids()[0]);
    assert_eq!(pipe.statuses()[0].unwrap().code(), Some(6));
    assert_eq!(pipe.try_wait().unwrap().unwrap().code(), Some(6));
    assert_eq!(pipe.try_wait().unwrap().unwrap().code(), Some(6));
    assert_eq!(
        Scheduler::new().block_on(pipe.exit()).unwrap().code(),
        Some(6)
    );
}

// ------------------------------------------------------------------ kill and signal

#[test]
fn kill_ends_the_child_and_what_it_said_is_kept() {
    let _watchdog = watchdog();
    let pipe = spawn("echo said; exec cat");
    let mut sched = Scheduler::new();
    sched.block_on(pipe.stdout().unwrap().readable()).unwrap();
    pipe.kill().unwrap();
    assert_output(
        &sched.block_on(pipe.communicate(())).unwrap(),
        -9,
        "said\n",
        "",
    );
}

#[test]
fn a_child_killed_from_outside_ends_the_communicate_with_that_signal() {
    let _watchdog = watchdog();
    let pipe = cat();
    let (reader, writer) = crate::support::pipe();
    let mut sched = Scheduler::new();
    let input = asyncfile::AsyncFile::new(reader).unwrap();
    let task = sched.spawn(pipe.communicate(input), |task| done(task.output()?));
    put(&writer, b"half a word");
    crate::support::turn_until(&mut sched, || pipe.stdout().unwrap().buffered() == 11);
    kill(pipe.ids()[0], libc::SIGSEGV);
    assert_output(
        &sched.join(task).unwrap(),
        -libc::SIGSEGV,
        "half a word",
        "",
    );
}

#[test]
fn a_signal_reaches_the_child() {
    let _watchdog = watchdog();
    let pipe = spawn("trap 'echo caught; exit 7' TERM; echo ready; while :; do read line; done");
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"ready\n"
    );
    pipe.signal(libc::SIGTERM).unwrap();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"caught\n"
    );
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(7));
}

#[test]
fn a_signal_that_there_is_not_is_an_error() {
    let _watchdog = watchdog();
    let pipe = cat();
    let error = pipe.signal(12345).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let carried = OperationError::of(&error).expect("it names the operation");
    assert_eq!(carried.raw_os_error(), Some(libc::EINVAL));
    let head = format!("signal of child {}: ", pipe.ids()[0]);
    assert!(error.to_string().starts_with(&head), "{error}");
    pipe.signal(0).unwrap();
}

/// kill(2) would say ESRCH for a number that is nobody's, and EINVAL for a signal that there is
/// not: it is not called.
#[test]
fn nothing_is_sent_once_the_child_was_reaped() {
    let _watchdog = watchdog();
    let pipe = spawn("exit 0");
    Scheduler::new().block_on(pipe.exit()).unwrap();
    pipe.kill().unwrap();
    pipe.signal(12345).unwrap();

    // Here the kill itself finds out, and reaps.
    let pipe = spawn("exit 3");
    await_end(pipe.ids()[0]);
    pipe.signal(12345).unwrap();
    assert_eq!(pipe.statuses()[0].unwrap().code(), Some(3));
}

// ------------------------------------------------------------------ 21. a pidfd in the poll set

fn poll_set(sched: &mut Scheduler<'_>) -> (usize, Option<Duration>) {
    let mut set = Vec::new();
    let wait = sched.pollfds(&mut set);
    (set.len(), wait)
}

#[cfg(target_os = "linux")]
#[test]
fn the_exit_is_an_event_in_the_poll_set_and_out_of_it_afterwards() {
    let _watchdog = watchdog();
    let pipe = cat();
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut sched);
    assert_eq!(
        poll_set(&mut sched),
        (1, None),
        "one descriptor, and nothing to look after meanwhile"
    );
    stdin.close();
    sched.join(exit).unwrap();
    assert_eq!(poll_set(&mut sched), (0, None));
}

#[cfg(target_os = "linux")]
#[test]
fn an_exit_that_is_waited_for_no_more_is_out_of_the_poll_set() {
    let _watchdog = watchdog();
    let pipe = cat();
    let _stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    let cancelled = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    let kept = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut sched);
    cancelled.cancel();
    settle(&mut sched);
    assert_eq!(poll_set(&mut sched).0, 1, "another one waits for it");
    kept.cancel();
    settle(&mut sched);
    assert_eq!(poll_set(&mut sched).0, 0);
    assert_eq!(
        kind(sched.block_on(pipe.exit().timeout(SHORT))),
        ErrorKind::TimedOut
    );
    assert_eq!(poll_set(&mut sched).0, 0);
}

// ------------------------------------------------------------------ a stdin that was taken

#[test]
fn the_last_drop_of_a_taken_stdin_closes_it() {
    let _watchdog = watchdog();
    let pipe = spawn("cat >&2; exit 4");
    let mut stdin = pipe.take_stdin();
    let also = stdin.clone();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    drop(also);
    let feeder = sched.spawn(sleep(SHORT), move |task| {
        task.ok()?;
        drop(stdin.take());
        done(())
    });
    sched.join(feeder).unwrap();
    assert_eq!(sched.join(exit).unwrap().code(), Some(4));
}

/// Also after an error, a panic or a cancel of the task that has it.
#[test]
fn a_taken_stdin_is_closed_when_the_body_that_has_it_is_dropped() {
    let _watchdog = watchdog();
    for ending in ["error", "panic", "cancel"] {
        let pipe = spawn("wc -c");
        let stdin = pipe.take_stdin().unwrap();
        let mut sched = Scheduler::new();
        let feeder = sched.spawn(stdin.write("12345").full(), move |task| -> Flow {
            task.ok()?;
            match ending {
                "error" => Err(ErrorKind::Other.into()),
                "panic" => panic!("of the feeder"),
                _ => wait(stdin.readable()), // never: it is opened for writing
            }
        });
        let line = sched.spawn(pipe.readline(), |task| done(task.line()?.unwrap().to_vec()));
        settle(&mut sched);
        if ending == "cancel" {
            feeder.cancel();
        }
        assert_eq!(sched.join(line).unwrap(), b"5\n", "{ending}");
        drop(feeder.take());
    }
}

#[test]
fn a_pipe_whose_stdin_was_taken_has_none() {
    let _watchdog = watchdog();
    let pipe = cat();
    let before = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    // A task that waits through the pipe is told at once.
    let block = pattern(1 << 20);
    let waiting = sched.spawn(pipe.write(block).full(), |task| done(task.written()?));
    settle(&mut sched);
    let stdin = pipe.take_stdin().unwrap();
    let number = stdin.as_raw_fd();
    let error = std::io::Error::from(sched.join(waiting).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("the child's stdin is not piped"),
        "{error}"
    );

    assert!(pipe.stdin().is_none() && pipe.take_stdin().is_none());
    for op in [pipe.write("x"), before.write("x")] {
        let (error, _) = failure(&mut sched, op);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("the child's stdin is not piped"),
            "{error}"
        );
    }
    pipe.close_stdin();
    before.close();
    drop(before);
    assert_eq!(stdin.as_raw_fd(), number);
    // What was written before the error, and what is written now, comes through.
    let reader = sched.spawn(pipe.read_to_end(), |task| done(task.bytes()?.len()));
    sched.block_on(stdin.write("last").full()).unwrap();
    drop(stdin);
    assert!(sched.join(reader).unwrap() > 4);
    assert!(sched.block_on(pipe.exit()).unwrap().success());
}

#[test]
fn a_stdin_that_is_closed_or_absent_cannot_be_taken() {
    let _watchdog = watchdog();
    let pipe = cat();
    pipe.close_stdin();
    assert!(pipe.take_stdin().is_none());
    assert!(AsyncPipe::new(piped("exit 0", "oe"))
        .unwrap()
        .take_stdin()
        .is_none());
}

#[test]
fn a_communicate_leaves_a_taken_stdin_open() {
    let _watchdog = watchdog();
    let pipe = cat();
    let stdin = pipe.take_stdin().unwrap();
    let mut sched = Scheduler::new();
    let (error, _) = failure(&mut sched, pipe.communicate("x"));
    assert_eq!(
        error.to_string(),
        "communicate: the child's stdin is not piped"
    );
    let output = sched.spawn(pipe.communicate(()), |task| done(task.output()?));
    settle(&mut sched);
    sched.block_on(stdin.write("by the owner").full()).unwrap();
    drop(stdin);
    assert_output(&sched.join(output).unwrap(), 0, "by the owner", "");
}

#[test]
fn a_stdin_taken_under_a_communicate_ends_it_if_input_is_left() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    let len = 1 << 20;
    let task = sched.spawn(pipe.communicate(pattern(len)).limit(1), |task| {
        done(task.output()?)
    });
    assert!(sched.join(task).is_err(), "the limit");
    let stdin = pipe.take_stdin().unwrap();
    let (error, _) = failure(&mut sched, pipe.communicate(()));
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(
        error
            .to_string()
            .contains("stdin was closed before all input was fed"),
        "{error}"
    );
    drop(stdin);
    assert!(sched.block_on(pipe.communicate(())).unwrap().stdout.len() < len);
}

#[test]
fn exit_closes_nothing_when_the_host_drops_its_clone_of_stdin() {
    let _watchdog = watchdog();
    let pipe = spawn("cat; exit 4");
    let stdin = pipe.stdin().cloned();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    settle(&mut sched);
    drop(stdin);
    settle(&mut sched);
    assert!(!exit.is_finished());
    assert!(!format!("{:?}", pipe.stdin().unwrap()).contains("closed"));
    pipe.close_stdin();
    assert_eq!(sched.join(exit).unwrap().code(), Some(4));
}

#[test]
fn an_exit_that_is_waited_for_no_more_leaves_stdin_open() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut stdin = pipe.stdin().cloned();
    let mut sched = Scheduler::new();
    let either = asyncfile::first([asyncfile::Op::from(pipe.exit()), sleep(SHORT).into()]);
    let mut is_over = false;
    let task = sched.spawn(either, move |task| match is_over {
        false => {
            assert_eq!(task.which(), 1);
            is_over = true;
            drop(stdin.take());
            asyncfile::wait(sleep(SHORT))
        }
        true => done(task.ok()?),
    });
    sched.join(task).unwrap();
    assert!(!format!("{:?}", pipe.stdin().unwrap()).contains("closed"));
}
