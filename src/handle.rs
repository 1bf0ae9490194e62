//! The two ends of a task: the handle that its spawner holds, and the body that the scheduler holds. They share one slot,
//! in which the result is left.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;

use crate::error::TaskError;
use crate::inbox::Inbox;
use crate::key::{Key, TaskId};
use crate::op::{Join, Kind, Op};
use crate::task::{Flow, Step, Task};

/// Where a task leaves its result. None: it has not ended, or somebody took it.
type Slot<T> = Cell<Option<Result<T, TaskError>>>;

/// A handle to a task, for its result. Dropped, it detaches the task: that goes on, and if it fails, or has failed and
/// nobody has taken the failure, that comes out of [`run`](crate::Scheduler::run), `turn` or `dispatch`.
pub struct JoinHandle<T> {
    slot: Rc<Slot<T>>,
    inbox: Rc<Inbox>,
    key: Key,
}

impl<T> JoinHandle<T> {
    /// Waits, in another task of the same scheduler, until this task has ended, however it ended. Then
    /// [`take`](JoinHandle::take) has the result.
    pub fn finished(&self) -> Join {
        Join::new(&self.inbox, self.key)
    }

    /// The result, once: None while the task runs, and after it was taken.
    pub fn take(&self) -> Option<Result<T, TaskError>> {
        if self.is_finished() {
            self.slot.take()
        } else {
            None
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !self.inbox.is_alive(self.key)
    }

    /// Marks the task: its body is dropped before another task is resumed, its result is [`TaskError::Cancelled`], and
    /// what its operation had read stays in the file. A task that cancels itself ends when its body returns. Of a
    /// task that has ended, nothing.
    pub fn cancel(&self) {
        self.inbox.cancel(self.key);
    }

    /// The task's name.
    pub fn id(&self) -> TaskId {
        TaskId(self.key)
    }

    pub(crate) fn belongs_to(&self, inbox: &Rc<Inbox>) -> bool {
        Rc::ptr_eq(&self.inbox, inbox)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        match self.take() {
            None | Some(Ok(_)) | Some(Err(TaskError::Cancelled)) => {}
            Some(Err(unread)) => self.inbox.report(unread),
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_finished() { "finished" } else { "alive" };
        write!(f, "JoinHandle of task {} ({state})", TaskId(self.key))
    }
}

/// A task's body as the scheduler sees it, whatever its type and its value's.
pub(crate) trait Body<'t> {
    /// Calls it with the outcome. None: it has ended, and left its value.
    fn resume(&mut self, task: &mut Task<'_, 't>) -> io::Result<Option<Op>>;

    /// It ends without value. If nobody holds its handle, the failure is everybody's.
    fn fail(&mut self, error: TaskError, inbox: &Inbox);
}

/// A live task: what it waits for, and what is called then.
pub(crate) struct Alive<B: ?Sized> {
    pub op: Op,
    /// The operation has asked for a deadline.
    pub has_deadline: bool,
    /// That deadline has come.
    pub is_due: bool,
    pub body: B,
}

/// A body that is a closure.
struct Closure<F, T> {
    call: F,
    slot: Rc<Slot<T>>,
    /// The result is in the slot, or was.
    is_over: bool,
}

/// Makes the two ends.
pub(crate) fn pair<'t, T: 't>(
    inbox: &Rc<Inbox>,
    key: Key,
    op: Op,
    call: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
) -> (JoinHandle<T>, Box<Alive<dyn Body<'t> + 't>>) {
    let slot = Rc::new(Cell::new(None));
    let handle = JoinHandle { slot: Rc::clone(&slot), inbox: Rc::clone(inbox), key };
    let body = Closure { call, slot, is_over: false };
    (handle, Box::new(Alive { op, has_deadline: false, is_due: false, body }))
}

impl<'t, T, F> Body<'t> for Closure<F, T>
where
    F: FnMut(&mut Task<'_, 't>) -> Flow<T>,
{
    fn resume(&mut self, task: &mut Task<'_, 't>) -> io::Result<Option<Op>> {
        loop {
            let flow = (self.call)(task);
            if let Ok(Step::Wait(op)) = &flow {
                // The short cut of who reads line after line: here the compiler sees the closure and can inline it.
                // The operation is looked at where it lies, because moving it would cost more than all the rest.
                if task.goes_on_with(op) {
                    // It was a readline: no other kind's drop need be considered.
                    if let Ok(Step::Wait(Op(Kind::Read(spent)))) = flow {
                        spent.release();
                    }
                    continue;
                }
            }
            let step = flow?;
            if let Some(error) = task.unseen_failure() {
                return Err(error);
            }
            return match step {
                Step::Wait(op) => Ok(Some(op)),
                Step::Done(value) => {
                    self.is_over = true;
                    self.slot.set(Some(Ok(value)));
                    Ok(None)
                }
            };
        }
    }

    fn fail(&mut self, error: TaskError, inbox: &Inbox) {
        self.is_over = true;
        let nobody_waits = Rc::strong_count(&self.slot) == 1;
        if nobody_waits && !matches!(error, TaskError::Cancelled) {
            inbox.report(error);
        } else {
            self.slot.set(Some(Err(error)));
        }
    }
}

impl<F, T> Drop for Closure<F, T> {
    fn drop(&mut self) {
        if !self.is_over {
            self.slot.set(Some(Err(TaskError::Cancelled)));
        }
    }
}
