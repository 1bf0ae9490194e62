//! The heap of deadlines: which task is due when.
//!
//! An entry stays in the heap when its task's operation ends in time, or gets a later deadline.
//! When it is popped, the scheduler checks whether its task is due. A timeout that is armed anew
//! with each read therefore costs the heap nothing, because the entry of the first read serves the
//! later reads. If most entries of the heap are entries that no task relies on, the turn drops
//! these.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::sys::clock::Moment;
use crate::task_table::Key;

#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Moment, Key)>>,
    /// How many tasks have a deadline.
    armed: usize,
}

/// The part of a deadline that lies in its task.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// When the task is due.
    at: Moment,
    /// The time of the heap entry on which the task relies; NEVER if it relies on none. While the
    /// task has a deadline, this time is not later than `at`, so the entry is popped in time.
    listed: Moment,
}

impl Deadline {
    pub const NONE: Deadline = Deadline {
        at: Moment::NEVER,
        listed: Moment::NEVER,
    };

    #[inline]
    pub fn at(&self) -> Moment {
        self.at
    }

    #[inline]
    pub fn is_armed(&self) -> bool {
        self.at != Moment::NEVER
    }

    /// Whether the task relies on its heap entry of the time `entry`. If it does not, the heap may
    /// drop the entry. A task without a deadline relies on no entry.
    pub fn relies_on(&mut self, entry: Moment) -> bool {
        if self.listed == entry && !self.is_armed() {
            self.listed = Moment::NEVER;
        }
        self.listed == entry
    }
}

impl Deadlines {
    /// A moment that is not later than any deadline. NEVER if no task has a deadline.
    #[inline]
    pub fn first(&self) -> Moment {
        match self.heap.peek() {
            Some(Reverse((at, _))) if self.armed > 0 => *at,
            _ => Moment::NEVER,
        }
    }

    /// Gives the task this deadline, in place of the one it had.
    #[inline]
    pub fn set(&mut self, key: Key, deadline: &mut Deadline, at: Moment) {
        self.armed += usize::from(at != Moment::NEVER);
        self.armed -= usize::from(deadline.is_armed());
        deadline.at = at;
        if at < deadline.listed {
            deadline.listed = at;
            self.heap.push(Reverse((at, key)));
        }
    }

    /// Takes the earliest entry out of the heap, if its time has come. The entry may be out of
    /// date: [`is_due`](Deadlines::is_due) says whether its task is due.
    pub fn pop(&mut self, now: Moment) -> Option<(Moment, Key)> {
        match self.heap.peek() {
            Some(Reverse((at, _))) if *at <= now => self.heap.pop().map(|Reverse(entry)| entry),
            _ => None,
        }
    }

    /// Returns whether the deadline of the task has come, after its `entry` was popped. If it has
    /// come, the task has no deadline any more.
    pub fn is_due(
        &mut self,
        key: Key,
        deadline: &mut Deadline,
        entry: Moment,
        now: Moment,
    ) -> bool {
        if deadline.listed == entry {
            deadline.listed = Moment::NEVER;
        }
        let at = deadline.at;
        let is_due = at <= now;
        self.set(key, deadline, if is_due { Moment::NEVER } else { at });
        is_due
    }

    /// True if the heap has mostly entries that no task needs any more.
    pub fn are_stale(&self) -> bool {
        self.heap.len() > 2 * self.armed + 64
    }

    /// Drops the entries for which `is_needed` is false.
    #[cold]
    pub fn retain(&mut self, mut is_needed: impl FnMut(Moment, Key) -> bool) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain(|Reverse((at, key))| is_needed(*at, *key));
        self.heap = BinaryHeap::from(entries);
    }

    /// For the simulation: fails if the task relies on an entry that is not in the heap, or if its
    /// deadline has no entry, or only a later one.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self, key: Key, deadline: &Deadline) {
        assert!(
            deadline.listed <= deadline.at
                || deadline.listed == Moment::NEVER
                || !deadline.is_armed()
        );
        assert!(
            !deadline.is_armed() || deadline.listed != Moment::NEVER,
            "a deadline that is not listed"
        );
        let listed = deadline.listed;
        let is_there = self
            .heap
            .iter()
            .any(|Reverse(entry)| *entry == (listed, key));
        assert!(
            listed == Moment::NEVER || is_there,
            "a task relies on an entry that is not there"
        );
    }

    /// For the simulation: how many tasks have a deadline.
    #[cfg(any(test, fuzzing))]
    pub fn armed(&self) -> usize {
        self.armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::now;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    fn key(index: u32) -> Key {
        Key {
            index,
            generation: NonZeroU32::new(1).unwrap(),
        }
    }

    proptest! {
        /// Compares the heap with the naive way, a map that is searched for its least value.
        #[test]
        fn the_heap_agrees_with_a_search(
            steps in proptest::collection::vec((0u32..12, 0u64..20, 0u8..5), 0..200)
        ) {
            let zero = now();
            let mut heap = Deadlines::default();
            let mut own: Vec<Deadline> = (0..12).map(|_| Deadline::NONE).collect();
            let mut naive: BTreeMap<u32, Moment> = BTreeMap::new();
            for (task, offset, what) in steps {
                let at = zero.after(offset * 1_000_000);
                match what {
                    0 | 1 => {
                        heap.set(key(task), &mut own[task as usize], at);
                        naive.insert(task, at);
                    }
                    2 => {
                        heap.set(key(task), &mut own[task as usize], Moment::NEVER);
                        naive.remove(&task);
                    }
                    3 => heap.retain(|at, key| own[key.index as usize].relies_on(at)),
                    _ => {
                        while let Some((entry, due)) = heap.pop(at) {
                            if heap.is_due(due, &mut own[due.index as usize], entry, at) {
                                let when = naive.remove(&due.index).expect("due once");
                                prop_assert!(when <= at);
                            }
                        }
                        prop_assert!(naive.values().all(|other| *other > at), "all that were due");
                    }
                }
                let earliest = naive.values().min().copied().unwrap_or(Moment::NEVER);
                prop_assert!(heap.first() <= earliest);
                prop_assert_eq!(heap.armed(), naive.len());
                (0..12).for_each(|task| heap.check(key(task), &own[task as usize]));
            }
        }
    }

    #[test]
    fn a_deadline_that_is_armed_again_and_again_has_one_entry() {
        let (mut heap, mut own) = (Deadlines::default(), Deadline::NONE);
        for n in 0..1000 {
            heap.set(key(0), &mut own, now().after(1_000_000_000 + n));
            heap.set(key(0), &mut own, Moment::NEVER);
        }
        assert_eq!(heap.heap.len(), 1);
    }

    #[test]
    fn entries_are_stale_when_most_are_of_no_use_and_are_dropped_then() {
        let (mut heap, zero) = (Deadlines::default(), now());
        let mut own: Vec<Deadline> = (0..3).map(|_| Deadline::NONE).collect();
        // Each earlier deadline of a task has an entry of its own.
        for n in 1..=70 {
            let task = n as usize % 3;
            heap.set(key(n % 3), &mut own[task], zero.after(1000 - u64::from(n)));
            assert_eq!((heap.heap.len(), heap.are_stale()), (n as usize, false));
        }
        heap.set(key(0), &mut own[0], zero);
        assert!(heap.are_stale(), "71 entries of 3 tasks");
        heap.retain(|at, key| own[key.index as usize].relies_on(at));
        assert_eq!((heap.heap.len(), heap.are_stale()), (3, false));
        assert_eq!(heap.first(), zero);
    }

    #[test]
    fn a_deadline_that_is_armed_twice_for_the_same_moment_has_one_entry() {
        let (mut heap, mut own, at) = (Deadlines::default(), Deadline::NONE, now());
        heap.set(key(0), &mut own, at);
        heap.set(key(0), &mut own, at);
        assert_eq!((heap.heap.len(), heap.armed()), (1, 1));
    }

    #[test]
    #[should_panic(expected = "a task relies on an entry that is not there")]
    fn an_entry_that_is_missing_fails_the_check() {
        let (mut heap, mut own) = (Deadlines::default(), Deadline::NONE);
        heap.set(key(0), &mut own, now());
        heap.check(key(0), &own);
        heap.retain(|_, _| false);
        heap.check(key(0), &own);
    }

    #[test]
    fn the_first_moment_is_never_when_no_task_has_a_deadline() {
        let (mut deadlines, mut deadline) = (Deadlines::default(), Deadline::NONE);
        assert_eq!(deadlines.first(), Moment::NEVER);
        let at = now().after(1000);
        deadlines.set(key(0), &mut deadline, at);
        assert_eq!((deadlines.first(), deadline.at()), (at, at));
        assert!(deadline.relies_on(at) && !deadline.relies_on(at.after(1)));
        deadlines.set(key(0), &mut deadline, Moment::NEVER);
        assert_eq!(deadlines.first(), Moment::NEVER, "its entry is still there");
        assert!(!deadline.relies_on(at));
    }
}
