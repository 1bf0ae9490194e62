//! The reactor: what poll(2) is asked, which tasks are ready, and the clock.
//!
//! Files and the scheduler share it. A task's body may close a file, cancel a task or drop a handle
//! in the middle of a turn; none of these reaches into the scheduler. Each leaves its note here,
//! and the turn reads it at a point where nothing is borrowed.
//!
//! A descriptor that nobody waits on is not in the poll set: HUP, ERR and NVAL come unasked, and a
//! dead peer would make the loop spin.
//!
//! The reactor knows neither files nor children nor threads: an entry of the poll set belongs to a
//! [`Watch`].

mod foreign;
#[cfg(any(test, fuzzing))]
mod invariants;
mod notes;
mod registry;
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

/// The owner of an entry of the poll set.
pub(crate) trait Watch {
    /// poll(2) has answered. Called once per registration: an owner that waits on registers anew.
    /// Nothing is borrowed meanwhile.
    fn on_ready(self: Rc<Self>, revents: c_short);

    /// The number was registered again, by another owner: it must have been closed behind the
    /// library's back, and opened by other code.
    fn on_lost(self: Rc<Self>);

    /// Whether it serves the library alone: then it does not count as something that can wake a
    /// task.
    fn is_hidden(&self) -> bool {
        false
    }
}

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Reactor {
    poll_set: RefCell<PollSet<Rc<dyn Watch>>>,
    /// To be advanced in this turn, in this order. A task may be in it twice: advancing one that is
    /// blocked changes nothing.
    ready: RefCell<VecDeque<Key>>,
    /// How many tasks at the front of `ready` wait on what was closed: those are advanced in this
    /// turn, however many there are.
    urgent: Cell<usize>,
    /// To be advanced in the next turn: they had their share of this one.
    later: RefCell<Vec<Key>>,
    notes: Notes,
    /// The drive ends after this advance. Other threads set it, and signal handlers.
    pub stop: Arc<AtomicBool>,
    /// How many things outside this thread may wake a task: as long as there is one, nothing is
    /// stalled.
    pub outside: Cell<usize>,
    /// When the turn under way began, after poll(2) had answered, and its number.
    pub turn_began: Cell<Moment>,
    pub turns: Cell<u64>,
    /// What annexes keep beside this reactor, one value of a type, until the scheduler is dropped.
    kept: RefCell<Vec<Rc<dyn Any>>>,
    /// The present moment, while no user code and no poll(2) has run since it was read; otherwise
    /// ZERO.
    clock: Cell<Moment>,
    /// The scheduler is gone.
    is_closed: Cell<bool>,
}

impl Reactor {
    /// Watches a descriptor for these events, once, in place of what it was watched for.
    #[inline]
    pub fn watch(&self, fd: RawFd, events: c_short, owner: Rc<dyn Watch>) {
        let before = self.poll_set.borrow_mut().set(fd, events, owner);
        if let Some(before) = before {
            self.replace(before, fd);
        }
    }

    /// The entry had an owner: the same, or one that was closed behind the library's back.
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

    /// Watches the descriptor no more.
    pub fn unwatch(&self, fd: RawFd) {
        let owner = self.poll_set.borrow_mut().remove(fd);
        drop(owner); // nothing is borrowed: a watch may be the last owner of a file
    }

    /// Whether the poll set has an entry that is hidden, or one that is not.
    pub fn is_watching(&self, is_hidden: bool) -> bool {
        let set = self.poll_set.borrow();
        let mut owners = set.owners.iter().flatten();
        owners.any(|owner| owner.is_hidden() == is_hidden)
    }

    /// Asks poll(2), and calls the owners of the entries that it has answered.
    pub fn ask(&self, wait: Wait) -> io::Result<()> {
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
            // No entry moves while an owner is called: what it registers takes its own place, or a
            // new one.
            let answer = self.poll_set.borrow_mut().next_answer(&mut place);
            match answer {
                Some((Some(owner), revents)) => owner.on_ready(revents),
                Some((None, _)) => {} // an owner that was called before has closed this one
                None => break,
            }
            answers -= 1;
        }
        Ok(())
    }

    /// The task can go on, in this turn if one is running.
    #[inline]
    pub fn wake(&self, key: Key) {
        self.ready.borrow_mut().push_back(key);
    }

    /// The front of a queue can go on, if anybody waits.
    #[inline]
    pub fn wake_front(&self, queue: &WaitList) {
        if let Some(front) = queue.front {
            self.wake(front);
        }
    }

    /// The tasks' wait is over: they go on before all others, in this turn if one is running.
    #[cold]
    pub fn wake_first(&self, keys: &[Key]) {
        let mut ready = self.ready.borrow_mut();
        keys.iter().rev().for_each(|key| ready.push_front(*key));
        self.urgent.set(self.urgent.get() + keys.len());
    }

    /// The task can go on, but others first.
    pub fn wake_later(&self, key: Key) {
        self.later.borrow_mut().push(key);
    }

    /// The next task to be advanced.
    #[inline]
    pub fn next_ready(&self) -> Option<Key> {
        let next = self.ready.borrow_mut().pop_front();
        self.urgent.set(self.urgent.get().saturating_sub(1));
        next
    }

    /// Whether the next task to be advanced waits on what was closed.
    #[inline]
    pub fn is_urgent(&self) -> bool {
        self.urgent.get() > 0
    }

    /// A turn begins. Returns the time.
    #[inline]
    pub fn begin_turn(&self) -> Moment {
        let now = self.now();
        self.turn_began.set(now);
        self.turns.set(self.turns.get() + 1);
        now
    }

    /// The tasks that had their share of the last turn are ready again. Returns how many tasks are.
    #[inline]
    pub fn wake_sharers(&self) -> usize {
        let (mut ready, mut later) = (self.ready.borrow_mut(), self.later.borrow_mut());
        if !later.is_empty() {
            later.drain(..).for_each(|key| ready.push_back(key));
        }
        ready.len()
    }

    /// A task can be advanced or dropped without waiting. (A failure alone is no work: while `join`
    /// keeps it for the next drive, nothing is to be done about it.)
    pub fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.later.borrow().is_empty() || self.has_cancelled()
    }

    /// The drive ends after this advance.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the drive ends. It was asked to once.
    pub fn take_stop(&self) -> bool {
        self.is_stopping() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// The present moment, read afresh if a body or poll(2) has run since it was read: a deadline
    /// that begins now is never early.
    #[inline]
    pub fn now(&self) -> Moment {
        if self.clock.get() == Moment::ZERO {
            self.clock.set(clock::now());
        }
        self.clock.get()
    }

    /// User code runs, for who knows how long.
    #[inline]
    pub fn forget_time(&self) {
        self.clock.set(Moment::ZERO);
    }

    /// The scheduler is gone, and with it all that was watched.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The scheduler is gone: files and handles that still have this reactor reach nobody. Nothing
    /// of the user's is left in it.
    pub fn close(&self) {
        self.is_closed.set(true);
        drop(self.poll_set.take());
        self.drop_notes();
        drop(self.kept.take());
        self.ready.take();
        self.later.take();
    }
}

/// Where a watch lies: two handles to one have the same.
fn address(watch: &Rc<dyn Watch>) -> *const u8 {
    Rc::as_ptr(watch).cast()
}
