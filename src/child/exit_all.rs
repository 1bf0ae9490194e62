//! Waiting for the exits of all children of a pipe.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::exit::ExitWait;
use super::processes::Processes;
use crate::error::Cause;
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, Context, Op, Operate, Progress, Value};
use crate::operation::{Operation, Sealed};
use crate::sys::clock::Moment;
use crate::task::Task;

/// Waits for the exits of all children: see [`AsyncPipe::exit_all`](crate::AsyncPipe::exit_all).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct ExitAll {
    processes: Rc<Processes>,
    waits: ExitWaits,
    deadline: OwnDeadline,
}

/// Waits for the exits of all children of a pipe, as a part of an operation.
pub(crate) struct ExitWaits(Vec<ExitWait>);

impl ExitWaits {
    pub fn new(processes: &Processes) -> ExitWaits {
        let children = processes.children().iter();
        ExitWaits(children.map(|_| ExitWait::new()).collect())
    }

    /// Returns None if all children have ended. Otherwise returns the moment at which the task must
    /// ask again, which is NEVER if the ends of the children wake the task.
    pub fn advance(
        &mut self,
        processes: &Processes,
        cx: &Context<'_>,
    ) -> Result<Option<Moment>, Cause> {
        let mut soonest = None;
        for (wait, child) in self.0.iter_mut().zip(processes.children()) {
            if let Some(ask_again) = wait.advance(child, cx)? {
                soonest = Some(soonest.unwrap_or(Moment::NEVER).min(ask_again));
            }
        }
        Ok(soonest)
    }

    pub fn leave(&mut self, processes: &Processes) {
        let waits = self.0.iter_mut().zip(processes.children());
        waits.for_each(|(wait, child)| wait.leave(child));
    }
}

impl ExitAll {
    pub(crate) fn new(processes: &Rc<Processes>) -> ExitAll {
        ExitAll {
            processes: Rc::clone(processes),
            waits: ExitWaits::new(processes),
            deadline: OwnDeadline::NEVER,
        }
    }

    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`], and the children that have not ended live
    /// on.
    pub fn timeout(mut self, after: Duration) -> ExitAll {
        self.deadline.timeout.set_after(after);
        self
    }

    fn go_on(&mut self, cx: &Context<'_>) -> Result<Progress, Cause> {
        match self.waits.advance(&self.processes, cx)? {
            None => {
                let statuses = self.processes.exits()?;
                Ok(Progress::complete(Value::Exits(statuses)))
            }
            Some(_) if self.deadline.has_come(cx) => {
                let cause = self.deadline.timeout.cause(0, "");
                Ok(Progress::failed(End::TimedOut, "exit_all", -1, cause))
            }
            Some(ask_again) => Ok(Progress::Blocked(ask_again.min(self.deadline.begin(cx)))),
        }
    }
}

impl Clone for ExitAll {
    fn clone(&self) -> ExitAll {
        let mut exit = ExitAll::new(&self.processes);
        exit.deadline.timeout = self.deadline.timeout;
        exit
    }
}

face!(ExitAll, op => Op::other(op), op.deadline.timeout);

impl Operate for ExitAll {
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let failed = |cause| Progress::failed(End::Failed, "exit_all", -1, cause);
        let progress = self.go_on(cx).unwrap_or_else(failed);
        if let Progress::Ended(..) = progress {
            self.leave();
        }
        progress
    }

    fn leave(&mut self) {
        self.waits.leave(&self.processes);
    }

    fn restart(&mut self) -> bool {
        self.waits = ExitWaits::new(&self.processes);
        self.deadline.reset();
        true
    }

    fn name(&self) -> &'static str {
        "exit_all"
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["exits()"]
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit_all of {:?}", self.processes.children())
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        self.processes.are_awaited(at)
    }
}

impl Sealed for ExitAll {}

impl Operation for ExitAll {
    type Output = Vec<ExitStatus>;
    fn output(task: &mut Task<'_, '_>) -> io::Result<Vec<ExitStatus>> {
        task.exits()
    }
}
