//! The two operations that need no descriptor: let time pass, let others go first.

use std::fmt;
use std::time::Duration;

use super::operate::{face, Context, Kind, Op, Progress, Value};
use super::timeout::Timeout;
use crate::machine::End;
use crate::sys::clock::Moment;

/// See [`sleep`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Sleep {
    time: Timeout,
    timeout: Timeout,
}

/// Waits until so much time has passed, and never less. `Duration::ZERO` waits for the next turn,
/// `Duration::MAX` (and all over 584 years) for ever.
///
/// # Example
///
/// This shows how to do something every ten milliseconds, three times:
///
/// ```
/// use asyncfile::{again, done, sleep, Scheduler};
/// use std::time::Duration;
///
/// let mut sched = Scheduler::new();
/// let mut ticks = 0;
/// let ticker = sched.spawn(sleep(Duration::from_millis(10)), move |task| {
///     task.ok()?;
///     ticks += 1;
///     if ticks < 3 { again() } else { done(ticks) }
/// });
/// assert_eq!(sched.join(ticker)?, 3);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep {
        time: Timeout::after(time),
        timeout: Timeout::NEVER,
    }
}

impl Sleep {
    /// The most it may take. A sleep that is longer ends with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut).
    pub fn timeout(mut self, after: Duration) -> Sleep {
        self.timeout = Timeout::after(after);
        self
    }

    #[inline]
    pub(crate) fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let is_cut = self.timeout < self.time;
        match (cx.is_due, is_cut) {
            (false, false) => Progress::Blocked(self.time.deadline(cx)),
            (false, true) => Progress::Blocked(self.timeout.deadline(cx)),
            (true, false) => Progress::complete(Value::Nothing),
            (true, true) => Progress::failed(End::TimedOut, "sleep", -1, self.timeout.cause(0, "")),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sleep")
    }

    /// For the simulation: it has no end.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_endless(&self) -> bool {
        self.time.is_endless() && self.timeout.is_endless()
    }
}

face!(Sleep, op => Op(Kind::Sleep(op)));

/// See [`yield_now`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct YieldNow {
    /// The turn in which it began. None: it has not begun.
    began: Option<u64>,
}

/// Lets all others that are ready go first, and poll(2) be asked. As a task's first operation:
/// begin at once.
pub fn yield_now() -> YieldNow {
    YieldNow { began: None }
}

impl YieldNow {
    /// As for every operation. It has no effect: the next turn comes before any time is over.
    pub fn timeout(self, _after: Duration) -> YieldNow {
        self
    }

    /// A task that is spawned with it has others before it already.
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
