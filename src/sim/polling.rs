//! poll(2), in which simulated time passes.

use std::io;
use std::os::unix::io::RawFd;
use std::time::Duration;

use libc::{c_short, pollfd, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI};

use super::table::{Id, Object};
use super::{errno, Kernel};
use crate::sys::{Kind, POLLRDHUP};

pub(super) const UNASKED: c_short = POLLERR | POLLHUP | POLLNVAL;

impl Kernel {
    /// poll(2), also for a foreign loop, whose set may have entries that are not the library's.
    pub fn poll(&mut self, set: &mut [pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        self.enter();
        self.polls += 1;
        assert_no_twins(set);
        self.change_error_queue(set);
        let answer = self.poll_once(set, timeout);
        for entry in set.iter() {
            let truth = self.lookup(entry.fd).map_or(0, |id| self.truth(id));
            self.at_poll.insert(entry.fd, truth);
            match self.of_late.get_mut(&entry.fd) {
                Some((time, truths)) if *time == self.time => *truths |= truth,
                _ => drop(self.of_late.insert(entry.fd, (self.time, truth))),
            }
        }
        self.note(|| format!("poll({}, {timeout:?}) = {answer:?}", list(set)));
        answer
    }

    fn poll_once(&mut self, set: &mut [pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        // With None there is no end.
        let end = timeout.and_then(|timeout| self.time.checked_add(timeout));
        let faults = &self.faults;
        let errors = [
            (faults.poll_enomem, "poll ENOMEM", libc::ENOMEM),
            (faults.poll_eagain, "poll EAGAIN", libc::EAGAIN),
        ];
        if let Some(error) = self.first_hit(&errors) {
            return Err(error);
        }
        if self.hit(self.faults.poll_eintr, "poll EINTR") {
            self.sleep_a_little(end);
            return Err(errno(libc::EINTR));
        }
        if self.hit(self.faults.poll_spurious, "poll spurious") {
            match self.look_wrong(set) {
                0 => {}
                answers => return Ok(answers),
            }
        }
        loop {
            match self.look(set) {
                0 => {}
                answers => return self.tell(set, answers, end),
            }
            if end.map_or(false, |end| self.time >= end) {
                return Ok(0);
            }
            // The actors may have lagged behind.
            if self.run_actors() {
                continue;
            }
            match self.next_wake().into_iter().chain(end).min() {
                Some(at) if self.kill_somebody(at.saturating_sub(self.time)) => continue,
                Some(at) => self.time = self.time.max(at),
                None => panic!("poll sleeps for ever: {}", list(set)),
            }
            if end.map_or(false, |end| self.time >= end) {
                self.oversleep();
            }
            self.run_actors();
        }
    }

    /// Fills a socket's error queue, or empties it as another program would.
    fn change_error_queue(&mut self, set: &[pollfd]) {
        if set.is_empty() || !self.hit(self.faults.error_queue, "error queue") {
            return;
        }
        let fd = set[self.choose(set.len() as u32) as usize].fd;
        let id = self.lookup(fd).map(|id| &self.descriptions[id]);
        if let Some((Object::Socket { .. }, is_filled)) =
            id.map(|id| (&id.object, id.has_error_queue))
        {
            self.set_error_queue(fd, !is_filled);
        }
    }

    /// Returns the true answers, or withholds some of them.
    fn tell(
        &mut self,
        set: &mut [pollfd],
        answers: usize,
        end: Option<Duration>,
    ) -> io::Result<usize> {
        self.oversleep();
        if !self.hit(self.faults.poll_withheld, "poll withheld") {
            return Ok(answers);
        }
        for entry in set.iter_mut().filter(|entry| entry.revents != 0) {
            entry.revents &= self.choose(64) as c_short;
        }
        match count(set) {
            0 if end.map_or(true, |end| self.time < end) => {
                self.sleep_a_little(end);
                Err(errno(libc::EINTR))
            }
            answers => Ok(answers),
        }
    }

    fn oversleep(&mut self) {
        if self.hit(self.faults.poll_oversleeps, "poll oversleeps") {
            let late = 1 + u64::from(self.choose(50_000));
            self.time += Duration::from_micros(late);
        }
    }

    fn sleep_a_little(&mut self, end: Option<Duration>) {
        let at = self.time + Duration::from_micros(u64::from(self.choose(1000)));
        self.time = self.time.max(end.map_or(at, |end| at.min(end)));
    }

    /// Fills in the true events. Returns how many entries have any.
    fn look(&self, set: &mut [pollfd]) -> usize {
        for entry in set.iter_mut() {
            entry.revents = match self.lookup(entry.fd) {
                _ if entry.fd < 0 => 0,
                None => POLLNVAL,
                Some(id) => self.truth(id) & (entry.events | UNASKED),
            };
        }
        count(set)
    }

    /// Fills in the true events, and for some of the entries also events that are not true.
    fn look_wrong(&mut self, set: &mut [pollfd]) -> usize {
        self.look(set);
        for entry in set.iter_mut() {
            let id = match self.lookup(entry.fd) {
                Some(id) => id,
                None => continue,
            };
            let description = &self.descriptions[id];
            let is_pipe = matches!(description.object, Object::Reader(_) | Object::Writer(_));
            if (description.is_nonblocking() || !is_pipe) && self.choose(2) == 0 {
                entry.revents |= entry.events & (POLLIN | POLLOUT);
            }
        }
        count(set)
    }

    /// All events that poll(2) could report for the description.
    pub(super) fn truth(&self, id: Id) -> c_short {
        let bits = |bit: c_short, is_true: bool| if is_true { bit } else { 0 };
        match self.descriptions[id].object {
            Object::Reader(stream) => {
                let stream = &self.streams[stream];
                bits(POLLIN, !stream.bytes.is_empty()) | bits(POLLHUP, !stream.has_writer)
            }
            Object::Writer(stream) => {
                let stream = &self.streams[stream];
                bits(POLLOUT, stream.pipe_has_room()) | bits(POLLERR, !stream.has_reader)
            }
            Object::Socket {
                input,
                output,
                kind,
            } => {
                let (input, output) = (&self.streams[input], &self.streams[output]);
                let description = &self.descriptions[id];
                let has_end = !input.has_writer && kind != Kind::Datagram;
                let sends_no_more = description.is_shut || !output.has_reader;
                bits(POLLIN, !input.is_empty() || has_end)
                    | bits(POLLPRI, input.is_urgent)
                    | bits(POLLRDHUP, has_end)
                    | bits(POLLOUT, output.socket_has_room())
                    | bits(POLLHUP, has_end && sends_no_more)
                    | bits(POLLERR, input.is_reset || description.has_error_queue)
            }
            Object::Pidfd(process) => self.pidfd_truth(process),
            Object::Regular { .. } | Object::Null => POLLIN | POLLOUT,
        }
    }

    pub(super) fn is_true(&self, fd: RawFd, events: c_short) -> bool {
        self.lookup(fd)
            .map_or(false, |id| self.truth(id) & (events | UNASKED) != 0)
    }
}

fn count(set: &[pollfd]) -> usize {
    set.iter().filter(|entry| entry.revents != 0).count()
}

/// Fails if the set has two entries for one descriptor.
fn assert_no_twins(set: &[pollfd]) {
    if set.len() < 2 {
        return;
    }
    let mut numbers: Vec<RawFd> = set.iter().map(|entry| entry.fd).collect();
    numbers.sort_unstable();
    let twins = numbers
        .windows(2)
        .find(|pair| pair[0] == pair[1] && pair[0] >= 0);
    assert!(
        twins.is_none(),
        "poll was given a descriptor twice: {}",
        list(set)
    );
}

/// Prints the set for people.
fn list(set: &[pollfd]) -> String {
    let names = [
        (POLLIN, "IN"),
        (POLLOUT, "OUT"),
        (POLLERR, "ERR"),
        (POLLHUP, "HUP"),
        (POLLNVAL, "NVAL"),
        (POLLPRI, "PRI"),
        (POLLRDHUP, "RDHUP"),
    ];
    let spell = |bits: c_short| {
        let bits = names
            .iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, name)| *name);
        bits.collect::<Vec<_>>().join("|")
    };
    let entries = set.iter().map(|entry| {
        format!(
            "fd {} {} -> {}",
            entry.fd,
            spell(entry.events),
            spell(entry.revents)
        )
    });
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}
