//! The first of several operations to end.
//!
//! All members are advanced in their order, each time that the task is woken. The first one that
//! ends gives the outcome. The other members are given up, and leave the queues in which they wait.
//! What they had read is in their files' buffers, so nothing is lost.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::Cause;
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, At, Context, Kind, Op, Operate, Progress};
use crate::operation::{Operation, Sealed};
use crate::sys::clock::Moment;
use crate::task::Task;

/// See [`first`].
#[must_use = "an operation does nothing until a task waits for it"]
pub struct First {
    members: Vec<Member>,
    /// The index of the member that has ended.
    winner: Option<usize>,
    deadline: OwnDeadline,
}

/// One of the operations, and the deadline of that operation.
struct Member {
    op: Op,
    deadline: Moment,
}

/// Ends when the first of these operations ends, with the outcome, the failure or the timeout of
/// that operation. [`Task::which`] says which one it was. If several could end at once, the
/// earliest in order ends. The others are put back, and nothing of them is lost. In an array of
/// operations of different types, write `Op::from(...)` for the first one and `.into()` for each of
/// the others.
///
/// [`ticks`](crate::ticks) gives a regular beat beside other operations. When a `first` is made
/// anew, the `timeout` of each operation in it starts anew. For one deadline over several `first`s
/// use `until`, or [`again`](crate::again), which keeps the deadlines.
///
/// A `first` of no operations is [`io::ErrorKind::InvalidInput`]. So is one with a `write`,
/// `communicate` or `stop`, because half of such an operation cannot be put back.
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
///         // The tick comes in the middle of the line.
///         theirs.write_all(if ticks == 1 { b"half a " } else { b"line\n" })?;
///         wait(next())
///     }
/// });
/// assert_eq!(sched.join(task)?.unwrap(), b"half a line\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn first(ops: impl IntoIterator<Item = impl Into<Op>>) -> First {
    let members = ops.into_iter().map(|op| Member {
        op: op.into(),
        deadline: Moment::NEVER,
    });
    First {
        members: members.collect(),
        winner: None,
        deadline: OwnDeadline::NEVER,
    }
}

impl First {
    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`], and nothing that a member has read is lost.
    pub fn timeout(mut self, after: Duration) -> First {
        self.deadline.timeout.set_after(after);
        self
    }

    /// Why this `first` cannot be waited for. None if it can.
    fn misuse(&self) -> Option<Cause> {
        if self.members.is_empty() {
            return Some(Cause::Says(
                io::ErrorKind::InvalidInput,
                "of no operations none can end",
            ));
        }
        let member = self
            .members
            .iter()
            .find(|member| !member.op.can_be_put_back())?;
        Some(Cause::Member {
            operation: member.op.name(),
        })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("first of [")?;
        for (index, member) in self.members.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{:?}", member.op)?;
        }
        f.write_str("]")
    }
}

impl Member {
    /// Advances the operation of this member. The operation is due when its own deadline has come,
    /// even if the task is not due. While another member's data never runs dry, the task is not
    /// due: it uses up its share of each turn, and has no deadline between the turns. A sleep until
    /// a moment that has passed ends in its first advance, also if the body makes a new `first` for
    /// each wait.
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let turn_began = cx.reactor.turn_began.get();
        let is_due = cx.is_due && self.deadline <= turn_began || self.deadline < turn_began;
        let progress = self.advance_as(is_due, cx);
        let is_sleep = matches!(self.op.0, Kind::Sleep(_));
        match progress {
            Progress::Blocked(at) if is_sleep && at < turn_began => self.advance_as(true, cx),
            progress => progress,
        }
    }

    fn advance_as(&mut self, is_due: bool, cx: &Context<'_>) -> Progress {
        let progress = self.op.advance_rarely(&Context {
            deadline: self.deadline,
            is_due,
            may_look: cx.may_look || is_due,
            ..*cx
        });
        if let Progress::Blocked(deadline) = progress {
            self.deadline = deadline;
        }
        progress
    }
}

face!(First, op => Op::other(op), op.deadline.timeout);

impl Operate for First {
    fn enter(&mut self, at: At<'_>) {
        self.members
            .iter_mut()
            .for_each(|member| member.op.enter(at));
    }

    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        if let Some(cause) = self.misuse() {
            Operate::leave(self);
            return Progress::failed(End::Failed, "first", -1, cause);
        }
        let mut soonest = Moment::NEVER;
        for index in 0..self.members.len() {
            match self.members[index].advance(cx) {
                Progress::Ended(end, value) => {
                    self.winner = Some(index);
                    Operate::leave(self);
                    return Progress::Ended(end, value);
                }
                Progress::Blocked(deadline) => soonest = soonest.min(deadline),
            }
        }
        if self.deadline.has_come(cx) {
            Operate::leave(self);
            let cause = self.deadline.timeout.cause(0, "");
            return Progress::failed(End::TimedOut, "first", -1, cause);
        }
        Progress::Blocked(soonest.min(self.deadline.begin(cx)))
    }

    /// All members but the winner leave their queues. The winner has left its queue by itself when
    /// it ended. The exception is the `ready` or `room` of a queue: such a winner keeps its place
    /// until the task waits again.
    fn leave(&mut self) {
        let winner = self.winner;
        let members = self.members.iter_mut().enumerate();
        let losers = members.filter(|(index, _)| Some(*index) != winner);
        losers.for_each(|(_, member)| member.op.leave());
    }

    /// The member that has ended begins afresh, and so does the timeout of this `first`. The other
    /// members keep their deadlines.
    fn restart(&mut self) -> bool {
        self.deadline.reset();
        let winner = match self.winner.take() {
            Some(winner) => &mut self.members[winner],
            None => return true,
        };
        winner.deadline = Moment::NEVER;
        winner.op.restart().is_ok()
    }

    fn name(&self) -> &'static str {
        "first"
    }

    fn state(&self) -> &'static str {
        if self.winner.is_some() {
            "Ended"
        } else {
            "Waiting"
        }
    }

    fn accessors(&self) -> &'static [&'static str] {
        &[]
    }

    fn winner(&self) -> Option<(usize, &Op)> {
        self.winner.map(|index| (index, &self.members[index].op))
    }

    fn can_be_put_back(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.op.can_be_put_back())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        First::describe(self, f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        self.members.iter().all(|member| member.op.is_waiting(at))
    }
}

impl Sealed for First {}

impl Operation for First {
    /// The index of the member that ended. The bytes of its outcome, if there are any, go back to
    /// its file.
    type Output = usize;
    fn output(task: &mut Task<'_, '_>) -> io::Result<usize> {
        let which = task.which();
        task.put_back()?;
        Ok(which)
    }
}
