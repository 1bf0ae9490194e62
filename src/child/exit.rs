//! Waiting for a child's exit.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::process::{ChildProcess, Status};
use super::processes::Processes;
use crate::error::Cause;
use crate::machine::exit::{Answer, Given, State, Waiter};
use crate::machine::End;
use crate::op::deadline::OwnDeadline;
use crate::op::operate::{face, Context, Op, Operate, Progress, Value};
use crate::operation::{Operation, Sealed};
use crate::sys::clock::{nanoseconds, Moment};
use crate::task::Task;
use crate::wait_list::Ticket;

/// Waits for the last child's exit: see [`AsyncPipe::exit`](crate::AsyncPipe::exit).
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Exit {
    processes: Rc<Processes>,
    wait: ExitWait,
    deadline: OwnDeadline,
}

/// A wait for a child's exit, as a part of an operation.
pub(crate) struct ExitWait {
    machine: Waiter,
    /// The task's place among the child's waiters.
    ticket: Ticket,
}

impl ExitWait {
    pub fn new() -> ExitWait {
        ExitWait {
            machine: Waiter::new(),
            ticket: Ticket::NONE,
        }
    }

    /// Returns None if the child has ended. Otherwise returns the moment at which the task must ask
    /// again, which is NEVER if the child's end wakes the task.
    pub fn advance(
        &mut self,
        child: &Rc<ChildProcess>,
        cx: &Context<'_>,
    ) -> Result<Option<Moment>, Cause> {
        if self.machine.state() == State::Ended {
            return Ok(None);
        }
        let is_watched = child.wait_for(&mut self.ticket, cx.at());
        let is_watched = is_watched.map_err(|error| child.cause(error))?;
        let answer = self.machine.advance(Given {
            has_ended: child.status() != Status::Running,
            is_watched,
            now: cx.reactor.now().since(Moment::ZERO),
        });
        Ok(match answer {
            Answer::Ended => None,
            Answer::Blocked(None) => Some(Moment::NEVER),
            Answer::Blocked(Some(at)) => Some(Moment::ZERO.after(nanoseconds(at))),
        })
    }

    pub fn leave(&mut self, child: &ChildProcess) {
        child.leave(&mut self.ticket);
    }

    pub fn state(&self) -> State {
        self.machine.state()
    }
}

impl Exit {
    pub(crate) fn new(processes: &Rc<Processes>) -> Exit {
        Exit {
            processes: Rc::clone(processes),
            wait: ExitWait::new(),
            deadline: OwnDeadline::NEVER,
        }
    }

    /// The longest time that the operation may take, counted from when it first has to wait. After
    /// that it fails with [`io::ErrorKind::TimedOut`], and the child lives on.
    pub fn timeout(mut self, after: Duration) -> Exit {
        self.deadline.timeout.set_after(after);
        self
    }

    fn go_on(&mut self, cx: &Context<'_>) -> Result<Progress, Cause> {
        if let Some(ask_again) = self.wait.advance(self.processes.last(), cx)? {
            return match self.deadline.has_come(cx) {
                true => {
                    let cause = self.deadline.timeout.cause(0, "");
                    Ok(Progress::failed(End::TimedOut, "exit", -1, cause))
                }
                false => Ok(Progress::Blocked(ask_again.min(self.deadline.begin(cx)))),
            };
        }
        let status = self.processes.status()?;
        let status = status.expect("the wait for it has ended");
        Ok(Progress::complete(Value::Exit(status)))
    }
}

impl Clone for Exit {
    fn clone(&self) -> Exit {
        let mut exit = Exit::new(&self.processes);
        exit.deadline.timeout = self.deadline.timeout;
        exit
    }
}

face!(Exit, op => Op::other(op), op.deadline.timeout);

impl Operate for Exit {
    fn advance(&mut self, cx: &Context<'_>) -> Progress {
        let failed = |cause| Progress::failed(End::Failed, "exit", -1, cause);
        let progress = self.go_on(cx).unwrap_or_else(failed);
        if let Progress::Ended(..) = progress {
            self.leave();
        }
        progress
    }

    fn leave(&mut self) {
        self.wait.leave(self.processes.last());
    }

    fn restart(&mut self) -> bool {
        self.wait.machine = Waiter::new();
        self.deadline.reset();
        true
    }

    fn name(&self) -> &'static str {
        "exit"
    }

    fn state(&self) -> &'static str {
        match self.wait.state() {
            State::Running => "Running",
            State::Ended => "Ended",
        }
    }

    fn accessors(&self) -> &'static [&'static str] {
        &["exit()"]
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit of {:?}", self.processes.last())
    }

    #[cfg(any(test, fuzzing))]
    fn is_waiting(&self, at: &crate::op::operate::Standing<'_>) -> bool {
        self.processes.last().is_awaited(at)
    }
}

impl Sealed for Exit {}

impl Operation for Exit {
    type Output = ExitStatus;
    fn output(task: &mut Task<'_, '_>) -> io::Result<ExitStatus> {
        task.exit()
    }
}
