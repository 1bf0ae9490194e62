//! What changes of a descriptor while it is open: whether it is, what is known of its bytes, and who waits on it.

use std::io;
use std::rc::Rc;

use libc::{c_short, POLLIN, POLLOUT};

use super::{Direction, Stream};
use crate::error::invalid;
use crate::inbox::Inbox;
use crate::key::Key;
use crate::machine::read::Inflow;
use crate::machine::write::Outflow;
use crate::waiters::Waiters;

const NO_QUEUE: &str = "who waits for a hangup is a watcher";

/// Whether there is a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// Closed behind our back: poll(2) says that its number is nobody's, or it is another file's by now. It is no longer ours, neither
    /// to call nor to close; what was read ahead is there.
    Lost,
    Closed,
    /// There never was one: a child's stream of this name that was not piped.
    Absent(Stream),
}

/// What changes while it is open.
pub(crate) struct State {
    pub(super) standing: Standing,
    pub inflow: Inflow,
    pub outflow: Outflow,
    pub(super) reading: Queue,
    pub(super) writing: Queue,
    /// Boxed, and empty but for those who use `readable` or `writable`.
    #[allow(clippy::box_collection)]
    pub(super) watchers: Option<Box<Vec<Watcher>>>,
    /// What the poll set has for it. None: it is not in there.
    pub(super) registered: Option<c_short>,
    /// Of those who wait on it, or waited last.
    pub(super) inbox: Option<Rc<Inbox>>,
}

/// The operations of one direction, in the order they were waited for.
#[derive(Default)]
pub(super) struct Queue {
    pub waiters: Waiters,
    /// The first of them waits until poll(2) has something to say.
    pub is_parked: bool,
}

/// Somebody who waits for bare readiness.
pub(super) struct Watcher {
    pub key: Key,
    pub direction: Direction,
    /// What poll(2) said that concerns it; 0: nothing yet.
    pub said: c_short,
}

impl State {
    pub(super) fn new(standing: Standing, inflow: Inflow, outflow: Outflow) -> State {
        State {
            standing,
            inflow,
            outflow,
            reading: Queue::default(),
            writing: Queue::default(),
            watchers: None,
            registered: None,
            inbox: None,
        }
    }

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
        queue.waiters.is_first(key)
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
    pub(super) fn wanted(&self) -> Option<c_short> {
        let reader = Some(POLLIN).filter(|_| self.reading.is_parked);
        let writer = Some(POLLOUT).filter(|_| self.writing.is_parked);
        let watchers = self.watchers.iter().flat_map(|watchers| watchers.iter());
        let watched = watchers.filter(|watcher| watcher.said == 0).map(|watcher| watcher.direction.events());
        reader.into_iter().chain(writer).chain(watched).reduce(|all, events| all | events)
    }

    /// Gives back the inbox of those who waited before, to be dropped where nothing is borrowed: it may be the last handle to it.
    #[must_use = "to be dropped after the borrow of the state"]
    pub(super) fn claim(&mut self, inbox: &Rc<Inbox>) -> Option<Rc<Inbox>> {
        match &self.inbox {
            Some(mine) if Rc::ptr_eq(mine, inbox) => None,
            _ => self.inbox.replace(Rc::clone(inbox)),
        }
    }

    pub(super) fn queue(&mut self, direction: Direction) -> &mut Queue {
        match direction {
            Direction::Read => &mut self.reading,
            Direction::Write => &mut self.writing,
            Direction::Hangup => unreachable!("{NO_QUEUE}"),
        }
    }
}

impl Queue {
    /// The first can go on.
    pub fn unpark(&mut self, inbox: &Inbox) {
        self.is_parked = false;
        if let Some(first) = self.waiters.front() {
            inbox.wake(first);
        }
    }
}
