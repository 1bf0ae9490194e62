//! Waiting for another task's end.

use std::fmt;
use std::io;
use std::rc::Rc;

use super::{private::Sealed, Context, Kind, Op, Operation, Progress, Value};
use crate::error::invalid;
use crate::inbox::Inbox;
use crate::key::{Key, TaskId};
use crate::task::Task;

/// Waits until a task has ended, however it ended: see [`JoinHandle::finished`](crate::JoinHandle::finished).
#[derive(Clone)]
#[must_use = "an operation does nothing until a task waits for it"]
pub struct Join {
    inbox: Rc<Inbox>,
    target: Key,
    is_entered: bool,
}

impl Join {
    pub(crate) fn new(inbox: &Rc<Inbox>, target: Key) -> Join {
        Join { inbox: Rc::clone(inbox), target, is_entered: false }
    }

    /// For the simulation: whose end it waits for.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn target(&self) -> Key {
        self.target
    }

    pub(crate) fn leave(&mut self, key: Key) {
        if std::mem::replace(&mut self.is_entered, false) {
            self.inbox.leave_join(self.target, key);
        }
    }

    pub(crate) fn advance(&mut self, context: &Context<'_>) -> Progress {
        if !self.inbox.is_alive(self.target) {
            return Progress::complete(Value::Nothing);
        }
        if !Rc::ptr_eq(&self.inbox, context.inbox) {
            return Progress::failed("join", None, invalid("the task is another scheduler's"));
        }
        self.is_entered = true;
        self.inbox.enter_join(self.target, context.key);
        Progress::Blocked(None)
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join task {}", TaskId(self.target))
    }
}

impl From<Join> for Op {
    fn from(op: Join) -> Op {
        Op(Kind::Join(op))
    }
}

impl Sealed for Join {}

impl Operation for Join {
    type Output = ();
    fn output(task: &mut Task<'_, '_>) -> io::Result<()> {
        task.ok()
    }
}
