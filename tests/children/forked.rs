//! A fork of the host has copies of all that the host has. When it drops them, the children are
//! still the host's.

use std::time::Duration;

use asyncfile::{done, yield_now, Scheduler};

use crate::descriptors::{alone, Test};
use crate::help::{assert_output, await_end, cat, children, spawn};
use crate::support::{settle, watchdog};

/// Runs this in a fork of this process, which ends after it. Fails if it has panicked.
pub fn in_a_fork(run: impl FnOnce()) {
    // SAFETY: this process has no other thread that holds a lock which the fork would take: the
    // watchdog sleeps.
    let id = unsafe { libc::fork() };
    assert!(id >= 0);
    if id == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        // SAFETY: ends the fork without the rest of the test.
        unsafe { libc::_exit(outcome.is_err().into()) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live int.
    assert_eq!(unsafe { libc::waitpid(id, &mut status, 0) }, id);
    assert_eq!(status, 0, "the fork has failed");
}

#[test]
fn a_fork_that_drops_its_copies_kills_and_reaps_nothing() -> Test {
    alone(|| {
        let _watchdog = watchdog();
        let (pipe, ended) = (cat(), spawn("echo said; exit 7"));
        let mut sched = Scheduler::new();
        let exit = sched.spawn(pipe.exit(), |task| done(task.exit()?));
        settle(&mut sched);
        await_end(ended.ids()[0]);
        let left = cat();
        let (left_id, left_stdin) = (left.ids()[0], left.stdin().unwrap().clone());
        drop(left); // it lives, and is on the list
        let mut copies = Some((pipe, ended, sched, exit, left_stdin));
        in_a_fork(|| {
            let (pipe, ended, sched, exit, left_stdin) = copies.take().unwrap();
            drop((sched, exit, pipe, ended, left_stdin));
            // A scheduler of its own finds the list, and nothing to do about it.
            let mut own = Scheduler::new();
            own.block_on(yield_now()).unwrap();
            for _ in 0..10 {
                own.turn(Some(Duration::ZERO)).unwrap();
            }
            drop(cat());
            own.turn(Some(Duration::ZERO)).unwrap();
        });
        let (pipe, ended, mut sched, exit, left_stdin) = copies.unwrap();
        assert_eq!(children().len(), 3, "all are there");
        assert_output(&sched.block_on(ended.communicate(()))?, 7, "said\n", "");
        pipe.close_stdin();
        assert!(sched.join(exit)?.success());
        drop(left_stdin);
        await_end(left_id);
        sched.block_on(yield_now())?;
        assert_eq!(children(), []);
        Ok(())
    })
}
