//! The first of several operations to end.
//!
//! All are advanced in their order, each time anything wakes the task; the first that ends is the outcome, and the others
//! are put back: they leave their queues. What they had read is in their files' buffers, so nothing is lost.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::{private::Sealed, sooner, Context, Kind, Op, Operation, Progress};
use crate::error::invalid;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::task::Task;

/// See [`first`].
#[must_use = "an operation does nothing until a task waits for it"]
pub struct First {
    ops: Vec<Op>,
    /// The one that ended.
    winner: Option<usize>,
}

/// Ends with the first of these operations to end, in its way: its outcome, its failure, its timeout.
/// [`Task::which`] says which it was. If several could end at once, the earliest in order does. The others are put back, and
/// nothing of them is lost. Operations of different kinds are made an [`Op`] each: `Op::from(...)`.
///
/// None at all, or a `write` or `communicate` among them (half a write cannot be put back), is
/// [`io::ErrorKind::InvalidInput`].
///
/// # Example
///
/// This shows how to read lines with a tick between them:
///
/// ```
/// use asyncfile::{done, first, sleep, wait, AsyncFile, Op, Scheduler};
/// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
///
/// let (mut theirs, ours) = UnixStream::pair()?;
/// let file = AsyncFile::new(ours)?;
/// let next = move || first([Op::from(file.readline()), sleep(Duration::from_millis(1)).into()]);
/// let mut sched = Scheduler::new();
/// let mut ticks = 0;
/// let task = sched.spawn(next(), move |task| match task.which() {
///     0 => done(task.line()?.map(<[u8]>::to_vec)),
///     _ => {
///         ticks += 1;
///         theirs.write_all(if ticks == 1 { b"half a " } else { b"line\n" })?;     // the tick comes in the middle of it
///         wait(next())
///     }
/// });
/// assert_eq!(sched.join(task)?.unwrap(), b"half a line\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn first(ops: impl IntoIterator<Item = Op>) -> First {
    First { ops: ops.into_iter().collect(), winner: None }
}

impl First {
    pub(crate) fn winner(&self) -> Option<&Op> {
        self.winner.map(|index| &self.ops[index])
    }

    /// For the simulation: all of them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The index of the one that ended.
    pub(crate) fn which(&self) -> usize {
        self.winner.unwrap_or(0)
    }

    pub(crate) fn state(&self) -> &'static str {
        if self.winner.is_some() {
            "Ended"
        } else {
            "Waiting"
        }
    }

    pub(crate) fn enter(&mut self, inbox: &Rc<Inbox>, key: Key) {
        for op in &mut self.ops {
            op.enter(inbox, key);
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        for op in &mut self.ops {
            op.leave(key);
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        if let Err(error) = self.check() {
            return Progress::failed("first", None, error);
        }
        let mut until = None;
        let mut yields = false;
        for (index, op) in self.ops.iter_mut().enumerate() {
            let soonest = match op.advance(context) {
                Progress::Ended(ended) => {
                    self.winner = Some(index);
                    return Progress::Ended(ended);
                }
                Progress::Yield(soonest) => {
                    yields = true;
                    soonest
                }
                Progress::Blocked(soonest) => soonest,
            };
            until = sooner(until, soonest);
        }
        if yields {
            Progress::Yield(until)
        } else {
            Progress::Blocked(until)
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.ops.is_empty() {
            return Err(invalid("of no operations none can end"));
        }
        match self.ops.iter().find(|op| !op.can_be_put_back()) {
            Some(op) => Err(invalid(format!("{:?} cannot be put back", op))),
            None => Ok(()),
        }
    }
}

impl Op {
    /// Nothing is lost if it is dropped half-way.
    fn can_be_put_back(&self) -> bool {
        match &self.0 {
            Kind::Write(_) | Kind::Communicate(_) => false,
            Kind::First(op) => op.ops.iter().all(Op::can_be_put_back),
            Kind::Read(_) | Kind::Ready(_) | Kind::Sleep(_) | Kind::YieldNow(_) | Kind::Join(_) | Kind::Exit(_) => true,
        }
    }
}

impl fmt::Debug for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("first of [")?;
        for (index, op) in self.ops.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{op:?}")?;
        }
        f.write_str("]")
    }
}

impl From<First> for Op {
    fn from(op: First) -> Op {
        Op(Kind::First(op))
    }
}

impl Sealed for First {}

impl Operation for First {
    /// Which one ended. What it would have handed over stays in its file.
    type Output = usize;
    fn output(task: &mut Task<'_, '_>) -> io::Result<usize> {
        let which = task.which();
        task.put_back()?;
        Ok(which)
    }
}
