//! One resume: a task's body is called with the outcome of its operation. User code runs here, and
//! nothing of ours is borrowed while it does.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use super::observe::by;
use super::{message, Running, Scheduler};
use crate::descriptor::Descriptor;
use crate::error::TaskError;
use crate::handle::Resumed;
use crate::machine::End;
use crate::op::operate::{Op, Value};
use crate::task::Task;
use crate::task_table::Key;
use crate::trace::Event;

impl<'t> Scheduler<'t> {
    /// Calls the body with the outcome. Returns Err if the task has ended. The Err has the failure
    /// of the task, or None if the task has left its value.
    #[inline(always)]
    pub(super) fn resume(
        &mut self,
        key: Key,
        task: &mut Running<'t>,
        end: End,
        value: &mut Value,
    ) -> Result<(), Option<TaskError>> {
        // The file that lent the bytes. The file is needed after the resume in two cases: its
        // buffer shares the memory of the lent bytes, or the task may leave some of the lines.
        let file = match value {
            Value::Lines(..) => task.op.file().cloned(),
            Value::Line(lent) | Value::Bytes(lent) if lent.is_shared() => task.op.file().cloned(),
            _ => None,
        };
        self.reactor.forget_time();
        let mut view = Task::new(self, key, &mut task.op, end, value);
        let body = &mut task.body;
        let resumed = catch_unwind(AssertUnwindSafe(|| body.resume(&mut view)));
        match (view.is_put_back, file) {
            (false, None) => {}
            (true, _) => put_back(&task.op, end, value),
            (false, Some(file)) => take_back(file, value),
        }
        let outcome = match resumed {
            Ok(Resumed::Waits) if !self.reactor.has_notes() => return Ok(()),
            Ok(Resumed::Waits) => Ok(()),
            Ok(Resumed::Done) => Err(None),
            Ok(Resumed::Failed(error)) => return Err(Some(TaskError::Failed(error))),
            Err(payload) => return Err(Some(TaskError::Panicked(message(payload)))),
        };
        if self.reactor.has_notes() {
            return self.after_resume(key, task, end, outcome);
        }
        outcome
    }

    /// Does what is rare after a resume: a task was cancelled, a failure was kept, or there is an
    /// observer.
    #[cold]
    fn after_resume(
        &mut self,
        key: Key,
        task: &Running<'t>,
        end: End,
        outcome: Result<(), Option<TaskError>>,
    ) -> Result<(), Option<TaskError>> {
        self.report(by(key, task.is_hidden), Some(key));
        // This task's cancellation is checked before other tasks are dropped. The drop of another
        // task runs user code. That code could take this task's value, although this task is
        // cancelled.
        if self.reactor.is_cancelled(key) || self.drop_cancelled(Some(key)) {
            return Err(Some(TaskError::Cancelled));
        }
        if self.observer.is_some() && !task.is_hidden {
            match outcome {
                Ok(()) => self.show(key, Event::Resumed(end, &task.op)),
                Err(_) => self.show(key, Event::Done(end)),
            }
            if self.drop_cancelled(Some(key)) && outcome.is_ok() {
                return Err(Some(TaskError::Cancelled)); // by the observer
            }
        }
        outcome
    }
}

/// Gives the file back the memory that it has lent, and the lines that the task has not taken.
#[cold]
fn take_back(file: Rc<Descriptor>, value: &mut Value) {
    match value {
        Value::Lines(lent, taken) => {
            let rest = lent.len() - taken.get();
            file.take_back(lent, rest);
        }
        Value::Line(lent) | Value::Bytes(lent) => file.take_back(lent, 0),
        _ => unreachable!("a file lends lines or bytes"),
    }
}

/// Gives the bytes of an outcome back to the file. `block_on` needs this in two cases, in which it
/// does not return the bytes: the winner of a `first` has read them, or the timeout has ended the
/// read.
#[cold]
fn put_back(op: &Op, end: End, value: &mut Value) {
    let lent = match value {
        Value::Line(lent) | Value::Bytes(lent) | Value::Lines(lent, _) => lent,
        _ => return,
    };
    if let Some(file) = op.file() {
        let all = lent.len();
        file.take_back(lent, all);
        // On a message socket, `ended` stands for an empty message that was put back. A real end of
        // file is not noted there, because the kernel reports it again.
        let is_held = match file.port.keeps_messages {
            true => end == End::Complete && all == 0 && !op.wants_nothing(),
            false => end == End::Eof,
        };
        file.state().inflow.ended |= is_held;
    }
}
