//! Who waits until when: a binary heap in which each waiter knows its place, so that a deadline can be moved or
//! taken out in O(log n), and nothing is allocated once it has grown.
//!
//! It knows nothing of tasks: a waiter is a small number.

use std::time::Instant;

/// No place in the heap.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// The parent of `i` is `(i - 1) / 2`, and never later than it.
    heap: Vec<(Instant, u32)>,
    /// Where each waiter's deadline is in the heap.
    places: Vec<u32>,
}

impl Deadlines {
    /// The earliest deadline.
    pub fn first(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The waiter's deadline, in place of the one it had.
    pub fn set(&mut self, waiter: u32, at: Option<Instant>) {
        match (self.place(waiter), at) {
            (None, None) => {}
            (Some(place), None) => self.remove_at(place),
            (None, Some(at)) => {
                let index = waiter as usize;
                if self.places.len() <= index {
                    self.places.resize(index + 1, NOWHERE);
                }
                self.heap.push((at, waiter));
                self.up(self.heap.len() - 1);
            }
            (Some(place), Some(at)) => {
                let earlier = at < self.heap[place].0;
                self.heap[place].0 = at;
                if earlier {
                    self.up(place);
                } else {
                    self.down(place);
                }
            }
        }
    }

    /// Takes out a waiter whose deadline is not after `now`, the earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        match self.heap.first() {
            Some(&(at, waiter)) if at <= now => {
                self.remove_at(0);
                Some(waiter)
            }
            _ => None,
        }
    }

    /// For the simulation: whether it has a deadline.
    #[cfg(any(test, fuzzing))]
    pub fn contains(&self, waiter: u32) -> bool {
        self.place(waiter).is_some()
    }

    /// For the simulation: fails unless each waiter knows its place, and no parent is later than its child.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self) {
        for (place, &(at, waiter)) in self.heap.iter().enumerate() {
            assert_eq!(self.place(waiter), Some(place), "waiter {waiter} does not know its place");
            assert!(place == 0 || self.heap[(place - 1) / 2].0 <= at, "a later parent");
        }
        let places = self.places.iter().filter(|place| **place != NOWHERE).count();
        assert_eq!(places, self.heap.len(), "who thinks that it has a deadline");
    }

    fn place(&self, waiter: u32) -> Option<usize> {
        match self.places.get(waiter as usize) {
            Some(&place) if place != NOWHERE => Some(place as usize),
            _ => None,
        }
    }

    fn remove_at(&mut self, place: usize) {
        let (_, waiter) = self.heap.swap_remove(place);
        self.places[waiter as usize] = NOWHERE;
        if place < self.heap.len() {
            // The one that took its place came from the bottom of perhaps another branch: it may go either way.
            self.up(place);
            self.down(place);
        }
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 && self.heap[place].0 < self.heap[(place - 1) / 2].0 {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        self.settle(place);
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            if left >= self.heap.len() {
                break;
            }
            let earlier = if right < self.heap.len() && self.heap[right].0 < self.heap[left].0 { right } else { left };
            if self.heap[place].0 <= self.heap[earlier].0 {
                break;
            }
            self.swap(place, earlier);
            place = earlier;
        }
        self.settle(place);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.settle(a);
        self.settle(b);
    }

    fn settle(&mut self, place: usize) {
        self.places[self.heap[place].1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        /// Against the naive way: a map that is searched for its least value.
        #[test]
        fn the_heap_agrees_with_a_search(steps in proptest::collection::vec((0u32..12, 0u64..20, 0u8..4), 0..200)) {
            let zero = Instant::now();
            let mut heap = Deadlines::default();
            let mut naive: BTreeMap<u32, Instant> = BTreeMap::new();
            for (waiter, offset, what) in steps {
                let at = zero + Duration::from_millis(offset);
                match what {
                    0 | 1 => {
                        heap.set(waiter, Some(at));
                        naive.insert(waiter, at);
                    }
                    2 => {
                        heap.set(waiter, None);
                        naive.remove(&waiter);
                    }
                    _ => {
                        while let Some(due) = heap.pop_due(at) {
                            let when = naive.remove(&due).expect("due once");
                            prop_assert!(when <= at);
                            prop_assert!(naive.values().all(|other| *other >= when), "earliest first");
                        }
                        prop_assert!(naive.values().all(|other| *other > at), "all that were due");
                    }
                }
                prop_assert_eq!(heap.first(), naive.values().min().copied());
                prop_assert_eq!(heap.is_empty(), naive.is_empty());
            }
        }
    }
}
