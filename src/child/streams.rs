//! The streams that one `communicate` uses at the same time, and the place that the operation has
//! in the queue of each stream.

use std::cell::RefMut;
use std::rc::Rc;

use super::processes::Processes;
use crate::descriptor::watchers::Place;
use crate::descriptor::{Descriptor, State};
use crate::error::Cause;
use crate::machine::communicate::{Interests, Part, Tap};
use crate::op::operate::{At, Context};
use crate::port::{Calls, Direction};
use crate::task_table::Key;
use crate::wait_list::Ticket;

/// A communicate's places in four queues: those of the child's three streams, and that of the input
/// file.
pub(crate) struct Streams {
    pub stdin: Entry,
    pub stdout: Entry,
    pub stderr: Entry,
    /// The file that feeds the child.
    pub source: Option<Entry>,
    /// The task's place among the watchers of stdin, while the task waits for bytes of `source`. As
    /// a watcher the task is woken if the reader of stdin goes away.
    hangup: Option<Place>,
}

/// An entry in the queue of one direction of a file.
pub(crate) struct Entry {
    pub file: Rc<Descriptor>,
    direction: Direction,
    ticket: Ticket,
}

/// A file that a machine uses for one advance. The task is the front of its queue.
pub(crate) struct Front<'a> {
    file: &'a Descriptor,
    pub state: RefMut<'a, State>,
    pub calls: Calls<'a>,
}

impl Streams {
    pub fn of(processes: &Processes) -> Streams {
        let [stdin, stdout, stderr] = processes.streams();
        Streams {
            stdin: Entry::new(stdin, Direction::Write),
            stdout: Entry::new(stdout, Direction::Read),
            stderr: Entry::new(stderr, Direction::Read),
            source: None,
            hangup: None,
        }
    }

    /// Fails if the task may not wait on one of the streams that the operation uses. The operation
    /// uses stdin if stdin is open, or if there is input (`has_input`).
    pub fn admit(&self, has_input: bool, cx: &Context<'_>) -> Result<(), (Part, Cause)> {
        let is_fed = has_input || self.stdin.file.is_open();
        let used = [
            (Part::Stdin, Some(&self.stdin.file).filter(|_| is_fed)),
            (Part::Stdout, self.stdout.piped()),
            (Part::Stderr, self.stderr.piped()),
        ];
        for (part, file) in used {
            let admitted = file.map_or(Ok(()), |file| file.state().admit(cx.reactor));
            admitted.map_err(|cause| (part, cause))?;
        }
        Ok(())
    }

    /// Whether the file is one of the child's streams.
    pub fn has(&self, file: &Rc<Descriptor>) -> bool {
        let mut entries = [&self.stdin, &self.stdout, &self.stderr].into_iter();
        entries.any(|entry| Rc::ptr_eq(&entry.file, file))
    }

    /// Enters the queues of all streams, and the queue of the file that feeds the child (`source`).
    pub fn enter(&mut self, source: Option<&Rc<Descriptor>>, at: At<'_>) {
        if self.source.is_none() {
            self.source = source.map(|file| Entry::new(file, Direction::Read));
        }
        self.stdin.enter(at);
        self.stdout.enter(at);
        self.stderr.enter(at);
        self.source.iter_mut().for_each(|source| source.enter(at));
    }

    /// Parks the task on the streams that it is blocked on.
    pub fn park(&mut self, interests: Interests, cx: &Context<'_>) {
        let wanted = [
            (interests.stdin, Some(&self.stdin)),
            (interests.stdout, Some(&self.stdout)),
            (interests.stderr, Some(&self.stderr)),
            (interests.input, self.source.as_ref()),
        ];
        for entry in wanted.into_iter().filter(|(is, _)| *is) {
            entry.1.iter().for_each(|entry| entry.park(cx.key));
        }
        if interests.input {
            let place = self.hangup.get_or_insert_with(Place::default);
            // `watch` fails only if stdin is closed. The close has woken this task, so the error is
            // ignored here.
            let _ = self.stdin.file.watch(place, cx.at(), 0, false);
        } else {
            self.leave_hangup();
        }
    }

    /// Whether poll(2) has answered that nobody reads stdin any more.
    pub fn is_hung_up(&mut self, cx: &Context<'_>) -> bool {
        let stdin = &self.stdin.file;
        let revents = |place| stdin.watch(place, cx.at(), 0, false).unwrap_or(0);
        self.hangup.as_mut().map_or(0, revents) != 0
    }

    /// Closes stdin, and leaves the queue of the input, because nothing more is fed.
    pub fn close_stdin(&mut self) {
        self.leave_source();
        self.stdin.file.close();
    }

    /// Leaves all queues. Idempotent.
    pub fn leave(&mut self) {
        self.leave_hangup();
        self.leave_source();
        self.stdin.leave();
        self.stdout.leave();
        self.stderr.leave();
    }

    fn leave_source(&mut self) {
        self.source.iter_mut().for_each(Entry::leave);
        self.source = None;
    }

    fn leave_hangup(&mut self) {
        if let Some(mut place) = self.hangup.take() {
            self.stdin.file.unwatch(&mut place);
        }
    }
}

impl Entry {
    fn new(file: &Rc<Descriptor>, direction: Direction) -> Entry {
        Entry {
            file: Rc::clone(file),
            direction,
            ticket: Ticket::NONE,
        }
    }

    /// The file. None if it is only a placeholder for a stream that was not piped.
    pub fn piped(&self) -> Option<&Rc<Descriptor>> {
        Some(&self.file).filter(|file| !file.is_absent())
    }

    /// Enters the queue at the back, unless the task may not wait on the file.
    fn enter(&mut self, at: At<'_>) {
        self.file
            .enter_if_admitted(&mut self.ticket, at, self.direction);
    }

    fn leave(&mut self) {
        let mut state = self.file.state();
        self.file
            .leave(&mut state, &mut self.ticket, self.direction);
    }

    pub fn is_front(&self, key: Key) -> bool {
        self.file.state().is_front(key, self.direction)
    }

    fn park(&self, key: Key) {
        if self.is_front(key) {
            self.file.park(&mut self.file.state(), self.direction);
        }
    }

    /// The file, if it is open and the task is the front of its queue. With `is_last` the advance
    /// may ask poll(2) about a file that is not parked. With `is_over`, too, it may also ask about
    /// a parked one, for which the poll(2) of this turn has had no answer.
    pub fn front(&self, key: Key, is_last: bool, is_over: bool) -> Option<Front<'_>> {
        let mut state = self.file.state();
        if !state.is_open() || !state.is_front(key, self.direction) {
            return None;
        }
        let is_asked = state.is_parked(self.direction) && !is_over;
        let calls = self.file.port.calls(is_last, is_asked);
        Some(Front {
            file: &self.file,
            state,
            calls,
        })
    }
}

impl Front<'_> {
    pub fn tap(&mut self) -> Tap<'_> {
        Tap {
            inflow: &mut self.state.inflow,
            source: &mut self.calls,
        }
    }

    /// Wakes the tasks that wait for `readable`, if the machine has read ahead.
    pub fn after_read(self) {
        self.file.after_read(&self.state);
    }
}
