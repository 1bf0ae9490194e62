//! The entries that poll(2) is given, and the owner of each.
//!
//! The set is kept from turn to turn and changed in place. It is compact and has one entry for each
//! descriptor, because poll(2) refuses more entries than RLIMIT_NOFILE (EINVAL), even ones with fd
//! = -1.

use std::os::unix::io::RawFd;

use libc::{c_short, pollfd};

/// The entries, their owners, and the place of each descriptor's entry.
pub(crate) struct PollSet<O> {
    /// The array that poll(2) is given. In a foreign loop, `revents` marks the entries that were
    /// shown to that loop.
    pub entries: Vec<pollfd>,
    /// The owner of the entry at the same index. None if poll(2) has answered for the entry, or if
    /// the owner has left the entry. That owner may come back.
    pub owners: Vec<Option<O>>,
    /// For each descriptor number: 0 if it has no entry, otherwise the index of its entry, plus 1.
    /// The vector is short, because the kernel gives the lowest free number to each new descriptor.
    pub places: Vec<u32>,
    /// How many entries have owners.
    pub live: usize,
}

/// The value of `revents` in an entry that was shown to a foreign loop.
const SHOWN: c_short = 1;

impl<O> Default for PollSet<O> {
    fn default() -> PollSet<O> {
        PollSet {
            entries: Vec::new(),
            owners: Vec::new(),
            places: Vec::new(),
            live: 0,
        }
    }
}

impl<O> PollSet<O> {
    #[inline]
    pub fn place(&self, fd: RawFd) -> Option<usize> {
        match self.places.get(fd as usize) {
            Some(place) if *place > 0 => Some(*place as usize - 1),
            _ => None,
        }
    }

    pub fn owner(&self, fd: RawFd) -> Option<&O> {
        self.owners[self.place(fd)?].as_ref()
    }

    /// Gives the descriptor's entry these events and this owner. Returns the owner that the entry
    /// had.
    #[inline]
    pub fn set(&mut self, fd: RawFd, events: c_short, owner: O) -> Option<O> {
        let place = match self.place(fd) {
            Some(place) => place,
            None => {
                self.add(fd, events, owner);
                return None;
            }
        };
        let before = self.owners[place].replace(owner);
        self.entries[place].events = events;
        if before.is_none() {
            self.entries[place].revents = 0; // for this owner it was not shown to a foreign loop
            self.live += 1;
        }
        before
    }

    fn add(&mut self, fd: RawFd, events: c_short, owner: O) {
        let index = fd as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, 0);
        }
        self.entries.push(pollfd {
            fd,
            events,
            revents: 0,
        });
        self.owners.push(Some(owner));
        self.places[index] = self.entries.len() as u32;
        self.live += 1;
    }

    pub fn remove(&mut self, fd: RawFd) -> Option<O> {
        let place = self.place(fd)?;
        self.vacate(place)
    }

    #[inline]
    fn vacate(&mut self, place: usize) -> Option<O> {
        let owner = self.owners[place].take();
        self.live -= usize::from(owner.is_some());
        owner
    }

    /// Finds the next entry, from `place` on, for which poll(2) has an answer. Takes the owner out
    /// of that entry. Returns the owner and the answer.
    #[inline]
    pub fn next_answer(&mut self, place: &mut usize) -> Option<(Option<O>, c_short)> {
        let rest = self.entries.get_mut(*place..)?;
        let found = rest.iter().position(|entry| entry.revents != 0)?;
        let revents = std::mem::take(&mut rest[found].revents);
        *place += found + 1;
        Some((self.vacate(*place - 1), revents))
    }

    pub fn is_shown(&self, fd: RawFd) -> bool {
        self.place(fd)
            .map_or(false, |place| self.entries[place].revents == SHOWN)
    }

    /// Takes the owner out of an entry that was shown to a foreign loop. None if the entry was not
    /// shown.
    pub fn take_shown(&mut self, fd: RawFd) -> Option<O> {
        let place = self.place(fd)?;
        if std::mem::take(&mut self.entries[place].revents) != SHOWN {
            return None;
        }
        self.vacate(place)
    }

    /// Appends all entries to the poll set of a foreign loop, with no answers in them.
    pub fn show(&mut self, set: &mut Vec<pollfd>) {
        self.close_up();
        for entry in &mut self.entries {
            set.push(pollfd {
                revents: 0,
                ..*entry
            });
            entry.revents = SHOWN;
        }
    }

    /// Fills each place that is still vacant with the last entry. An owner may leave and come back
    /// between two polls, because its task was served and waits again. Its place is then not
    /// vacant. So the entry of a busy descriptor keeps its place, and does not wander to the end. A
    /// ready entry near the beginning saves work: poll(2) enters the wait queues of the descriptors
    /// before the first ready one. This function is O(n), as is poll(2) itself, and runs only when
    /// an owner has left for good.
    pub fn close_up(&mut self) {
        if self.live < self.entries.len() {
            self.fill_vacant();
        }
    }

    #[cold]
    fn fill_vacant(&mut self) {
        let mut place = 0;
        while place < self.entries.len() {
            if self.owners[place].is_some() {
                place += 1;
                continue;
            }
            self.places[self.entries[place].fd as usize] = 0;
            self.entries.swap_remove(place);
            self.owners.swap_remove(place);
            if let Some(moved) = self.entries.get(place) {
                self.places[moved.fd as usize] = place as u32 + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An entry of the naive poll set.
    #[derive(Clone, Debug, PartialEq)]
    struct Naive {
        fd: RawFd,
        events: c_short,
        owner: Option<u32>,
        is_shown: bool,
    }

    /// A vector that is searched: the naive way.
    #[derive(Default)]
    struct Search(Vec<Naive>);

    impl Search {
        fn entry(&mut self, fd: RawFd) -> Option<&mut Naive> {
            self.0.iter_mut().find(|entry| entry.fd == fd)
        }

        fn set(&mut self, fd: RawFd, events: c_short, owner: u32) -> Option<u32> {
            if self.entry(fd).is_none() {
                self.0.push(Naive {
                    fd,
                    events,
                    owner: None,
                    is_shown: false,
                });
            }
            let entry = self.entry(fd).expect("just added");
            let before = entry.owner.replace(owner);
            entry.events = events;
            entry.is_shown &= before.is_some();
            before
        }

        fn remove(&mut self, fd: RawFd) -> Option<u32> {
            self.entry(fd)?.owner.take()
        }

        fn close_up(&mut self) {
            self.0.retain(|entry| entry.owner.is_some());
        }
    }

    fn assert_agree(set: &PollSet<u32>, naive: &Search) {
        let mut entries: Vec<Naive> = Vec::new();
        for (place, entry) in set.entries.iter().enumerate() {
            assert_eq!(set.place(entry.fd), Some(place));
            assert_eq!(set.owner(entry.fd), set.owners[place].as_ref());
            entries.push(Naive {
                fd: entry.fd,
                events: entry.events,
                owner: set.owners[place],
                is_shown: set.is_shown(entry.fd),
            });
        }
        entries.sort_by_key(|entry| entry.fd);
        let mut expected = naive.0.clone();
        expected.sort_by_key(|entry| entry.fd);
        assert_eq!(entries, expected);
        let owners = expected.iter().filter(|entry| entry.owner.is_some());
        assert_eq!(set.live, owners.count());
        for fd in (0..10).filter(|fd| !expected.iter().any(|entry| entry.fd == *fd)) {
            assert_eq!((set.place(fd), set.owner(fd)), (None, None));
            assert!(!set.is_shown(fd));
        }
    }

    proptest! {
        #[test]
        fn the_set_agrees_with_a_search(
            steps in proptest::collection::vec((0u8..9, 0i32..8, 0i32..8), 0..100)
        ) {
            let (mut set, mut naive) = (PollSet::default(), Search::default());
            for (owner, (what, fd, other)) in (1..).zip(steps) {
                match what {
                    0..=3 => {
                        let events = 1 << other;
                        let before = set.set(fd, events, owner);
                        prop_assert_eq!(before, naive.set(fd, events, owner));
                    }
                    4 => prop_assert_eq!(set.remove(fd), naive.remove(fd)),
                    5 => {
                        set.close_up();
                        naive.close_up();
                    }
                    6 => {
                        let mut shown = Vec::new();
                        set.show(&mut shown);
                        naive.close_up();
                        prop_assert_eq!(shown.len(), naive.0.len());
                        for entry in shown {
                            let expected = naive.entry(entry.fd).expect("it has an owner");
                            prop_assert_eq!((entry.events, entry.revents), (expected.events, 0));
                            expected.is_shown = true;
                        }
                    }
                    7 => {
                        let entry = naive.entry(fd).filter(|entry| entry.is_shown);
                        let expected = entry.and_then(|entry| {
                            entry.is_shown = false;
                            entry.owner.take()
                        });
                        prop_assert_eq!(set.take_shown(fd), expected);
                    }
                    _ => assert_answers(&mut set, &mut naive, fd, other, owner),
                }
                assert_agree(&set, &naive);
            }
        }
    }

    /// Has poll(2) answer for all descriptors but `silent`, and takes the answers. After the first
    /// one, the owner of `leaves` leaves, and a newcomer takes the entry of the first one.
    fn assert_answers(
        set: &mut PollSet<u32>,
        naive: &mut Search,
        silent: RawFd,
        leaves: RawFd,
        newcomer: u32,
    ) {
        set.close_up();
        naive.close_up();
        for entry in &mut set.entries {
            entry.revents = if entry.fd == silent { 0 } else { 1 << entry.fd };
        }
        naive.0.iter_mut().for_each(|entry| entry.is_shown = false);
        let order: Vec<RawFd> = set.entries.iter().map(|entry| entry.fd).collect();
        let answered = order.iter().filter(|fd| **fd != silent);
        let mut place = 0;
        for (nth, fd) in answered.enumerate() {
            let expected = (naive.remove(*fd), 1 << fd);
            assert_eq!(set.next_answer(&mut place), Some(expected));
            assert_eq!(order[place - 1], *fd, "where the search stands");
            if nth == 0 {
                assert_eq!(set.remove(leaves), naive.remove(leaves));
                assert_eq!(set.set(*fd, 1, newcomer), naive.set(*fd, 1, newcomer));
            }
        }
        assert_eq!(set.next_answer(&mut place), None);
        let revents = set.entries.iter().map(|entry| entry.revents);
        assert!(revents.eq(order.iter().map(|_| 0)), "each is taken once");
    }

    #[test]
    fn an_owner_that_leaves_and_comes_back_keeps_its_place_and_the_last_fills_a_vacant_one() {
        let mut set = PollSet::default();
        (3..7).for_each(|fd| assert_eq!(set.set(fd, 1, fd), None));
        let order = |set: &PollSet<RawFd>| -> Vec<RawFd> {
            set.entries.iter().map(|entry| entry.fd).collect()
        };
        assert_eq!((set.remove(3), set.set(3, 1, 3)), (Some(3), None));
        set.close_up();
        assert_eq!(order(&set), [3, 4, 5, 6]);
        assert_eq!((set.remove(4), set.remove(6)), (Some(4), Some(6)));
        set.close_up();
        assert_eq!(order(&set), [3, 5]);
        assert_eq!(
            (set.place(4), set.place(5), set.place(6)),
            (None, Some(1), None)
        );
    }
}
