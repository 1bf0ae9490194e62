//! A detached task's failure goes to `on_failure`, and not out of the drive.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use asyncfile::{
    done, sleep, wait, yield_now, Flow, JoinHandle, Op, Scheduler, Task, TaskError, TaskId,
};

use crate::descriptors::{alone, close_behind, guard, idle, ms, pipe, Test, HOUR, ZERO};

type Told = Rc<RefCell<Vec<(TaskId, String)>>>;

fn refused<T>(_: &mut Task<'_, '_>) -> Flow<T> {
    Err(io::Error::new(ErrorKind::PermissionDenied, "refused"))
}

/// What the scheduler tells goes into this list.
fn telling(sched: &mut Scheduler<'_>) -> Told {
    let told = Told::default();
    let list = Rc::clone(&told);
    sched.on_failure(move |id, error| list.borrow_mut().push((id, error.to_string())));
    told
}

/// A detached task that fails when `op` has ended.
fn failing(sched: &mut Scheduler<'_>, op: impl Into<Op>) -> TaskId {
    sched.spawn(op, refused::<()>).id()
}

#[track_caller]
fn assert_told(told: &Told, ids: &[TaskId]) {
    let expected = ids.iter().map(|id| (*id, "refused".to_string()));
    assert_eq!(*told.borrow(), expected.collect::<Vec<_>>());
}

#[test]
fn the_failure_of_a_detached_task_goes_there_and_run_goes_on() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let ids = [1, 2].map(|n| failing(&mut sched, sleep(ms(n))));
    let other = sched.spawn(sleep(ms(5)), |task| done(task.ok().map(|()| 5)?));
    sched.run()?;
    assert_eq!(sched.join(other)?, 5);
    assert_told(&told, &ids);
    Ok(())
}

#[test]
fn a_panic_goes_there_too() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let id = sched
        .spawn(yield_now(), |_| -> Flow { panic!("at the disco") })
        .id();
    sched.run()?;
    assert_eq!(*told.borrow(), [(id, "panicked: at the disco".into())]);
    Ok(())
}

#[test]
fn a_panic_while_a_body_is_dropped_is_its_tasks_failure() -> Test {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let bomb = Bomb;
    let handle = sched.spawn(yield_now(), move |task| {
        let _owned = &bomb;
        done(task.ok()?)
    });
    let id = handle.id();
    sched.join(handle)?;
    assert_eq!(*told.borrow(), [(id, "panicked: in a drop".into())]);
    Ok(())
}

/// Before another task is resumed.
#[test]
fn it_is_told_at_once() -> Test {
    let _guard = guard();
    let (order, mut sched) = (Rc::new(RefCell::new(Vec::new())), Scheduler::new());
    let list = Rc::clone(&order);
    sched.on_failure(move |_, _| list.borrow_mut().push("told"));
    for name in ["before", "after"] {
        let list = Rc::clone(&order);
        sched.spawn(yield_now(), move |_| {
            list.borrow_mut().push(name);
            done(())
        });
        failing(&mut sched, yield_now());
    }
    sched.run()?;
    assert_eq!(*order.borrow(), ["before", "told", "after", "told"]);
    Ok(())
}

/// A handle that a body drops with an unread failure: told before the body is resumed again.
#[test]
fn a_failure_that_a_body_lets_go_of_is_told_before_it_is_resumed_again() -> Test {
    let _guard = guard();
    for joins in [false, true] {
        let mut sched = Scheduler::new();
        let told = telling(&mut sched);
        let failed = sched.spawn(yield_now(), refused::<()>);
        sched.run()?;
        let (id, seen) = (failed.id(), Rc::clone(&told));
        let mut failed = Some(failed);
        let task = sched.spawn(yield_now(), move |task| {
            task.ok()?;
            match failed.take() {
                Some(handle) => drop(handle),
                None => return done(seen.borrow().len()),
            }
            wait(sleep(ZERO))
        });
        if !joins {
            sched.run()?;
        }
        assert_eq!(sched.join(task)?, 1);
        assert_told(&told, &[id]);
    }
    Ok(())
}

#[test]
fn it_is_told_in_every_drive() -> Test {
    let _guard = guard();
    let drives: [fn(&mut Scheduler<'static>) -> Test; 6] = [
        |sched| Ok(sched.run()?),
        |sched| Ok(assert_eq!(sched.turn(None)?, 0)),
        |sched| Ok(assert_eq!(sched.turn(Some(HOUR))?, 0)),
        |sched| Ok(assert_eq!(sched.dispatch(&[])?, 0)),
        |sched| Ok(sched.block_on(sleep(ms(1)))?),
        |sched| {
            let slow = sched.spawn(sleep(ms(1)), |task| done(task.ok()?));
            Ok(sched.join(slow)?)
        },
    ];
    for drive in drives {
        let mut sched = Scheduler::new();
        let told = telling(&mut sched);
        let id = failing(&mut sched, yield_now());
        drive(&mut sched)?;
        assert_told(&told, &[id]);
        sched.run()?;
    }
    Ok(())
}

/// In `join`, not only when that returns.
#[test]
fn a_join_tells_it_at_once() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let id = failing(&mut sched, yield_now());
    let seen = Rc::clone(&told);
    let other = sched.spawn(yield_now(), move |_| done(seen.borrow().len()));
    assert_eq!(sched.join(other)?, 1);
    assert_told(&told, &[id]);
    Ok(())
}

#[test]
fn a_failure_that_was_kept_before_goes_there_at_the_next_drive() -> Test {
    let _guard = guard();
    let drives: [fn(&mut Scheduler<'static>) -> Test; 5] = [
        |sched| Ok(sched.run()?),
        // Telling of a failure is something done: without a time to return at, too.
        |sched| Ok(assert_eq!(sched.turn(None)?, 1)),
        |sched| Ok(assert_eq!(sched.turn(Some(HOUR))?, 1)),
        |sched| Ok(assert_eq!(sched.dispatch(&[])?, 1)),
        |sched| Ok(sched.block_on(sleep(ZERO))?),
    ];
    for (index, drive) in drives.into_iter().enumerate() {
        let mut sched = Scheduler::new();
        let ids = [0, 1].map(|_| failing(&mut sched, yield_now()));
        sched.block_on(sleep(ZERO))?;
        let stays = match index {
            0 => None,
            _ => Some(sched.spawn(sleep(HOUR), |task| done(task.ok()?))),
        };
        sched.turn(Some(ZERO)).unwrap_err();
        let told = telling(&mut sched);
        assert_told(&told, &[]);
        drive(&mut sched)?;
        assert_told(&told, &ids[1..]);
        drop(stays);
    }
    Ok(())
}

#[test]
fn a_failure_that_is_kept_when_the_scheduler_is_dropped_goes_there() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let ids = [0, 1].map(|_| failing(&mut sched, yield_now()));
    sched.block_on(sleep(ZERO))?;
    // And one that a body holds, which is dropped with the scheduler.
    let held = sched.spawn(yield_now(), refused::<()>);
    let told = telling(&mut sched);
    while !held.is_finished() {
        let _ = sched.pollfds(&mut Vec::new());
        sched.dispatch(&[])?;
    }
    let last = held.id();
    sched.spawn(sleep(HOUR), move |_| {
        let _held = &held;
        done(())
    });
    drop(sched);
    assert_told(&told, &[ids[0], ids[1], last]);

    let mut sched = Scheduler::new();
    let ids = [0, 1].map(|_| failing(&mut sched, yield_now()));
    sched.block_on(sleep(ZERO))?;
    let told = telling(&mut sched);
    drop(sched);
    assert_told(&told, &ids);
    Ok(())
}

#[test]
fn it_may_cancel_and_drop_handles_and_what_fails_by_that_is_queued() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let failed = [0, 1].map(|_| sched.spawn(yield_now(), refused::<()>));
    sched.run()?;
    let ids = [0, 1].map(|n: usize| failed[n].id());
    let sleeper = Rc::new(sched.spawn(sleep(HOUR), |task| done(task.ok()?)));
    let (told, depth) = (Told::default(), Cell::new(0));
    let (list, cancelled, mut failed) = (Rc::clone(&told), Rc::clone(&sleeper), failed.into_iter());
    sched.on_failure(move |id, error| {
        assert_eq!(depth.replace(1), 0, "it is not called from itself");
        list.borrow_mut().push((id, error.to_string()));
        drop(failed.next());
        cancelled.cancel();
        depth.set(0);
    });
    let first = failing(&mut sched, yield_now());
    sched.run()?;
    assert_told(&told, &[first, ids[0], ids[1]]);
    assert!(matches!(sleeper.take(), Some(Err(TaskError::Cancelled))));
    Ok(())
}

/// The task that runs has let go of a failed one, and is cancelled for that: it is not resumed
/// again.
#[test]
fn it_may_cancel_the_task_that_runs() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let mut failed = Some(sched.spawn(yield_now(), refused::<()>));
    sched.run()?;
    let me = Rc::new(RefCell::new(None::<JoinHandle<()>>));
    let target = Rc::clone(&me);
    sched.on_failure(move |_, _| target.borrow().as_ref().unwrap().cancel());
    let resumes = Rc::new(Cell::new(0));
    let count = Rc::clone(&resumes);
    *me.borrow_mut() = Some(sched.spawn(yield_now(), move |task| {
        task.ok()?;
        count.set(count.get() + 1);
        drop(failed.take());
        wait(yield_now())
    }));
    sched.run()?;
    assert_eq!(resumes.get(), 1);
    let result = me.borrow().as_ref().unwrap().take();
    assert!(matches!(result, Some(Err(TaskError::Cancelled))));
    Ok(())
}

#[test]
fn its_panic_comes_out_as_an_observers_does_and_it_is_called_again() -> Test {
    let _guard = guard();
    let calls = Rc::new(Cell::new(0));
    let mut sched = Scheduler::new();
    let count = Rc::clone(&calls);
    sched.on_failure(move |_, _| {
        count.set(count.get() + 1);
        panic!("cannot log");
    });
    let other = sched.spawn(sleep(ms(1)), |task| done(task.ok()?));
    for _ in 0..2 {
        failing(&mut sched, yield_now());
        match sched.run() {
            Err(TaskError::Panicked(text)) => assert_eq!(text, "cannot log"),
            result => panic!("{result:?}"),
        }
    }
    // During a join it waits for the next drive.
    failing(&mut sched, yield_now());
    sched.join(other)?;
    sched.run().unwrap_err();
    sched.run()?;
    assert_eq!(calls.get(), 3);
    failing(&mut sched, yield_now());
    drop(sched);
    assert_eq!(calls.get(), 3, "a task that is cancelled has not failed");
    Ok(())
}

#[test]
fn a_failure_that_somebody_holds_a_handle_to_does_not_go_there() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let (failed, cancelled) = (
        sched.spawn(yield_now(), refused::<()>),
        sched.spawn(sleep(HOUR), |task| done(task.ok()?)),
    );
    sched.turn(Some(ZERO))?;
    cancelled.cancel();
    drop(cancelled);
    sched.run()?;
    sched.join(failed).unwrap_err();
    assert_told(&told, &[]);
    Ok(())
}

/// Nor does what is no task's failure: a stall, a panic of the observer, an error of poll(2).
#[test]
fn what_no_task_has_failed_in_comes_out_of_the_drive() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let task = sched.spawn(sleep(std::time::Duration::MAX), |task| done(task.ok()?));
    assert!(matches!(sched.run(), Err(TaskError::Stalled(_))));
    task.cancel();
    sched.run()?;
    sched.observe(|_| panic!("an observer"));
    failing(&mut sched, yield_now());
    assert!(matches!(sched.run(), Err(TaskError::Panicked(_))));
    assert!(told.borrow().iter().all(|(_, text)| text == "refused"));
    Ok(())
}

#[test]
fn a_wake_pipe_that_is_closed_behind_our_back_is_no_tasks_failure() -> Test {
    alone(|| {
        let mut sched = Scheduler::new();
        let told = telling(&mut sched);
        let remote = sched.remote()?;
        sched.spawn(sleep(ms(1)), |task| done(task.ok()?));
        let mut set = Vec::new();
        idle(&mut sched, &mut set)?;
        set.iter().for_each(|entry| close_behind(entry.fd));
        assert!(matches!(sched.run(), Err(TaskError::Failed(_))));
        sched.run()?;
        drop(remote);
        assert_told(&told, &[]);
        Ok(())
    })
}

#[test]
fn an_error_of_poll_is_no_tasks_failure() -> Test {
    alone(|| {
        let files = (0..12).map(|_| pipe()).collect::<Result<Vec<_>, _>>()?;
        let mut sched = Scheduler::new();
        let told = telling(&mut sched);
        for (file, _) in &files {
            sched.spawn(file.readline(), |task| done(task.line()?.is_some()));
        }
        let few = libc::rlimit {
            rlim_cur: 5,
            rlim_max: 4096,
        };
        let mut before = few;
        // SAFETY: the pointers are to live structures.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut before), 0);
            let few = libc::rlimit {
                rlim_max: before.rlim_max,
                ..few
            };
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &few), 0);
        }
        assert!(matches!(sched.run(), Err(TaskError::Poll(_))));
        assert!(matches!(sched.turn(Some(ZERO)), Err(TaskError::Poll(_))));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &before) }, 0);
        assert_told(&told, &[]);
        Ok(())
    })
}

/// Told of what a foreign loop's host has let go of, before the host waits.
#[test]
fn a_foreign_loop_does_not_sleep_on_a_failure() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let told = telling(&mut sched);
    let failed = sched.spawn(yield_now(), refused::<()>);
    sched.run()?;
    let id = failed.id();
    drop(failed);
    idle(&mut sched, &mut Vec::new())?;
    assert_told(&told, &[id]);
    Ok(())
}

/// It takes what comes from then on, and the one before it is dropped.
#[test]
fn a_second_one_takes_the_place_of_the_first() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let (first, id) = (telling(&mut sched), failing(&mut sched, yield_now()));
    sched.run()?;
    let (second, other) = (telling(&mut sched), failing(&mut sched, yield_now()));
    assert_eq!(Rc::strong_count(&first), 1);
    sched.run()?;
    assert_told(&first, &[id]);
    assert_told(&second, &[other]);
    Ok(())
}
