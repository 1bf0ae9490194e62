//! A queue of tasks: who waits for the same thing, in the order they came.

use std::collections::VecDeque;

use crate::key::Key;

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

    /// Nobody else waited before this task.
    #[inline]
    pub fn is_first(&self, key: Key) -> bool {
        self.first.map_or(true, |first| first == key)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Joins the queue at its end, unless it is in it.
    #[inline]
    pub fn enter(&mut self, key: Key) {
        if self.first.is_none() {
            self.first = Some(key);
        } else if !self.contains(key) {
            self.others.get_or_insert_with(Box::default).push_back(key);
        }
    }

    /// Leaves the queue. True if it stood at the front.
    #[inline]
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
