//! Notes for the scheduler: tasks that were cancelled, failures that no handle takes, and whether
//! there is an observer. A body may leave a note in the middle of a turn. The turn reads the notes
//! where nothing is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::Reactor;
use crate::error::TaskError;
use crate::task_table::Key;

/// The notes of a reactor: see the head of this file.
#[derive(Default)]
pub(super) struct Notes {
    /// The tasks to be dropped before another task is resumed.
    pub(super) cancelled: RefCell<Vec<Key>>,
    /// The failures that no handle takes, each with its task. None stands for a failure that
    /// belongs to no task.
    failures: RefCell<VecDeque<(Option<Key>, TaskError)>>,
    /// Whether there is a note. The common path looks at this flag alone.
    any: Cell<bool>,
}

impl Reactor {
    /// Marks the task as cancelled.
    pub fn cancel(&self, key: Key) {
        self.notes.cancelled.borrow_mut().push(key);
        self.notes.any.set(true);
    }

    pub fn is_cancelled(&self, key: Key) -> bool {
        self.notes.cancelled.borrow().contains(&key)
    }

    pub fn next_cancelled(&self) -> Option<Key> {
        let next = self.notes.cancelled.borrow_mut().pop();
        let has_others = self.is_observed() || !self.notes.failures.borrow().is_empty();
        self.notes.any.set(next.is_some() || has_others);
        next
    }

    /// Keeps a failure that no handle takes. It goes to `on_failure`, or comes out of the next
    /// drive. `task` is None if the failure belongs to no task.
    pub fn report(&self, task: Option<Key>, failure: TaskError) {
        if self.is_closed.get() {
            return;
        }
        self.notes.failures.borrow_mut().push_back((task, failure));
        self.notes.any.set(true);
    }

    pub fn has_failures(&self) -> bool {
        self.notes.any.get() && !self.notes.failures.borrow().is_empty()
    }

    /// Takes the next failure. If `is_a_tasks` is true, failures that belong to no task are
    /// skipped, and stay.
    pub fn next_failure(&self, is_a_tasks: bool) -> Option<(Option<Key>, TaskError)> {
        let mut failures = self.notes.failures.borrow_mut();
        let mut all = failures.iter();
        let place = all.position(|(task, _)| task.is_some() || !is_a_tasks)?;
        failures.remove(place)
    }

    /// Makes the common path check for an observer.
    pub(super) fn note_observer(&self) {
        self.notes.any.set(true);
    }

    /// Whether there is a cancelled task, a kept failure, or an observer.
    #[inline]
    pub fn has_notes(&self) -> bool {
        self.notes.any.get()
    }

    /// Whether a task is to be dropped.
    pub(super) fn has_cancelled(&self) -> bool {
        self.notes.any.get() && !self.notes.cancelled.borrow().is_empty()
    }

    /// Drops all notes, because the scheduler is gone. Nothing is borrowed meanwhile, because the
    /// drop of a failure is user code.
    pub(super) fn drop_notes(&self) {
        self.notes.any.set(false);
        drop(self.notes.failures.take());
        self.notes.cancelled.take();
    }
}
