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
