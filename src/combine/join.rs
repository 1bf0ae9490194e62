//! Waiting for another task's end.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Cause;
use crate::handle::{Ending, JoinHandle};
use crate::machine::End;
use crate::op::operate::{face, Context, Op, Operate, Progress, Value};
use crate::op::timeout::Timeout;
use crate::operation::{Operation, Sealed};
use crate::reactor::Reactor;
use crate::task::Task;
use crate::task_table::TaskId;
use crate::wait_list::Ticket;

/// Waits until a task has ended, however it ended: see
/// [`JoinHandle::finished`](crate::JoinHandle::finished).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Join {
    target: TaskId,
    /// The reactor of the task that is waited for.
    reactor: Rc<Reactor>,
    ending: Rc<Ending>,
    ticket: Ticket,
    timeout: Timeout,
}

impl<T> JoinHandle<T> {
    /// Waits, in another task of the same scheduler, until this task has ended, however it ended.
    /// Then [`take`](JoinHandle::take) has the result.
    ///
    /// # Example
    ///
    /// This shows a task that waits for another one, and takes its value:
    ///
    /// ```
    /// use asyncfile::{done, yield_now, Scheduler};
    ///
    /// let mut sched = Scheduler::new();
    /// let one = sched.spawn(yield_now(), |_task| done(1));
    /// let two = sched.spawn(one.finished(), move |task| {
    ///     task.ok()?;
    ///     done(one.take().expect("it has ended")? + 1)
    /// });
    /// assert_eq!(sched.join(two)?, 2);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn finished(&self) -> Join {
        Join {
            target: self.id(),
            reactor: Rc::clone(self.reactor()),
            ending: self.ending(),
            ticket: Ticket::NONE,
            timeout: Timeout::NEVER,
        }
    }
}

impl Join {
    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`], and the task that it waits for goes on.
    pub fn timeout(mut self, after: Duration) -> Join {
        self.timeout.set_after(after);
        self
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join task {}", self.target)
    }
}

impl Clone for Join {
    fn clone(&self) -> Join {
        Join {
            target: self.target,
            reactor: Rc::clone(&self.reactor),
            ending: Rc::clone(&self.ending),
            ticket: Ticket::NONE,
            timeout: self.timeout,
        }
    }
}

face!(Join, op => Op::other(op), op.timeout);

impl Operate for Join {
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        if self.ending.has_come.get() {
            Operate::leave(self);
            return Progress::complete(Value::Nothing);
        }
        if !Rc::ptr_eq(&self.reactor, cx.reactor) {
            let cause = Cause::Says(
                io::ErrorKind::InvalidInput,
                "the task is another scheduler's",
            );
            return Progress::failed(End::Failed, "join", -1, cause);
        }
        if cx.is_due {
            Operate::leave(self);
            return Progress::failed(End::TimedOut, "join", -1, self.timeout.cause(0, ""));
        }
        if self.ticket == Ticket::NONE {
            self.ticket = self.ending.waiters.borrow_mut().enter(cx.key);
        }
        Progress::Blocked(self.timeout.deadline(cx))
    }

    fn leave(&mut self) {
        if self.ticket != Ticket::NONE {
            let ticket = std::mem::replace(&mut self.ticket, Ticket::NONE);
            self.ending.waiters.borrow_mut().leave(ticket);
        }
    }

    fn restart(&mut self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "join"
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["ok()"]
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Join::describe(self, f)
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, _: &crate::op::operate::Standing<'_>) -> bool {
        self.ticket != Ticket::NONE && !self.ending.has_come.get()
    }
}

impl Sealed for Join {}

impl Operation for Join {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
