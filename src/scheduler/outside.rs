//! What comes from outside the loop: the answers of a foreign loop's poll(2), and the calls of other threads.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use libc::pollfd;

use super::advance::message;
use super::Scheduler;
use crate::error::TaskError;
use crate::remote::{Call, Calls, Remote};
use crate::sys;

impl Scheduler<'_> {
    /// For a foreign loop: appends what to wait for to its poll(2) set, and says how long to wait at most (to be rounded up, not down, to
    /// poll's milliseconds): `Some(ZERO)` if work is
    /// ready, None if only the descriptors can wake a task. Then call [`dispatch`](Scheduler::dispatch).
    pub fn pollfds(&mut self, set: &mut Vec<pollfd>) -> Option<Duration> {
        self.sweep(None);
        self.inbox.poll_set.borrow_mut().show(set);
        if self.inbox.has_work() || self.inbox.has_failures() {
            return Some(Duration::ZERO);
        }
        self.deadlines.first().map(|at| at.saturating_duration_since(sys::now()))
    }

    /// For a foreign loop: one turn with what poll(2) answered, in any order; entries that are not ours are ignored. An answer counts only
    /// for a file that was in the set last given by [`pollfds`](Scheduler::pollfds): if its number was reused since, the answer
    /// is not for the new file. Never waits in poll(2). The answer is how many tasks are alive.
    ///
    /// # Errors
    ///
    /// The failure of a detached task, as soon as it happens; the other tasks are kept.
    pub fn dispatch(&mut self, set: &[pollfd]) -> Result<usize, TaskError> {
        self.begin_drive(false)?;
        {
            let ours = self.inbox.poll_set.borrow();
            for entry in set.iter().filter(|entry| entry.revents != 0 && ours.was_shown(entry.fd)) {
                if let Some(watched) = ours.owner(entry.fd) {
                    self.inbox.said(entry.fd, watched, entry.revents);
                }
            }
        }
        self.inbox.watch_wake(); // no more, if it was lost
        self.fall_due();
        self.advance_ready();
        self.failure()?;
        self.inbox.take_stop();
        Ok(self.alive)
    }

    /// A remote control for other threads and signal handlers. The first one makes the wake pipe, which lasts as long as
    /// anybody may use it.
    ///
    /// # Errors
    ///
    /// Those of pipe(2): EMFILE, ENFILE.
    pub fn remote(&self) -> io::Result<Remote> {
        let wake = self.inbox.wake_handle().map_err(|error| crate::error::named("remote", None, error))?;
        let remote = Remote::new(self.calls.borrow_mut().get_or_insert_with(|| Calls::new(wake)));
        self.inbox.watch_wake();
        Ok(remote)
    }

    /// Does what others have left since it was asked last, and says whether there was anything: the tasks that they woke are ready, the
    /// closures that they sent are called.
    pub(super) fn hear(&mut self) -> bool {
        if !self.inbox.hear() {
            return false;
        }
        let calls = self.calls.borrow().clone();
        if let Some(calls) = calls {
            // No more than there are: those that come meanwhile wake anew.
            for _ in 0..calls.len() {
                if self.must_stop() {
                    calls.wake_again();
                    break;
                }
                if let Some(call) = calls.next() {
                    self.call(call);
                }
            }
        }
        true
    }

    /// Calls a closure that a Remote sent. It may drive this scheduler in turn.
    fn call(&mut self, call: Call) {
        let holds_failures = self.holds_failures;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(self))) {
            self.inbox.report(TaskError::Panicked(message(payload)));
        }
        self.holds_failures = holds_failures;
        self.sweep(None);
    }
}
