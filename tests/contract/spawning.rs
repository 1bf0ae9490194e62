//! Tasks: what they may borrow, what they may spawn, and how they are counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::Write;

use asyncfile::{done, sleep, then, wait, yield_now, Flow, JoinHandle, Next, Scheduler, Task};

use crate::descriptors::{guard, ms, pipe, Test, HOUR, ZERO};

#[test]
fn tasks_may_borrow_a_local_cell() -> Test {
    let _guard = guard();
    let (file, mut writer) = pipe()?;
    writer.write_all(b"1\n2\n3\n")?;
    drop(writer);
    let (lines, mut last) = (Cell::new(0), Vec::new());
    {
        let mut sched = Scheduler::new();
        sched.spawn(file.readline(), |task| match task.line()? {
            Some(line) => {
                lines.set(lines.get() + 1);
                last.clear();
                last.extend_from_slice(line);
                wait(file.readline())
            }
            None => done(()),
        });
        sched.spawn(yield_now(), |task| {
            task.ok()?;
            if lines.get() < 3 {
                return wait(yield_now());
            }
            done(())
        });
        sched.run()?;
    }
    assert_eq!((lines.get(), &last[..]), (3, &b"3\n"[..]));
    Ok(())
}

#[test]
fn a_task_may_spawn_one_that_borrows_what_it_borrows() -> Test {
    let _guard = guard();
    let sum = Cell::new(0);
    let mut sched = Scheduler::new();
    sched.spawn(yield_now(), |task| {
        task.ok()?;
        for n in 1..=3 {
            let sum = &sum;
            task.spawn(sleep(ms(n)), move |task| {
                task.ok()?;
                sum.set(sum.get() + n);
                done(())
            });
        }
        done(())
    });
    sched.run()?;
    assert_eq!(sum.get(), 6);
    Ok(())
}

#[test]
fn a_task_may_wait_for_what_it_spawned_and_have_its_value() -> Test {
    let _guard = guard();
    let mut child: Option<JoinHandle<u32>> = None;
    let mut sched = Scheduler::new();
    let parent = sched.spawn(yield_now(), |task| {
        task.ok()?;
        match &child {
            Some(child) => done(child.take().unwrap()? + 1),
            None => {
                let spawned = task.spawn(sleep(ms(1)), |task| done(task.ok().map(|()| 41)?));
                let finished = spawned.finished();
                child = Some(spawned);
                wait(finished)
            }
        }
    });
    assert_eq!(sched.join(parent)?, 42);
    Ok(())
}

#[test]
fn tasks_spawn_tasks_that_spawn_tasks() -> Test {
    let _guard = guard();
    fn spawn_below<'t>(task: &mut Task<'_, 't>, depth: u32, leaves: &'t Cell<u32>) -> Flow {
        task.ok()?;
        if depth == 0 {
            leaves.set(leaves.get() + 1);
        } else {
            for _ in 0..2 {
                task.spawn(yield_now(), move |task| {
                    spawn_below(task, depth - 1, leaves)
                });
            }
        }
        done(())
    }
    let leaves = Cell::new(0);
    let mut sched = Scheduler::new();
    let cell = &leaves;
    sched.spawn(yield_now(), move |task| spawn_below(task, 10, cell));
    sched.run()?;
    assert_eq!(leaves.get(), 1 << 10);
    Ok(())
}

struct Counter {
    seen: Vec<&'static str>,
    log: std::rc::Rc<RefCell<Vec<&'static str>>>,
}

impl Counter {
    fn begin(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        task.ok()?;
        self.seen.push("begin");
        let log = self.log.clone();
        task.spawn(yield_now(), move |task| {
            task.ok()?;
            log.borrow_mut().push("closure");
            done(())
        });
        let child = Counter {
            seen: Vec::new(),
            log: self.log.clone(),
        };
        task.spawn_states(yield_now(), child, Counter::end);
        then(sleep(ms(1)), Self::middle)
    }

    fn middle(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        task.ok()?;
        self.seen.push("middle");
        then(yield_now(), Self::end)
    }

    fn end(&mut self, task: &mut Task) -> std::io::Result<Next<Self>> {
        task.ok()?;
        self.seen.push("end");
        self.log.borrow_mut().push("states");
        Next::done()
    }
}

#[test]
fn a_task_of_states_spawns_what_is_owned_and_joins_to_its_final_state() -> Test {
    let _guard = guard();
    let log = std::rc::Rc::new(RefCell::new(Vec::new()));
    let mut sched = Scheduler::new();
    let counter = sched.spawn_states(
        yield_now(),
        Counter {
            seen: Vec::new(),
            log: log.clone(),
        },
        Counter::begin,
    );
    let counter = sched.join(counter)?;
    assert_eq!(counter.seen, ["begin", "middle", "end"]);
    sched.run()?;
    let mut log = log.take();
    log.sort_unstable();
    assert_eq!(log, ["closure", "states", "states"]);
    Ok(())
}

#[test]
fn a_state_may_be_borrowed_data_too() -> Test {
    let _guard = guard();
    let cell = Cell::new(1);
    let mut sched = Scheduler::new();
    let doubled = sched.spawn_states(yield_now(), &cell, |cell, task| {
        task.ok()?;
        cell.set(cell.get() * 2);
        Next::done()
    });
    assert_eq!(sched.join(doubled)?.get(), 2);
    Ok(())
}

#[test]
fn a_turn_says_how_many_tasks_are_alive() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    assert_eq!(
        sched.turn(None)?,
        0,
        "without tasks there is nothing to wait for"
    );
    sched.run()?;
    for _ in 0..3 {
        sched.spawn(sleep(HOUR), |task| done(task.ok()?));
    }
    let short = sched.spawn(yield_now(), |task| done(task.ok()?));
    while !short.is_finished() {
        sched.turn(Some(ZERO))?;
    }
    assert_eq!(sched.turn(Some(ZERO))?, 3);
    Ok(())
}

#[test]
fn every_task_has_a_number_of_its_own() -> Test {
    let _guard = guard();
    let numbers = RefCell::new(BTreeSet::new());
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        for _ in 0..10 {
            sched.spawn(yield_now(), |task| {
                task.ok()?;
                let id = task.id();
                assert_eq!(id, task.id());
                assert!(
                    id.to_string()
                        .starts_with(|digit: char| digit.is_ascii_digit()),
                    "{id}"
                );
                assert!(numbers.borrow_mut().insert(id.to_string()), "{id} twice");
                done(())
            });
        }
        // A number is not given again when its task has ended.
        sched.run()?;
    }
    assert_eq!(numbers.borrow().len(), 20);
    Ok(())
}

#[test]
fn a_task_s_clock_is_the_time_its_turn_began() -> Test {
    let _guard = guard();
    let start = std::time::Instant::now();
    let clocks = RefCell::new(Vec::new());
    let mut sched = Scheduler::new();
    for _ in 0..2 {
        sched.spawn(yield_now(), |task| {
            task.ok()?;
            clocks.borrow_mut().push(task.clock());
            done(())
        });
    }
    sched.block_on(sleep(ms(2)))?;
    sched.run()?;
    let late = sched.spawn(sleep(ms(2)), |task| done(task.ok().map(|()| task.clock())?));
    let late = sched.join(late)?;
    let clocks = clocks.borrow();
    assert_eq!(clocks[0], clocks[1], "one turn, one time");
    assert!(start <= clocks[0] && clocks[0] + ms(2) <= late && late <= std::time::Instant::now());
    Ok(())
}

#[test]
fn a_value_is_taken_once() -> Test {
    let _guard = guard();
    let mut sched = Scheduler::new();
    let task = sched.spawn(sleep(ms(1)), |task| {
        done(task.ok().map(|()| String::from("value"))?)
    });
    assert!(task.take().is_none(), "it runs");
    sched.run()?;
    assert!(task.is_finished());
    assert_eq!(task.take().unwrap()?, "value");
    assert!(task.take().is_none(), "it was taken");
    Ok(())
}
