//! Waiting for a child's exit.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use super::timeout::Timeout;
use super::{private::Sealed, sooner, Context, Kind, Op, Operation, Progress, Value};
use crate::inbox::Key;
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
    /// It watches the children.
    is_watching: bool,
}

impl Exit {
    pub(crate) fn new(processes: &Rc<Processes>) -> Exit {
        Exit { processes: Rc::clone(processes), machine: Box::default(), timeout: Timeout::NEVER, is_watching: false }
    }

    /// The most it may take, counted from when it first has to wait. Then: [`io::ErrorKind::TimedOut`], and the child is not ended. (The
    /// last of a chain may have ended: see [`try_wait`](crate::AsyncPipe::try_wait).)
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
        if std::mem::replace(&mut self.is_watching, false) {
            self.processes.unwatch(key);
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        // As std's wait does: a child that reads until its end would never exit. A handle that somebody took is
        // theirs to close, and a communicate that feeds it closes it itself.
        let [stdin, ..] = self.processes.streams();
        let is_written_to = stdin.state().has_waiters();
        if Rc::strong_count(stdin) == 1 && !is_written_to {
            stdin.close();
        }
        self.is_watching = true;
        let mut given = self.processes.ask(context.inbox, context.key);
        given.is_told &= !is_written_to; // nothing tells of that write's end: asked again after a pause, and closed then
        let answer = self.machine.advance(given);
        match (answer, self.processes.status()) {
            (Answer::Ended, Some(Ok(status))) => Progress::complete(Value::Exit(status)),
            (Answer::Ended, Some(Err(error))) => Progress::failed("exit", None, error),
            (Answer::Ended, None) => unreachable!("the machine ends after the last child"),
            (Answer::Blocked(_), _) if self.timeout.is_over(context) => {
                Progress::timed_out("exit", None, self.timeout.error(0, ""))
            }
            (Answer::Blocked(until), _) => Progress::Blocked(sooner(until, self.timeout.start())),
        }
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
