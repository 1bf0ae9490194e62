//! The reactor: what poll(2) is asked, which tasks are ready, and the clock.
//!
//! Files and the scheduler share the reactor. A task's body may close a file, cancel a task or drop
//! a handle in the middle of a turn. None of these calls reaches into the scheduler. Each call
//! leaves a note in the reactor, and the turn reads the note at a point where nothing is borrowed.
//!
//! A descriptor that nothing waits on is not in the poll set. If it were there, a dead peer would
//! make the loop spin, because poll(2) reports HUP, ERR and NVAL without being asked.
//!
//! The reactor knows neither files nor children nor threads. It knows the owner of an entry of the
//! poll set only as a [`Watch`].

mod foreign;
#[cfg(any(test, fuzzing))]
mod invariants;
mod notes;
mod registry;
mod seen;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::unix::io::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use libc::c_short;

use crate::poll_set::PollSet;
use crate::sys::clock::{self, Moment};
use crate::sys::{self, Wait};
use crate::task_table::Key;
use crate::wait_list::WaitList;
use notes::Notes;

pub(crate) use seen::Seen;

/// The owner of an entry of the poll set.
pub(crate) trait Watch {
    /// Takes the answer of poll(2). Each registration gives one call. To wait longer, the owner
    /// registers again. No `RefCell` of the library is borrowed during the call.
    fn on_ready(self: Rc<Self>, revents: c_short);

    /// Called when another owner has registered the same descriptor number. The descriptor of this
    /// owner must have been closed behind the library's back, and other code uses its number again.
    fn on_lost(self: Rc<Self>);

    /// Whether the watch serves the library alone. A hidden watch does not count as something that
    /// can wake a task.
    fn is_hidden(&self) -> bool {
        false
    }
}

/// What the tasks, files and annexes of one scheduler share: the poll set, the ready queue and the
/// clock.
#[derive(Default)]
pub(crate) struct Reactor {
    poll_set: RefCell<PollSet<Rc<dyn Watch>>>,
    /// The tasks to be advanced in this turn, in this order. A task may be in the queue twice: its
    /// second advance finds it blocked, and changes nothing.
    ready: RefCell<VecDeque<Key>>,
    /// How many tasks at the front of `ready` wait on a file that was closed. They are advanced in
    /// this turn, unless the drive must return before.
    urgent: Cell<usize>,
    /// The tasks to be advanced in the next turn, because they have used up their share of this
    /// one.
    later: RefCell<Vec<Key>>,
    notes: Notes,
    /// The descriptors of the files that were closed, for an observer. None if there is no
    /// observer.
    closed: RefCell<Option<Vec<RawFd>>>,
    /// Whether another thread or a signal handler has asked for the end of the drive. The drive
    /// then ends after this advance.
    pub stop: Arc<AtomicBool>,
    /// How many sources outside this thread may wake a task. The wake pipe counts as one source
    /// while a task or a Remote waits for other threads. While there is a source, no task is
    /// stalled.
    pub outside: Cell<usize>,
    /// The moment at which poll(2) had answered in the turn under way. `turns` is the number of
    /// this turn.
    pub turn_began: Cell<Moment>,
    pub turns: Cell<u64>,
    /// The values that annexes keep beside this reactor, one of each type, until the scheduler is
    /// dropped.
    kept: RefCell<Vec<Rc<dyn Any>>>,
    /// The present moment, if neither user code nor poll(2) has run since it was read; otherwise
    /// ZERO.
    clock: Cell<Moment>,
    /// Whether the scheduler was dropped.
    is_closed: Cell<bool>,
}

impl Reactor {
    /// Registers a descriptor for these events, until poll(2) answers once. An earlier registration
    /// of the descriptor is replaced.
    #[inline]
    pub fn watch(&self, fd: RawFd, events: c_short, owner: Rc<dyn Watch>) {
        let before = self.poll_set.borrow_mut().set(fd, events, owner);
        if let Some(before) = before {
            self.replace(before, fd);
        }
    }

    /// Calls `on_lost` of the previous owner, unless it is also the new one.
    #[cold]
    fn replace(&self, before: Rc<dyn Watch>, fd: RawFd) {
        let is_same = match self.poll_set.borrow().owner(fd) {
            Some(owner) => std::ptr::eq(address(owner), address(&before)),
            None => false,
        };
        if !is_same {
            before.on_lost();
        }
    }

    /// Takes the descriptor out of the poll set.
    pub fn unwatch(&self, fd: RawFd) {
        let owner = self.poll_set.borrow_mut().remove(fd);
        drop(owner); // while nothing is borrowed, because a watch may be the last owner of a file
    }

    /// Whether the poll set has an entry with a hidden watch. If `is_hidden` is false: whether it
    /// has one with a watch that is not hidden.
    pub fn is_watching(&self, is_hidden: bool) -> bool {
        let set = self.poll_set.borrow();
        let mut owners = set.owners.iter().flatten();
        owners.any(|owner| owner.is_hidden() == is_hidden)
    }

    /// Asks poll(2), and calls the owners of the entries that it has answered.
    pub fn ask(&self, wait: Wait) -> io::Result<()> {
        self.ask_for(wait, |_, owner, revents| owner.on_ready(revents))
    }

    /// The same as `ask`, but calls `answer` in place of each owner. The first argument is the
    /// entry's place in the set, plus one.
    #[inline(always)]
    pub fn ask_for(
        &self,
        wait: Wait,
        mut answer: impl FnMut(usize, Rc<dyn Watch>, c_short),
    ) -> io::Result<()> {
        self.forget_time();
        let mut set = self.poll_set.borrow_mut();
        set.close_up();
        if set.entries.is_empty() && wait == Wait::Not {
            return Ok(());
        }
        let mut answers = sys::poll(&mut set.entries, wait)?;
        drop(set);
        let mut place = 0;
        while answers > 0 {
            // No entry moves to another place while an owner is called. If the owner registers its
            // descriptor again, the entry gets its old place. An entry for a new descriptor goes to
            // the end.
            let next = self.poll_set.borrow_mut().next_answer(&mut place);
            match next {
                Some((Some(owner), revents)) => answer(place, owner, revents),
                Some((None, _)) => {} // an owner that was called earlier has taken this entry out
                None => break,
            }
            answers -= 1;
        }
        Ok(())
    }

    /// Puts the task into the ready queue. If a turn is under way, the task is advanced in this
    /// turn, up to the turn's bound.
    #[inline]
    pub fn wake(&self, key: Key) {
        self.ready.borrow_mut().push_back(key);
    }

    /// Wakes the front of a wait list, if the list is not empty.
    #[inline]
    pub fn wake_front(&self, queue: &WaitList) {
        if let Some(front) = queue.front {
            self.wake(front);
        }
    }

    /// Puts these tasks before all others in the ready queue, because the file on which they wait
    /// was closed.
    #[cold]
    pub fn wake_first(&self, keys: &[Key]) {
        let mut ready = self.ready.borrow_mut();
        keys.iter().rev().for_each(|key| ready.push_front(*key));
        self.urgent.set(self.urgent.get() + keys.len());
    }

    /// Puts the task off to the next turn, so that other tasks come first.
    pub fn wake_later(&self, key: Key) {
        self.later.borrow_mut().push(key);
    }

    /// Takes the next task out of the ready queue.
    #[inline]
    pub fn next_ready(&self) -> Option<Key> {
        self.ready.borrow_mut().pop_front()
    }

    /// The same as `next_ready`, for a task that waits on a closed file. Called only if `is_urgent`
    /// is true.
    #[cold]
    pub fn next_urgent(&self) -> Option<Key> {
        self.urgent.set(self.urgent.get() - 1);
        self.next_ready()
    }

    /// Whether the next task in the ready queue is there because the file on which it waits was
    /// closed.
    #[inline]
    pub fn is_urgent(&self) -> bool {
        self.urgent.get() > 0
    }

    /// Counts the turn that begins, and returns the time of its beginning.
    #[inline]
    pub fn begin_turn(&self) -> Moment {
        let now = self.now();
        self.turn_began.set(now);
        self.turns.set(self.turns.get() + 1);
        now
    }

    /// Puts the tasks that used up their share of the last turn into the ready queue. Returns how
    /// many tasks are ready.
    #[inline]
    pub fn wake_sharers(&self) -> usize {
        let (mut ready, mut later) = (self.ready.borrow_mut(), self.later.borrow_mut());
        if !later.is_empty() {
            ready.extend(&*later);
            later.clear();
        }
        ready.len()
    }

    /// Whether a task can be advanced or dropped without waiting. A failure that is kept does not
    /// count as work: `join` may sleep, and leaves the failure for the next drive.
    pub fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.later.borrow().is_empty() || self.has_cancelled()
    }

    /// Whether the drive was asked to end after this advance.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the drive was asked to end. The request is removed, so it ends one drive only.
    pub fn take_stop(&self) -> bool {
        self.is_stopping() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// The present moment. The clock is read again if a body or poll(2) has run since the last
    /// reading, so a deadline that is counted from this moment is never too early.
    #[inline]
    pub fn now(&self) -> Moment {
        if self.clock.get() == Moment::ZERO {
            self.clock.set(clock::now());
        }
        self.clock.get()
    }

    /// Makes the next `now` read the clock. Called before user code runs, and before poll(2)
    /// sleeps.
    #[inline]
    pub fn forget_time(&self) {
        self.clock.set(Moment::ZERO);
    }

    /// Whether the scheduler was dropped.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Empties the reactor when its scheduler is dropped. The reactor then holds no value of the
    /// user's. Files and handles may still have the reactor. Notes and entries that they add from
    /// here on have no effect.
    pub fn close(&self) {
        self.is_closed.set(true);
        drop(self.poll_set.take());
        self.drop_notes();
        drop(self.kept.take());
        self.closed.take();
        self.ready.take();
        self.later.take();
    }
}

/// The address of a watch. Two `Rc`s to the same watch have the same address.
fn address(watch: &Rc<dyn Watch>) -> *const u8 {
    Rc::as_ptr(watch).cast()
}
