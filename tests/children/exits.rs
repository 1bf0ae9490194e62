//! exit, try_wait, statuses, kill and signal. Gotchas 21 and 24.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use asyncfile::{done, sleep, End, Scheduler};

use crate::help::{assert_output, await_end, cat, code, failure, kill, pattern, spawn};
use crate::support::{kind, put, settle, watchdog, SHORT};

#[test]
fn exit_gives_the_code_or_the_signal() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    for (script, expected) in [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", -15), ("kill -KILL $$", -9)] {
        assert_eq!(code(sched.block_on(spawn(script).exit()).unwrap()), expected);
    }
}

#[test]
fn exit_closes_stdin_first() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut sched = Scheduler::new();
    sched.block_on(pipe.write("kept").full()).unwrap();
    assert!(sched.block_on(pipe.exit()).unwrap().success());
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"kept", "stdout was not closed");
}

#[test]
fn exit_leaves_stdin_open_if_a_handle_to_it_was_taken() {
    let _watchdog = watchdog();
    let pipe = cat();
    let stdin = pipe.stdin().unwrap().clone();
    let mut sched = Scheduler::new();
    assert_eq!(kind(sched.block_on(pipe.exit().timeout(SHORT))), ErrorKind::TimedOut);
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
    let feeder = sched.spawn(pipe.write(pattern(1_000_000)).full(), |task| done(task.written()?));
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    assert_eq!(sched.join(feeder).unwrap(), 1_000_000);
    // Nothing tells the waiting exit that the last handle to stdin has gone.
    pipe.close_stdin();
    assert!(sched.join(exit).unwrap().success());
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"1000000\n");
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
    let tasks: Vec<_> = (0..10).map(|_| sched.spawn(pipe.exit(), |task| done(task.exit()?.code()))).collect();
    settle(&mut sched);
    sched.block_on(stdin.write("\n")).unwrap();
    for task in tasks {
        assert_eq!(sched.join(task).unwrap(), Some(5));
    }
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(5), "and again");
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
    assert_eq!(Scheduler::new().block_on(pipe.exit()).unwrap().code(), Some(6));
}

// ------------------------------------------------------------------ kill and signal

#[test]
fn kill_ends_the_child_and_what_it_said_is_kept() {
    let _watchdog = watchdog();
    let pipe = spawn("echo said; exec cat");
    let mut sched = Scheduler::new();
    sched.block_on(pipe.stdout().unwrap().readable()).unwrap();
    pipe.kill().unwrap();
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), -9, "said\n", "");
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
    assert_output(&sched.join(task).unwrap(), -libc::SIGSEGV, "half a word", "");
}

#[test]
fn a_signal_reaches_the_child() {
    let _watchdog = watchdog();
    let pipe = spawn("trap 'echo caught; exit 7' TERM; echo ready; while :; do read line; done");
    let mut sched = Scheduler::new();
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"ready\n");
    pipe.signal(libc::SIGTERM).unwrap();
    assert_eq!(sched.block_on(pipe.readline()).unwrap().unwrap(), b"caught\n");
    assert_eq!(sched.block_on(pipe.exit()).unwrap().code(), Some(7));
}

#[test]
fn a_signal_that_there_is_not_is_an_error() {
    let _watchdog = watchdog();
    let pipe = cat();
    assert_eq!(kind(pipe.signal(12345)), ErrorKind::InvalidInput);
    pipe.signal(0).unwrap();
}

/// kill(2) would say ESRCH for a number that is nobody's, and EINVAL for a signal that there is not: it is not called.
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
    assert_eq!(poll_set(&mut sched), (1, None), "one descriptor, and nothing to look after meanwhile");
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
    assert_eq!(kind(sched.block_on(pipe.exit().timeout(SHORT))), ErrorKind::TimedOut);
    assert_eq!(poll_set(&mut sched).0, 0);
}

// ------------------------------------------------------------------ whose stdin is

/// By somebody who does not close it, between two writes.
#[test]
fn exit_closes_stdin_when_the_last_handle_to_it_is_dropped() {
    let _watchdog = watchdog();
    let pipe = spawn("cat >&2; exit 4");
    let mut stdin = pipe.stdin().cloned();
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    let feeder = sched.spawn(sleep(SHORT), move |task| {
        task.ok()?;
        drop(stdin.take());
        done(())
    });
    sched.join(feeder).unwrap();
    assert_eq!(sched.join(exit).unwrap().code(), Some(4));
}

/// In a foreign loop that is work at once; until then, there is nothing to look after.
#[test]
fn exit_closes_stdin_when_the_host_drops_the_last_handle_to_it() {
    let _watchdog = watchdog();
    let (pipe, other) = (spawn("cat; exit 4"), cat());
    let (stdin, _others) = (pipe.stdin().cloned(), other.stdin().cloned());
    let mut sched = Scheduler::new();
    let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
    let elsewhere = sched.spawn(other.exit(), |task| done(task.exit()?));
    settle(&mut sched);
    drop(stdin);
    assert_eq!(poll_set(&mut sched).1, Some(Duration::ZERO));
    sched.dispatch(&[]).unwrap();
    assert!(format!("{:?}", pipe.stdin().unwrap()).contains("closed"));
    assert_eq!(sched.join(exit).unwrap().code(), Some(4));
    elsewhere.cancel();
}

#[test]
fn an_exit_that_is_waited_for_no_more_leaves_stdin_open() {
    let _watchdog = watchdog();
    let pipe = cat();
    let mut stdin = pipe.stdin().cloned();
    let mut sched = Scheduler::new();
    let either = asyncfile::first([pipe.exit().into(), sleep(SHORT).into()]);
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
