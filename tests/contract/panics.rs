//! A panic ends its own task.

use std::cell::Cell;
use std::panic::panic_any;

use asyncfile::{done, sleep, then, wait, yield_now, Flow, Next, Scheduler, TaskError};

use crate::descriptors::{guard, ms, pipe, Test, HOUR, ZERO};

#[track_caller]
fn assert_panicked<T: std::fmt::Debug>(result: Result<T, TaskError>, message: &str) {
    match result {
        Err(TaskError::Panicked(text)) => assert_eq!(text, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_ends_its_own_task_and_no_other() -> Test {
    let _guard = guard();
    let steps = Cell::new(0);
    let mut sched = Scheduler::new();
    let other = sched.spawn(yield_now(), |task| {
        task.ok()?;
        steps.set(steps.get() + 1);
        if steps.get() == 5 {
            return done(steps.get());
        }
        wait(yield_now())
    });
    let panicking = sched.spawn(yield_now(), |_| -> Flow { panic!("number {}", 7) });
    assert_panicked(sched.join(panicking), "number 7");
    assert_eq!(sched.join(other)?, 5);
    Ok(())
}

#[test]
fn the_panic_of_a_detached_task_comes_out_of_run_as_an_error() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let other = sched.spawn(sleep(ms(5)), |task| done(task.ok()?));
    sched.spawn(yield_now(), |_| -> Flow { panic!("a str") });
    assert_panicked(sched.run(), "a str");
    assert!(!other.is_finished());
    sched.join(other)?;
    Ok(())
}

#[test]
fn a_panic_without_a_text_is_a_panic() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let panicking = sched.spawn(yield_now(), |_| -> Flow { panic_any(7) });
    assert!(matches!(sched.join(panicking), Err(TaskError::Panicked(_))));
    Ok(())
}

#[test]
fn what_a_panicking_body_owned_is_dropped_once() -> Test {
    struct Bell<'a>(&'a Cell<u32>);
    impl Drop for Bell<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let _guard = guard();
    let drops = Cell::new(0);
    let mut sched = Scheduler::new();
    let bell = Bell(&drops);
    let panicking = sched.spawn(yield_now(), move |_| -> Flow {
        let _owned = &bell;
        panic!("with a bell")
    });
    assert_panicked(sched.join(panicking), "with a bell");
    assert_eq!(drops.get(), 1);
    Ok(())
}

#[test]
fn a_panic_in_a_state_function_ends_its_task() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let panicking = sched.spawn_states(yield_now(), (), |_, _| panic!("in a state"));
    let fine = sched.spawn_states(yield_now(), 1, |_, task| {
        task.ok()?;
        then(yield_now(), |state, task| {
            task.ok()?;
            *state += 1;
            Next::done()
        })
    });
    assert_panicked(sched.join(panicking), "in a state");
    assert_eq!(sched.join(fine)?, 2);
    Ok(())
}

#[test]
fn a_panic_while_a_body_is_dropped_stops_nobody_else() -> Test {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in a drop");
            }
        }
    }
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let armed = || {
        let bomb = Bomb;
        move |task: &mut asyncfile::Task<'_, '_>| {
            let _owned = &bomb;
            done(task.ok()?)
        }
    };
    let cancelled = sched.spawn(sleep(HOUR), armed());
    let ends = sched.spawn(yield_now(), armed());
    let other = sched.spawn(sleep(ms(5)), |task| done(task.ok().map(|()| 5)?));
    // The panics come out as errors, if at all, and never as panics.
    while !ends.is_finished() {
        let _ = sched.turn(Some(ZERO));
    }
    cancelled.cancel();
    drop((cancelled, ends));
    while sched.run().is_err() {}
    assert_eq!(sched.join(other)?, 5);
    Ok(drop(file))
}

#[test]
fn a_panic_while_a_result_is_dropped_stops_nobody_else() -> Test {
    #[derive(Debug)]
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in a result's drop");
            }
        }
    }
    let _guard = guard();
    let ended = Cell::new(false);
    let mut sched = Scheduler::new();
    // Nobody can take the result of a detached task: the scheduler drops it.
    sched.spawn(yield_now(), |task| done(task.ok().map(|()| Bomb)?));
    sched.spawn(sleep(ms(5)), |task| {
        done(ended.set(task.ok().map(|()| true)?))
    });
    while sched.run().is_err() {}
    assert!(ended.get());
    Ok(())
}
