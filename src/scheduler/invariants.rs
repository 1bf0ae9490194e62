//! What must be true between turns, for the simulation and the fuzz targets: asserted by looking, not by running.
//!
//! The heart of it: a task that is alive is ready, or stands where something will wake it. A deadline is not enough for
//! that: a lost wake-up that a timeout ends is still lost.

use super::Scheduler;
use crate::descriptor::{Descriptor, Direction};
use crate::inbox::{Inbox, Watched};
use crate::key::Key;
use crate::op::{Kind, Op};

impl Scheduler<'_> {
    /// Fails if one of them is broken. Only between turns.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let alive = self.tasks.iter().flatten().count();
        assert_eq!(self.alive, alive, "the number of tasks that are alive");
        assert_eq!(self.free.len() + alive, self.tasks.len(), "a slot is used or free");
        for (index, running) in self.tasks.iter().enumerate() {
            let key = match running {
                Some(_) => self.inbox.key_at(index as u32),
                None => {
                    assert!(self.free.contains(&(index as u32)), "slot {index} is neither used nor free");
                    assert!(!self.deadlines.contains(index as u32), "an empty slot has a deadline");
                    continue;
                }
            };
            let running = running.as_ref().expect("matched above");
            let op = &running.op;
            let is_queued = self.inbox.is_queued(key);
            let has_deadline = self.deadlines.contains(index as u32);
            assert_eq!(running.has_deadline && !running.is_due, has_deadline, "{op:?}: its deadline");
            assert!(!running.is_due || is_queued, "{op:?} is due, and not ready");
            assert!(is_queued || is_waiting(op, key, &self.inbox, has_deadline), "{op:?}: nothing will wake it");
        }
        self.deadlines.check();
        self.inbox.check_joiners();
        self.check_poll_set();
    }

    /// Each entry is somebody's who is there and wants it.
    fn check_poll_set(&self) {
        let set = self.inbox.poll_set.borrow();
        for (entry, owner) in set.checked() {
            match owner {
                Watched::File(file) => match file.upgrade() {
                    Some(file) => file.check_entry(entry.events),
                    None => panic!("fd {} is in the poll set, and its file is gone", entry.fd),
                },
                Watched::Wake => assert_eq!(entry.events, libc::POLLIN),
            }
        }
    }
}

/// Something besides its deadline will wake this task, or it waits for nothing but that.
fn is_waiting(op: &Op, key: Key, inbox: &Inbox, has_deadline: bool) -> bool {
    let stands_in = |file: &Descriptor, direction| file.is_waited_on_by(key, direction, inbox);
    match &op.0 {
        Kind::Read(op) => stands_in(op.file(), Direction::Read),
        Kind::Write(op) => stands_in(op.file(), Direction::Write),
        Kind::Ready(op) => match op.watched() {
            Some((file, direction)) => file.is_watched_by(key, direction, inbox),
            None => inbox.hears_others(),
        },
        Kind::Sleep(op) => has_deadline || op.is_endless(),
        Kind::YieldNow(_) => false, // it is always ready
        Kind::Join(op) => inbox.is_alive(op.target()) && inbox.is_joined_by(op.target(), key),
        Kind::First(op) => op.ops().iter().all(|op| is_waiting(op, key, inbox, has_deadline)),
        // What they wait for is the machine's to say; that they end is shown by the programs that wait for them.
        Kind::Communicate(op) => {
            op.check_stdin(key);
            true
        }
        Kind::Exit(op) => op.is_told_of_stdin(inbox, key),
    }
}
