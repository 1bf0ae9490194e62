//! The set that poll(2) is given: which descriptors, for what, and on whose behalf.
//!
//! It is kept from turn to turn and changed in place, never rebuilt. It is compact and has one entry a
//! descriptor, because poll(2) refuses more entries than RLIMIT_NOFILE (EINVAL), even ones with fd = -1. A
//! descriptor that nobody waits on is not in it: HUP, ERR and NVAL come unasked, and a dead peer would make
//! the loop spin.
//!
//! Who leaves and comes back between two polls, as a task does that is served and waits again, finds its place as it was. That matters to
//! poll(2): it queues itself with every descriptor up to the first ready one, and with none behind it. If the busy ones came
//! in anew at the end each time, all idle ones would stand before them.
//!
//! It knows nothing of files or tasks: `W` is whoever waits.

use std::os::unix::io::RawFd;

use libc::{c_short, pollfd};

/// No place in the set.
const NOWHERE: u32 = u32::MAX;

/// Descriptors and who waits on each. Looking up by descriptor number, adding and removing are O(1).
#[derive(Debug)]
pub(crate) struct PollSet<W> {
    /// What poll(2) is given. `events` may be 0: HUP, ERR and NVAL are all that is waited for.
    entries: Vec<pollfd>,
    /// Who waits on the entry of the same place.
    owners: Vec<Owner<W>>,
    /// Where a descriptor's entry is, by its number. Numbers are small: the kernel gives the lowest free one.
    places: Vec<u32>,
    /// Places that somebody has left: for who comes next, or closed up before poll(2) sees the set.
    vacant: Vec<u32>,
    /// How many times the set was shown to a foreign loop.
    shown: u64,
}

#[derive(Debug)]
struct Owner<W> {
    who: W,
    /// The value of `shown` when it came in: it was in the set that was shown later, and in none before.
    since: u64,
}

impl<W> PollSet<W> {
    pub fn new() -> PollSet<W> {
        PollSet { entries: Vec::new(), owners: Vec::new(), places: Vec::new(), vacant: Vec::new(), shown: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// What poll(2) is given, and where it writes its answers. Each has its place until somebody leaves.
    pub fn entries_mut(&mut self) -> &mut [pollfd] {
        self.close_up();
        &mut self.entries
    }

    /// Appends the entries to a foreign loop's set.
    pub fn show(&mut self, set: &mut Vec<pollfd>) {
        self.close_up();
        self.shown += 1;
        set.extend(self.entries.iter().map(|entry| pollfd { revents: 0, ..*entry }));
    }

    /// Who waits on this descriptor.
    pub fn owner(&self, fd: RawFd) -> Option<&W> {
        self.place(fd).map(|place| &self.owners[place].who)
    }

    /// Whether this descriptor's entry was in the set that was shown last.
    pub fn was_shown(&self, fd: RawFd) -> bool {
        self.place(fd).map_or(false, |place| self.owners[place].since < self.shown)
    }

    /// The entry and owner at a place, for working off poll's answers.
    pub fn at(&self, place: usize) -> (&pollfd, &W) {
        (&self.entries[place], &self.owners[place].who)
    }

    /// Waits for these events on this descriptor, on behalf of `who`, in place of what was there.
    pub fn set(&mut self, fd: RawFd, events: c_short, who: W) {
        match self.place(fd) {
            Some(place) => {
                self.entries[place].events = events;
                self.owners[place] = Owner { who, since: self.shown };
            }
            None => {
                let index = fd as usize;
                if self.places.len() <= index {
                    self.places.resize(index + 1, NOWHERE);
                }
                let (entry, owner) = (pollfd { fd, events, revents: 0 }, Owner { who, since: self.shown });
                self.places[index] = match self.vacant.pop() {
                    Some(place) => {
                        self.entries[place as usize] = entry;
                        self.owners[place as usize] = owner;
                        place
                    }
                    None => {
                        self.entries.push(entry);
                        self.owners.push(owner);
                        self.entries.len() as u32 - 1
                    }
                };
            }
        }
    }

    /// Waits for other events on this descriptor, on behalf of the same.
    pub fn change(&mut self, fd: RawFd, events: c_short) {
        if let Some(place) = self.place(fd) {
            self.entries[place].events = events;
        }
    }

    /// Waits on this descriptor no more.
    pub fn remove(&mut self, fd: RawFd) {
        if let Some(place) = self.place(fd) {
            self.places[fd as usize] = NOWHERE;
            self.vacant.push(place as u32);
        }
    }

    /// Fills each vacant place with the last entry. From the back, so that the last one is never vacant itself.
    fn close_up(&mut self) {
        self.vacant.sort_unstable();
        while let Some(place) = self.vacant.pop() {
            let place = place as usize;
            self.entries.swap_remove(place);
            self.owners.swap_remove(place);
            if let Some(moved) = self.entries.get(place) {
                self.places[moved.fd as usize] = place as u32;
            }
        }
    }

    /// For the simulation: every entry with its owner, in no vacant place; fails unless each descriptor knows its own.
    #[cfg(any(test, fuzzing))]
    pub fn checked(&self) -> Vec<(&pollfd, &W)> {
        assert_eq!(self.entries.len(), self.owners.len());
        let taken: Vec<usize> =
            (0..self.entries.len()).filter(|place| !self.vacant.contains(&(*place as u32))).collect();
        for &place in &taken {
            let fd = self.entries[place].fd;
            assert_eq!(self.place(fd), Some(place), "fd {fd} does not know its entry");
        }
        let places = self.places.iter().filter(|place| **place != NOWHERE).count();
        assert_eq!((places, taken.len()), (self.len(), self.len()), "who thinks that it has an entry, and who has");
        taken.into_iter().map(|place| self.at(place)).collect()
    }

    fn place(&self, fd: RawFd) -> Option<usize> {
        match self.places.get(fd as usize) {
            Some(&place) if place != NOWHERE => Some(place as usize),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_stays_compact_when_entries_go() {
        let mut set = PollSet::new();
        for fd in 0..5 {
            set.set(fd, libc::POLLIN, fd * 10);
        }
        set.remove(1);
        set.remove(4);
        set.remove(4);
        let mut fds: Vec<_> = set.entries_mut().iter().map(|entry| entry.fd).collect();
        fds.sort_unstable();
        assert_eq!(fds, [0, 2, 3]);
        assert_eq!(set.owner(3), Some(&30));
        assert_eq!(set.owner(4), None);
        assert_eq!(set.owner(1000), None);
    }

    #[test]
    fn who_leaves_and_comes_back_finds_its_place() {
        let mut set = PollSet::new();
        for fd in 0..5 {
            set.set(fd, libc::POLLIN, fd);
        }
        set.remove(1);
        assert_eq!((set.len(), set.owner(1)), (4, None));
        set.set(1, libc::POLLIN, 10);
        set.remove(0);
        set.remove(3);
        let fds: Vec<_> = set.entries_mut().iter().map(|entry| entry.fd).collect();
        assert_eq!(fds, [4, 1, 2]);
        for (place, (fd, who)) in [(4, 4), (1, 10), (2, 2)].into_iter().enumerate() {
            assert_eq!((set.at(place).0.fd, *set.at(place).1), (fd, who));
            assert_eq!(set.owner(fd), Some(&who));
        }
    }

    #[test]
    fn one_descriptor_has_one_entry() {
        let mut set = PollSet::new();
        set.set(7, libc::POLLIN, "reader");
        set.change(7, libc::POLLIN | libc::POLLOUT);
        assert_eq!(set.len(), 1);
        assert_eq!(set.entries_mut()[0].events, libc::POLLIN | libc::POLLOUT);
    }

    #[test]
    fn an_entry_made_after_the_showing_was_not_shown() {
        let mut set = PollSet::new();
        set.set(3, libc::POLLIN, ());
        set.show(&mut Vec::new());
        set.set(4, libc::POLLIN, ());
        assert!(set.was_shown(3));
        assert!(!set.was_shown(4));
        set.remove(3);
        set.set(3, libc::POLLIN, ()); // the number is reused
        assert!(!set.was_shown(3));
    }
}
