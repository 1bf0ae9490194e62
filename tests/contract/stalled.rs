//! Tasks are alive, and nothing can ever wake them.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::time::Duration;

use asyncfile::{done, never, sleep, wait, yield_now, JoinHandle, Scheduler, TaskError, TaskId};

use crate::descriptors::{guard, idle, ms, pipe, Test, ZERO};

type Slot = RefCell<Option<JoinHandle<()>>>;

/// A task that waits for the task whose handle is in `slot`.
fn wait_for<'t>(
    sched: &mut Scheduler<'t>,
    slot: &'t Slot,
    id: &'t Cell<Option<TaskId>>,
) -> JoinHandle<()> {
    sched.spawn(yield_now(), move |task| {
        if id.get().is_some() {
            return done(task.ok()?);
        }
        task.ok()?;
        id.set(Some(task.id()));
        wait(slot.borrow().as_ref().unwrap().finished())
    })
}

/// Asserts that there is a line for each task and that it says what the task waits for, and gives
/// the text.
#[track_caller]
fn assert_stalled(error: TaskError, ids: &[&Cell<Option<TaskId>>], waits_for: &str) -> String {
    let TaskError::Stalled(text) = error else {
        panic!("{error:?}")
    };
    for id in ids {
        let begin = format!("task {}: ", id.get().unwrap());
        let line = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&begin))
            .unwrap_or_else(|| panic!("no {begin:?} in {text:?}"));
        assert!(
            line.contains(waits_for),
            "{line:?} does not say {waits_for:?}"
        );
    }
    assert_eq!(
        text.lines()
            .filter(|line| line.trim_start().starts_with("task "))
            .count(),
        ids.len(),
        "{text}"
    );
    text
}

#[test]
fn a_block_on_that_stalls_carries_it_and_gives_its_operation_up() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let error = sched.block_on(never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    let carried = error.get_ref().and_then(|error| error.downcast_ref());
    let Some(TaskError::Stalled(text)) = carried else {
        panic!("{error:?}")
    };
    assert!(text.contains("sleep"), "{text}");
    assert_eq!(sched.turn(Some(ZERO))?, 0, "no task is left");
    Ok(())
}

#[test]
fn a_task_that_waits_for_itself_stalls_run_and_can_be_cancelled() -> Test {
    let _guard = guard();
    let (own, id) = (Slot::default(), Cell::new(None));
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    let text = assert_stalled(sched.run().unwrap_err(), &[&id], "join");
    let debug = format!("{sched:?}");
    for line in text
        .lines()
        .filter(|line| line.trim_start().starts_with("task "))
    {
        assert!(
            debug.contains(line.trim_start()),
            "{debug:?} does not have {line:?}"
        );
    }
    // It goes on: with a second task, and without the first.
    sched.block_on(sleep(ms(1)))?;
    own.borrow().as_ref().unwrap().cancel();
    sched.run()?;
    Ok(())
}

#[test]
fn tasks_that_wait_for_each_other_are_all_listed() -> Test {
    let _guard = guard();
    let slots = [Slot::default(), Slot::default()];
    let ids = [Cell::new(None), Cell::new(None)];
    let mut sched = Scheduler::new();
    for me in [0, 1] {
        let handle = wait_for(&mut sched, &slots[1 - me], &ids[me]);
        slots[me].replace(Some(handle));
    }
    assert_stalled(sched.run().unwrap_err(), &[&ids[0], &ids[1]], "join");
    // One of them is enough to free the other.
    slots[0].borrow().as_ref().unwrap().cancel();
    sched.run()?;
    assert!(slots[1].borrow().as_ref().unwrap().take().unwrap().is_ok());
    Ok(())
}

#[test]
fn a_stalled_join_says_so() -> Test {
    let _guard = guard();
    let (own, id, other) = (Slot::default(), Cell::new(None), Cell::new(None));
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    let waiting = wait_for(&mut sched, &own, &other);
    assert_stalled(sched.join(waiting).unwrap_err(), &[&id, &other], "join");
    Ok(())
}

#[test]
fn a_stalled_block_on_says_so() -> Test {
    let _guard = guard();
    let (own, id) = (Slot::default(), Cell::new(None));
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    sched.turn(Some(ZERO))?;
    let finished = own.borrow().as_ref().unwrap().finished();
    let error = sched.block_on(finished).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    match error.get_ref().unwrap().downcast_ref() {
        Some(TaskError::Stalled(text)) => {
            assert!(
                text.contains(&format!("task {}: join", id.get().unwrap())),
                "{text}"
            )
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn a_turn_without_a_time_to_return_at_is_stalled_and_one_with_it_is_not() -> Test {
    let _guard = guard();
    let (own, id) = (Slot::default(), Cell::new(None));
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    assert_eq!(sched.turn(Some(ZERO))?, 1);
    let start = std::time::Instant::now();
    assert_eq!(sched.turn(Some(ms(5)))?, 1);
    assert!(start.elapsed() >= ms(5));
    assert_stalled(sched.turn(None).unwrap_err(), &[&id], "join");
    Ok(())
}

#[test]
fn a_sleep_that_never_ends_wakes_nobody() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let asleep = sched.spawn(sleep(Duration::MAX), |task| done(task.ok()?));
    match sched.run() {
        Err(TaskError::Stalled(text)) => assert!(text.contains("sleep"), "{text}"),
        other => panic!("{other:?}"),
    }
    asleep.cancel();
    sched.run()?;
    Ok(())
}

#[test]
fn in_a_foreign_loop_nothing_is_stalled() -> Test {
    let (own, id) = (Slot::default(), Cell::new(None));
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    let mut set = Vec::new();
    for _ in 0..3 {
        assert_eq!(
            idle(&mut sched, &mut set)?,
            None,
            "the host may wait as long as it likes"
        );
        assert!(set.is_empty());
        assert_eq!(sched.dispatch(&set)?, 1);
    }
    Ok(())
}

#[test]
fn who_waits_for_a_descriptor_or_a_time_is_not_stalled() -> Test {
    let _guard = guard();
    let (own, id) = (Slot::default(), Cell::new(None));
    let (file, writer) = pipe()?;
    let resumed = Cell::new(0);
    let mut sched = Scheduler::new();
    let handle = wait_for(&mut sched, &own, &id);
    own.replace(Some(handle));
    // The two that wait for the kernel and the clock come to their end first.
    sched.spawn(file.readline(), |task| {
        done(resumed.set(resumed.get() + u32::from(task.line()?.is_none())))
    });
    let closing = sched.spawn(sleep(ms(2)), |task| {
        task.ok()?;
        resumed.set(resumed.get() + 1);
        done(())
    });
    sched.join(closing)?;
    drop(writer);
    assert_stalled(sched.run().unwrap_err(), &[&id], "join");
    assert_eq!(resumed.get(), 2);
    Ok(())
}

#[test]
fn the_debug_form_says_who_waits_for_what() -> Test {
    let _guard = guard();
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let (reader, mut writer) = std::io::pipe()?;
    let fd = reader.as_raw_fd();
    let file = asyncfile::AsyncFile::new(reader)?;
    let mut sched = Scheduler::new();
    sched.spawn(file.readline().timeout(Duration::from_secs(100)), |task| {
        done(task.line()?.is_some())
    });
    writer.write_all(b"half a line")?;
    while file.buffered() == 0 {
        sched.turn(None)?;
    }
    let debug = format!("{sched:?}");
    assert!(
        debug.contains(&format!("readline fd {fd}, 11 B held, ")) && debug.contains("s left"),
        "{debug}"
    );
    Ok(())
}
