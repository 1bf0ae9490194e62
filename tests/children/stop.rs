//! stop: gracefully at first.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use asyncfile::{
    again, done, first, sleep, AsyncPipe, Op, OperationError, Outcome, Scheduler, TaskError,
};

use crate::descriptors::{alone, Test};
use crate::help::{await_end, cat, children, code, failure, group, kill, living, reap_behind, sh};
use crate::support::{kind, settle, turn_until, watchdog, LONG, SHORT};

/// A script that says when it is ready.
fn ready(sched: &mut Scheduler<'_>, command: Command) -> AsyncPipe {
    let pipe = AsyncPipe::piped(command).unwrap();
    assert_eq!(
        sched.block_on(pipe.readline()).unwrap().unwrap(),
        b"ready\n"
    );
    pipe
}

const DEAF: &str = "trap '' TERM; echo ready; for i in $(seq 3000); do sleep 0.01; done";

fn each_way(run: impl Fn()) {
    for without_pidfds in [false, true] {
        asyncfile::refuse_pidfds(without_pidfds);
        run();
    }
}

#[test]
fn a_child_that_listens_ends_in_its_own_way_long_before_the_grace() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let mut sched = Scheduler::new();
            let script = "trap 'echo bye; exit 5' TERM; echo ready; \
                          for i in $(seq 3000); do sleep 0.01; done";
            let pipe = ready(&mut sched, sh(script));
            // Its streams are read meanwhile by another task.
            let reader = sched.spawn(pipe.readline(), |task| {
                done(task.line()?.map(<[u8]>::to_vec))
            });
            let start = Instant::now();
            assert_eq!(code(sched.block_on(pipe.stop(LONG)).unwrap()), 5);
            assert!(start.elapsed() < LONG);
            assert_eq!(sched.join(reader).unwrap().unwrap(), b"bye\n");
            // Once more, with the child gone: the same status.
            assert_eq!(code(sched.block_on(pipe.stop(LONG)).unwrap()), 5);
        });
        Ok(())
    })
}

#[test]
fn one_that_does_not_is_killed_after_the_grace_and_no_earlier() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let mut sched = Scheduler::new();
            let pipe = ready(&mut sched, sh(DEAF));
            let start = Instant::now();
            assert_eq!(code(sched.block_on(pipe.stop(5 * SHORT)).unwrap()), -9);
            assert!(start.elapsed() >= 5 * SHORT);
        });
        Ok(())
    })
}

#[test]
fn without_grace_it_is_kill_and_wait() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    // It would say so if SIGTERM came.
    let script = "trap 'exit 5' TERM; echo ready; for i in $(seq 3000); do sleep 0.01; done";
    let pipe = ready(&mut sched, sh(script));
    assert_eq!(code(sched.block_on(pipe.stop(Duration::ZERO)).unwrap()), -9);
}

#[test]
fn a_child_that_was_stopped_is_continued() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = ready(&mut sched, sh("echo ready; exec sleep 60"));
    pipe.signal(libc::SIGSTOP).unwrap();
    assert_eq!(code(sched.block_on(pipe.stop(LONG)).unwrap()), -15);
}

#[test]
fn it_ends_when_every_child_has_exited_with_the_last_ones_status() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let deaf = "exec >&-; trap '' TERM; for i in $(seq 3000); do sleep 0.01; done";
    let last = "trap 'exit 3' TERM; echo ready; for i in $(seq 3000); do sleep 0.01; done";
    let pipe = AsyncPipe::pipeline([sh(deaf), sh("exec sleep 60"), sh(last)]).unwrap();
    sched.block_on(pipe.readline()).unwrap();
    let start = Instant::now();
    let status = sched.block_on(pipe.stop(5 * SHORT)).unwrap();
    let codes: Vec<_> = pipe
        .statuses()
        .into_iter()
        .map(|status| code(status.unwrap()))
        .collect();
    assert_eq!(code(status), 3);
    assert_eq!(codes[1..], [-15, 3]);
    // The first may have got SIGTERM before it said that it does not listen.
    assert!(
        codes[0] == -15 || (codes[0] == -9 && start.elapsed() >= 5 * SHORT),
        "{codes:?}"
    );
}

#[test]
fn what_a_leader_leaves_of_its_group_has_the_whole_grace() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let mut sched = Scheduler::new();
            let script = "trap 'exit 4' TERM; \
                          (trap '' TERM; echo ready; exec >&-; \
                           for i in $(seq 3000); do sleep 0.01; done) & \
                          wait; wait";
            let pipe = ready(&mut sched, group(script));
            let leader = pipe.ids()[0];
            let grace = 10 * SHORT;
            let start = Instant::now();
            let status = sched.block_on(pipe.stop(grace)).unwrap();
            assert_eq!(code(status), 4);
            assert!(start.elapsed() < grace || living(leader).is_empty());
            drop(pipe); // its number is kept all the same
            assert_eq!(children(), [(leader, true)]);
            while !living(leader).is_empty() {
                assert!(start.elapsed() < LONG);
                sched.turn(Some(SHORT)).unwrap();
                assert!(start.elapsed() >= grace || !living(leader).is_empty());
            }
            assert!(start.elapsed() >= grace);
            turn_until(&mut sched, || children().is_empty());
        });
        Ok(())
    })
}

#[test]
fn the_hidden_task_that_waits_for_the_grace_keeps_no_run_going_and_is_no_stall() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let pipe = ready(&mut sched, group("echo ready; exec sleep 60"));
        sched.block_on(pipe.stop(100 * LONG))?;
        sched.run()?;
        assert_eq!(sched.turn(Some(Duration::ZERO))?, 0);
        let never = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
        assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
        drop((never, sched, pipe));
        assert_eq!(children(), [], "the leader is reaped with its last holder");
        Ok(())
    })
}

#[test]
fn one_that_is_cancelled_or_timed_out_does_not_escalate() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let mut sched = Scheduler::new();
        let pipe = ready(&mut sched, sh(DEAF));
        let error = sched
            .block_on(pipe.stop(2 * SHORT).timeout(SHORT / 2))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let task = sched.spawn(pipe.stop(2 * SHORT), |task| done(task.exit()?));
        settle(&mut sched);
        task.cancel();
        sched.block_on(sleep(5 * SHORT))?;
        assert_eq!(pipe.statuses(), [None], "it lives");
        assert_eq!(code(sched.block_on(pipe.stop(SHORT))?), -9);
        Ok(())
    })
}

#[test]
fn a_timeout_before_the_graces_end_does_not_escalate_however_late_the_loop_is() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        each_way(|| {
            let mut sched = Scheduler::new();
            let pipe = ready(&mut sched, sh(DEAF));
            let (timeout, grace) = (SHORT, 2 * SHORT);
            let stop = sched.spawn(pipe.stop(grace).timeout(timeout), |task| {
                done(task.exit().unwrap_err().kind())
            });
            // Both moments have passed when the loop looks again.
            sched.turn(Some(Duration::ZERO)).unwrap();
            let both_are_over = Instant::now() + grace;
            while Instant::now() < both_are_over {
                std::thread::yield_now();
            }
            assert_eq!(sched.join(stop).unwrap(), ErrorKind::TimedOut);
            assert_eq!(pipe.statuses(), [None]);
            pipe.kill().unwrap();
            sched.block_on(pipe.exit()).unwrap();
        });
        Ok(())
    })
}

#[test]
fn in_a_first_and_again_it_is_refused() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = cat();
    let ops = [Op::from(pipe.stop(LONG)), sleep(LONG).into()];
    let error = sched.block_on(first(ops)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "first: stop cannot be put back");
    assert_eq!(pipe.statuses(), [None], "nothing was sent");
    let task = sched.spawn(pipe.stop(LONG), |task| {
        assert!(matches!(task.outcome(), Outcome::Exit(status) if code(status) == -15));
        assert_eq!(task.ok().unwrap_err().kind(), ErrorKind::InvalidInput);
        again::<()>()
    });
    let error = std::io::Error::from(sched.join(task).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("stop: "), "{error}");
}

#[test]
fn a_child_that_may_not_be_signalled_ends_it() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        // SAFETY: takes nothing.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(()); // only root can start a child that it may not signal later
        }
        let mut sched = Scheduler::new();
        let pipe = ready(&mut sched, sh("echo ready; exec sleep 60"));
        // SAFETY: takes numbers. Another user may not signal root's child.
        assert_eq!(unsafe { libc::setresuid(65534, 65534, 0) }, 0);
        let (error, _) = failure(&mut sched, pipe.stop(LONG));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setresuid(0, 0, 0) }, 0);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let cause = OperationError::of(&error).unwrap();
        assert_eq!(
            (cause.operation(), cause.raw_os_error()),
            ("stop", Some(libc::EPERM))
        );
        let named = format!("stop of child {}: ", pipe.ids()[0]);
        assert!(error.to_string().starts_with(&named), "{error}");
        assert_eq!(pipe.statuses(), [None]);
        sched.block_on(pipe.stop(Duration::ZERO))?;
        Ok(())
    })
}

#[test]
fn a_leader_that_somebody_else_has_reaped_is_an_error() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::piped(group("exec sleep 60")).unwrap();
    kill(pipe.ids()[0], libc::SIGKILL);
    reap_behind(pipe.ids()[0]);
    let error = sched.block_on(pipe.stop(LONG)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("nothing is sent"), "{error}");
    // One that leads no group: nothing is to be sent, and its status is unknown.
    let pipe = AsyncPipe::piped(sh("exec sleep 60")).unwrap();
    kill(pipe.ids()[0], libc::SIGKILL);
    reap_behind(pipe.ids()[0]);
    assert!(sched
        .block_on(pipe.stop(LONG))
        .unwrap_err()
        .to_string()
        .contains("unknown"));
}

/// found/c6: a timeout, a kill, and then a wait for the grandchild that keeps the pipe.
#[test]
fn after_a_timeout_stop_ends_the_tree_and_communicate_gives_what_came() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    let pipe = AsyncPipe::piped(group("echo out; sleep 60 & wait")).unwrap();
    assert_eq!(
        kind(sched.block_on(pipe.communicate(()).timeout(SHORT))),
        ErrorKind::TimedOut
    );
    let status = sched.block_on(pipe.stop(LONG)).unwrap();
    let output = sched.block_on(pipe.communicate(())).unwrap();
    assert_eq!((code(status), code(output.status)), (-15, -15));
    assert!(output.stdout == b"out\n" || output.stdout.is_empty());
    await_end(pipe.ids()[0]);
}
