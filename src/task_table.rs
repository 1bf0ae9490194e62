//! The table of tasks. A key names a slot of the table, and a generation, which tells the
//! successive tasks of the slot apart.
//!
//! A key that outlives its task names no task. Wait lists, the ready queue and the heap of
//! deadlines may hold such keys, and the table finds no task for them.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;

/// The name of a task: its slot in the scheduler's table, and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub index: u32,
    /// The generation. No two tasks of a thread have the same one, not even in different
    /// schedulers.
    pub generation: NonZeroU32,
}

thread_local! {
    static NEXT_GENERATION: Cell<NonZeroU32> = const { Cell::new(FIRST) };
}

/// A generation comes again after 4 billion tasks. A key that was kept for so long then names the
/// new task of its generation, if that task is in the same slot.
const FIRST: NonZeroU32 = match NonZeroU32::new(1) {
    Some(one) => one,
    None => unreachable!(),
};

#[inline]
fn next_generation() -> NonZeroU32 {
    let advance = |next: &Cell<NonZeroU32>| {
        next.replace(NonZeroU32::new(next.get().get().wrapping_add(1)).unwrap_or(FIRST))
    };
    NEXT_GENERATION.try_with(advance).unwrap_or(FIRST) // at the end of the thread
}

/// A task's name, for messages and traces: a number that no other task of the thread has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(pub(crate) Key);

impl TaskId {
    /// The name that is no task's: see [`Trace::task`](crate::Trace::task).
    pub const NONE: TaskId = TaskId(Key {
        index: u32::MAX, // so many tasks do not fit into memory
        generation: FIRST,
    });
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == TaskId::NONE {
            return f.write_str("none");
        }
        self.0.generation.fmt(f)
    }
}

/// The part of a task that the table needs: its key.
pub(crate) trait Keyed {
    fn key(&self) -> Key;
}

/// The tasks of a scheduler, each in the slot that its key names.
pub(crate) struct TaskTable<T> {
    /// The task in each slot. None in a free slot, and while the task is advanced.
    slots: Vec<Option<T>>,
    /// Slots of tasks that have ended, to be used again.
    free: Vec<u32>,
}

impl<T: Keyed> TaskTable<T> {
    pub const fn new() -> TaskTable<T> {
        TaskTable {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Reserves a slot for a new task. Returns the key that names the task from here on.
    #[inline]
    pub fn reserve(&mut self) -> Key {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow(),
        };
        Key {
            index,
            generation: next_generation(),
        }
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        self.slots.push(None);
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 tasks fit into memory")
    }

    #[inline]
    pub fn put(&mut self, task: T) {
        let index = task.key().index as usize;
        self.slots[index] = Some(task);
    }

    /// Takes the task out of its slot. None if the task has ended, or is taken already.
    #[inline]
    pub fn take(&mut self, key: Key) -> Option<T> {
        match &mut self.slots[key.index as usize] {
            Some(task) if task.key() != key => None,
            slot => slot.take(),
        }
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots[key.index as usize]
            .as_mut()
            .filter(|task| task.key() == key)
    }

    /// Frees the slot of a task that has ended. The task was taken out of the slot before.
    #[inline]
    pub fn free(&mut self, key: Key) {
        self.free.push(key.index);
    }

    /// The tasks that are not taken, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// For the simulation: fails unless each slot is used or free.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self) {
        for (slot, index) in self.slots.iter().zip(0..) {
            let times_free = self.free.iter().filter(|free| **free == index).count();
            assert_eq!(
                times_free,
                usize::from(slot.is_none()),
                "slot {index}: free or used"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Keyed for Key {
        fn key(&self) -> Key {
            *self
        }
    }

    #[test]
    fn a_key_names_nobody_after_its_task_has_ended() {
        let mut table = TaskTable::new();
        let key = table.reserve();
        table.put(key);
        assert_eq!(table.take(key), Some(key));
        table.free(key);
        let next = table.reserve();
        table.put(next);
        assert_eq!(next.index, key.index);
        assert_eq!((table.take(key), table.get_mut(key)), (None, None));
        assert_eq!(table.get_mut(next).copied(), Some(next));
        assert!(table.iter().eq([&next]));
        assert_eq!(table.take(next), Some(next));
    }

    #[test]
    fn a_task_is_printed_as_its_generation_and_no_task_as_none() {
        let key = Key {
            index: 3,
            generation: NonZeroU32::new(42).unwrap(),
        };
        assert_eq!(TaskId(key).to_string(), "42");
        assert_eq!(TaskId::NONE.to_string(), "none");
    }

    #[test]
    #[should_panic(expected = "slot 1: free or used")]
    fn a_slot_that_is_neither_free_nor_used_fails_the_check() {
        let mut table = TaskTable::new();
        let (used, lost) = (table.reserve(), table.reserve());
        table.put(used);
        table.put(lost);
        let ended = table.reserve();
        table.free(ended);
        table.check();
        table.take(lost);
        table.check();
    }
}
