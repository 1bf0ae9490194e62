//! Tasks that wait for the same thing, in the order they came. Entering and leaving cost the same
//! however long the list is.
//!
//! Almost every list has one task only, so the key of the front task lies in the list itself. The
//! tasks behind it are the nodes of a doubly linked list, which lie in one vector. The node of a
//! task that leaves is used again.
//!
//! ```text
//!   front ─► node ◄─► node ◄─► node
//! ```

use crate::task_table::Key;

/// A task's place in a wait list. To leave the list, the task gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

impl Ticket {
    /// The ticket of a task that is not in the list.
    pub const NONE: Ticket = Ticket(u32::MAX);
    /// The ticket of a task that entered an empty list. Such a task has no node.
    const ALONE: Ticket = Ticket(u32::MAX - 1);
}

/// The index that stands for "no node".
const END: u32 = u32::MAX;

/// The list of tasks: the key of the front task, and the tasks behind it.
#[derive(Debug, Default)]
pub(crate) struct WaitList {
    /// The front of the queue. None if the list is empty.
    pub front: Option<Key>,
    behind: Option<Box<Behind>>,
}

/// The part of the list after the front task.
#[derive(Debug)]
struct Behind {
    nodes: Vec<Node>,
    /// The node of the front task, which stays in use until the task leaves. END if the front task
    /// entered an empty list, because then it has no node.
    front: u32,
    /// The first and the last node in the queue. The front task is not among them.
    first: u32,
    last: u32,
    /// The first free node. Free nodes are linked by `next`.
    free: u32,
}

#[derive(Debug)]
struct Node {
    key: Key,
    before: u32,
    next: u32,
}

impl WaitList {
    pub const fn new() -> WaitList {
        WaitList {
            front: None,
            behind: None,
        }
    }

    /// Puts the task at the back of the list. The same task may enter more than once, and leaves
    /// each place with the ticket of that place.
    #[inline]
    pub fn enter(&mut self, key: Key) -> Ticket {
        if self.front.is_none() {
            self.front = Some(key);
            return Ticket::ALONE;
        }
        self.enter_behind(key)
    }

    #[cold]
    fn enter_behind(&mut self, key: Key) -> Ticket {
        let behind = self.behind.get_or_insert_with(|| {
            Box::new(Behind {
                nodes: Vec::new(),
                front: END,
                first: END,
                last: END,
                free: END,
            })
        });
        let node = Node {
            key,
            before: behind.last,
            next: END,
        };
        let place = match behind.free {
            END => {
                behind.nodes.push(node);
                behind.nodes.len() as u32 - 1
            }
            free => {
                behind.free = behind.nodes[free as usize].next;
                behind.nodes[free as usize] = node;
                free
            }
        };
        match behind.last {
            END => behind.first = place,
            last => behind.nodes[last as usize].next = place,
        }
        behind.last = place;
        Ticket(place)
    }

    /// Takes the ticket's task out of the list. Returns true if that task was the front: the task
    /// behind it, if there is one, is the front now.
    #[inline]
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        match &mut self.behind {
            None => {
                self.front = None;
                true
            }
            Some(_) => self.leave_behind(ticket),
        }
    }

    #[cold]
    fn leave_behind(&mut self, ticket: Ticket) -> bool {
        let behind = match &mut self.behind {
            Some(behind) => behind,
            None => unreachable!("looked at above"),
        };
        let own = if ticket == Ticket::ALONE {
            END
        } else {
            ticket.0
        };
        let was_front = own == behind.front;
        if !was_front {
            behind.unlink(own);
        }
        if own != END {
            behind.nodes[own as usize].next = behind.free;
            behind.free = own;
        }
        if was_front {
            let next = behind.first;
            self.front = behind.nodes.get(next as usize).map(|node| node.key);
            behind.front = next;
            if next != END {
                behind.unlink(next);
            }
        }
        if behind.first == END && behind.front == END {
            self.behind = None; // no ticket refers to a node
        }
        was_front
    }

    /// Calls `f` for all tasks, the front first.
    pub fn for_each(&self, f: &mut dyn FnMut(Key)) {
        self.front.into_iter().for_each(&mut *f);
        if let Some(behind) = &self.behind {
            let mut place = behind.first;
            while let Some(node) = behind.nodes.get(place as usize) {
                f(node.key);
                place = node.next;
            }
        }
    }
}

#[cfg(any(test, fuzzing))]
impl WaitList {
    /// For the simulation: all tasks.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.for_each(&mut |key| keys.push(key));
        keys
    }
}

impl Behind {
    /// Takes a node out of the queue.
    fn unlink(&mut self, place: u32) {
        let Node { before, next, .. } = self.nodes[place as usize];
        match before {
            END => self.first = next,
            before => self.nodes[before as usize].next = next,
        }
        match next {
            END => self.last = before,
            next => self.nodes[next as usize].before = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn key(index: u32) -> Key {
        Key {
            index,
            generation: NonZeroU32::new(1).unwrap(),
        }
    }

    proptest! {
        /// Compares the list with the naive way, a vector that is searched.
        #[test]
        fn the_list_agrees_with_a_search(steps in proptest::collection::vec((0u8..5, 0usize..8), 0..200)) {
            let mut list = WaitList::new();
            let mut naive: Vec<(Ticket, Key)> = Vec::new();
            let mut next = 0;
            for (what, which) in steps {
                if what < 2 || naive.is_empty() {
                    next += 1;
                    let ticket = list.enter(key(next));
                    prop_assert!(naive.iter().all(|(other, _)| *other != ticket), "a ticket is one task's");
                    naive.push((ticket, key(next)));
                } else {
                    let place = which % naive.len();
                    let (ticket, _) = naive.remove(place);
                    prop_assert_eq!(list.leave(ticket), place == 0);
                }
                let expected: Vec<Key> = naive.iter().map(|(_, key)| *key).collect();
                prop_assert_eq!(list.front, expected.first().copied());
                prop_assert_eq!(list.keys(), expected);
            }
        }
    }

    #[test]
    fn the_ticket_of_a_task_that_is_alone_is_not_that_of_no_task() {
        let mut list = WaitList::new();
        let alone = list.enter(key(0));
        assert_ne!(alone, Ticket::NONE);
        assert_ne!(list.enter(key(1)), alone);
    }

    #[test]
    fn places_that_were_left_are_used_again() {
        let mut list = WaitList::new();
        list.enter(key(0));
        let mut before = list.enter(key(1));
        for n in 2..1000 {
            let next = list.enter(key(n));
            list.leave(before);
            before = next;
        }
        assert_eq!(list.behind.as_ref().unwrap().nodes.len(), 2);
    }
}
