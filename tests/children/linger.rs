//! A grandchild that holds the pipe: the exit and the end of file are two events. Gotcha 25.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use asyncfile::{done, AsyncFile, AsyncPipe, Scheduler};

use crate::help::{assert_output, await_end, kill, spawn, spawn_with_stderr, Gate};
use crate::support::{kind, pipe, put, watchdog, LONG, SHORT};

/// Its stdout stays with a `sleep`, whose number is the first line.
const WITH_GRANDCHILD: &str = "sleep 600 & echo $!; read line; echo hi; exit 3";

fn grandchild(sched: &mut Scheduler<'_>, pipe: &AsyncPipe) -> Grandchild {
    let line = sched.block_on(pipe.readline()).unwrap().unwrap();
    Grandchild(String::from_utf8(line).unwrap().trim().parse().unwrap())
}

/// Killed when it is dropped.
struct Grandchild(u32);

impl Drop for Grandchild {
    fn drop(&mut self) {
        kill(self.0, libc::SIGKILL);
    }
}

#[test]
fn without_linger_a_communicate_lasts_until_the_grandchild_lets_go() {
    let _watchdog = watchdog();
    let pipe = spawn(WITH_GRANDCHILD);
    let mut sched = Scheduler::new();
    let grandchild = grandchild(&mut sched, &pipe);
    pipe.close_stdin();
    assert_eq!(
        sched.block_on(pipe.exit()).unwrap().code(),
        Some(3),
        "the exit does not wait for it"
    );
    assert_eq!(
        kind(sched.block_on(pipe.communicate(()).timeout(5 * SHORT))),
        ErrorKind::TimedOut
    );
    drop(grandchild);
    assert_output(
        &sched.block_on(pipe.communicate(())).unwrap(),
        3,
        "hi\n",
        "",
    );
}

#[test]
fn with_linger_a_communicate_ends_that_long_after_the_exit() {
    let _watchdog = watchdog();
    let pipe = spawn(WITH_GRANDCHILD);
    let mut sched = Scheduler::new();
    let _grandchild = grandchild(&mut sched, &pipe);
    assert_eq!(pipe.try_wait().unwrap(), None);
    let start = Instant::now();
    let output = sched
        .block_on(pipe.communicate(()).linger(5 * SHORT))
        .unwrap();
    assert!(start.elapsed() >= 5 * SHORT);
    assert_output(&output, 3, "hi\n", "");
    assert_output(&sched.block_on(pipe.communicate(())).unwrap(), 3, "", "");
}

#[test]
fn linger_is_no_pause_when_the_streams_end() {
    let _watchdog = watchdog();
    let output = Scheduler::new()
        .block_on(spawn("echo hi").communicate(()).linger(2 * LONG))
        .unwrap();
    assert_output(&output, 0, "hi\n", "");
}

#[test]
fn linger_is_no_time_for_the_child_itself() {
    let _watchdog = watchdog();
    let pipe = spawn("sleep 0.2; echo late");
    let output = Scheduler::new()
        .block_on(pipe.communicate(()).linger(Duration::ZERO))
        .unwrap();
    assert_output(&output, 0, "late\n", "");
}

/// Also for a child that has ended before anybody asked: what it said is there without waiting.
#[test]
fn no_linger_at_all_still_gives_what_the_child_said() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    for script in [
        "echo out; echo err >&2",
        "sleep 600 >&2 & echo out; echo err >&2; echo $!",
    ] {
        let pipe = spawn_with_stderr(script);
        await_end(pipe.ids()[0]);
        let output = sched
            .block_on(pipe.communicate(()).linger(Duration::ZERO))
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        if let Some(id) = out.lines().nth(1) {
            drop(Grandchild(id.parse().unwrap()));
        }
        assert_eq!(
            (out.lines().next(), &*output.stderr),
            (Some("out"), &b"err\n"[..])
        );
    }
}

#[test]
fn no_linger_at_all_gives_more_than_one_share_of_what_the_child_said() {
    let _watchdog = watchdog();
    let output = Scheduler::new().block_on(
        spawn("head -c 5000000 /dev/zero")
            .communicate(())
            .linger(Duration::ZERO),
    );
    assert_eq!(output.unwrap().stdout.len(), 5_000_000);
}

#[test]
fn linger_runs_on_while_the_communicate_is_cut() {
    let _watchdog = watchdog();
    let pipe = spawn(WITH_GRANDCHILD);
    let mut sched = Scheduler::new();
    let _grandchild = grandchild(&mut sched, &pipe);
    let start = Instant::now();
    let output = loop {
        // Each is much shorter than the time to linger.
        match sched.block_on(pipe.communicate(()).linger(25 * SHORT).timeout(SHORT / 20)) {
            Ok(output) => break output,
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        assert!(start.elapsed() < LONG / 4, "it lingers for ever");
    };
    assert!(start.elapsed() >= 25 * SHORT);
    assert_output(&output, 3, "hi\n", "");
}

#[test]
fn a_grandchild_that_never_stops_talking_is_cut_off() {
    let _watchdog = watchdog();
    let pipe = spawn("sh -c 'echo $$; exec cat /dev/zero' & exit 3");
    let mut sched = Scheduler::new();
    let _grandchild = grandchild(&mut sched, &pipe);
    let output = sched.block_on(pipe.communicate(()).linger(SHORT)).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.iter().all(|&byte| byte == 0));
}

#[test]
fn a_stream_that_the_grandchild_keeps_does_not_hold_up_the_other() {
    let _watchdog = watchdog();
    let pipe = spawn_with_stderr("sleep 600 2>&- & echo $!; echo err >&2; echo out; exit 3");
    let mut sched = Scheduler::new();
    let _grandchild = grandchild(&mut sched, &pipe);
    assert_output(
        &sched.block_on(pipe.communicate(()).linger(SHORT)).unwrap(),
        3,
        "out\n",
        "err\n",
    );
}

// --------------------------------------------------- two communicates, of which the second lingers

/// The end of the second one's wait is not the end of the conversation, which is the first one's.
#[test]
fn a_second_communicate_that_has_lingered_takes_nothing_from_the_first() {
    let _watchdog = watchdog();
    let gate = Gate::new();
    let pipe = spawn(&format!("echo said; (read line < {gate}) & exit 3"));
    let mut sched = Scheduler::new();
    let first = sched.spawn(pipe.communicate(()), |task| done(task.output()?));
    let second = sched.spawn(pipe.communicate(()).linger(SHORT), |task| {
        done(task.output()?)
    });
    assert_output(&sched.join(second).unwrap(), 3, "", "");
    assert!(!first.is_finished(), "a grandchild has its stdout");
    put(&gate.reached(&mut sched), b"go\n");
    assert_output(&sched.join(first).unwrap(), 3, "said\n", "");
}

#[test]
fn a_second_communicate_that_has_lingered_does_not_stop_what_the_first_feeds_a_grandchild() {
    let _watchdog = watchdog();
    let (reader, writer) = pipe();
    // A job in the background reads /dev/null, unless it is told otherwise.
    let pipe = spawn("exec 3<&0; cat <&3 & exit 3");
    let mut sched = Scheduler::new();
    let first = sched.spawn(pipe.communicate(AsyncFile::new(reader).unwrap()), |task| {
        done(task.output()?)
    });
    let second = sched.spawn(pipe.communicate(()).linger(SHORT), |task| {
        done(task.output()?)
    });
    assert_output(&sched.join(second).unwrap(), 3, "", "");
    put(&writer, b"late\n");
    drop(writer);
    assert_output(&sched.join(first).unwrap(), 3, "late\n", "");
}
