//! The failure of a detached task waits for the next drive while `join` and `block_on` wait for
//! something else. It must not keep them awake meanwhile, nor make them believe that something can
//! still happen.

mod support;

use std::io;
use std::time::Duration;

use asyncfile::{done, sleep, yield_now, Flow, Scheduler, TaskError};
use support::*;

/// A task that nobody holds a handle for fails in the first turn.
fn spawn_failure(sched: &mut Scheduler<'_>) {
    drop(sched.spawn(yield_now(), |_| -> Flow { Err(io::Error::other("held")) }));
}

fn thread_time() -> Duration {
    // SAFETY: zero is a valid timespec, and the call writes one.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        assert_eq!(
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time),
            0
        );
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_held_failure_comes_out_of_the_next_drive() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    spawn_failure(&mut sched);
    sched.block_on(sleep(SHORT)).unwrap();
    assert!(matches!(sched.run(), Err(TaskError::Failed(error)) if error.to_string() == "held"));
    sched.run().unwrap();
}

#[test]
fn a_held_failure_does_not_make_the_loop_spin() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    spawn_failure(&mut sched);
    let before = thread_time();
    sched.block_on(sleep(10 * SHORT)).unwrap();
    let used = thread_time() - before;
    assert!(
        used < 2 * SHORT,
        "a sleep of {:?} took {used:?} of processor time",
        10 * SHORT
    );
}

#[test]
fn a_held_failure_does_not_hide_that_nothing_can_happen() {
    let _watchdog = watchdog();
    let mut sched = Scheduler::new();
    spawn_failure(&mut sched);
    let never = sched.spawn(sleep(Duration::MAX), |_| done(()));
    assert!(matches!(sched.join(never), Err(TaskError::Stalled(_))));
}
