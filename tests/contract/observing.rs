//! What an observer is shown: the whole life of each task, with the turn's number.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use asyncfile::trace::{Event, Trace};
use asyncfile::{
    again, done, sleep, wait, yield_now, Flow, JoinHandle, Scheduler, TaskError, TaskId,
};

use crate::descriptors::{guard, pipe, Test, HOUR, ZERO};

/// An event in a word or two. What was advanced is left out: how often that happens is the
/// library's own affair.
fn text(trace: &Trace<'_>) -> Option<String> {
    match &trace.event {
        Event::Spawned(op) => Some(format!("spawned, waits for {op:?}")),
        Event::Resumed(end, op) => Some(format!("{end:?}, waits for {op:?}")),
        Event::Done(end) => Some(format!("{end:?}, done")),
        Event::Failed(error) => Some(format!("failed: {error:?}")),
        _ => None,
    }
}

type Log = RefCell<Vec<(TaskId, u64, String)>>;

fn watched(log: &Log) -> Scheduler<'_> {
    let mut sched = Scheduler::new();
    sched.observe(|trace| {
        if let Some(text) = text(trace) {
            log.borrow_mut().push((trace.task, trace.turn, text));
        }
    });
    sched
}

/// The events of this task since the last call: turn and text.
fn of(log: &Log, task: TaskId) -> Vec<(u64, String)> {
    let log = log.take().into_iter();
    let own = log.filter(|(id, ..)| *id == task);
    own.map(|(_, turn, text)| (turn, text)).collect()
}

fn event(turn: u64, text: &str) -> (u64, String) {
    (turn, text.to_owned())
}

#[test]
fn a_task_is_shown_from_its_spawn_to_its_end_with_the_number_of_the_turn() -> Test {
    let _guard = guard();
    let log = Log::default();
    let mut sched = watched(&log);
    let mut left = 3;
    let first = sched.spawn(yield_now(), move |task| {
        let _ = task.end(); // a look at the failure
        left -= 1;
        match left {
            0 => done(()),
            1 => wait(sleep(HOUR).timeout(ZERO)),
            _ => wait(yield_now()),
        }
    });
    assert_eq!(
        of(&log, first.id()),
        [event(0, "spawned, waits for yield_now")],
        "before the first turn"
    );
    let mut turn = 0;
    let mut seen = Vec::new();
    while !first.is_finished() {
        turn += 1;
        sched.turn(Some(ZERO))?;
        let events = of(&log, first.id());
        assert!(
            events.iter().all(|(number, _)| *number == turn),
            "turn {turn}: {events:?}"
        );
        seen.extend(events.into_iter().map(|(_, text)| text));
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(seen[0], "Complete, waits for yield_now");
    assert!(seen[1].starts_with("Complete, waits for sleep"), "{seen:?}");
    assert_eq!(seen[2], "TimedOut, done");

    let second = sched.spawn(yield_now(), |_| done(()));
    assert_eq!(
        of(&log, second.id()),
        [event(turn, "spawned, waits for yield_now")],
        "between two turns: the number of the last one"
    );
    sched.turn(Some(ZERO))?;
    assert_eq!(of(&log, second.id()), [event(turn + 1, "Complete, done")]);
    Ok(())
}

#[test]
fn a_task_that_a_task_spawns_is_shown_in_the_same_turn() -> Test {
    let _guard = guard();
    let log = Log::default();
    let mut sched = watched(&log);
    let parent = sched.spawn(yield_now(), |task| {
        done(task.spawn(yield_now(), |_| done(())).id())
    });
    sched.turn(Some(ZERO))?;
    let child = parent.take().unwrap()?;
    assert_eq!(of(&log, child)[0], event(1, "spawned, waits for yield_now"));
    Ok(())
}

/// Each way to cancel a task: the number of the turn, and one event.
#[test]
fn a_cancelled_task_is_shown_as_one_that_failed_once() -> Test {
    let _guard = guard();
    let log = Log::default();
    let mut sched = watched(&log);
    let waits = |sched: &mut Scheduler<'_>| {
        let task = sched.spawn(sleep(HOUR), |task| done(task.ok()?));
        sched.turn(Some(ZERO)).unwrap();
        task
    };

    let between_turns = waits(&mut sched);
    log.take();
    between_turns.cancel();
    between_turns.cancel();
    assert!(log.borrow().is_empty(), "a cancel marks");
    sched.turn(Some(ZERO))?;
    let events = of(&log, between_turns.id());
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "failed: Cancelled");

    let dropped = waits(&mut sched).cancel_on_drop();
    let id = dropped.id();
    log.take();
    drop(dropped);
    sched.turn(Some(ZERO))?;
    let events = of(&log, id);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "failed: Cancelled");

    let by_another = waits(&mut sched);
    let id = by_another.id();
    log.take();
    let other = sched.spawn(yield_now(), move |_| {
        by_another.cancel();
        done(())
    });
    sched.join(other)?;
    let events: Vec<_> = log
        .take()
        .into_iter()
        .filter(|(who, ..)| *who == id)
        .collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].2, "failed: Cancelled");

    let me = RefCell::new(None::<JoinHandle<()>>);
    let log = Log::default();
    let mut sched = watched(&log);
    let itself = sched.spawn(yield_now(), |_| {
        me.borrow().as_ref().unwrap().cancel();
        wait(sleep(HOUR))
    });
    let id = itself.id();
    *me.borrow_mut() = Some(itself);
    log.take();
    sched.turn(Some(ZERO))?;
    assert_eq!(of(&log, id), [event(1, "failed: Cancelled")]);
    drop(sched);
    Ok(())
}

#[test]
fn a_failure_and_a_panic_are_shown_with_what_they_say() -> Test {
    let _guard = guard();
    let log = Log::default();
    let mut sched = watched(&log);
    let failing = sched.spawn(yield_now(), |_| -> Flow {
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no room"))
    });
    let panicking = sched.spawn(yield_now(), |_| -> Flow { panic!("the end") });
    let timed_out = sched.spawn(sleep(HOUR).timeout(ZERO), |_| done(()));
    let ids = [failing.id(), panicking.id(), timed_out.id()];
    while !ids.iter().all(|id| {
        let log = log.borrow();
        log.iter()
            .any(|(who, _, text)| who == id && text.starts_with("failed"))
    }) {
        sched.turn(Some(ZERO))?;
    }
    let last = |id: TaskId| {
        let log = log.borrow();
        let mut own = log.iter().filter(|(who, ..)| *who == id);
        own.next_back().unwrap().2.clone()
    };
    assert!(last(ids[0]).contains("no room"), "{}", last(ids[0]));
    assert_eq!(last(ids[1]), "failed: Panicked(\"the end\")");
    assert!(
        last(ids[2]).starts_with("failed: Failed("),
        "{}",
        last(ids[2])
    );
    assert!(last(ids[2]).contains("timed out"), "{}", last(ids[2]));
    assert!(matches!(failing.take(), Some(Err(TaskError::Failed(_)))));
    Ok(())
}

/// Each line of a buffer is shown before the body has the next one, however it is asked for.
#[test]
fn every_line_is_shown_before_the_next_one_is_handed_over() -> Test {
    let _guard = guard();
    const LINES: usize = 500; // more than a task's share of one turn
    for asks_anew in [false, true] {
        let (file, mut writer) = pipe()?;
        writer.write_all("a line\n".repeat(LINES).as_bytes())?;
        drop(writer);
        let (shown, handed_over, ends) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let mut sched = Scheduler::new();
        sched.observe(|trace| match &trace.event {
            Event::Resumed(_, op) => {
                assert!(format!("{op:?}").starts_with("readline"));
                shown.set(shown.get() + 1);
            }
            Event::Done(end) => {
                assert_eq!(*end, asyncfile::End::Eof);
                ends.set(ends.get() + 1);
            }
            _ => {}
        });
        let reader = sched.spawn(file.readline(), |task| {
            assert_eq!(shown.get(), handed_over.get());
            if task.line()?.is_none() {
                return done(());
            }
            handed_over.set(handed_over.get() + 1);
            match asks_anew {
                true => wait(file.readline()),
                false => again(),
            }
        });
        sched.join(reader)?;
        assert_eq!((shown.get(), ends.get()), (LINES, 1));
    }
    Ok(())
}

#[test]
fn a_second_observer_takes_the_place_of_the_first() -> Test {
    let _guard = guard();
    let (first, second) = (Cell::new(0), Cell::new(0));
    let mut sched = Scheduler::new();
    sched.observe(|_| first.set(first.get() + 1));
    sched.spawn(yield_now(), |_| done(()));
    let so_far = first.get();
    assert!(so_far > 0);
    sched.observe(|_| second.set(second.get() + 1));
    sched.run()?;
    assert_eq!(first.get(), so_far);
    assert!(second.get() > 0);
    Ok(())
}
