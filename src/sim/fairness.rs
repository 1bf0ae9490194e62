//! Fairness in time, by the simulated clock: how long a task goes on if its body takes long.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::{owned, with, Kernel};
use crate::{again, done, sleep, wait, yield_now, AsyncFile, Scheduler};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// The time by the simulated clock.
fn now() -> Duration {
    with(|kernel| kernel.time).expect("a kernel is installed")
}

/// A body works for this long.
pub(crate) fn work(time: Duration) {
    with(|kernel| kernel.time += time).expect("a kernel is installed");
}

/// Runs `run` with a file that holds `lines` lines.
fn beside_lines<R>(lines: usize, run: impl FnOnce(AsyncFile) -> R) -> R {
    let mut kernel = Kernel::new(|_| 0);
    let fd = kernel.regular(b"\n".repeat(lines));
    let (_, result) = kernel.run(|| run(AsyncFile::new(owned(fd)).unwrap()));
    result
}

/// Runs a reader that works for `cost(n)` on the n-th line. Returns the longest time, and the most
/// lines, that the reader had without a resume of another task. With `is_new` the reader waits for
/// a new readline each time.
fn longest_share(
    lines: usize,
    is_new: bool,
    cost: impl Fn(usize) -> Duration + 'static,
) -> (Duration, usize) {
    beside_lines(lines, |file| {
        let (time, count) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(0)));
        let longest = Rc::new(RefCell::new((Duration::ZERO, 0)));
        let mut sched = Scheduler::new();
        let (since, of, noted) = (Rc::clone(&time), Rc::clone(&count), Rc::clone(&longest));
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            let mut longest = noted.borrow_mut();
            longest.0 = longest.0.max(since.take());
            longest.1 = longest.1.max(of.take());
            again::<()>()
        });
        let mut nth = 0;
        let reader = sched.spawn(file.readline(), move |task| match task.line()? {
            Some(_line) => {
                work(cost(nth));
                time.set(time.get() + cost(nth));
                count.set(count.get() + 1);
                nth += 1;
                if is_new {
                    wait(file.readline())
                } else {
                    again()
                }
            }
            None => done(()),
        });
        sched.join(reader).unwrap();
        let longest = *longest.borrow();
        longest
    })
}

/// The clock is first looked at after 8 lines. From then on the share lasts a millisecond, and then
/// until the next look. The time between two looks is no longer than the share before them.
#[test]
fn a_share_is_512_resumes_or_about_one_millisecond() {
    for is_new in [false, true] {
        for cost in [0, 1, 2, 5, 10, 20, 49, 50, 51, 100, 400, 1000, 5000] {
            let cost = cost * US;
            let (time, lines) = longest_share(3000, is_new, move |_| cost);
            assert!(lines <= 512, "{cost:?} a line: {lines} lines");
            if cost <= US {
                assert_eq!(lines, 512, "{cost:?} a line");
            } else if cost < 50 * US {
                assert!((MS..=3 * MS).contains(&time), "{cost:?} a line: {time:?}");
            } else {
                let most = 8 * cost + MS + cost;
                assert!((MS..=most).contains(&time), "{cost:?} a line: {time:?}");
            }
        }
    }
}

/// The ticker runs beside a reader that works a millisecond on each line.
#[test]
fn a_ticker_of_10_ms_beside_slow_lines_is_never_more_than_15_ms_late() {
    for is_new in [false, true] {
        let (ticks, latest) = beside_lines(2000, |file| {
            let mut sched = Scheduler::new();
            let seen = Rc::new(Cell::new((0, Duration::ZERO)));
            let (noted, mut due) = (Rc::clone(&seen), 10 * MS);
            sched.spawn(sleep(10 * MS), move |task| {
                task.ok()?;
                let late = now().checked_sub(due).expect("it is never early");
                let (ticks, latest) = noted.get();
                noted.set((ticks + 1, latest.max(late)));
                due = now() + 10 * MS;
                again::<()>()
            });
            let reader = sched.spawn(file.readline(), move |task| match task.line()? {
                Some(_line) => {
                    work(MS);
                    if is_new {
                        wait(file.readline())
                    } else {
                        again()
                    }
                }
                None => done(()),
            });
            sched.join(reader).unwrap();
            seen.get()
        });
        assert!(ticks >= 2000 / 20, "{ticks} ticks in two seconds");
        assert!(latest <= 15 * MS, "a tick is {latest:?} late");
    }
}

/// A reader becomes slow after many fast lines. The next look at the clock comes soon enough that
/// its share lasts 260 ms at most.
#[test]
fn lines_that_become_slow_are_noticed() {
    let (time, _) = longest_share(4000, false, |nth| match nth % 1000 {
        0..=500 => Duration::ZERO,
        _ => MS,
    });
    assert!(time <= 260 * MS, "{time:?}");
}

/// A fast task has its 512 resumes even if other tasks have taken a long time before it in the same
/// turn.
#[test]
fn a_fast_task_in_a_long_turn_has_its_share() {
    let longest = beside_lines(2000, |file| {
        let mut sched = Scheduler::new();
        let count = Rc::new(Cell::new(0));
        let (most, own) = (Rc::new(Cell::new(0)), Rc::clone(&count));
        let noted = Rc::clone(&most);
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            noted.set(noted.get().max(own.take()));
            work(5 * MS);
            again::<()>()
        });
        let reader = sched.spawn(file.readline(), move |task| match task.line()? {
            Some(_line) => {
                count.set(count.get() + 1);
                again()
            }
            None => done(()),
        });
        sched.join(reader).unwrap();
        most.get()
    });
    assert_eq!(longest, 512);
}

/// The same for a task that is resumed without lines: it reads a file byte by byte.
#[test]
fn the_share_of_other_operations_is_a_millisecond_too() {
    let longest = beside_lines(3000, |file| {
        let mut sched = Scheduler::new();
        let time = Rc::new(Cell::new(Duration::ZERO));
        let (longest, own) = (Rc::new(Cell::new(Duration::ZERO)), Rc::clone(&time));
        let noted = Rc::clone(&longest);
        sched.spawn(yield_now(), move |task| {
            task.ok()?;
            noted.set(noted.get().max(own.take()));
            again::<()>()
        });
        let reader = sched.spawn(file.read(1), move |task| match task.bytes()? {
            [] => done(()),
            _ => {
                work(MS);
                time.set(time.get() + MS);
                again()
            }
        });
        sched.join(reader).unwrap();
        longest.get()
    });
    assert!(longest <= 9 * MS, "{longest:?}");
}
