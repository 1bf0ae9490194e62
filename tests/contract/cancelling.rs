//! `cancel()` marks; the scheduler drops the body before another task is resumed, once. Handles
//! that outlive their scheduler.

use std::cell::{Cell, RefCell};

use asyncfile::{done, sleep, wait, yield_now, Flow, JoinHandle, Scheduler, TaskError};

use crate::descriptors::{guard, ms, pipe, Test, HOUR, ZERO};

/// Writes its name down when it is dropped; a body owns one.
struct Leaves<'a>(&'static str, &'a RefCell<Vec<&'static str>>);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn cancel_marks_and_the_next_drive_drops_the_body_once() -> Test {
    let _guard = guard();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let leaves = Leaves("body", &log);
    let handle = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &leaves;
        done(task.ok()?)
    });
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    handle.cancel();
    assert!(log.borrow().is_empty(), "marks");
    assert_eq!(sched.turn(Some(ZERO))?, 0);
    assert_eq!(*log.borrow(), ["body"]);
    assert!(matches!(sched.join(handle), Err(TaskError::Cancelled)));
    drop(sched);
    assert_eq!(*log.borrow(), ["body"], "once");
    Ok(())
}

#[test]
fn run_ends_when_the_last_tasks_are_cancelled() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let asleep = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    let reading = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    assert_eq!(sched.turn(Some(ZERO))?, 2);
    asleep.cancel();
    reading.cancel();
    sched.run()?;
    assert!(asleep.is_finished() && reading.is_finished());
    Ok(())
}

#[test]
fn a_join_of_a_task_that_was_cancelled_does_not_wait_for_others() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let other = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    let victim = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    let awaited = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    assert_eq!(sched.turn(Some(ZERO))?, 3);
    victim.cancel();
    assert!(matches!(sched.join(victim), Err(TaskError::Cancelled)));
    awaited.cancel();
    sched.block_on(awaited.finished())?;
    assert!(!other.is_finished());
    other.cancel();
    assert_eq!(sched.turn(None)?, 0);
    Ok(())
}

#[test]
fn a_task_cancelled_before_its_first_resume_is_never_resumed() -> Test {
    let _guard = guard();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let leaves = Leaves("body", &log);
    let handle = sched.spawn(yield_now(), move |_| {
        let owned = &leaves;
        owned.1.borrow_mut().push("resumed");
        done(())
    });
    handle.cancel();
    sched.run()?;
    assert_eq!(*log.borrow(), ["body"]);
    Ok(())
}

#[test]
fn the_body_is_dropped_before_another_task_is_resumed() -> Test {
    let _guard = guard();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let leaves = Leaves("victim's body", &log);
    let victim = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &leaves;
        done(task.ok()?)
    });
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    let log = &log;
    sched.spawn(yield_now(), move |task| {
        task.ok()?;
        victim.cancel();
        log.borrow_mut().push("canceller returns");
        done(())
    });
    sched.spawn(yield_now(), |task| {
        done(task.ok().map(|()| log.borrow_mut().push("next task"))?)
    });
    sched.run()?;
    assert_eq!(
        *log.borrow(),
        ["canceller returns", "victim's body", "next task"]
    );
    Ok(())
}

#[test]
fn a_task_that_cancels_itself_is_cancelled_whatever_it_returns() -> Test {
    let _guard = guard();
    for returns_done in [true, false] {
        let log = RefCell::default();
        let own: RefCell<Option<JoinHandle<u8>>> = RefCell::default();
        let mut sched = Scheduler::new();
        let leaves = Leaves("body", &log);
        let slot = &own;
        let handle = sched.spawn(yield_now(), move |task| {
            let owned = &leaves;
            task.ok()?;
            slot.borrow().as_ref().unwrap().cancel();
            owned.1.borrow_mut().push("still here");
            if returns_done {
                return done(1);
            }
            wait(yield_now())
        });
        own.replace(Some(handle));
        sched.run()?;
        assert_eq!(*log.borrow(), ["still here", "body"]);
        assert!(matches!(
            own.take().unwrap().take(),
            Some(Err(TaskError::Cancelled))
        ));
    }
    Ok(())
}

#[test]
fn a_drop_may_cancel_another_task() -> Test {
    struct CancelOnDrop(JoinHandle<()>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let _guard = guard();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let leaves = Leaves("victim's body", &log);
    let victim = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &leaves;
        done(task.ok()?)
    });
    let cancels = CancelOnDrop(victim);
    sched.spawn(yield_now(), move |task| {
        let _owned = &cancels;
        done(task.ok()?)
    });
    sched.spawn(yield_now(), |task| {
        done(task.ok().map(|()| log.borrow_mut().push("next task"))?)
    });
    sched.run()?;
    assert_eq!(*log.borrow(), ["victim's body", "next task"]);
    Ok(())
}

#[test]
fn who_waits_for_a_task_that_is_cancelled_is_woken() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let victim = sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
    let (finished, again) = (victim.finished(), victim.finished());
    let waiting = sched.spawn(finished, |task| done(task.ok()?));
    let also_waiting = sched.spawn(again, |task| done(task.ok()?));
    sched.spawn(sleep(ms(1)), move |task| {
        task.ok()?;
        victim.cancel();
        assert!(victim.take().is_none(), "it is marked and not yet ended");
        done(())
    });
    sched.join(waiting)?;
    sched.join(also_waiting)?;
    Ok(())
}

#[test]
fn cancelled_tasks_are_not_failures() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let detached = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    detached.cancel();
    drop(detached);
    sched.run()?;
    let held = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    held.cancel();
    sched.run()?;
    drop(held);
    sched.run()?;
    Ok(())
}

#[test]
fn a_handle_that_outlives_its_scheduler_says_cancelled() -> Test {
    let _guard = guard();
    let drops = RefCell::default();
    let (unfinished, finished, joined, awaited);
    {
        let mut sched = Scheduler::new();
        finished = sched.spawn(yield_now(), |task| done(task.ok().map(|()| 5)?));
        sched.run()?;
        let leaves = Leaves("body", &drops);
        unfinished = sched.spawn(sleep(HOUR), move |task| {
            let _owned = &leaves;
            done(task.ok()?)
        });
        joined = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
        awaited = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
        sched.turn(Some(ZERO))?;
        assert!(!unfinished.is_finished());
    }
    assert_eq!(*drops.borrow(), ["body"]);
    assert!(unfinished.is_finished());
    assert!(matches!(unfinished.take(), Some(Err(TaskError::Cancelled))));
    unfinished.cancel();
    assert!(
        matches!(finished.take(), Some(Ok(5))),
        "what had ended before is there"
    );
    let mut other = Scheduler::new();
    assert!(matches!(other.join(joined), Err(TaskError::Cancelled)));
    other.block_on(awaited.finished())?;
    Ok(())
}

#[test]
fn a_scheduler_drops_the_bodies_that_it_still_has() -> Test {
    let drops = Cell::new(0);
    struct Bell<'a>(&'a Cell<u32>);
    impl Drop for Bell<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    for _ in 0..3 {
        let bell = Bell(&drops);
        sched.spawn(file.readline(), move |task| {
            let _owned = &bell;
            done(task.line()?.is_some())
        });
    }
    assert_eq!(sched.turn(Some(ZERO))?, 3);
    drop(sched);
    assert_eq!(drops.get(), 3);
    assert!(
        file.into_inner().is_ok(),
        "nothing waits for the file any more"
    );
    Ok(())
}

#[test]
fn a_handle_that_cancels_on_drop_cancels_and_is_a_handle_until_then() -> Test {
    let _guard = guard();
    let log = RefCell::default();
    let mut sched = Scheduler::new();
    let leaves = Leaves("body", &log);
    let handle = sched.spawn(sleep(HOUR), move |task| {
        let _owned = &leaves;
        done(task.ok()?)
    });
    let id = handle.id();
    let guarding = handle.cancel_on_drop();
    assert_eq!((guarding.id(), guarding.is_finished()), (id, false));
    assert!(guarding.take().is_none());
    assert!(format!("{guarding:?}").contains(&format!("task {id}")));
    drop(guarding);
    assert!(log.borrow().is_empty(), "marks");
    sched.run()?;
    assert_eq!(*log.borrow(), ["body"]);
    Ok(())
}

#[test]
fn a_handle_that_is_given_back_detaches_again() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let task = sched.spawn(sleep(ms(1)), |task| done(task.ok().map(|()| 5)?));
    let handle = task.cancel_on_drop().into_handle();
    assert_eq!(sched.join(handle)?, 5);
    let ended = Cell::new(false);
    let mut sched = Scheduler::new();
    let task = sched.spawn(sleep(ms(1)), |task| done(ended.set(task.ok().is_ok())));
    drop(task.cancel_on_drop().into_handle());
    sched.run()?;
    assert!(ended.get());
    Ok(())
}

/// As the drop of a handle: an unread failure is a detached task's, a value is dropped.
#[test]
fn a_handle_that_cancels_on_drop_does_what_a_handle_does_after_the_tasks_end() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let refused = || -> Flow { Err(std::io::ErrorKind::PermissionDenied.into()) };
    let failing = sched.spawn(yield_now(), move |_| refused());
    let ending = sched.spawn(yield_now(), |task| done(task.ok()?));
    let (failing, ending) = (failing.cancel_on_drop(), ending.cancel_on_drop());
    sched.run()?;
    drop(ending);
    sched.run()?;
    drop(failing);
    assert!(matches!(sched.run(), Err(TaskError::Failed(_))));
    sched.run()?;
    let cancelled = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    let cancelled = cancelled.cancel_on_drop();
    cancelled.cancel();
    sched.run()?;
    drop(cancelled);
    sched.run()?;
    Ok(())
}

/// Dropped by the body of the task itself: it takes effect on return.
#[test]
fn a_task_that_drops_its_own_is_cancelled_on_return() -> Test {
    let _guard = guard();
    let mine = RefCell::new(None);
    let resumes = Cell::new(0);
    let mut sched = Scheduler::new();
    let task = sched.spawn(yield_now(), |task| {
        task.ok()?;
        resumes.set(resumes.get() + 1);
        drop(mine.take());
        wait::<()>(yield_now())
    });
    mine.replace(Some(task.cancel_on_drop()));
    sched.run()?;
    assert_eq!(resumes.get(), 1);
    Ok(())
}

/// With the body of the task that has started it: however that ends.
#[test]
fn children_that_cancel_on_drop_go_with_the_body_that_holds_them() -> Test {
    let _guard = guard();
    let endings: [fn() -> Flow; 3] = [
        || done(()),
        || Err(std::io::ErrorKind::PermissionDenied.into()),
        || panic!("a parent"),
    ];
    for ending in endings {
        let mut sched = Scheduler::new();
        let mut child = None;
        let parent = sched.spawn(yield_now(), move |task| match child {
            Some(_) => ending(),
            None => {
                let sleeper = task.spawn(sleep(HOUR), |task| done(task.ok()?));
                child = Some(sleeper.cancel_on_drop());
                wait(yield_now())
            }
        });
        let _ = sched.join(parent);
        assert_eq!(sched.turn(Some(ZERO))?, 0);
    }
    Ok(())
}
