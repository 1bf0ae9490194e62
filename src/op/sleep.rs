//! Two operations without a descriptor: one lets time pass, one lets other tasks go first.

use std::fmt;
use std::time::{Duration, Instant};

use super::operate::{face, Context, Kind, Op, Progress, Value};
use super::timeout::Timeout;
use crate::machine::End;
use crate::sys::clock::Moment;

/// See [`sleep`], [`sleep_until`] and [`never`](never()).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Sleep {
    time: Timeout,
    timeout: Timeout,
    /// True if the timeout comes before the sleep is over. This is set when both clocks start.
    is_cut: bool,
}

/// Waits until this much time has passed, not less. `Duration::ZERO` waits for the next turn.
/// `Duration::MAX`, like every time over 584 years, waits for ever. For a regular beat, see
/// [`ticks`](crate::ticks).
///
/// # Example
///
/// This shows how to do something three times, with pauses of ten milliseconds:
///
/// ```
/// use asyncfile::{again, done, sleep, Scheduler};
/// use std::time::{Duration, Instant};
///
/// let mut sched = Scheduler::new();
/// let mut times = 0;
/// let worker = sched.spawn(sleep(Duration::from_millis(10)), move |task| {
///     task.ok()?;
///     times += 1;
///     if times < 3 { again() } else { done(times) }
/// });
/// assert_eq!(sched.join(worker)?, 3);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep::for_time(Timeout::after(time))
}

/// Waits until this moment has come, and never ends earlier. With a moment in the past it waits for
/// the next turn, also after [`again`](crate::again).
///
/// # Example
///
/// This shows two waits for one moment, which take no longer than one:
///
/// ```
/// use asyncfile::{sleep_until, Scheduler};
/// use std::time::{Duration, Instant};
///
/// let at = Instant::now() + Duration::from_millis(10);
/// let mut sched = Scheduler::new();
/// sched.block_on(sleep_until(at))?;
/// sched.block_on(sleep_until(at))?;
/// assert!(Instant::now() >= at);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep::for_time(Timeout::until(at))
}

/// Never ends by itself. In a [`first`](crate::first) it can stand for a deadline that a caller has
/// not set. A task that waits for nothing else can only be cancelled, and a `run` with no other
/// tasks is [`Stalled`](crate::TaskError::Stalled).
///
/// # Example
///
/// This shows a deadline that a caller may leave out:
///
/// ```
/// use asyncfile::{first, never, op, sleep_until, yield_now, Op, Scheduler};
/// use std::time::Instant;
///
/// let deadline: Option<Instant> = None;
/// let limit: op::Sleep = deadline.map_or_else(never, sleep_until);
/// let which = Scheduler::new().block_on(first([Op::from(limit), yield_now().into()]))?;
/// assert_eq!(which, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn never() -> Sleep {
    Sleep::for_time(Timeout::NEVER)
}

impl Sleep {
    fn for_time(time: Timeout) -> Sleep {
        Sleep {
            time,
            timeout: Timeout::NEVER,
            is_cut: false,
        }
    }

    /// The longest time that the sleep may take. A longer sleep fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut).
    pub fn timeout(mut self, after: Duration) -> Sleep {
        self.timeout.set_after(after);
        self
    }

    #[inline]
    pub(crate) fn advance(&mut self, cx: &Context<'_>) -> Progress {
        if !cx.is_due {
            return Progress::Blocked(self.deadline(cx));
        }
        match self.is_cut {
            false => Progress::complete(Value::Nothing),
            true => Progress::failed(End::TimedOut, "sleep", -1, self.timeout.cause(0, "")),
        }
    }

    fn deadline(&mut self, cx: &Context<'_>) -> Moment {
        let (time, timeout) = (self.time.deadline(cx), self.timeout.deadline(cx));
        if cx.deadline == Moment::NEVER {
            self.is_cut = timeout < time;
        }
        time.min(timeout)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sleep")
    }

    /// For the simulation: whether the sleep has no end.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_endless(&self) -> bool {
        self.time.is_endless() && self.timeout.is_endless()
    }
}

face!(Sleep, op => Op(Kind::Sleep(op)), op.timeout);

/// See [`yield_now`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct YieldNow {
    /// The turn in which the wait began. None if it has not begun.
    began: Option<u64>,
}

/// Lets all ready tasks go first. poll(2) is asked, too, before the task goes on. A `yield_now` as
/// the first operation of a new task ends at once, because the task begins after the ready tasks
/// anyway.
///
/// # Example
///
/// This shows two tasks that take turns:
///
/// ```
/// use asyncfile::{again, done, yield_now, Scheduler};
/// use std::cell::RefCell;
///
/// let log = RefCell::new(String::new());
/// let mut sched = Scheduler::new();
/// for name in ["a", "b"] {
///     let log = &log;
///     sched.spawn(yield_now(), move |task| {
///         task.ok()?;
///         log.borrow_mut().push_str(name);
///         if log.borrow().len() < 4 { again() } else { done(()) }
///     });
/// }
/// sched.run()?;
/// assert!(log.borrow().starts_with("abab"));
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { began: None }
}

impl YieldNow {
    /// Every operation has a `timeout`. That of a `yield_now` has no effect, because the next turn
    /// comes before any timeout.
    pub fn timeout(self, _after: Duration) -> YieldNow {
        self
    }

    /// Has no effect, for the same reason as `timeout`.
    pub fn until(self, _at: Instant) -> YieldNow {
        self
    }

    /// Called for a `yield_now` with which a task begins, or that a task returns at the end of its
    /// share. In both cases the ready tasks go first anyway, so the operation ends when it is
    /// advanced.
    pub(crate) fn enter(&mut self) {
        self.began = Some(0);
    }

    pub(crate) fn restart(&mut self) {
        self.began = None;
    }

    pub(crate) fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let turn = cx.reactor.turns.get();
        match self.began {
            Some(began) if began < turn || began == 0 => Progress::complete(Value::Nothing),
            Some(_) => Progress::Blocked(Moment::NEVER), // woken by what the task waited for before
            None => {
                self.began = Some(turn);
                cx.yield_until(Moment::NEVER)
            }
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("yield_now")
    }
}

face!(YieldNow, op => Op(Kind::YieldNow(op)));
