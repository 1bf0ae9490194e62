//! The operation `ticks`: a wait for each multiple of a period. The beat does not drift.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Cause, Milliseconds};
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, Context, Op, Operate, Progress, Value};
use crate::operation::{Operation, Sealed};
use crate::sys::clock::{self, nanoseconds, Moment};
use crate::task::Task;

/// See [`ticks`].
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Ticks {
    /// The period in nanoseconds. `u64::MAX` stands for one that never ends.
    period: u64,
    /// When `ticks` was called. This moment is multiple 0 of the period.
    began: Moment,
    /// The last multiple of the period that ended a wait. Clones share this value.
    last: Rc<Cell<u64>>,
    deadline: OwnDeadline,
}

/// Waits for the next multiple of the period, counted from this call. A wait ends at once if a
/// multiple has passed since the last one that ended a wait. If several multiples have passed, they
/// count as one. A late task does not move the beat: the multiples stay where they are, and no tick
/// is early.
///
/// Clones share the memory of the last tick. After a tick has ended the wait of one clone, every
/// clone waits for the next tick. So a clone can be a member of a new [`first`](crate::first) each
/// time, and two tasks that both want every tick need two `ticks`, each made by a call of this
/// function.
///
/// A period of `Duration::ZERO` fails with [`io::ErrorKind::InvalidInput`] when a task waits for
/// it. A period of `Duration::MAX` never ticks.
///
/// # Example
///
/// This shows a report every millisecond while many lines are read. The beat is the first member,
/// so it wins when a line is ready, too. No line is lost then:
///
/// ```
/// use asyncfile::{again, done, first, ticks, AsyncFile, Op, Scheduler};
/// use std::time::Duration;
///
/// let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
/// let beat = ticks(Duration::from_millis(1));
/// let mut sched = Scheduler::new();
/// let (mut lines, mut reports) = (0, 0);
/// let both = first([Op::from(beat), file.readline().into()]);
/// let counter = sched.spawn(both, move |task| match task.which() {
///     0 => { reports += 1; again() }
///     _ => match task.line()? {
///         Some(_line) => { lines += 1; again() }
///         None => done((lines, reports)),
///     },
/// });
/// assert!(sched.join(counter)?.0 > 10);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ticks(period: Duration) -> Ticks {
    Ticks {
        period: nanoseconds(period),
        began: clock::now(),
        last: Rc::default(),
        deadline: OwnDeadline::NEVER,
    }
}

impl Ticks {
    /// The longest time that one wait may take, counted from when the operation is first blocked. A
    /// longer wait fails with [`io::ErrorKind::TimedOut`]. The later ticks still come at their
    /// times.
    pub fn timeout(mut self, after: Duration) -> Ticks {
        self.deadline.timeout.set_after(after);
        self
    }

    /// When the next multiple of the period comes. None if a multiple has passed since the last one
    /// that ended a wait. This wait then ends.
    fn next(&self, now: Moment) -> Option<Moment> {
        let last = self.last.get();
        let passed = now.periods_since(self.began, self.period);
        if passed > last && self.period != u64::MAX {
            self.last.set(passed);
            return None;
        }
        let until_next = self.period.saturating_mul(last.saturating_add(1));
        Some(self.began.after(until_next))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period {
            u64::MAX => f.write_str("ticks without end"),
            period => write!(f, "ticks, {} apart", Milliseconds(period)),
        }
    }
}

face!(Ticks, op => Op::other(op), op.deadline.timeout);

impl Operate for Ticks {
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        if self.period == 0 {
            let cause = Cause::Says(io::ErrorKind::InvalidInput, "a period of 0");
            return Progress::failed(End::Failed, "ticks", -1, cause);
        }
        match self.next(cx.reactor.now()) {
            None => Progress::complete(Value::Nothing),
            Some(_) if self.deadline.has_come(cx) => {
                let cause = self.deadline.timeout.cause(0, "");
                Progress::failed(End::TimedOut, "ticks", -1, cause)
            }
            Some(next) => Progress::Blocked(next.min(self.deadline.begin(cx))),
        }
    }

    /// A `ticks` is in no queue and no list: it waits for its task's deadline alone, and there is
    /// nothing to leave.
    fn leave(&mut self) {}

    fn restart(&mut self) -> bool {
        self.deadline.reset();
        true
    }

    fn name(&self) -> &'static str {
        "ticks"
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["ok()"]
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ticks::describe(self, f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        at.has_deadline || self.period == u64::MAX
    }
}

impl Sealed for Ticks {}

impl Operation for Ticks {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
