//! The two ends of a task: the handle that its spawner holds, and the body that the scheduler
//! holds. They share one slot, in which the result is left.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::rc::Rc;

use crate::deadlines::Deadline;
use crate::error::TaskError;
use crate::op::operate::Op;
use crate::reactor::Reactor;
use crate::task::{Flow, Task};
use crate::task_table::{Key, Keyed, TaskId};
use crate::wait_list::WaitList;

/// The place where a task leaves its result.
pub(crate) struct Slot<T> {
    result: Cell<Leaving<T>>,
    /// The record of the task's end. None until the first task waits for that end.
    ending: Cell<Option<Rc<Ending>>>,
}

enum Leaving<T> {
    /// The task has not ended.
    Alive,
    Value(T),
    /// The failure. It is boxed, so that the slot of a task that succeeds is small.
    Failure(Box<TaskError>),
    /// The handle has taken the result, or nobody can take it.
    Taken,
}

/// The end of a task, for the tasks that wait for it.
pub(crate) struct Ending {
    pub has_come: Cell<bool>,
    pub waiters: RefCell<WaitList>,
}

impl<T> Slot<T> {
    fn is_alive(&self) -> bool {
        let result = self.result.replace(Leaving::Taken);
        let is_alive = matches!(result, Leaving::Alive);
        self.result.set(result);
        is_alive
    }

    /// Leaves the value of a task that has ended, and wakes the tasks that wait for its end.
    #[inline]
    pub fn leave_value(&self, value: T, reactor: &Reactor) {
        self.leave(Leaving::Value(value), reactor);
    }

    fn leave(&self, result: Leaving<T>, reactor: &Reactor) {
        let before = self.result.replace(result);
        if let Some(ending) = self.ending.take() {
            ending.has_come.set(true);
            let waiters = ending.waiters.borrow();
            waiters.for_each(&mut |key| reactor.wake(key));
        }
        drop(before); // a value that a failure replaces: its drop is user code
    }
}

/// A handle to a task, for its result. A drop of the handle detaches the task, which goes on. If
/// the task fails later, or has failed already and the handle has not taken the failure, the
/// failure goes to [`on_failure`](crate::Scheduler::on_failure). Without `on_failure` it comes out
/// of [`run`](crate::Scheduler::run), `turn` or `dispatch`.
pub struct JoinHandle<T> {
    slot: Rc<Slot<T>>,
    reactor: Rc<Reactor>,
    key: Key,
}

impl<T> JoinHandle<T> {
    /// Takes the result. None while the task runs, and after the result was taken.
    ///
    /// # Errors
    ///
    /// The task's failure: [`TaskError::Failed`], [`TaskError::Panicked`] or
    /// [`TaskError::Cancelled`].
    ///
    /// # Example
    ///
    /// This shows how to take the value of a task without waiting for its end:
    ///
    /// ```
    /// use asyncfile::{done, yield_now, Scheduler};
    ///
    /// let mut sched = Scheduler::new();
    /// let task = sched.spawn(yield_now(), |_task| done(42));
    /// assert!(task.take().is_none());                         // it has not ended
    /// sched.run()?;
    /// assert_eq!(task.take().expect("ended")?, 42);
    /// assert!(task.take().is_none());                         // once
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn take(&self) -> Option<Result<T, TaskError>> {
        match self.slot.result.replace(Leaving::Taken) {
            Leaving::Value(value) => Some(Ok(value)),
            Leaving::Failure(error) => Some(Err(*error)),
            Leaving::Taken => None,
            Leaving::Alive => {
                self.slot.result.set(Leaving::Alive);
                None
            }
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !self.slot.is_alive()
    }

    /// Cancels the task. Its body is dropped before another task is resumed, its result is
    /// [`TaskError::Cancelled`], and what its operation had read stays in the file. A task that
    /// cancels itself ends when its body returns. For a task that has ended, nothing happens.
    ///
    /// # Example
    ///
    /// This shows a cancelled task:
    ///
    /// ```
    /// use asyncfile::{done, never, Scheduler, TaskError};
    ///
    /// let mut sched = Scheduler::new();
    /// let task = sched.spawn(never(), |task| done(task.ok()?));
    /// task.cancel();
    /// assert!(matches!(sched.join(task), Err(TaskError::Cancelled)));
    /// ```
    pub fn cancel(&self) {
        if self.slot.is_alive() {
            self.reactor.cancel(self.key);
        }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        TaskId(self.key)
    }

    /// Makes the handle cancel the task when it is dropped, instead of detaching it.
    ///
    /// # Example
    ///
    /// This shows a task that is cancelled when the task that has started it ends:
    ///
    /// ```
    /// use asyncfile::{again, done, sleep, yield_now, Scheduler};
    /// use std::{cell::Cell, time::Duration};
    ///
    /// let beats = Cell::new(0);
    /// let beats = &beats;
    /// let mut sched = Scheduler::new();
    /// let mut heart = None;
    /// sched.spawn(yield_now(), move |task| {
    ///     if heart.is_none() {
    ///         let beat = task.spawn(sleep(Duration::from_millis(1)), move |task| {
    ///             beats.set(beats.get() + 1);
    ///             task.ok()?;
    ///             again::<()>()                               // for ever
    ///         });
    ///         heart = Some(beat.cancel_on_drop());
    ///     }
    ///     if beats.get() < 3 { again() } else { done(()) }    // `heart` is dropped with this body
    /// });
    /// sched.run()?;                                           // no task is left
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop(Some(self))
    }

    pub(crate) fn belongs_to(&self, reactor: &Rc<Reactor>) -> bool {
        Rc::ptr_eq(&self.reactor, reactor)
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// The record of the task's end, for a task that waits for that end. The first call makes it.
    pub(crate) fn ending(&self) -> Rc<Ending> {
        let ending = self.slot.ending.take().unwrap_or_else(|| {
            let has_come = Cell::new(self.is_finished());
            Rc::new(Ending {
                has_come,
                waiters: RefCell::new(WaitList::new()),
            })
        });
        self.slot.ending.set(Some(Rc::clone(&ending)));
        ending
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Leaving::Failure(unread) = self.slot.result.replace(Leaving::Taken) {
            if !matches!(*unread, TaskError::Cancelled) {
                self.reactor.report(Some(self.key), *unread);
            }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_finished() {
            "finished"
        } else {
            "alive"
        };
        write!(f, "JoinHandle of task {} ({state})", TaskId(self.key))
    }
}

/// A [`JoinHandle`] that cancels its task when it is dropped, as [`cancel`](JoinHandle::cancel)
/// does: see [`JoinHandle::cancel_on_drop`]. If the task has ended before, the drop does what the
/// drop of a [`JoinHandle`] does: a failure that was not taken counts as one of a detached task.
#[must_use = "dropped at once, it cancels the task at once"]
pub struct CancelOnDrop<T>(
    /// The handle. None after `into_handle`.
    Option<JoinHandle<T>>,
);

impl<T> CancelOnDrop<T> {
    /// The handle, which no longer cancels the task when it is dropped.
    pub fn into_handle(mut self) -> JoinHandle<T> {
        self.0.take().expect("it is given back once")
    }
}

impl<T> Deref for CancelOnDrop<T> {
    type Target = JoinHandle<T>;

    fn deref(&self) -> &JoinHandle<T> {
        self.0.as_ref().expect("it is given back with this")
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::cancel);
    }
}

impl<T> fmt::Debug for CancelOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelOnDrop of {:?}", **self)
    }
}

/// A task's body as the scheduler sees it. The trait hides the type of the closure and that of the
/// task's value.
pub(crate) trait Body<'t> {
    /// Calls the body with the outcome.
    fn resume(&mut self, task: &mut Task<'_, 't>) -> Resumed;

    /// Ends the task without a value. If no handle is left, the failure is reported, with `task` as
    /// the task that has failed.
    fn fail(&mut self, error: TaskError, reactor: &Reactor, task: Option<Key>);
}

/// How a task goes on after a call of its body.
pub(crate) enum Resumed {
    /// The task goes on: its next operation is in the place of the one that has ended.
    Waits,
    /// The task has ended, and its value is in the slot.
    Done,
    Failed(io::Error),
}

/// A live task: the operation that it waits for, and the body that is called when the operation has
/// ended.
pub(crate) struct Alive<B: ?Sized> {
    pub key: Key,
    pub op: Op,
    pub deadline: Deadline,
    /// Whether the deadline has come.
    pub is_due: bool,
    /// Whether the task is the library's own.
    pub is_hidden: bool,
    pub body: B,
}

impl<'t> Keyed for Box<Alive<dyn Body<'t> + 't>> {
    #[inline]
    fn key(&self) -> Key {
        self.key
    }
}

/// A body that is a closure. How it is called: see [`shortcut`](crate::shortcut).
pub(crate) struct Closure<F, T> {
    pub call: F,
    pub slot: Rc<Slot<T>>,
}

impl<F, T> Closure<F, T> {
    pub fn leave_failure(&self, error: TaskError, reactor: &Reactor, task: Option<Key>) {
        let has_handle = Rc::strong_count(&self.slot) > 1;
        if has_handle || matches!(error, TaskError::Cancelled) {
            self.slot.leave(Leaving::Failure(Box::new(error)), reactor);
        } else {
            self.slot.leave(Leaving::Taken, reactor);
            reactor.report(task, error);
        }
    }
}

/// Makes the two ends of a task: the handle, and the task itself for the scheduler.
#[inline]
pub(crate) fn pair<'t, T: 't>(
    reactor: &Rc<Reactor>,
    key: Key,
    op: Op,
    is_hidden: bool,
    call: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
) -> (JoinHandle<T>, Box<Alive<dyn Body<'t> + 't>>) {
    let slot = Rc::new(Slot {
        result: Cell::new(Leaving::Alive),
        ending: Cell::new(None),
    });
    let handle = JoinHandle {
        slot: Rc::clone(&slot),
        reactor: Rc::clone(reactor),
        key,
    };
    let body = Closure { call, slot };
    (
        handle,
        Box::new(Alive {
            key,
            op,
            deadline: Deadline::NONE,
            is_due: false,
            is_hidden,
            body,
        }),
    )
}
