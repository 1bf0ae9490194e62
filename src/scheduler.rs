//! The scheduler: tasks, and the turn.
//!
//! A turn is three steps, all in [`Scheduler::turn_once`]: ask poll(2) who can go on, let deadlines fall due,
//! advance what is ready. `run`, `join`, `block_on` and `turn` repeat it; a foreign loop does the first step itself
//! (`pollfds`, its own poll(2), `dispatch`).
//!
//! To advance a task is to advance its operation. If that ends, the task's body is called with the outcome in the same
//! step, and names the next operation, which is advanced at once: a task goes on until it is blocked, or has had its share.

mod advance;
#[cfg(any(test, fuzzing))]
mod invariants;
mod outside;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::child;
use crate::deadlines::Deadlines;
use crate::error::{invalid, TaskError};
use crate::handle::{self, Alive, Body, JoinHandle};
use crate::inbox::Inbox;
use crate::key::TaskId;
use crate::op::{Op, Operation};
use crate::remote::Calls;
use crate::state_fn::{self, StateFn};
use crate::sys::{self, Wait};
use crate::task::{done, Flow, Task};
use crate::trace::{Event, Trace};

/// The least number of advances after which a turn ends although more tasks are ready, so that poll(2) is asked. (Twice as many as were
/// ready when it began, if that is more.)
const ADVANCES: usize = 1024;

/// A live task, boxed: its operation and its body.
type Running<'t> = Alive<dyn Body<'t> + 't>;

/// An observer of every transition.
type Observer<'t> = Box<dyn FnMut(&Trace<'_>) + 't>;

/// Runs tasks on the calling thread. `'t`: tasks may borrow what was declared before the scheduler.
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
    /// A slot for each task; empty while the task is advanced, and when it has ended.
    tasks: Vec<Option<Box<Running<'t>>>>,
    /// Slots to be used again.
    free: Vec<u32>,
    /// How many tasks have not ended.
    alive: usize,
    deadlines: Deadlines,
    inbox: Rc<Inbox>,
    /// When this turn began, after poll(2) had answered.
    now: Instant,
    turns: u64,
    /// How often the running task may still be resumed in this advance.
    resumes: usize,
    /// `join` and `block_on` wait for one task; the failures of others keep until the next drive.
    holds_failures: bool,
    /// What Remotes have sent. None until there is one.
    calls: RefCell<Option<Arc<Calls>>>,
    observer: Option<Observer<'t>>,
}

impl<'t> Scheduler<'t> {
    /// A scheduler without tasks. Makes no system call but for the clock.
    pub fn new() -> Self {
        Scheduler {
            tasks: Vec::new(),
            free: Vec::new(),
            alive: 0,
            deadlines: Deadlines::default(),
            inbox: Rc::new(Inbox::new()),
            now: sys::now(),
            turns: 0,
            resumes: 0,
            holds_failures: false,
            calls: RefCell::default(),
            observer: None,
        }
    }

    /// Starts a task: `body` is called when `op` has ended, and each time what it then waits for has ended, until it
    /// returns [`done`] or an error. To begin at once, wait for [`yield_now`](crate::yield_now). Inside a body, see [`Task::spawn`].
    /// A body that never says `done` leaves `T` open: it is written `move |task| -> Flow { ... }`.
    pub fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        let mut op = op.into();
        let index = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            u32::try_from(self.tasks.len() - 1).expect("fewer than 2^32 tasks fit into memory")
        });
        let key = self.inbox.name(index);
        op.enter(&self.inbox, key);
        self.trace(key, Event::Spawned(&op));
        let (handle, running) = handle::pair(&self.inbox, key, op, body);
        self.tasks[index as usize] = Some(running);
        self.alive += 1;
        self.inbox.wake(key);
        handle
    }

    /// Starts a task written as state functions: `at` is the first, called when `op` has ended. Joins to the final state.
    pub fn spawn_states<S: 't>(&mut self, op: impl Into<Op>, state: S, at: StateFn<S>) -> JoinHandle<S> {
        self.spawn(op, state_fn::body(state, at))
    }

    /// Runs until no task is left, or [`Remote::stop`](crate::Remote::stop) says so.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens; the other tasks are kept, and calling again goes on.
    /// [`TaskError::Stalled`] if tasks are left and nothing can ever wake them. What poll(2) refuses: EINVAL for more descriptors than
    /// RLIMIT_NOFILE, ENOMEM. Whose failure it was the error does not say: a body can, in its error, or see
    /// [`observe`](Scheduler::observe).
    pub fn run(&mut self) -> Result<(), TaskError> {
        self.begin_drive(false)?;
        while !self.inbox.take_stop() && (self.alive > 0 || self.inbox.is_woken()) {
            self.turn_once(self.unless_stalled()?)?;
        }
        self.failure()
    }

    /// Runs until this task has ended, and gives its result. Failures of detached tasks wait for the next drive.
    ///
    /// # Errors
    ///
    /// How the task failed; or [`TaskError::Stalled`], [`TaskError::Stopped`] or what poll(2) refuses, and the task is detached.
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a task of another scheduler, or whose result was taken.
    pub fn join<T>(&mut self, handle: JoinHandle<T>) -> Result<T, TaskError> {
        if !handle.is_finished() && !handle.belongs_to(&self.inbox) {
            return Err(TaskError::Failed(invalid("join: the task is another scheduler's")));
        }
        self.begin_drive(true)?;
        while !handle.is_finished() {
            if self.inbox.take_stop() {
                return Err(TaskError::Stopped);
            }
            self.turn_once(self.unless_stalled()?)?;
        }
        handle.take().unwrap_or_else(|| Err(TaskError::Failed(invalid("join: the result was taken before"))))
    }

    /// Waits for one operation, while the tasks go on, and gives what it hands over. Failures of detached tasks wait for the
    /// next drive.
    ///
    /// # Errors
    ///
    /// How the operation failed. A read that its timeout cut is [`TimedOut`](std::io::ErrorKind::TimedOut), and its bytes stay in the file.
    pub fn block_on<O: Operation>(&mut self, op: O) -> std::io::Result<O::Output> {
        let handle = self.spawn(op, |task| done(O::output(task)?));
        let key = handle.id().0;
        let result = self.join(handle);
        self.inbox.cancel(key); // if it has stalled, or poll failed
        self.sweep(None);
        Ok(result?)
    }

    /// One turn: sleeps at most `timeout` (None: as long as it takes) until something can be done, and does it. The answer
    /// is how many tasks are alive. With none it only does what Remotes have sent, and returns at once.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens; without timeout, [`TaskError::Stalled`].
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize, TaskError> {
        self.begin_drive(false)?;
        let has_work = self.inbox.has_work(); // before the sweep: to drop a task is something done
        self.sweep(None);
        if !self.inbox.take_stop() && (self.alive > 0 || self.inbox.is_woken()) {
            let wait = match timeout {
                _ if has_work => Wait::Not,
                None => self.unless_stalled()?,
                Some(Duration::ZERO) => Wait::Not,
                Some(timeout) => sys::now().checked_add(timeout).map_or(Wait::Forever, Wait::Until),
            };
            self.turn_once(wait)?;
            self.inbox.take_stop();
        }
        self.failure()?;
        Ok(self.alive)
    }

    /// Calls `f` with every transition of every task from here on, in place of the observer before it. What it cancels is dropped
    /// before another task is advanced than the one whose transition it is.
    pub fn observe(&mut self, f: impl FnMut(&Trace<'_>) + 't) {
        self.observer = Some(Box::new(f));
    }

    /// One turn: everything that is not one of these steps is preparation.
    fn turn_once(&mut self, wait: Wait) -> Result<(), TaskError> {
        // Asked before the sweep: with the tasks that it drops goes what could have ended the sleep.
        let wait = if self.inbox.has_work() { Wait::Not } else { wait };
        self.sweep(None);
        self.ask(wait)?;
        self.fall_due();
        self.advance_ready();
        self.failure()
    }

    /// Asks poll(2) who can go on: sleeps until somebody can, a deadline falls due, or `wait` is over.
    fn ask(&mut self, wait: Wait) -> Result<(), TaskError> {
        let wait = match (self.deadlines.first(), wait) {
            _ if self.inbox.has_work() || self.must_stop() => Wait::Not,
            (Some(deadline), Wait::Until(at)) => Wait::Until(at.min(deadline)),
            (Some(deadline), Wait::Forever) => Wait::Until(deadline),
            (_, wait) => wait,
        };
        let mut set = self.inbox.poll_set.borrow_mut();
        if set.is_empty() && wait == Wait::Not {
            return Ok(());
        }
        let mut answers = sys::poll(set.entries_mut(), wait)
            .map_err(|error| TaskError::Failed(crate::error::named("poll", None, error)))?;
        drop(set);
        let set = self.inbox.poll_set.borrow();
        for place in 0..set.len() {
            if answers == 0 {
                break;
            }
            let (entry, owner) = set.at(place);
            if entry.revents != 0 {
                answers -= 1;
                self.inbox.said(entry.fd, owner, entry.revents);
            }
        }
        drop(set);
        self.inbox.watch_wake(); // no more, if it was lost
        Ok(())
    }

    /// Lets deadlines fall due: their tasks are ready, after those that poll(2) woke.
    fn fall_due(&mut self) {
        child::reap();
        self.turns += 1;
        self.now = sys::now();
        while let Some(index) = self.deadlines.pop_due(self.now) {
            if let Some(running) = &mut self.tasks[index as usize] {
                running.is_due = true;
                self.inbox.wake(self.inbox.key_at(index));
            }
        }
    }

    /// Advances what is ready, and what becomes ready meanwhile, up to a bound.
    fn advance_ready(&mut self) {
        self.sweep(None);
        self.hear();
        let ready = self.inbox.begin_turn();
        let mut share = ready.saturating_mul(2).max(ADVANCES);
        // All who wait on what is closed can be served, but not those who close what others wait on, for ever.
        let mut urgent_share = self.alive.saturating_mul(2).max(ADVANCES);
        while !self.must_stop() {
            if urgent_share > 0 {
                if let Some(key) = self.inbox.next_urgent() {
                    urgent_share -= 1;
                    self.advance(key);
                    continue;
                }
            }
            share -= 1;
            match self.inbox.next_ready() {
                Some(key) => self.advance(key),
                None if self.hear() => {}
                None => break,
            }
            if share == 0 {
                break;
            }
        }
        self.inbox.end_turn();
    }

    /// A drive begins. The host was in charge until now: it may have changed what SIGPIPE does, and children may have ended.
    fn begin_drive(&mut self, holds_failures: bool) -> Result<(), TaskError> {
        sys::sigpipe::forget();
        child::reap();
        self.holds_failures = holds_failures;
        self.failure()
    }

    /// A failure that has to come out of this drive.
    fn failure(&mut self) -> Result<(), TaskError> {
        match self.holds_failures {
            true => Ok(()),
            false => self.inbox.next_failure().map_or(Ok(()), Err),
        }
    }

    /// No further task is advanced in this turn: a failure has to come out, or a Remote said stop.
    fn must_stop(&self) -> bool {
        (!self.holds_failures && self.inbox.has_failures()) || self.inbox.is_stopping()
    }

    /// How long the next turn may sleep: for ever. An error, if nothing could end that.
    fn unless_stalled(&self) -> Result<Wait, TaskError> {
        let nothing_can_wake = self.deadlines.is_empty() && self.inbox.poll_set.borrow().is_empty();
        if nothing_can_wake && !self.inbox.has_work() {
            return Err(TaskError::Stalled(format!("{self:?}")));
        }
        Ok(Wait::Forever)
    }

    /// When this turn began.
    pub(crate) fn clock(&self) -> Instant {
        self.now
    }
}

impl Default for Scheduler<'_> {
    fn default() -> Self {
        Scheduler::new()
    }
}

impl Drop for Scheduler<'_> {
    /// Drops all tasks; their handles say Cancelled. What their operations had read stays in the files.
    fn drop(&mut self) {
        let observer = self.observer.take();
        self.guard(|| drop(observer));
        for index in 0..self.tasks.len() {
            if let Some(running) = self.tasks[index].take() {
                self.end(self.inbox.key_at(index as u32), running);
            }
        }
        self.inbox.close();
        while let Some(failure) = self.inbox.next_failure() {
            self.guard(|| drop(failure)); // an error of the user's own kind
        }
        let calls = self.calls.take();
        for call in calls.iter().flat_map(|calls| calls.close()) {
            self.guard(|| drop(call));
        }
    }
}

impl fmt::Debug for Scheduler<'_> {
    /// A line for each task: who waits for what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, running) in self.tasks.iter().enumerate() {
            if let Some(running) = running {
                let id = TaskId(self.inbox.key_at(index as u32));
                writeln!(f, "task {id}: {:?}", running.op)?;
            }
        }
        Ok(())
    }
}
