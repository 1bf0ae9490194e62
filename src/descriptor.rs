//! An open file and all that the library knows of it: the bytes that came in, and who waits on it for what.
//!
//! Operations of one direction queue: only the first is advanced, and only it asks poll(2). Those who wait for
//! bare readiness ("watchers") stand beside the queues. Whenever who waits for what has changed, the poll set
//! is brought up to date, so it never holds a descriptor that nobody waits on.
//!
//! The descriptor and the inbox know each other, the one circle of references in the house: a descriptor's close must wake
//! tasks, and poll's answer must find the descriptor.

#[cfg(any(test, fuzzing))]
mod invariants;
mod state;

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::os::unix::io::{OwnedFd, RawFd};
use std::rc::{Rc, Weak};

use libc::{c_short, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};

use crate::inbox::{Inbox, Watched};
use crate::key::Key;
use crate::machine::read::Inflow;
use crate::port::{Calls, Port};

pub(crate) use state::State;
use state::{Standing, Watcher};

/// What poll(2) says unasked. Each of these wakes reader and writer: the system call then decides.
const ALWAYS: c_short = POLLHUP | POLLERR | POLLNVAL;

/// A direction of a file, and of waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
    /// Neither: only what poll(2) says unasked. For a writer without data, whose reader may go.
    Hangup,
}

impl Direction {
    fn events(self) -> c_short {
        match self {
            Direction::Read => POLLIN,
            Direction::Write => POLLOUT,
            Direction::Hangup => 0,
        }
    }
}

pub(crate) struct Descriptor {
    port: Port,
    state: RefCell<State>,
}

/// A child's stream, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Stdin => "stdin",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        })
    }
}

impl Descriptor {
    /// A descriptor that is open.
    pub fn new(port: Port) -> Descriptor {
        Descriptor::standing(port, Standing::Open)
    }

    /// In place of a child's stream that was not piped: what waits on it fails, and says so.
    pub fn absent(stream: Stream) -> Descriptor {
        Descriptor::standing(Port::absent(), Standing::Absent(stream))
    }

    fn standing(port: Port, standing: Standing) -> Descriptor {
        let (inflow, outflow) = port.begin();
        Descriptor { port, state: RefCell::new(State::new(standing, inflow, outflow)) }
    }

    pub fn fd(&self) -> RawFd {
        self.port.fd()
    }

    /// What changes while it is open. Never borrowed while user code runs.
    #[inline]
    pub fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The kernel's side of it, for one advance of a machine.
    pub fn calls(&self) -> Calls<'_> {
        self.port.calls()
    }

    /// After a machine has made its calls. Who waits for readiness has it if bytes were read ahead: poll(2) may have nothing more to
    /// say of those.
    #[inline]
    pub fn settle(&self, state: &mut State, direction: Direction) {
        self.spend(state, direction);
        if let (Some(watchers), Some(inbox), false) = (&state.watchers, &state.inbox, state.inflow.is_empty()) {
            for watcher in watchers.iter().filter(|watcher| watcher.direction == Direction::Read) {
                inbox.wake(watcher.key);
            }
        }
    }

    /// What poll(2) said of this direction was for who is done with it: the next one may have to ask anew.
    #[inline]
    fn spend(&self, state: &mut State, direction: Direction) {
        match direction {
            Direction::Read => self.port.settle_reading(&mut state.inflow),
            Direction::Write => self.port.settle_writing(&mut state.outflow),
            Direction::Hangup => {}
        }
    }

    /// Waits in the queue of this direction; at its front, and `parked`, until poll(2) has something to say.
    pub fn block(self: &Rc<Self>, inbox: &Rc<Inbox>, key: Key, direction: Direction, parked: bool) {
        let _before; // declared first, dropped last
        let mut state = self.state();
        _before = state.claim(inbox);
        let queue = state.queue(direction);
        queue.waiters.enter(key);
        if queue.waiters.front() == Some(key) {
            queue.is_parked = parked;
        }
        if parked && direction == Direction::Read {
            state.inflow.buffer.rest();
        }
        self.update(&mut state);
    }

    /// Leaves the queue of this direction; who comes next can go on.
    pub fn leave(self: &Rc<Self>, key: Key, direction: Direction) {
        let mut state = self.state();
        let queue = state.queue(direction);
        if queue.waiters.leave(key) {
            queue.is_parked = false;
            let next = queue.waiters.front();
            self.spend(&mut state, direction); // it may have been told, and not advanced since
            if let (Some(next), Some(inbox)) = (next, &state.inbox) {
                inbox.wake(next);
            }
            self.update(&mut state);
        }
    }

    /// For a child's stdin: it is closed, or the child's pipe alone has it, and nobody waits on it.
    pub fn is_let_go(stdin: &Weak<Descriptor>) -> bool {
        let is_alone = stdin.strong_count() == 1;
        stdin.upgrade().map_or(true, |stdin| !stdin.is_open() || is_alone && !stdin.state().has_waiters())
    }

    /// Asks poll(2) of this direction alone, without waiting.
    pub fn is_ready_now(&self, direction: Direction) -> bool {
        self.port.is_ready_now(direction.events())
    }

    /// It was opened for this direction. Nothing ever makes the wrong one ready.
    pub fn is_opened_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.port.can_be_read(),
            Direction::Write => self.port.can_be_written(),
            Direction::Hangup => true,
        }
    }

    /// Whether poll(2) has said something to this watcher: None if it has not, otherwise what. A first call makes it one.
    pub fn watch(self: &Rc<Self>, inbox: &Rc<Inbox>, key: Key, direction: Direction) -> Option<c_short> {
        let _before; // declared first, dropped last
        let mut state = self.state();
        _before = state.claim(inbox);
        let watchers = state.watchers.get_or_insert_with(Box::default);
        match watchers.iter().find(|watcher| watcher.key == key && watcher.direction == direction) {
            Some(watcher) if watcher.said != 0 => return Some(watcher.said),
            Some(_) => {}
            None => watchers.push(Watcher { key, direction, said: 0 }),
        }
        self.update(&mut state);
        None
    }

    pub fn unwatch(self: &Rc<Self>, key: Key, direction: Direction) {
        let mut state = self.state();
        if let Some(watchers) = &mut state.watchers {
            watchers.retain(|watcher| watcher.key != key || watcher.direction != direction);
        }
        self.update(&mut state);
    }

    /// poll(2) said this.
    pub fn said(&self, revents: c_short) {
        let mut state = self.state();
        let state = &mut *state;
        let inbox = match &state.inbox {
            Some(inbox) => inbox,
            None => return,
        };
        // Darwin says NVAL also of devices that are open: then, too, the system call decides.
        if revents & POLLNVAL != 0 && !self.port.is_there() {
            state.standing = Standing::Lost;
            self.port.lose();
            self.port.settle_reading(&mut state.inflow);
            self.port.settle_writing(&mut state.outflow);
        }
        if state.reading.is_parked && revents & (POLLIN | ALWAYS) != 0 {
            state.inflow.ready = true;
            state.reading.unpark(inbox);
        }
        if state.writing.is_parked && revents & (POLLOUT | ALWAYS) != 0 {
            state.outflow.ready = true;
            state.writing.unpark(inbox);
        }
        for watcher in state.watchers.iter_mut().flat_map(|watchers| watchers.iter_mut()) {
            let concerned = revents & (watcher.direction.events() | ALWAYS);
            if watcher.said == 0 && concerned != 0 {
                watcher.said = concerned;
                inbox.wake(watcher.key);
            }
        }
    }

    /// Closes it. Who waits on it is advanced next, and finds it closed. What was buffered is gone.
    pub fn close(&self) {
        if self.end(true) {
            let mut state = self.state();
            state.inflow = Inflow::default();
            drop(state);
        }
    }

    /// Its number is another file's: as if poll(2) had said NVAL, and the entry is the other's.
    pub fn lose(&self) {
        self.port.lose();
        self.said(POLLNVAL);
        let mut state = self.state();
        if let (Some(_), Some(inbox)) = (state.registered, &state.inbox) {
            inbox.poll_set.borrow_mut().remove(self.fd());
        }
        state.registered = None;
    }

    /// Ends its being open, once; wakes all, removes it from the poll set, closes the number or leaves it open.
    fn end(&self, close: bool) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        if !state.is_open() {
            return false;
        }
        let is_ours = std::mem::replace(&mut state.standing, Standing::Closed) == Standing::Open;
        if let Some(inbox) = &state.inbox {
            if state.registered.take().is_some() {
                inbox.poll_set.borrow_mut().remove(self.fd());
            }
            let watchers = state.watchers.iter().flat_map(|watchers| watchers.iter()).map(|watcher| watcher.key);
            for key in state.reading.waiters.iter().chain(state.writing.waiters.iter()).chain(watchers) {
                inbox.wake_urgently(key);
            }
        }
        if is_ours {
            self.port.restore();
            if close {
                self.port.close();
            }
        }
        true
    }

    /// Gives the descriptor back, its flags as they were found, with the bytes that were read ahead. None if it is closed.
    pub fn into_inner(self) -> Option<(OwnedFd, Vec<u8>)> {
        if !self.is_ours() {
            return None;
        }
        let bytes = self.state().inflow.buffer.bytes().to_vec();
        self.end(false);
        Some((self.port.give_back(), bytes))
    }

    /// There never was one.
    pub fn is_absent(&self) -> bool {
        matches!(self.state.borrow().standing, Standing::Absent(_))
    }

    /// Open, and the number was not closed behind our back for all we know.
    pub fn is_ours(&self) -> bool {
        self.state.borrow().standing == Standing::Open
    }

    pub fn is_open(&self) -> bool {
        self.state.borrow().is_open()
    }

    /// How many bytes are buffered.
    pub fn buffered(&self) -> usize {
        self.state.borrow().inflow.len()
    }

    /// Brings the poll set up to date with who waits for what.
    fn update(self: &Rc<Self>, state: &mut State) {
        let events = if state.standing == Standing::Open { state.wanted() } else { None };
        if events == state.registered {
            return;
        }
        let inbox = match &state.inbox {
            Some(inbox) => inbox,
            None => return,
        };
        match (state.registered, events) {
            (_, None) => inbox.poll_set.borrow_mut().remove(self.fd()),
            (Some(_), Some(events)) => inbox.poll_set.borrow_mut().change(self.fd(), events),
            (None, Some(events)) => {
                inbox.supersede(self.fd());
                inbox.poll_set.borrow_mut().set(self.fd(), events, Watched::File(Rc::downgrade(self)));
            }
        }
        state.registered = events;
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Standing::Absent(stream) = self.state.borrow().standing {
            return write!(f, "{stream} (not piped)");
        }
        if !self.is_open() {
            return write!(f, "fd {} (closed)", self.fd());
        }
        write!(f, "fd {}", self.fd())?;
        match self.buffered() {
            0 => Ok(()),
            held => write!(f, ", {held} B held"),
        }
    }
}
