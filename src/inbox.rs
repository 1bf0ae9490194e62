//! What files, handles and running tasks leave for the scheduler: who is ready, who is cancelled, what failed.
//!
//! A task's body may close a file, cancel a task or drop a handle while the scheduler is in the middle of a
//! turn. None of these reaches into the scheduler; each leaves a note here, and the turn reads it at a point
//! where nothing is borrowed. Every scheduler has one inbox; a file knows the inbox of those who wait on it.

#[cfg(any(test, fuzzing))]
mod invariants;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::io::RawFd;
use std::rc::Weak;
use std::sync::Arc;

use libc::c_short;

use crate::descriptor::Descriptor;
use crate::error::TaskError;
use crate::key::{fresh_number, Key};
use crate::poll_set::PollSet;
use crate::waiters::Waiters;
use crate::wake::Wake;

/// Whose an entry of the poll set is.
pub(crate) enum Watched {
    File(Weak<Descriptor>),
    /// The scheduler's own: the wake pipe.
    Wake,
}

/// See the head of this file.
pub(crate) struct Inbox {
    /// To be advanced in this turn, in this order.
    ready: RefCell<VecDeque<Key>>,
    /// To be advanced before those, and in any case in this turn: what they wait on was closed.
    urgent: RefCell<VecDeque<Key>>,
    /// To be advanced in the next turn: they had their share of this one.
    later: RefCell<VecDeque<Key>>,
    /// To be dropped before another task is resumed.
    cancelled: RefCell<Vec<Key>>,
    /// Failures that nobody holds a handle for, to come out of the next drive.
    failures: RefCell<VecDeque<TaskError>>,
    /// The number of each slot's present or next task.
    numbers: RefCell<Vec<NonZeroU32>>,
    /// Who waits for a task's end.
    joiners: RefCell<HashMap<Key, Waiters>>,
    /// Who waits for a child's exit while others have this stdin of it: to be advanced when they have let go.
    stdins: RefCell<Vec<(Key, Weak<Descriptor>)>>,
    /// What poll(2) is asked.
    pub poll_set: RefCell<PollSet<Watched>>,
    /// Somebody was cancelled, or a failure was reported: looked at after each resume, so it must cost nothing.
    has_news: Cell<bool>,
    /// How other threads wake the scheduler. Made when it is first needed.
    wake: RefCell<Option<Arc<Wake>>>,
    /// Whether it is made: looked at after each resume.
    has_wake: Cell<bool>,
    /// Somebody closed the wake pipe behind our back.
    is_wake_lost: Cell<bool>,
    /// How many operations wait for other threads.
    listeners: Cell<usize>,
    /// False once the scheduler is gone.
    open: Cell<bool>,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox {
            ready: RefCell::default(),
            urgent: RefCell::default(),
            later: RefCell::default(),
            cancelled: RefCell::default(),
            failures: RefCell::default(),
            numbers: RefCell::default(),
            joiners: RefCell::default(),
            stdins: RefCell::default(),
            poll_set: RefCell::new(PollSet::new()),
            has_news: Cell::new(false),
            wake: RefCell::default(),
            has_wake: Cell::new(false),
            is_wake_lost: Cell::new(false),
            listeners: Cell::new(0),
            open: Cell::new(true),
        }
    }

    /// The task can go on, in this turn if one is running.
    pub fn wake(&self, key: Key) {
        self.ready.borrow_mut().push_back(key);
    }

    /// The task's wait is over: it goes on before all others that can, in this turn if one is running.
    pub fn wake_urgently(&self, key: Key) {
        self.urgent.borrow_mut().push_back(key);
    }

    /// The task can go on, but others first.
    pub fn wake_later(&self, key: Key) {
        self.later.borrow_mut().push_back(key);
    }

    /// The next task to be advanced before all others.
    pub fn next_urgent(&self) -> Option<Key> {
        self.next_of(&self.urgent)
    }

    /// The next task to be advanced.
    pub fn next_ready(&self) -> Option<Key> {
        self.next_of(&self.ready)
    }

    /// The first that is still alive.
    fn next_of(&self, queue: &RefCell<VecDeque<Key>>) -> Option<Key> {
        let mut queue = queue.borrow_mut();
        loop {
            match queue.pop_front() {
                Some(key) if !self.is_alive(key) => {}
                next => return next,
            }
        }
    }

    /// A turn begins: those who had their share of the last one count again. How many are ready.
    pub fn begin_turn(&self) -> usize {
        if self.has_stdins() {
            self.let_go().into_iter().for_each(|key| self.wake(key));
        }
        let mut ready = self.ready.borrow_mut();
        ready.extend(self.later.borrow_mut().drain(..));
        ready.len()
    }

    /// A task can be advanced or dropped without waiting.
    pub fn has_work(&self) -> bool {
        // A failure alone is none: while `join` keeps it for the next drive, nothing is to be done about it.
        !self.ready.borrow().is_empty()
            || !self.urgent.borrow().is_empty()
            || !self.later.borrow().is_empty()
            || (self.has_news() && !self.cancelled.borrow().is_empty())
            || (self.has_stdins() && !self.let_go().is_empty())
            || self.is_woken()
    }

    pub fn cancel(&self, key: Key) {
        if self.is_alive(key) {
            self.cancelled.borrow_mut().push(key);
            self.has_news.set(true);
        }
    }

    pub fn next_cancelled(&self) -> Option<Key> {
        if !self.has_news.get() {
            return None;
        }
        let next = self.cancelled.borrow_mut().pop();
        if next.is_none() {
            self.has_news.set(!self.failures.borrow().is_empty());
        }
        next
    }

    /// Somebody was cancelled or has failed since the scheduler last looked.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.has_news.get()
    }

    /// Nobody will look at this failure: it comes out of the next drive.
    pub fn report(&self, failure: TaskError) {
        if self.open.get() {
            self.failures.borrow_mut().push_back(failure);
            self.has_news.set(true);
        }
    }

    pub fn has_failures(&self) -> bool {
        self.has_news() && !self.failures.borrow().is_empty()
    }

    pub fn next_failure(&self) -> Option<TaskError> {
        self.failures.borrow_mut().pop_front()
    }

    /// The key of a new task in this slot.
    pub fn name(&self, index: u32) -> Key {
        let mut numbers = self.numbers.borrow_mut();
        if numbers.len() <= index as usize {
            numbers.push(fresh_number());
        }
        Key { index, number: numbers[index as usize] }
    }

    pub fn is_alive(&self, key: Key) -> bool {
        self.open.get() && self.numbers.borrow().get(key.index as usize) == Some(&key.number)
    }

    /// The present task of this slot.
    pub fn key_at(&self, index: u32) -> Key {
        Key { index, number: self.numbers.borrow()[index as usize] }
    }

    /// The task has ended: its key means nobody from here on, and who waited for its end is ready.
    pub fn retire(&self, key: Key) {
        self.numbers.borrow_mut()[key.index as usize] = fresh_number();
        let joiners = {
            let mut table = self.joiners.borrow_mut();
            if table.is_empty() {
                None
            } else {
                table.remove(&key)
            }
        };
        for joiner in joiners.iter().flat_map(Waiters::iter) {
            self.wake(joiner);
        }
    }

    /// `key` waits for the end of `target`.
    pub fn enter_join(&self, target: Key, key: Key) {
        self.joiners.borrow_mut().entry(target).or_default().enter(key);
    }

    pub fn leave_join(&self, target: Key, key: Key) {
        let mut table = self.joiners.borrow_mut();
        if let Some(waiters) = table.get_mut(&target) {
            waiters.leave(key);
            if waiters.is_empty() {
                table.remove(&target);
            }
        }
    }

    /// `key` waits until this is its children's alone. Only code of this thread can let go of it, so to look before each sleep is to
    /// look often enough.
    pub fn enter_stdin(&self, key: Key, stdin: Weak<Descriptor>) {
        self.stdins.borrow_mut().push((key, stdin));
    }

    #[inline]
    fn has_stdins(&self) -> bool {
        !self.stdins.borrow().is_empty()
    }

    /// Whose stdin is theirs alone by now.
    #[cold]
    fn let_go(&self) -> Vec<Key> {
        let stdins = self.stdins.borrow();
        stdins.iter().filter(|(_, stdin)| Descriptor::is_let_go(stdin)).map(|(key, _)| *key).collect()
    }

    pub fn leave_stdin(&self, key: Key, stdin: &Weak<Descriptor>) {
        self.stdins.borrow_mut().retain(|(other, others)| *other != key || !others.ptr_eq(stdin));
    }

    /// How other threads wake the scheduler.
    pub fn wake_handle(&self) -> io::Result<Arc<Wake>> {
        let mut wake = self.wake.borrow_mut();
        if wake.is_none() {
            *wake = Some(Arc::new(Wake::new()?));
            self.has_wake.set(true);
        }
        Ok(Arc::clone(wake.as_ref().expect("made above")))
    }

    /// An operation waits for other threads: from now on nothing is stalled.
    pub fn add_listener(&self) {
        self.listeners.set(self.listeners.get() + 1);
        self.watch_wake();
    }

    pub fn remove_listener(&self) {
        self.listeners.set(self.listeners.get() - 1);
        self.watch_wake();
    }

    /// Has poll(2) watch the wake pipe while somebody could write into it.
    pub fn watch_wake(&self) {
        if let Some(wake) = &*self.wake.borrow() {
            let is_wanted = (self.listeners.get() > 0 || wake.has_remotes()) && !self.is_wake_lost.get();
            let is_watched = matches!(self.poll_set.borrow().owner(wake.fd()), Some(Watched::Wake));
            if is_wanted && !is_watched {
                self.supersede(wake.fd());
                self.poll_set.borrow_mut().set(wake.fd(), libc::POLLIN, Watched::Wake);
            } else if is_watched && !is_wanted {
                self.poll_set.borrow_mut().remove(wake.fd());
            }
        }
    }

    /// The number is a newcomer's, so whoever is still watched under it was closed behind our back.
    pub fn supersede(&self, fd: RawFd) {
        let other = match self.poll_set.borrow().owner(fd) {
            Some(Watched::File(file)) => file.upgrade(),
            Some(Watched::Wake) => return self.lose_wake(fd),
            None => None,
        };
        if let Some(other) = other {
            other.lose();
        }
    }

    /// One of the wake pipe's ends was closed behind our back. As for a file: an error, once, instead of a loop that spins. Wakes count
    /// as long as something else ends the scheduler's sleep.
    fn lose_wake(&self, fd: RawFd) {
        if !self.is_wake_lost.replace(true) {
            self.wake.borrow().iter().for_each(|wake| wake.lose());
            let error = io::Error::from_raw_os_error(libc::EBADF);
            self.report(TaskError::Failed(crate::error::named("wake", fd, error)));
        }
    }

    /// A turn begins, or looks around once more. Whether others have left something since: the tasks that they woke are ready.
    pub fn hear(&self) -> bool {
        match &*self.wake.borrow() {
            Some(wake) if wake.begin_turn() => wake.take_tasks(|key| self.wake(key)),
            _ => return false,
        }
        self.watch_wake(); // the last Remote may be gone
        true
    }

    /// The turn ends: whoever leaves something from here on writes into the wake pipe.
    pub fn end_turn(&self) {
        if let Some(wake) = &*self.wake.borrow() {
            wake.end_turn();
        }
    }

    /// Others have left something.
    pub fn is_woken(&self) -> bool {
        self.wake.borrow().as_ref().map_or(false, |wake| wake.is_woken())
    }

    /// The drive under way is to end.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.has_wake.get() && self.wake.borrow().as_ref().map_or(false, |wake| wake.is_stopping())
    }

    /// The drive under way is to end, and does.
    pub fn take_stop(&self) -> bool {
        self.wake.borrow().as_ref().map_or(false, |wake| wake.take_stop())
    }

    /// poll(2) said this of an entry.
    pub fn said(&self, fd: RawFd, watched: &Watched, revents: c_short) {
        match watched {
            Watched::File(file) => file.upgrade().iter().for_each(|file| file.said(revents)),
            // A pipe's NVAL is true everywhere; only devices have a false one (Darwin).
            Watched::Wake if revents & (libc::POLLNVAL | libc::POLLHUP | libc::POLLERR) != 0 => self.lose_wake(fd),
            Watched::Wake => {
                let is_ours = self.wake.borrow().as_ref().map_or(true, |wake| wake.drain());
                if !is_ours {
                    self.lose_wake(fd);
                }
            }
        }
    }

    /// The scheduler is gone: whoever still has this inbox (a file, a handle) talks to nobody, and keeps no wake pipe.
    pub fn close(&self) {
        self.open.set(false);
        self.has_wake.set(false);
        drop(self.wake.take());
    }
}
