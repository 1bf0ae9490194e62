//! One task, one step: advance its operation, and if that ends, resume its body with the outcome and go on with the next.
//!
//! The user's code runs here (a body, a body's drop, an observer), and nothing of ours is borrowed while it does.

use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use super::{Running, Scheduler};
use crate::error::TaskError;
use crate::handle::Alive;
use crate::key::{Key, TaskId};
use crate::op::{Context, Ended, Kind, Progress, Value};
use crate::pool::Storage;
use crate::task::{Lines, Outcome, Task};
use crate::trace::{Event, Trace};

/// How often a task may be resumed in one advance before others have theirs. (What is advanced in a turn is bounded by `ADVANCES`.)
const RESUMES: usize = 512;

impl<'t> Scheduler<'t> {
    /// Advances one task until it is blocked, has ended, or has had its share.
    pub(super) fn advance(&mut self, key: Key) {
        let mut running = match self.tasks[key.index as usize].take() {
            Some(running) => running,
            None => return,
        };
        self.resumes = RESUMES;
        loop {
            let due = std::mem::take(&mut running.is_due);
            let context = Context { inbox: &self.inbox, key, now: self.now, turn: self.turns, due };
            let progress = if self.observer.is_none() {
                running.op.advance(&context)
            } else {
                let from = running.op.state();
                let progress = running.op.advance(&context);
                self.trace(key, Event::Advanced { from, to: running.op.state(), op: &running.op });
                progress
            };
            let (until, is_blocked) = match progress {
                Progress::Blocked(until) => (until, true),
                Progress::Yield(until) => (until, false),
                Progress::Ended(_) => (None, false),
            };
            if running.has_deadline || until.is_some() {
                self.deadlines.set(key.index, until);
                running.has_deadline = until.is_some();
            }
            match progress {
                Progress::Ended(ended) => {
                    let goes_on = self.resume(key, &mut running, ended);
                    if !goes_on {
                        self.end(key, running);
                        self.sweep(None);
                        return;
                    }
                    if self.must_stop() || !self.spend_resume() {
                        break;
                    }
                }
                _ if is_blocked => {
                    self.tasks[key.index as usize] = Some(running);
                    return self.sweep_after_observer();
                }
                _ => break,
            }
        }
        running.op.enter(&self.inbox, key);
        self.tasks[key.index as usize] = Some(running);
        self.inbox.wake_later(key);
        self.sweep_after_observer();
    }

    /// Calls the body with the outcome. True if it waits for something else, which then stands in the place of what has ended.
    fn resume(&mut self, key: Key, running: &mut Running<'t>, ended: Ended) -> bool {
        let Ended { end, mut value } = ended;
        let are_lines = matches!(value, Value::Lines(_));
        if !are_lines {
            running.op.leave(key);
        }
        let taken = Cell::new(0);
        let Alive { op, body, .. } = running;
        let (outcome, storage) = outcome(&mut value, &taken);
        let storage = storage.filter(|_| matches!(op.0, Kind::Read(_)));
        let mut task = Task { scheduler: self, key, op, end, outcome, is_seen: Cell::new(false), storage };
        let flow = catch_unwind(AssertUnwindSafe(|| body.resume(&mut task)));
        drop(value); // what was lent is the file's alone again
        if let Some(file) = op.file() {
            let mut state = file.state();
            let buffer = &mut state.inflow.buffer;
            buffer.consume(taken.get().min(buffer.len())); // the body may have closed it
            if buffer.is_empty() {
                buffer.rest();
            }
        }
        if are_lines {
            op.leave(key);
        }
        let failure = match flow {
            Ok(Ok(Some(next))) => {
                *op = next;
                let is_cancelled = self.sweep(Some(key));
                if self.observer.is_some() {
                    self.trace(key, Event::Resumed(end, &running.op));
                }
                if !is_cancelled {
                    return true;
                }
                TaskError::Cancelled
            }
            Ok(Ok(None)) => {
                let is_cancelled = self.sweep(Some(key));
                if !is_cancelled {
                    self.trace(key, Event::Done(end));
                    return false;
                }
                TaskError::Cancelled
            }
            Ok(Err(error)) => TaskError::Failed(error),
            Err(payload) => TaskError::Panicked(message(payload)),
        };
        self.trace(key, Event::Failed(&failure));
        // A value that gives way to the failure is dropped here: the user's code, which may panic.
        let inbox = Rc::clone(&self.inbox);
        self.guard(|| running.body.fail(failure, &inbox));
        false
    }

    /// Drops a task that has ended, or was cancelled; who waits for its end is ready.
    pub(super) fn end(&mut self, key: Key, mut running: Box<Running<'t>>) {
        running.op.leave(key);
        self.deadlines.set(key.index, None);
        self.inbox.retire(key);
        self.alive -= 1;
        self.guard(move || drop(running));
        self.free.push(key.index);
    }

    /// Drops the tasks that were cancelled. Whether the one that is running is among them: that one is left to the caller.
    pub(super) fn sweep(&mut self, running: Option<Key>) -> bool {
        let mut is_cancelled = false;
        while let Some(key) = self.inbox.next_cancelled() {
            if Some(key) == running {
                is_cancelled = true;
            } else if self.inbox.is_alive(key) {
                if let Some(task) = self.tasks[key.index as usize].take() {
                    self.trace(key, Event::Failed(&TaskError::Cancelled));
                    self.end(key, task);
                }
            }
        }
        is_cancelled
    }

    /// A task was advanced, and is in its slot again: whom an observer has cancelled meanwhile is dropped before another one goes on.
    #[inline]
    fn sweep_after_observer(&mut self) {
        if self.observer.is_some() {
            self.sweep(None);
        }
    }

    /// Runs code of the user's that is not a task's body. If it panics, that comes out of the next drive.
    pub(super) fn guard(&self, user_code: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(user_code)) {
            self.inbox.report(TaskError::Panicked(message(payload)));
        }
    }

    pub(super) fn trace(&mut self, key: Key, event: Event<'_>) {
        if let Some(mut observer) = self.observer.take() {
            let trace = Trace { task: TaskId(key), turn: self.turns, event };
            self.guard(|| observer(&trace));
            self.observer = Some(observer);
        }
    }

    /// The running task is to be resumed once more in this advance: whether it has not had its share yet.
    #[inline]
    pub(crate) fn spend_resume(&mut self) -> bool {
        let some_are_left = self.resumes > 1;
        self.resumes -= usize::from(some_are_left);
        some_are_left
    }

    /// The running task may be resumed once more in this advance, and nothing has to be done or shown before that.
    #[inline]
    pub(crate) fn lets_go_on(&mut self) -> bool {
        !self.inbox.has_news() && !self.inbox.is_stopping() && self.observer.is_none() && self.spend_resume()
    }
}

/// What is handed over, as the task sees it, and where lent bytes lie. Those stay in `value`.
fn outcome<'e>(value: &'e mut Value, taken: &'e Cell<usize>) -> (Outcome<'e>, Option<&'e Storage>) {
    let outcome = match value {
        Value::Line(Some(lent)) => return (Outcome::Line(Some(lent.bytes())), lent.storage.as_ref()),
        Value::Line(None) => Outcome::Line(None),
        Value::Lines(lent) => Outcome::Lines(Lines::new(lent.bytes(), taken)),
        Value::Bytes(lent) => Outcome::Bytes(lent.bytes()),
        Value::Nothing => Outcome::Ok,
        Value::Written(size) => Outcome::Written(*size),
        Value::Exit(status) => Outcome::Exit(*status),
        Value::Output(_) | Value::Failed(_) => match std::mem::replace(value, Value::Nothing) {
            Value::Output(output) => Outcome::Output(*output),
            Value::Failed(error) => Outcome::Failed(error),
            _ => unreachable!("these two are moved"),
        },
    };
    (outcome, None)
}

/// What a panic said.
pub(super) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&str>() {
        Some(text) => text.to_string(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "no message".to_string()),
    };
    // The payload is the user's, and its drop may panic in turn.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}
