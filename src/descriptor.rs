//! An open file and all that the library knows of it: the bytes that came in, and the tasks that
//! wait on it.
//!
//! The operations of one direction wait in a queue. Only the front is advanced, and only the front
//! is parked, that is, registered with poll(2). Tasks that wait for bare readiness do not queue:
//! see [`watchers`](self::watchers). Whenever interest changes, the poll set is brought up to date,
//! so it never holds a descriptor that nobody waits on.

mod hand_over;
mod interest;
#[cfg(any(test, fuzzing))]
mod invariants;
mod run;
mod standing;
pub(crate) mod watchers;

use std::cell::{RefCell, RefMut};
use std::io;
use std::os::unix::io::RawFd;
use std::rc::Rc;

use crate::error::Cause;
use crate::machine::read::Inflow;
use crate::port::{Direction, Port};
use crate::reactor::Reactor;
use crate::task_table::Key;
use crate::wait_list::{Ticket, WaitList};
use standing::Standing;
use watchers::Watchers;

pub(crate) use interest::{Interest, ALWAYS};
pub(crate) use run::Run;
pub(crate) use standing::Stream;

pub(crate) struct Descriptor {
    pub port: Port,
    pub run: Run,
    state: RefCell<State>,
}

/// The part of an open file that changes.
pub(crate) struct State {
    pub inflow: Inflow,
    readers: WaitList,
    writers: WaitList,
    /// The tasks that wait for bare readiness. None if there are none: most programs never use
    /// `readable` or `writable`.
    watchers: Option<Box<Watchers>>,
    /// The reactor of the tasks that wait on the file. If no task waits, the reactor of those that
    /// waited last.
    reactor: Option<Rc<Reactor>>,
    /// The events that poll(2) is to be asked for, for the fronts of the two queues.
    parked: Interest,
    /// The events for which the file's entry in the poll set is registered.
    registered: Interest,
    standing: Standing,
}

impl Descriptor {
    pub fn new(port: Port) -> Descriptor {
        Descriptor::standing(port, Standing::Open)
    }

    /// A descriptor in place of a stream that was not piped. An operation on it fails, and its
    /// error says so.
    pub fn absent(stream: Stream) -> Descriptor {
        Descriptor::standing(Port::absent(), Standing::Absent(stream))
    }

    fn standing(port: Port, standing: Standing) -> Descriptor {
        let state = State {
            inflow: Inflow::default(),
            readers: WaitList::new(),
            writers: WaitList::new(),
            watchers: None,
            reactor: None,
            parked: Interest::NONE,
            registered: Interest::NONE,
            standing,
        };
        Descriptor {
            port,
            run: Run::new(),
            state: RefCell::new(state),
        }
    }

    #[inline]
    pub fn fd(&self) -> RawFd {
        self.port.fd()
    }

    /// Borrows the part of the file that changes. If a task takes line after line without this
    /// borrow (a *run of lines*), the run is ended first, and its lines are taken out of the
    /// buffer. The state is not borrowed while user code runs.
    #[inline]
    pub fn state(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        if self.run.is_on() {
            self.run.end(&mut state.inflow.buffer);
        }
        state
    }

    /// True if a new reader of a stream must block: no byte is buffered, the source is not known to
    /// be ready, no reader waits, and this reactor may wait on the file.
    #[inline]
    pub fn is_idle(&self, state: &State, reactor: &Rc<Reactor>) -> bool {
        state.readers.front.is_none()
            && state.inflow.is_empty()
            && !self.port.is_ready(Direction::Read)
            && !self.port.keeps_messages
            && state.admit(reactor).is_ok()
    }

    /// Puts the operation into the queue of this direction, unless it is there already.
    #[inline]
    pub fn enter(
        &self,
        state: &mut State,
        ticket: &mut Ticket,
        at: (&Rc<Reactor>, Key),
        direction: Direction,
    ) {
        if *ticket == Ticket::NONE {
            state.claim(at.0);
            *ticket = state.queue(direction).enter(at.1);
        }
    }

    /// Parks the front of this direction's queue: poll(2) will be asked for this direction.
    #[inline]
    pub fn park(self: &Rc<Self>, state: &mut State, direction: Direction) {
        state.parked = state.parked.with(Interest::of(direction.events()));
        self.update(state);
    }

    /// Takes the operation out of the queue of this direction. If it was the front, the next task
    /// is woken.
    #[inline]
    pub fn leave(self: &Rc<Self>, state: &mut State, ticket: &mut Ticket, direction: Direction) {
        if *ticket != Ticket::NONE {
            self.leave_queue(state, ticket, direction);
        }
    }

    fn leave_queue(self: &Rc<Self>, state: &mut State, ticket: &mut Ticket, direction: Direction) {
        let was_front = state
            .queue(direction)
            .leave(std::mem::replace(ticket, Ticket::NONE));
        if was_front {
            self.port.forget_polled(direction);
            state.parked = state.parked.without(direction.events());
            if let (Some(next), Some(reactor)) = (state.queue(direction).front, &state.reactor) {
                reactor.wake(next);
            }
            self.update(state);
        }
    }

    /// Wakes the tasks that wait for `readable`, if a reader has left bytes in the buffer: poll(2)
    /// does not know of buffered bytes.
    #[inline]
    pub fn after_read(&self, state: &State) {
        if let (Some(watchers), Some(reactor)) = (&state.watchers, &state.reactor) {
            if !state.inflow.is_empty() {
                watchers.wake_readers(reactor);
            }
        }
    }

    /// Closes the file, for all handles. The tasks that wait on it are advanced next, and find it
    /// closed. Buffered bytes are dropped.
    pub fn close(&self) {
        let mut state = self.state();
        if !state.is_open() {
            return;
        }
        state.inflow = Inflow::default();
        let was_open = std::mem::replace(&mut state.standing, Standing::Closed) == Standing::Open;
        if let Some(reactor) = &state.reactor {
            reactor.note_close(self.fd());
        }
        self.wake_waiting(state);
        // The number of a file that was lost belongs to other code, and is not closed.
        if was_open {
            self.port.restore();
            self.port.close();
        }
    }

    /// Ends all waiting on the file: its entry leaves the poll set, and the tasks that wait are
    /// advanced next.
    fn wake_waiting(&self, mut state: RefMut<'_, State>) {
        let reactor = state.reactor.clone();
        let registered = std::mem::replace(&mut state.registered, Interest::NONE);
        let mut waiting = Vec::new();
        let push = &mut |key| waiting.push(key);
        state.readers.for_each(push);
        state.writers.for_each(push);
        if let Some(watchers) = &state.watchers {
            watchers.keys().for_each(push);
        }
        drop(state);
        if let Some(reactor) = reactor {
            reactor.wake_first(&waiting);
            if registered != Interest::NONE {
                reactor.unwatch(self.fd());
            }
        }
    }
}

impl State {
    /// Whether a task of this reactor may wait on the file. It may not if the file is closed, or if
    /// tasks of another scheduler wait on it.
    #[inline]
    pub fn admit(&self, reactor: &Rc<Reactor>) -> Result<(), Cause> {
        let is_here = match &self.reactor {
            Some(ours) => Rc::ptr_eq(ours, reactor),
            None => true,
        };
        if is_here && matches!(self.standing, Standing::Open) {
            return Ok(());
        }
        self.refuse(is_here)
    }

    #[cold]
    fn refuse(&self, is_here: bool) -> Result<(), Cause> {
        match self.standing.refusal() {
            Some(refusal) => Err(refusal),
            None if !is_here && self.has_waiters() => Err(Cause::Says(
                io::ErrorKind::InvalidInput,
                "it is waited for in another scheduler",
            )),
            None => Ok(()),
        }
    }

    /// Whether the file was neither closed nor absent. A file that has lost its descriptor is open
    /// until it is closed.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Open | Standing::Lost)
    }

    /// Whether the task may be served in this direction: it is the front of the queue, or the queue
    /// is empty.
    #[inline]
    pub fn is_front(&mut self, key: Key, direction: Direction) -> bool {
        self.queue(direction)
            .front
            .map_or(true, |front| front == key)
    }

    /// True if the front task of this direction's queue is parked: poll(2) is asked for it, and has
    /// not answered yet.
    #[inline]
    pub fn is_parked(&self, direction: Direction) -> bool {
        self.parked.has(direction.events())
    }

    pub fn has_waiters(&self) -> bool {
        self.readers.front.is_some() || self.writers.front.is_some() || self.watchers.is_some()
    }

    #[inline]
    fn queue(&mut self, direction: Direction) -> &mut WaitList {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }

    /// Makes this the reactor of the waiting tasks. The previous reactor may be dropped here. A
    /// reactor holds nothing of the user's, so its drop runs no user code.
    #[inline]
    fn claim(&mut self, reactor: &Rc<Reactor>) {
        match &self.reactor {
            Some(ours) if Rc::ptr_eq(ours, reactor) => {}
            _ => self.reactor = Some(Rc::clone(reactor)),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.close();
    }
}
