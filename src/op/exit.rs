//! Waiting for a child's exit.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, sooner, Context, Kind, Op, Operation, Progress, Value};
use crate::descriptor::Descriptor;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::exit::{Answer, State, Waiter};
use crate::processes::Processes;
use crate::task::Task;

/// Waits for the last child's exit: see [`AsyncPipe::exit`](crate::AsyncPipe::exit).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Exit {
    processes: Rc<Processes>,
    /// Boxed, so that the rare large operation does not make every operation large.
    machine: Box<Waiter>,
    timeout: Timeout,
    /// Where it waits: it watches the children, and perhaps stdin's handles.
    waits_in: Option<Rc<Inbox>>,
}

impl Exit {
    pub(crate) fn new(processes: &Rc<Processes>) -> Exit {
        Exit { processes: Rc::clone(processes), machine: Box::default(), timeout: Timeout::NEVER, waits_in: None }
    }

    /// The most it may take, counted from when it first has to wait. Then: [`io::ErrorKind::TimedOut`], and the child is not ended. It
    /// also ends the moment that the others of a chain are given: once the last has exited, its status is the outcome.
    pub fn timeout(mut self, after: Duration) -> Exit {
        self.timeout = Timeout::after(after);
        self
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.machine.state() {
            State::Running => "Running",
            State::Grace(_) => "Grace",
            State::Ended => "Ended",
        }
    }

    pub(crate) fn leave(&mut self, key: Key) {
        if let Some(inbox) = self.waits_in.take() {
            self.processes.unwatch(key);
            inbox.leave_stdin(key, &self.processes.weak_stdin());
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        let Exit { processes, machine, timeout, waits_in } = self;
        let inbox = waits_in.get_or_insert_with(|| Rc::clone(context.inbox));
        // As std's wait does: a child that reads until its end would never exit. A handle that somebody took is theirs to close or to
        // drop, and a communicate that feeds it closes it itself.
        let stdin = processes.weak_stdin();
        if Descriptor::is_let_go(&stdin) {
            processes.stdin.close();
        }
        inbox.leave_stdin(context.key, &stdin);
        if processes.is_stdin_open() {
            inbox.enter_stdin(context.key, stdin);
        }
        let answer = machine.advance(processes.ask(inbox, context.key));
        match (answer, processes.status()) {
            (Answer::Blocked(until), _) if !timeout.is_over(context) => {
                Progress::Blocked(sooner(until, timeout.start()))
            }
            (_, Some(Ok(status))) => Progress::complete(Value::Exit(status)),
            (_, Some(Err(error))) => Progress::failed("exit", None, error),
            (Answer::Blocked(_), None) => Progress::timed_out("exit", None, timeout.error(0, "")),
            (Answer::Ended, None) => unreachable!("the machine ends after the last child"),
        }
    }

    /// For the simulation: whether it learns when stdin can be closed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_told_of_stdin(&self, inbox: &Inbox, key: Key) -> bool {
        let stdin = self.processes.weak_stdin();
        let is_noticed = !Descriptor::is_let_go(&stdin) || inbox.has_work();
        !self.processes.is_stdin_open() || inbox.waits_for_stdin(key, &stdin) && is_noticed
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit of child {}{}", self.processes.id(), self.timeout)
    }
}

impl From<Exit> for Op {
    fn from(op: Exit) -> Op {
        Op(Kind::Exit(op))
    }
}

impl Sealed for Exit {}

impl Operation for Exit {
    type Output = ExitStatus;
    fn output(task: &mut Task<'_, '_>) -> io::Result<ExitStatus> {
        task.exit()
    }
}
