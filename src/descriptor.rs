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

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io;
use std::os::unix::io::{OwnedFd, RawFd};
use std::rc::Rc;

use libc::{c_short, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};

use crate::error::invalid;
use crate::inbox::{Inbox, Key, Waiters, Watched};
use crate::machine::read::Inflow;
use crate::machine::write::Outflow;
use crate::port::{Calls, Port};

/// What poll(2) says unasked. Each of these wakes reader and writer: the system call then decides.
const ALWAYS: c_short = POLLHUP | POLLERR | POLLNVAL;

const NO_QUEUE: &str = "who waits for a hangup is a watcher";

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

/// Whether there is a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    /// Closed behind our back: poll(2) says that its number is nobody's, or it is another file's by now. It is no longer ours, neither
    /// to call nor to close; what was read ahead is there.
    Lost,
    Closed,
    /// There never was one: a child's stream of this name that was not piped.
    Absent(Stream),
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

/// What changes while it is open.
pub(crate) struct State {
    standing: Standing,
    pub inflow: Inflow,
    pub outflow: Outflow,
    reading: Queue,
    writing: Queue,
    /// Boxed, and empty but for those who use `readable` or `writable`.
    #[allow(clippy::box_collection)]
    watchers: Option<Box<Vec<Watcher>>>,
    /// What the poll set has for it. None: it is not in there.
    registered: Option<c_short>,
    /// Of those who wait on it, or waited last.
    inbox: Option<Rc<Inbox>>,
}

/// The operations of one direction, in the order they were waited for.
#[derive(Default)]
struct Queue {
    waiters: Waiters,
    /// The first of them waits until poll(2) has something to say.
    is_parked: bool,
}

/// Somebody who waits for bare readiness.
struct Watcher {
    key: Key,
    direction: Direction,
    /// What poll(2) said that concerns it; 0: nothing yet.
    said: c_short,
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
        let state = State {
            standing,
            inflow,
            outflow,
            reading: Queue::default(),
            writing: Queue::default(),
            watchers: None,
            registered: None,
            inbox: None,
        };
        Descriptor { port, state: RefCell::new(state) }
    }

    pub fn fd(&self) -> RawFd {
        self.port.fd()
    }

    #[inline]
    /// What changes while it is open. Never borrowed while user code runs.
    pub fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The kernel's side of it, for one advance of a machine.
    pub fn calls(&self) -> Calls<'_> {
        self.port.calls()
    }

    /// After a machine has made its calls. Who waits for readiness has it if bytes were read ahead: poll(2) may have nothing more to
    /// say of those.
    pub fn settle(&self, state: &mut State) {
        self.port.settle(&mut state.inflow, &mut state.outflow);
        if let (Some(watchers), Some(inbox), false) = (&state.watchers, &state.inbox, state.inflow.is_empty()) {
            for watcher in watchers.iter().filter(|watcher| watcher.direction == Direction::Read) {
                inbox.wake(watcher.key);
            }
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
            if let (Some(next), Some(inbox)) = (next, &state.inbox) {
                inbox.wake(next);
            }
            self.update(&mut state);
        }
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
            self.port.settle(&mut state.inflow, &mut state.outflow);
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

impl State {
    /// Whether this task may wait on it at all: an error if it is closed, or others wait on it in another scheduler.
    pub fn admits(&self, inbox: &Rc<Inbox>) -> io::Result<()> {
        match self.standing {
            Standing::Open | Standing::Lost => {}
            Standing::Closed => return Err(io::Error::new(io::ErrorKind::NotConnected, "closed")),
            Standing::Absent(stream) => return Err(invalid(format!("the child's {stream} is not piped"))),
        }
        match &self.inbox {
            Some(other) if !Rc::ptr_eq(other, inbox) && self.has_waiters() => {
                Err(invalid("it is waited for in another scheduler"))
            }
            _ => Ok(()),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open | Standing::Lost)
    }

    /// Whether this task's operation comes first in its direction.
    pub fn is_first(&self, key: Key, direction: Direction) -> bool {
        let queue = match direction {
            Direction::Read => &self.reading,
            Direction::Write => &self.writing,
            Direction::Hangup => unreachable!("{NO_QUEUE}"),
        };
        match queue.waiters.front() {
            None => true,
            Some(front) => front == key,
        }
    }

    /// poll(2) was asked for the first of this direction, or has answered. One who has only just come to the front was not spoken of yet.
    pub fn is_asked_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.reading.is_parked || self.inflow.ready,
            Direction::Write => self.writing.is_parked || self.outflow.ready,
            Direction::Hangup => unreachable!("{NO_QUEUE}"),
        }
    }

    /// Open, and nobody waits to read it.
    #[inline]
    pub fn has_no_reader(&self) -> bool {
        self.standing == Standing::Open && self.reading.waiters.is_empty()
    }

    /// poll(2) has said something to this watcher.
    pub fn was_told(&self, key: Key, direction: Direction) -> bool {
        let mut watchers = self.watchers.iter().flat_map(|watchers| watchers.iter());
        watchers.any(|watcher| watcher.key == key && watcher.direction == direction && watcher.said != 0)
    }

    pub fn has_waiters(&self) -> bool {
        !self.reading.waiters.is_empty()
            || !self.writing.waiters.is_empty()
            || self.watchers.as_ref().map_or(false, |watchers| !watchers.is_empty())
    }

    /// What poll(2) is to be asked. None: nothing, nobody waits on it.
    fn wanted(&self) -> Option<c_short> {
        let reader = Some(POLLIN).filter(|_| self.reading.is_parked);
        let writer = Some(POLLOUT).filter(|_| self.writing.is_parked);
        let watchers = self.watchers.iter().flat_map(|watchers| watchers.iter());
        let watched = watchers.filter(|watcher| watcher.said == 0).map(|watcher| watcher.direction.events());
        reader.into_iter().chain(writer).chain(watched).reduce(|all, events| all | events)
    }

    /// Gives back the inbox of those who waited before, to be dropped where nothing is borrowed: it may be the last handle to it.
    #[must_use = "to be dropped after the borrow of the state"]
    fn claim(&mut self, inbox: &Rc<Inbox>) -> Option<Rc<Inbox>> {
        match &self.inbox {
            Some(mine) if Rc::ptr_eq(mine, inbox) => None,
            _ => self.inbox.replace(Rc::clone(inbox)),
        }
    }

    fn queue(&mut self, direction: Direction) -> &mut Queue {
        match direction {
            Direction::Read => &mut self.reading,
            Direction::Write => &mut self.writing,
            Direction::Hangup => unreachable!("{NO_QUEUE}"),
        }
    }
}

impl Queue {
    /// The first can go on.
    fn unpark(&mut self, inbox: &Inbox) {
        self.is_parked = false;
        if let Some(first) = self.waiters.front() {
            inbox.wake(first);
        }
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
