//! What files, handles and running tasks leave for the scheduler: who is ready, who is cancelled, what failed.
//!
//! A task's body may close a file, cancel a task or drop a handle while the scheduler is in the middle of a
//! turn. None of these reaches into the scheduler; each leaves a note here, and the turn reads it at a point
//! where nothing is borrowed. Every scheduler has one inbox; a file knows the inbox of those who wait on it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU32;
use std::rc::Weak;

use crate::descriptor::Descriptor;
use crate::error::TaskError;
use crate::poll_set::PollSet;

/// Names a task of one scheduler. A slot is used again, a generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub index: u32,
    pub generation: NonZeroU32,
}

/// A task's name, for messages and traces. Unique among the tasks of one scheduler, over its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(pub(crate) Key);

impl fmt::Display for TaskId {
    /// The number of the task's slot; a slot's second task is `3.2`, and so on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.index)?;
        match self.0.generation.get() {
            1 => Ok(()),
            generation => write!(f, ".{generation}"),
        }
    }
}

/// A queue of tasks, none of them twice. One waits almost always alone: that costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Key>,
    // Not a bare VecDeque: the box keeps the usual case, nobody else, at one word in each direction of each file.
    #[allow(clippy::box_collection)]
    others: Option<Box<VecDeque<Key>>>,
}

impl Waiters {
    pub fn front(&self) -> Option<Key> {
        self.first
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Joins the queue at its end, unless it is in it.
    pub fn enter(&mut self, key: Key) {
        if self.first.is_none() {
            self.first = Some(key);
        } else if !self.contains(key) {
            self.others.get_or_insert_with(Box::default).push_back(key);
        }
    }

    /// Leaves the queue. True if it stood at the front.
    pub fn leave(&mut self, key: Key) -> bool {
        if self.first == Some(key) {
            self.first = self.others.as_mut().and_then(|others| others.pop_front());
            return true;
        }
        if let Some(others) = &mut self.others {
            others.retain(|other| *other != key);
        }
        false
    }

    pub fn contains(&self, key: Key) -> bool {
        self.iter().any(|other| other == key)
    }

    pub fn iter(&self) -> impl Iterator<Item = Key> + '_ {
        self.first.into_iter().chain(self.others.iter().flat_map(|others| others.iter().copied()))
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// To be advanced in this turn, in this order.
    ready: RefCell<VecDeque<Key>>,
    /// To be advanced in the next turn: they had their share of this one.
    later: RefCell<VecDeque<Key>>,
    /// To be dropped before another task is resumed.
    cancelled: RefCell<Vec<Key>>,
    /// Failures that nobody holds a handle for, to come out of the next drive.
    failures: RefCell<VecDeque<TaskError>>,
    /// The generation of each slot's present or next task.
    generations: RefCell<Vec<NonZeroU32>>,
    /// Who waits for a task's end.
    joiners: RefCell<HashMap<Key, Waiters>>,
    /// What poll(2) is asked.
    pub poll_set: RefCell<PollSet<Weak<Descriptor>>>,
    /// Somebody was cancelled, or a failure was reported: looked at after each resume, so it must cost nothing.
    has_news: Cell<bool>,
    /// False once the scheduler is gone.
    open: Cell<bool>,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox {
            ready: RefCell::default(),
            later: RefCell::default(),
            cancelled: RefCell::default(),
            failures: RefCell::default(),
            generations: RefCell::default(),
            joiners: RefCell::default(),
            poll_set: RefCell::new(PollSet::new()),
            has_news: Cell::new(false),
            open: Cell::new(true),
        }
    }

    /// The task can go on, in this turn if one is running.
    pub fn wake(&self, key: Key) {
        self.ready.borrow_mut().push_back(key);
    }

    /// The task can go on, before all others that can.
    pub fn wake_first(&self, key: Key) {
        self.ready.borrow_mut().push_front(key);
    }

    /// The task can go on, but others first.
    pub fn wake_later(&self, key: Key) {
        self.later.borrow_mut().push_back(key);
    }

    /// The next task to be advanced, if it is still alive.
    pub fn next_ready(&self) -> Option<Key> {
        let mut ready = self.ready.borrow_mut();
        loop {
            match ready.pop_front() {
                Some(key) if !self.is_alive(key) => {}
                next => return next,
            }
        }
    }

    /// A turn begins: those who had their share of the last one count again. How many are ready.
    pub fn begin_turn(&self) -> usize {
        let mut ready = self.ready.borrow_mut();
        ready.extend(self.later.borrow_mut().drain(..));
        ready.len()
    }

    /// A task can be advanced or dropped without waiting.
    pub fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.later.borrow().is_empty() || self.has_news()
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
        let mut generations = self.generations.borrow_mut();
        if generations.len() <= index as usize {
            generations.push(NonZeroU32::new(1).expect("1 is not 0"));
        }
        Key { index, generation: generations[index as usize] }
    }

    pub fn is_alive(&self, key: Key) -> bool {
        self.open.get() && self.generations.borrow().get(key.index as usize) == Some(&key.generation)
    }

    /// The present task of this slot.
    pub fn key_at(&self, index: u32) -> Key {
        Key { index, generation: self.generations.borrow()[index as usize] }
    }

    /// The task has ended: its key means nobody from here on, and who waited for its end is ready.
    pub fn retire(&self, key: Key) {
        let next = key.generation.get().wrapping_add(1).max(1);
        self.generations.borrow_mut()[key.index as usize] = NonZeroU32::new(next).expect("at least 1");
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

    /// The scheduler is gone: whoever still has this inbox talks to nobody.
    pub fn close(&self) {
        self.open.set(false);
    }
}
