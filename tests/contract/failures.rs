//! Errors do not pass silently.

use std::cell::Cell;
use std::error::Error;
use std::io::{self, ErrorKind};

use asyncfile::{
    done, sleep, wait, yield_now, End, Flow, OperationError, Outcome, Scheduler, Task, TaskError,
};

use crate::descriptors::{guard, idle, ms, pipe, Test, HOUR, ZERO};

fn refused<T>() -> Flow<T> {
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "refused by the task",
    ))
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, TaskError>) {
    match result {
        Err(TaskError::Failed(error)) => assert_eq!(error.to_string(), "refused by the task"),
        other => panic!("{other:?}"),
    }
}

/// Has `body` resumed with a readline that timed out, and gives what a join of its task gives.
fn with_a_failure(
    body: fn(&mut Task<'_, '_>) -> Flow<&'static str>,
) -> Result<&'static str, TaskError> {
    let (file, _writer) = pipe().unwrap();
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readline().timeout(ms(1)), body);
    sched.join(task)
}

#[test]
fn a_failure_that_a_body_does_not_look_at_ends_its_task_with_it() {
    let _guard = guard();
    let ignoring: [fn(&mut Task<'_, '_>) -> Flow<&'static str>; 4] = [
        |_| done("did not ask"),
        |_| wait(sleep(HOUR)),
        |task| {
            // Neither the time nor the task's number is a look at the failure.
            let _ = (task.clock(), task.id());
            done("asked for something else")
        },
        |task| {
            task.spawn(yield_now(), |task| done(task.ok()?));
            done("was busy")
        },
    ];
    for body in ignoring {
        match with_a_failure(body) {
            Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failure_that_a_body_looked_at_is_its_own_affair() {
    let _guard = guard();
    let looking: [fn(&mut Task<'_, '_>) -> Flow<&'static str>; 4] = [
        |task| {
            let _taken = task.line();
            done("took the error")
        },
        |task| match task.outcome() {
            Outcome::Failed(_) => done("matched on the outcome"),
            _ => refused(),
        },
        |task| {
            let _outcome = task.outcome();
            done("had the outcome")
        },
        |task| match task.end() {
            End::TimedOut => done("asked why it ended"),
            _ => refused(),
        },
    ];
    for body in looking {
        with_a_failure(body).unwrap();
    }
}

#[test]
fn an_end_that_says_failed_is_looking_too() -> Test {
    let _guard = guard();
    let (file, _writer) = pipe()?;
    let mut sched = Scheduler::new();
    let task = sched.spawn(file.readline().limit(0), |task| done(task.end()));
    assert_eq!(sched.join(task)?, End::Failed);
    Ok(())
}

#[test]
fn an_error_of_its_own_is_the_one_that_a_task_ends_with() {
    let _guard = guard();
    assert_refused(with_a_failure(|task| {
        let _taken = task.line();
        refused()
    }));
}

#[test]
fn the_failure_of_a_detached_task_comes_out_of_run_at_once_and_the_others_are_kept() -> Test {
    let _guard = guard();
    let later = Cell::new(0);
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        sched.spawn(sleep(ms(5)), |task| {
            done(later.set(task.ok().map(|()| later.get() + 1)?))
        });
    }
    sched.spawn(yield_now(), |_| refused::<()>());
    assert_refused(sched.run());
    assert_eq!(later.get(), 0, "at once");
    sched.run()?;
    assert_eq!(later.get(), 2);
    Ok(())
}

#[test]
fn several_failures_come_out_one_by_one() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for _ in 0..3 {
        sched.spawn(yield_now(), |_| refused::<()>());
    }
    for _ in 0..3 {
        assert_refused(sched.run());
    }
    sched.run()?;
    Ok(())
}

#[test]
fn the_failure_of_a_detached_task_comes_out_of_turn() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let other = sched.spawn(sleep(ms(5)), |task| done(task.ok().map(|()| 5)?));
    sched.spawn(yield_now(), |_| refused::<()>());
    assert_refused(sched.turn(None));
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    assert_eq!(sched.join(other)?, 5);
    Ok(())
}

#[test]
fn the_failure_of_a_detached_task_comes_out_of_dispatch() -> Test {
    let _guard = guard();
    let (file, writer) = pipe()?;
    let mut sched = Scheduler::new();
    sched.spawn(file.readline(), |task| match task.line()? {
        None => refused(),
        Some(_) => done(()),
    });
    let other = sched.spawn(sleep(ms(5)), |task| done(task.ok().map(|()| 5)?));
    let mut set = Vec::new();
    idle(&mut sched, &mut set)?;
    drop(writer);
    set[0].revents = libc::POLLHUP;
    assert_refused(sched.dispatch(&set));
    assert_eq!(sched.join(other)?, 5);
    Ok(())
}

#[test]
fn a_failure_that_somebody_holds_a_handle_to_is_for_the_handle() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let handle = sched.spawn(yield_now(), |_| refused::<()>());
    sched.run()?;
    assert!(handle.is_finished());
    sched.run()?;
    assert_refused(sched.join(handle));
    sched.run()?;
    Ok(())
}

#[test]
fn a_handle_dropped_with_an_unread_failure_makes_it_a_detached_one() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let handle = sched.spawn(yield_now(), |_| refused::<()>());
    sched.run()?;
    assert!(
        handle.is_finished(),
        "to see that it ended is not to read why"
    );
    drop(handle);
    assert_refused(sched.run());
    sched.run()?;

    let handle = sched.spawn(yield_now(), |_| refused::<()>());
    sched.run()?;
    assert_refused(handle.take().unwrap());
    drop(handle);
    sched.run()?;

    let handle = sched.spawn(yield_now(), |_| refused::<()>());
    sched.run()?;
    sched.spawn(yield_now(), move |task| {
        let _dropped_with_the_body = &handle;
        done(task.ok()?)
    });
    assert_refused(sched.run());
    sched.run()?;
    Ok(())
}

#[test]
fn failures_of_others_during_a_join_wait_for_the_next_drive() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        sched.spawn(yield_now(), |_| refused::<()>());
    }
    let slow = sched.spawn(sleep(ms(5)), |task| done(task.ok().map(|()| 5)?));
    assert_eq!(sched.join(slow)?, 5);
    assert_refused(sched.run());
    assert_refused(sched.turn(Some(ZERO)));
    sched.run()?;
    Ok(())
}

#[test]
fn failures_of_others_during_block_on_wait_for_the_next_drive() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        sched.spawn(yield_now(), |_| refused::<()>());
    }
    sched.block_on(sleep(ms(5)))?;
    assert_refused(sched.dispatch(&[]));
    assert_refused(sched.turn(None));
    sched.run()?;
    Ok(())
}

#[test]
fn the_failure_of_the_task_that_is_joined_is_what_join_gives() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let failing = sched.spawn(sleep(ms(1)), |task| {
        task.ok()?;
        refused::<()>()
    });
    assert_refused(sched.join(failing));
    sched.run()?;
    Ok(())
}

#[test]
fn a_task_that_waits_for_another_is_told_only_that_it_ended() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let failing = sched.spawn(sleep(ms(1)), |_| refused::<()>());
    let waiting = sched.spawn(failing.finished(), move |task| {
        task.ok()?;
        assert_refused(failing.take().unwrap());
        assert!(failing.take().is_none(), "it was taken");
        done(())
    });
    sched.join(waiting)?;
    sched.run()?;
    Ok(())
}

#[test]
fn a_task_error_says_what_happened_and_becomes_an_io_error() {
    let _guard = guard();
    let failed = with_a_failure(|task| {
        task.line()?;
        done("")
    });
    let failed = failed.unwrap_err();
    assert!(failed.to_string().contains("timed out"), "{failed}");
    assert_eq!(io::Error::from(failed).kind(), ErrorKind::TimedOut);
    assert_eq!(TaskError::Cancelled.to_string(), "cancelled");
    let other = io::Error::from(TaskError::Panicked("at the disco".into()));
    assert_eq!(other.kind(), ErrorKind::Other);
    assert!(
        matches!(other.get_ref().unwrap().downcast_ref(), Some(TaskError::Panicked(text)) if text == "at the disco")
    );
    fn usable_anywhere<E: std::error::Error + Send + Sync + 'static>() {}
    usable_anywhere::<TaskError>();
}

/// The kernel's own error is the source of an operation's, and that of a task's.
#[test]
fn the_source_of_an_error_is_the_kernels_where_there_is_one() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let errno = |error: &(dyn Error + 'static)| {
        let system = error.downcast_ref::<io::Error>();
        system.expect("an io::Error").raw_os_error()
    };

    let (reader, writer) = crate::descriptors::pipe_to()?;
    drop(reader);
    let failed = sched.block_on(writer.write("x")).unwrap_err();
    let carried = OperationError::of(&failed).unwrap();
    let source = carried.source().expect("a system call has failed");
    assert_eq!(errno(source), Some(libc::EPIPE));
    assert!(source.source().is_none());

    let (file, _writer) = pipe()?;
    let timed_out = sched.block_on(file.readline().timeout(ZERO)).unwrap_err();
    assert!(OperationError::of(&timed_out).unwrap().source().is_none());

    let program = std::process::Command::new("/nonexistent/program");
    let not_started = asyncfile::AsyncPipe::piped(program).map(drop).unwrap_err();
    let carried = OperationError::of(&not_started).unwrap();
    assert_eq!(errno(carried.source().unwrap()), Some(libc::ENOENT));

    let failure = TaskError::Failed(failed);
    let around = failure.source().expect("the operation's error");
    assert_eq!(around.to_string(), failure.to_string());
    assert_eq!(
        around.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(ErrorKind::BrokenPipe)
    );
    let poll = TaskError::Poll(io::Error::from_raw_os_error(libc::EINVAL));
    assert_eq!(errno(poll.source().unwrap()), Some(libc::EINVAL));
    for without in [
        TaskError::Panicked(String::new()),
        TaskError::Cancelled,
        TaskError::Stopped,
        TaskError::Stalled(String::new()),
    ] {
        assert!(without.source().is_none(), "{without:?}");
    }
    Ok(())
}
