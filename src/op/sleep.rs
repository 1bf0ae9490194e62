//! The two operations that need no descriptor: let time pass, let others go first.

use std::fmt;
use std::io;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, Context, Kind, Op, Operation, Progress, Value};
use crate::task::Task;

/// See [`sleep`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Sleep(Timeout);

/// Waits until so much time has passed, and never less. `Duration::ZERO` waits for the next turn, `Duration::MAX`
/// (and all over 584 years) for ever.
///
/// # Example
///
/// This shows how to do something every ten milliseconds, three times:
///
/// ```
/// use asyncfile::{done, sleep, wait, Scheduler};
/// use std::time::Duration;
///
/// const TICK: Duration = Duration::from_millis(10);
/// let mut sched = Scheduler::new();
/// let mut ticks = 0;
/// let ticker = sched.spawn(sleep(TICK), move |task| {
///     task.ok()?;
///     ticks += 1;
///     if ticks < 3 { wait(sleep(TICK)) } else { done(ticks) }
/// });
/// assert_eq!(sched.join(ticker)?, 3);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep(Timeout::after(time))
}

impl Sleep {
    /// For the simulation: it has no end.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_endless(&self) -> bool {
        self.0.is_endless()
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        if self.0.is_over(context) {
            Progress::complete(Value::Nothing)
        } else {
            Progress::Blocked(self.0.start())
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sleep{}", self.0)
    }
}

impl From<Sleep> for Op {
    fn from(op: Sleep) -> Op {
        Op(Kind::Sleep(op))
    }
}

/// See [`yield_now`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct YieldNow {
    /// The turn in which it began; 0: before any.
    began: Option<u64>,
}

/// Lets all others that are ready go first, and poll(2) be asked. As a task's first operation: begin at once.
pub fn yield_now() -> YieldNow {
    YieldNow { began: None }
}

impl YieldNow {
    /// A task that is spawned with it has others before it already.
    pub(crate) fn enter(&mut self) {
        self.began = Some(0);
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        match self.began {
            Some(began) if began < context.turn || began == 0 => Progress::complete(Value::Nothing),
            Some(_) => Progress::Blocked(None), // woken by what the task waited for before
            None => {
                self.began = Some(context.turn);
                context.inbox.wake_later(context.key);
                Progress::Blocked(None)
            }
        }
    }
}

impl fmt::Debug for YieldNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("yield_now")
    }
}

impl From<YieldNow> for Op {
    fn from(op: YieldNow) -> Op {
        Op(Kind::YieldNow(op))
    }
}

impl Sealed for Sleep {}
impl Sealed for YieldNow {}

impl Operation for Sleep {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}

impl Operation for YieldNow {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
