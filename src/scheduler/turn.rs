//! The turn: *ask, fall due, advance*.
//!
//! To advance a task is to advance its operation. If the operation ends, the task's body is called
//! with the outcome in the same step. The body names the next operation, which is advanced at once.
//! So a task goes on until it is blocked, or has had its share. User code runs here, and no
//! `RefCell` of the library is borrowed while it does.

use super::observe::by;
use super::{Running, Scheduler};
use crate::chore;
use crate::error::TaskError;
use crate::op::operate::Progress;
use crate::sys::clock::Moment;
use crate::sys::Wait;
use crate::task_table::Key;
use crate::trace::{By, Event};

/// A turn makes at most this many advances, or twice as many as tasks were ready before the first,
/// whichever is more. Then poll(2) is asked again, even if more tasks are ready.
const ADVANCES: usize = 1024;

impl<'t> Scheduler<'t> {
    /// Makes one turn. If there is nothing to do, it sleeps as long as `wait` says.
    pub(super) fn turn_once(&mut self, wait: Wait) -> Result<(), TaskError> {
        // `has_work` is called before `drop_cancelled`, because it looks at the list that
        // `drop_cancelled` empties. A turn that drops a task neither sleeps nor reports a stall.
        // The drive first looks whether the drop has ended what it waits for.
        let wait = if self.reactor.has_work() {
            Wait::Not
        } else {
            wait
        };
        self.drop_cancelled(None);
        self.ask(wait)?;
        self.fall_due();
        self.advance_ready();
        self.failure()
    }

    /// Asks poll(2): sleeps until a descriptor is ready, a deadline is due, or `wait` is over.
    pub(super) fn ask(&mut self, wait: Wait) -> Result<(), TaskError> {
        let wait = match (self.deadlines.first(), wait) {
            (_, Wait::Not) => Wait::Not,
            _ if self.must_return() => Wait::Not,
            (_, Wait::Forever) if !self.can_be_woken() => return Err(self.stalled()),
            (Moment::NEVER, wait) => wait,
            (deadline, Wait::Until(at)) => Wait::Until(at.min(deadline)),
            (deadline, Wait::Forever) => Wait::Until(deadline),
        };
        let named = |error| TaskError::Poll(crate::error::system("poll", -1, error));
        let answered = match &self.observer {
            None => self.reactor.ask(wait),
            Some(observer) => (observer.hooks.ask)(self, wait),
        };
        answered.map_err(named)
    }

    /// Wakes the tasks whose deadlines have come. In the ready queue they come after the tasks that
    /// poll(2) has woken.
    pub(super) fn fall_due(&mut self) {
        let now = self.reactor.begin_turn();
        chore::tick(now);
        if self.deadlines.first() <= now || self.deadlines.are_stale() {
            self.wake_due(now);
        }
    }

    #[cold]
    fn wake_due(&mut self, now: Moment) {
        while let Some((entry, key)) = self.deadlines.pop(now) {
            if let Some(task) = self.tasks.get_mut(key) {
                if self.deadlines.is_due(key, &mut task.deadline, entry, now) {
                    task.is_due = true;
                    self.reactor.wake(key);
                }
            }
        }
        self.report(By::Deadline, None);
        if self.deadlines.are_stale() {
            let tasks = &mut self.tasks;
            let relies = |entry, key| {
                tasks
                    .get_mut(key)
                    .map_or(false, |task| task.deadline.relies_on(entry))
            };
            self.deadlines.retain(relies);
        }
    }

    /// Advances the tasks that are ready, and those that become ready meanwhile, up to a bound.
    pub(super) fn advance_ready(&mut self) {
        self.drop_cancelled(None);
        let mut left = self.reactor.wake_sharers().saturating_mul(2).max(ADVANCES);
        // The tasks that wait on a closed file have a bound of their own, which stops two tasks
        // that go on closing each other's files.
        let mut urgent_left = self.alive.saturating_mul(2).max(ADVANCES);
        while !self.must_return() {
            let next = match self.reactor.is_urgent() {
                false if left > 0 => {
                    left -= 1;
                    self.reactor.next_ready()
                }
                true if urgent_left > 0 => {
                    urgent_left -= 1;
                    self.reactor.next_urgent()
                }
                _ => None,
            };
            match next {
                Some(key) => match &self.observer {
                    None => self.advance::<false>(key),
                    Some(observer) => (observer.hooks.advance)(self, key),
                },
                None => break,
            }
        }
        self.make_calls();
    }

    /// Advances one task until it is blocked, has ended, or has used up its share.
    /// `advance::<true>` shows events to the observer. It is called only through a pointer that
    /// `observe` sets, so a program that never observes does not link it.
    pub(super) fn advance<const OBSERVED: bool>(&mut self, key: Key) {
        if OBSERVED {
            self.mark_seen();
        }
        let mut task = match self.tasks.take(key) {
            Some(task) => task,
            None => return, // it has ended
        };
        let is_hidden = task.is_hidden;
        self.share.begin();
        let deadline = loop {
            let mut progress = self.step::<OBSERVED>(key, &mut task);
            let (end, value) = match &mut progress {
                Progress::Blocked(deadline) => break *deadline,
                Progress::Ended(end, value) => (*end, value),
            };
            if task.deadline.is_armed() {
                self.deadlines.set(key, &mut task.deadline, Moment::NEVER);
            }
            if let Err(failure) = self.resume(key, &mut task, end, value) {
                self.end(key, task, failure);
                if OBSERVED {
                    self.report(by(key, is_hidden), None);
                }
                self.drop_cancelled(None);
                return;
            }
            if !self.may_resume() {
                // The task has had its share. Its next operation takes its place in the wait list
                // of its file now, so that no later operation comes before it.
                task.op.enter((&self.reactor, key));
                self.reactor.wake_later(key);
                break Moment::NEVER;
            }
        };
        if deadline != task.deadline.at() {
            self.deadlines.set(key, &mut task.deadline, deadline);
        }
        self.tasks.put(task);
        if OBSERVED && !is_hidden && self.reactor.is_put_off(key) {
            self.show(key, Event::Yielded);
        }
        self.drop_cancelled(None); // an observer may have cancelled tasks
    }

    /// Advances the task's operation once.
    #[inline(always)]
    fn step<const OBSERVED: bool>(&mut self, key: Key, task: &mut Running<'t>) -> Progress {
        let is_due = std::mem::take(&mut task.is_due);
        if OBSERVED {
            return self.step_observed(key, task, is_due);
        }
        task.op.advance(&self.context(key, &task.deadline, is_due))
    }

    /// Counts a resume. Returns whether the running task may be resumed once more in this advance.
    #[inline]
    pub(crate) fn may_resume(&mut self) -> bool {
        self.share.resumes -= 1;
        (self.share.resumes > 0 || self.look()) && !self.must_return()
    }

    /// Whether the turn ends before another task is advanced: a failure has to come out of the
    /// drive, or the drive was asked to end.
    #[inline]
    pub(super) fn must_return(&self) -> bool {
        let has_failed = self.reactor.has_notes() && !self.holds_failures;
        (has_failed && self.reactor.has_failures()) || self.reactor.is_stopping()
    }
}
