//! Another process that has an open file description of the library's, and is faster: between
//! poll(2) and the library's call it takes bytes that poll(2) has answered for, or the room.
//!
//! The bytes of the second user are real: what it reads is gone from the stream, and the peer reads
//! what it writes. Where the library's next call would block in the kernel if the second user took
//! everything, the second user leaves a byte to read, or as much room as POLLOUT promises. In
//! reality such a call can block, as the documentation of `duplicate` says, so there is no promise
//! that the simulation could check.

use std::os::unix::io::RawFd;

use super::table::{Id, Object};
use super::{Act, Kernel, Passed};

/// The most bytes that a second user writes to a regular file at a time.
const LONGEST: usize = 20;

/// The most bytes that a second user writes to a stream at a time. With more, a reader that takes a
/// few bytes with each call would make so many calls that it looks like a loop that spins.
const MOST: usize = 64 * 1024;

impl Kernel {
    /// Gives the open file description to a second user, until these acts are over. `faults` says
    /// how often that user is faster than the library.
    pub fn share(&mut self, fd: RawFd, acts: Vec<Act>) {
        let id = self.lookup(fd).expect("what is shared is open");
        self.add_actor(acts, vec![Some(id)], None, None);
    }

    /// Whether a second user has the description at the moment. (A child's end of a pipe is another
    /// description.)
    fn is_shared(&self, id: Id) -> bool {
        let description = &self.descriptions[id];
        description.has_actor() && !description.is_own && !description.is_wake
    }

    /// The library is about to read. A second user of the open file description may read before it.
    pub(super) fn read_before(&mut self, fd: RawFd, id: Id, may_wait: bool) {
        let keeps_messages = self.keeps_messages(id);
        let there = match &self.descriptions[id].object {
            Object::Socket { input, .. } if keeps_messages => self.streams[*input].messages.len(),
            Object::Reader(stream) | Object::Socket { input: stream, .. } => {
                let there = self.streams[*stream].bytes.len();
                there.saturating_sub(usize::from(may_wait))
            }
            Object::Regular { contents, position } => contents.len().saturating_sub(*position),
            Object::Writer(_) | Object::Pidfd(_) | Object::Null => 0,
        };
        if !self.is_faster(
            id,
            there,
            self.faults.second_user_reads,
            "second user reads",
        ) {
            return;
        }
        let size = match self.descriptions[id].object {
            Object::Socket { input, .. } if keeps_messages => {
                self.streams[input].is_reset = false; // it has the error, too
                self.streams[input].messages[0]
            }
            _ => self.part_of(there),
        };
        let mut bytes = vec![0; size];
        let size = self.take(id, &mut bytes).expect("there is so much");
        bytes.truncate(size);
        self.note(|| format!("the second user of fd {fd} has read {size} bytes"));
        self.passed.push((fd, Passed::ReadByAnother(bytes)));
    }

    /// The library is about to write. A second user of the open file description may write before
    /// it.
    pub(super) fn write_before(&mut self, fd: RawFd, id: Id, may_wait: bool) {
        let room = match self.descriptions[id].object {
            Object::Writer(stream) | Object::Socket { output: stream, .. } => {
                let stream = &self.streams[stream];
                let left = if may_wait { stream.whole() } else { 0 };
                match stream.has_reader && !self.descriptions[id].is_shut {
                    true => stream.room().saturating_sub(left),
                    false => 0, // SIGPIPE would end it
                }
            }
            Object::Regular { .. } => LONGEST,
            Object::Reader(_) | Object::Pidfd(_) | Object::Null => 0,
        };
        let rate = self.faults.second_user_writes;
        if !self.is_faster(id, room, rate, "second user writes") {
            return;
        }
        let size = self.part_of(room).min(MOST);
        let salt = self.choose(90) as usize;
        let bytes: Vec<u8> = (salt..salt + size)
            .map(|at| b'!' + (at % 94) as u8)
            .collect();
        let size = self.put(id, &bytes).expect("there is so much room");
        self.note(|| format!("the second user of fd {fd} has written {size} bytes"));
        self.passed.push((fd, Passed::WrittenByAnother(bytes)));
    }

    fn is_faster(&mut self, id: Id, size: usize, rate: u8, name: &'static str) -> bool {
        size > 0 && self.is_shared(id) && self.hit(rate, name)
    }

    /// Chooses all bytes in half of the cases, and otherwise a part of them.
    fn part_of(&mut self, size: usize) -> usize {
        match self.choose(2) {
            0 => size,
            _ => 1 + self.choose(size as u32) as usize,
        }
    }
}
