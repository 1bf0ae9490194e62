//! What repeats the turn: `run`, `join`, `block_on`, `turn`; and where failures come out.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use super::{message, Scheduler};
use crate::chore;
use crate::error::{self, TaskError};
use crate::handle::JoinHandle;
use crate::operation::Operation;
use crate::sys::clock::{self, nanoseconds, Moment};
use crate::sys::{self, Wait};
use crate::task::done;
use crate::trace::Trace;

impl<'t> Scheduler<'t> {
    /// Runs until no task is left, or [`Remote::stop`](crate::Remote::stop) says so.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens; the other tasks are kept, and calling
    /// again goes on. [`TaskError::Stalled`] if tasks are left and nothing can ever wake them.
    /// [`TaskError::Poll`], what poll(2) refuses: EINVAL for more descriptors than RLIMIT_NOFILE,
    /// ENOMEM. Whose failure it was the error does not say: a body can, in its error, or see
    /// [`observe`](Scheduler::observe).
    pub fn run(&mut self) -> Result<(), TaskError> {
        self.begin_drive(false)?;
        while !self.reactor.take_stop() && (self.alive > 0 || self.finds_work()?) {
            let wait = self.unless_stalled()?;
            self.turn_once(wait)?;
        }
        self.failure()
    }

    /// No task is left. If a hidden watch is armed, it may have something to start one with: a poll
    /// that does not sleep finds out. Returns whether a hidden task has something to do.
    fn finds_work(&mut self) -> Result<bool, TaskError> {
        if self.reactor.is_watching(true) {
            self.ask(Wait::Not)?;
        }
        Ok(self.reactor.has_work())
    }

    /// Runs until this task has ended, and gives its result. Failures of detached tasks wait for
    /// the next drive.
    ///
    /// # Errors
    ///
    /// How the task failed; or [`TaskError::Stalled`], [`TaskError::Stopped`] or
    /// [`TaskError::Poll`], and the task is detached.
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a task of another scheduler, or whose
    /// result was taken.
    pub fn join<T>(&mut self, handle: JoinHandle<T>) -> Result<T, TaskError> {
        if !handle.is_finished() && !handle.belongs_to(&self.reactor) {
            return Err(TaskError::Failed(error::invalid(
                "join",
                "the task is another scheduler's",
            )));
        }
        self.begin_drive(true)?;
        while !handle.is_finished() {
            if self.reactor.take_stop() {
                return Err(TaskError::Stopped);
            }
            let wait = self.unless_stalled()?;
            self.turn_once(wait)?;
        }
        let taken = || {
            Err(TaskError::Failed(error::invalid(
                "join",
                "the result was taken before",
            )))
        };
        handle.take().unwrap_or_else(taken)
    }

    /// Waits for one operation, while the tasks go on, and gives what it hands over. Failures of
    /// detached tasks wait for the next drive.
    ///
    /// # Errors
    ///
    /// How the operation failed. A read that its timeout cut is
    /// [`TimedOut`](std::io::ErrorKind::TimedOut), and its bytes stay in the file.
    pub fn block_on<O: Operation>(&mut self, op: O) -> io::Result<O::Output> {
        let handle = self.spawn(op, |task| done(O::output(task)?));
        let key = handle.id().0;
        let result = self.join(handle);
        self.reactor.cancel(key); // if it has stalled, was stopped, or poll(2) failed
        self.drop_cancelled(None);
        Ok(result?)
    }

    /// One turn: sleeps at most `timeout` (None: as long as it takes) until something can be done,
    /// and does it. Returns how many tasks are alive. Without any it only does what Remotes have
    /// sent, and returns at once.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens; without timeout,
    /// [`TaskError::Stalled`]; [`TaskError::Poll`].
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<usize, TaskError> {
        self.begin_drive(false)?;
        let has_work = self.reactor.has_work(); // before the drop: to drop a task is something done
        self.drop_cancelled(None);
        if !self.reactor.take_stop() {
            let wait = match timeout {
                _ if has_work || self.alive == 0 => Wait::Not,
                None => self.unless_stalled()?,
                Some(Duration::ZERO) => Wait::Not,
                Some(timeout) => match clock::now().after(nanoseconds(timeout)) {
                    Moment::NEVER => Wait::Forever,
                    at => Wait::Until(at),
                },
            };
            self.turn_once(wait)?;
            self.reactor.take_stop();
        }
        self.failure()?;
        Ok(self.alive)
    }

    /// Calls `f` with every transition of every task from here on, in place of the observer before
    /// it. What it cancels is dropped before another task is advanced than the one whose transition
    /// it is.
    pub fn observe(&mut self, f: impl FnMut(&Trace<'_>) + 't) {
        self.observer = Some(Box::new(f));
    }

    /// A drive begins. The host was in charge until now: it may have changed what SIGPIPE does, and
    /// children may have ended.
    pub(super) fn begin_drive(&mut self, holds_failures: bool) -> Result<(), TaskError> {
        sys::sigpipe::forget();
        chore::begin_drive();
        self.holds_failures = holds_failures;
        self.make_calls();
        self.failure()
    }

    /// A failure that has to come out of this drive.
    #[inline]
    pub(super) fn failure(&mut self) -> Result<(), TaskError> {
        if self.holds_failures || !self.reactor.has_notes() {
            return Ok(());
        }
        self.reactor.next_failure().map_or(Ok(()), Err)
    }

    /// How long the next turn may sleep: for ever. An error, if nothing could end that.
    #[inline]
    fn unless_stalled(&self) -> Result<Wait, TaskError> {
        let reactor = &self.reactor;
        let goes_on = reactor.has_work()
            || (!self.deadlines.is_empty() && (self.hidden == 0 || self.has_deadline()))
            || reactor.is_watching(false)
            || reactor.outside.get() > 0;
        match goes_on {
            true => Ok(Wait::Forever),
            false => Err(self.stalled()),
        }
    }

    /// Whether a task that is not hidden has a deadline. It asks all tasks.
    #[cold]
    fn has_deadline(&self) -> bool {
        let mut tasks = self.tasks.iter();
        tasks.any(|task| !task.is_hidden && task.deadline.is_armed())
    }

    #[cold]
    fn stalled(&self) -> TaskError {
        TaskError::Stalled(format!("{self:?}"))
    }

    /// Makes the calls that were left for the scheduler.
    #[inline]
    pub(super) fn make_calls(&mut self) {
        if self.calls.has_any() {
            self.calls.set_any(false);
            self.make_all_calls();
        }
    }

    /// A call may drive the scheduler in turn. The calls behind it are made when it returns, or in
    /// that drive if another one is left meanwhile: in their order in any case.
    #[cold]
    fn make_all_calls(&mut self) {
        let holds_failures = self.holds_failures;
        while !self.must_return() {
            let call = match self.calls.next() {
                Some(call) => call,
                None => return self.calls.set_any(false),
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(self))) {
                self.reactor.report(TaskError::Panicked(message(payload)));
            }
            self.holds_failures = holds_failures;
            self.drop_cancelled(None);
        }
        self.calls.set_any(true); // for the next drive
    }
}
