//! A child that somebody else has reaped: its status is unknown, which is not 0 and not a hang.
//! Gotcha 24.

use std::io::{self, ErrorKind};

use asyncfile::{done, AsyncPipe, Scheduler};

use crate::descriptors::{alone, Test};
use crate::help::{cat, failure, reap_behind, spawn};
use crate::support::{settle, watchdog};

#[track_caller]
fn assert_unknown(pipe: &AsyncPipe, error: &io::Error) {
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
    let expected = format!(
        "the status of child {} is unknown: somebody else has reaped it",
        pipe.ids()[0]
    );
    assert!(error.to_string().ends_with(&expected), "{error}");
}

#[test]
fn a_child_reaped_before_anybody_asked_is_unknown() {
    let _watchdog = watchdog();
    let pipe = spawn("echo said");
    reap_behind(pipe.ids()[0]);
    let mut sched = Scheduler::new();
    assert_unknown(&pipe, &pipe.try_wait().unwrap_err());
    assert_unknown(&pipe, &failure(&mut sched, pipe.exit()).0);
    assert_unknown(&pipe, &failure(&mut sched, pipe.communicate(())).0);
    assert_eq!(pipe.statuses(), [None]);
    pipe.kill().unwrap();
    pipe.signal(12345).unwrap();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"said\n",
        "what it said can be read"
    );
}

#[test]
fn a_communicate_collects_all_before_it_says_that_the_status_is_unknown() {
    let _watchdog = watchdog();
    let pipe = spawn("echo one; echo two");
    reap_behind(pipe.ids()[0]);
    let mut sched = Scheduler::new();
    assert_unknown(&pipe, &failure(&mut sched, pipe.communicate(())).0);
    assert_eq!(pipe.stdout().unwrap().buffered(), 8);
    assert_unknown(&pipe, &failure(&mut sched, pipe.communicate(())).0);
    assert_eq!(sched.block_on(pipe.read_to_end()).unwrap(), b"one\ntwo\n");
}

#[test]
fn a_child_reaped_while_it_is_waited_for_is_unknown() {
    let _watchdog = watchdog();
    for ends_by_exit in [true, false] {
        let pipe = cat();
        let stdin = pipe.stdin().unwrap().clone();
        let mut sched = Scheduler::new();
        let error = if ends_by_exit {
            let task = sched.spawn(pipe.exit(), |task| done(task.exit()?));
            settle(&mut sched);
            stdin.close();
            reap_behind(pipe.ids()[0]);
            sched.join(task).unwrap_err()
        } else {
            let (reader, _silent) = crate::support::pipe();
            let input = asyncfile::AsyncFile::new(reader).unwrap();
            let task = sched.spawn(pipe.communicate(input), |task| done(task.output()?));
            settle(&mut sched);
            pipe.kill().unwrap();
            reap_behind(pipe.ids()[0]);
            sched.join(task).unwrap_err()
        };
        assert_unknown(&pipe, &error.into());
    }
}

#[test]
fn a_host_that_ignores_sigchld_gets_its_output_and_is_told_that_the_status_is_unknown() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let mut sched = Scheduler::new();

        let pipe = spawn("cat; exit 3");
        assert_unknown(&pipe, &failure(&mut sched, pipe.communicate("through")).0);
        assert_eq!(sched.block_on(pipe.read_to_end())?, b"through");

        let pipe = cat();
        assert_eq!(pipe.try_wait()?, None, "it lives");
        pipe.close_stdin();
        assert_unknown(&pipe, &failure(&mut sched, pipe.exit()).0);
        pipe.kill()?;
        Ok(())
    })
}
