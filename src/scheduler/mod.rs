//! The scheduler: tasks, and what drives them.
//!
//! * [`turn`](self::turn): one turn. *Ask, fall due, advance.*
//! * [`share`](self::share): how long one task goes on.
//! * [`resume`](self::resume): one call of a task's body.
//! * [`drive`](self::drive): `run`, `join`, `block_on` and `turn`. They make the turns, and return
//!   the failures of tasks.
//! * [`calls`](self::calls): what is done between two turns.
//! * [`foreign`](self::foreign): turns that are driven by a loop that is not ours.
//! * [`observe`](self::observe): what an observer is shown.
//!
//! This file holds the beginning and the end of a task.

mod calls;
mod drive;
mod foreign;
#[cfg(any(test, fuzzing))]
mod invariants;
mod observe;
mod resume;
mod share;
mod turn;

use std::any::Any;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Instant;

use self::observe::{by, Observer};
use self::share::Share;
use crate::deadlines::{Deadline, Deadlines};
use crate::error::{Milliseconds, TaskError};
use crate::handle::{self, Alive, Body, JoinHandle};
use crate::op::operate::{Context, Op};
use crate::reactor::Reactor;
use crate::state_fn::{self, StateFn};
use crate::sys::clock::{self, nanoseconds, Epoch, Moment};
use crate::task::{Flow, Task};
use crate::task_table::{Key, TaskId, TaskTable};
use crate::trace::{By, Event};

pub(crate) use calls::Calls;

/// A live task, boxed: its operation and its body.
type Running<'t> = Box<Alive<dyn Body<'t> + 't>>;

/// The closure that takes the failures of detached tasks.
type OnFailure<'t> = Box<dyn FnMut(TaskId, TaskError) + 't>;

/// Runs tasks on the calling thread. Tasks may borrow, for `'t`, what was declared before the
/// scheduler.
///
/// # Example
///
/// This shows two tasks that share a local variable:
///
/// ```
/// use asyncfile::{done, yield_now, Scheduler};
/// use std::cell::Cell;
///
/// let sum = Cell::new(0);
/// let mut sched = Scheduler::new();
/// for n in 1..=2 {
///     let sum = &sum;
///     sched.spawn(yield_now(), move |_task| {
///         sum.set(sum.get() + n);
///         done(())
///     });
/// }
/// sched.run()?;
/// assert_eq!(sum.get(), 3);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub struct Scheduler<'t> {
    pub(crate) reactor: Rc<Reactor>,
    tasks: TaskTable<Running<'t>>,
    /// How many tasks are alive. Hidden ones are not counted.
    alive: usize,
    /// How many hidden tasks have not ended.
    hidden: usize,
    deadlines: Deadlines,
    /// The share of the running task in this advance.
    pub(crate) share: Share,
    /// Whether failures of detached tasks are kept for the next drive, because `join` or `block_on`
    /// waits for one task.
    holds_failures: bool,
    epoch: Epoch,
    observer: Option<Box<Observer<'t>>>,
    on_failure: Option<OnFailure<'t>>,
    /// The calls to be made at the end of this turn, or when the next drive begins.
    calls: Rc<Calls>,
}

impl<'t> Scheduler<'t> {
    /// A scheduler without tasks. Makes no system call but for the clock.
    pub fn new() -> Self {
        let reactor = Reactor::new();
        Scheduler {
            calls: Calls::beside(&reactor),
            reactor,
            tasks: TaskTable::new(),
            alive: 0,
            hidden: 0,
            deadlines: Deadlines::default(),
            share: Share::default(),
            holds_failures: false,
            epoch: Epoch::of_thread(),
            observer: None,
            on_failure: None,
        }
    }

    /// Starts a task. `body` is called when `op` has ended, and names the next operation. When that
    /// operation has ended, `body` is called again, until it returns [`done`](crate::done) or an
    /// error. A task that begins at once has [`yield_now`](crate::yield_now) as its `op`. Inside a
    /// body, see [`Task::spawn`]. If a body never returns `done`, the compiler cannot infer `T`.
    /// Write such a body as `move |task| -> Flow { ... }`.
    ///
    /// # Example
    ///
    /// This shows two tasks that sleep at once:
    ///
    /// ```
    /// use asyncfile::{done, sleep, Scheduler};
    /// use std::time::Duration;
    ///
    /// let mut sched = Scheduler::new();
    /// let one = sched.spawn(sleep(Duration::from_millis(2)), |task| { task.ok()?; done(1) });
    /// let two = sched.spawn(sleep(Duration::from_millis(1)), |task| { task.ok()?; done(2) });
    /// assert_eq!(sched.join(one)? + sched.join(two)?, 3);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        self.start(op.into(), false, body)
    }

    /// Starts a task written as state functions. The first function, `at`, is called when `op` has
    /// ended. The task's value is the final state. The state lives until the value is taken or the
    /// handle is dropped. A file in the state stays open as long.
    ///
    /// # Example
    ///
    /// This shows a countdown with one state function:
    ///
    /// ```
    /// use asyncfile::{yield_now, Next, Scheduler, StateFlow, Task};
    ///
    /// struct Countdown { left: u32, steps: u32 }
    ///
    /// impl Countdown {
    ///     fn step(&mut self, task: &mut Task) -> StateFlow<Self> {
    ///         task.ok()?;
    ///         if self.left == 0 {
    ///             return Next::done();
    ///         }
    ///         self.left -= 1;
    ///         self.steps += 1;
    ///         Next::again(Self::step)
    ///     }
    /// }
    ///
    /// let mut sched = Scheduler::new();
    /// let start = Countdown { left: 3, steps: 0 };
    /// let counting = sched.spawn_states(yield_now(), start, Countdown::step);
    /// assert_eq!(sched.join(counting)?.steps, 3);
    /// # Ok::<(), asyncfile::TaskError>(())
    /// ```
    pub fn spawn_states<S: 't>(
        &mut self,
        op: impl Into<Op>,
        state: S,
        at: StateFn<S>,
    ) -> JoinHandle<S> {
        self.spawn(op, state_fn::body(state, at))
    }

    /// Starts a task of the library's own. `run` does not wait for its end, `turn` does not count
    /// it, and no observer sees it.
    pub(crate) fn spawn_hidden(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow + 't,
    ) {
        drop(self.start(op.into(), true, body));
    }

    /// See [`Calls::leave`].
    pub(crate) fn call_later(&self, call: impl FnOnce(&mut Scheduler<'_>) + 'static) {
        self.calls.leave(call);
    }

    #[inline]
    fn start<T: 't>(
        &mut self,
        op: Op,
        is_hidden: bool,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        let key = self.tasks.reserve();
        let (handle, task) = handle::pair(&self.reactor, key, op, is_hidden, body);
        self.enter(key, task);
        handle
    }

    fn enter(&mut self, key: Key, mut task: Running<'t>) {
        task.op.enter((&self.reactor, key));
        if task.is_hidden {
            self.hidden += 1;
        } else {
            self.alive += 1;
            self.show(key, Event::Spawned(&task.op));
        }
        self.tasks.put(task);
        self.reactor.wake(key);
    }

    /// The context of an operation that is advanced.
    #[inline]
    fn context(&self, key: Key, deadline: &Deadline, is_due: bool) -> Context<'_> {
        Context {
            reactor: &self.reactor,
            key,
            deadline: deadline.at(),
            is_due,
            may_look: is_due,
        }
    }

    /// Drops a task that has ended or was cancelled. `failure` says why it has no value.
    fn end(&mut self, key: Key, mut task: Running<'t>, failure: Option<TaskError>) {
        let reported_as = Some(key).filter(|_| !task.is_hidden);
        if let Some(failure) = failure {
            if self.observer.is_some() && !task.is_hidden {
                self.report(by(key, false), None); // what the body did before
                self.show(key, Event::Failed(&failure));
            }
            let reactor = Rc::clone(&self.reactor);
            // If the task has left a value, the failure takes its place, and the value is dropped
            // here. Its drop is user code and may panic.
            self.guard(reported_as, || {
                task.body.fail(failure, &reactor, reported_as)
            });
            task.op.leave();
        }
        if task.deadline.is_armed() {
            self.deadlines.set(key, &mut task.deadline, Moment::NEVER);
        }
        match task.is_hidden {
            true => self.hidden -= 1,
            false => self.alive -= 1,
        }
        self.guard(reported_as, move || drop(task));
        self.tasks.free(key);
    }

    /// Drops the cancelled tasks. Returns whether the running task is one of them: the caller drops
    /// that one.
    #[inline]
    fn drop_cancelled(&mut self, running: Option<Key>) -> bool {
        self.reactor.has_notes() && self.drop_all_cancelled(running)
    }

    /// Drops the cancelled tasks. Also hands the failures of detached tasks to `on_failure`,
    /// because that closure may cancel tasks.
    #[cold]
    fn drop_all_cancelled(&mut self, running: Option<Key>) -> bool {
        let mut is_cancelled = false;
        self.report(By::Program, None);
        loop {
            while let Some(key) = self.reactor.next_cancelled() {
                if Some(key) == running {
                    is_cancelled = true;
                } else if let Some(task) = self.tasks.take(key) {
                    let by = by(key, task.is_hidden);
                    self.end(key, task, Some(TaskError::Cancelled));
                    self.report(by, running);
                }
            }
            if !self.tell_failure() {
                return is_cancelled;
            }
        }
    }

    /// Runs user code that is no task's body. If it panics, that is reported as a failure of
    /// `task`.
    fn guard(&self, task: Option<Key>, user_code: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(user_code)) {
            let failure = TaskError::Panicked(message(payload));
            self.reactor.report(task, failure);
        }
    }

    /// The moment at which this turn began.
    pub(crate) fn clock(&self) -> Instant {
        self.epoch.instant(self.reactor.turn_began.get())
    }
}

impl Default for Scheduler<'_> {
    fn default() -> Self {
        Scheduler::new()
    }
}

impl Drop for Scheduler<'_> {
    /// Drops all tasks: their results are Cancelled. What their operations had read stays in the
    /// files.
    fn drop(&mut self) {
        let observer = self.observer.take();
        self.guard(None, || drop(observer));
        let keys: Vec<Key> = self.tasks.iter().map(|task| task.key).collect();
        for key in keys {
            if let Some(task) = self.tasks.take(key) {
                self.end(key, task, Some(TaskError::Cancelled));
            }
        }
        while self.tell_failure() {}
        let on_failure = self.on_failure.take();
        self.guard(None, || drop(on_failure));
        while let Some(failure) = self.reactor.next_failure(false) {
            self.guard(None, || drop(failure)); // its drop may be user code
        }
        while let Some(call) = self.calls.next() {
            self.guard(None, || drop(call));
        }
        self.reactor.close();
    }
}

impl fmt::Debug for Scheduler<'_> {
    /// Prints a line for each task: the operation that it waits for, and the time left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for task in self.tasks.iter().filter(|task| !task.is_hidden) {
            write!(f, "task {}: {:?}", TaskId(task.key), task.op)?;
            if task.deadline.is_armed() {
                let left = task.deadline.at().since(clock::now());
                write!(f, ", {} left", Milliseconds(nanoseconds(left)))?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// The message of a panic.
fn message(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&str>() {
        Some(text) => text.to_string(),
        None => payload
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_else(|| "no message".to_string()),
    };
    // The payload is a value of the user's. Its drop may panic, too.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}
