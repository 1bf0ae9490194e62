//! The file's entry in the poll set: what poll(2) is asked, and which tasks its answer wakes.

use std::rc::Rc;

use libc::{c_short, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};

use super::standing::Standing;
use super::{Descriptor, State};
use crate::port::Direction;
use crate::reactor::Watch;

/// The events that poll(2) reports unasked. Each of them wakes reader and writer, and the system
/// call shows what has happened.
pub(crate) const ALWAYS: c_short = POLLHUP | POLLERR | POLLNVAL;

/// The events that poll(2) is asked for, or no interest at all. Interest in no event differs from
/// no interest: poll(2) then still reports hangups and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(c_short);

impl Interest {
    pub const NONE: Interest = Interest(0);
    /// A bit that stands for no event, and is set in every interest but `NONE`. So interest in
    /// hangups and errors alone differs from `NONE`, although it has no event.
    pub const SOME: c_short = 1 << 14;

    #[inline]
    pub fn of(events: c_short) -> Interest {
        Interest(events | Interest::SOME)
    }

    #[inline]
    pub fn events(self) -> c_short {
        self.0 & !Interest::SOME
    }

    #[inline]
    pub fn with(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    #[inline]
    pub fn has(self, events: c_short) -> bool {
        self.0 & events != 0
    }

    #[inline]
    pub fn without(self, events: c_short) -> Interest {
        match self.events() & !events {
            0 => Interest::NONE,
            rest => Interest::of(rest),
        }
    }
}

impl Descriptor {
    /// Brings the file's entry in the poll set up to date with the interest of the waiting tasks.
    #[inline]
    pub(super) fn update(self: &Rc<Self>, state: &mut State) {
        if state.interest() != state.registered {
            self.register(state);
        }
    }

    fn register(self: &Rc<Self>, state: &mut State) {
        let interest = state.interest();
        let reactor = match &state.reactor {
            Some(reactor) => reactor,
            None => return,
        };
        state.registered = interest;
        match interest {
            Interest::NONE => reactor.unwatch(self.fd()),
            _ => reactor.watch(
                self.fd(),
                interest.events(),
                Rc::clone(self) as Rc<dyn Watch>,
            ),
        }
    }

    /// Wakes the tasks that poll(2)'s answer concerns. HUP, ERR and NVAL wake both directions,
    /// because the next read or write shows what has happened.
    #[inline]
    fn take_answer(&self, state: &mut State, revents: c_short) {
        let asked = state.parked.events();
        let answered = match revents & ALWAYS {
            0 => asked & revents,
            _ => asked,
        };
        state.parked = state.parked.without(answered);
        let reactor = match &state.reactor {
            Some(reactor) => reactor,
            None => return,
        };
        if answered & POLLIN != 0 {
            self.port.set_polled(Direction::Read, revents);
            reactor.wake_front(&state.readers);
        }
        if answered & POLLOUT != 0 {
            self.port.set_polled(Direction::Write, revents);
            reactor.wake_front(&state.writers);
        }
        if let Some(watchers) = &mut state.watchers {
            watchers.take_answer(revents, reactor);
        }
    }

    fn mark_lost(&self, state: &mut State) {
        state.standing = Standing::Lost;
        self.port.mark_lost();
    }
}

impl Watch for Descriptor {
    fn on_ready(self: Rc<Self>, revents: c_short) {
        let mut state = self.state();
        state.registered = Interest::NONE;
        // Darwin's poll(2) answers NVAL also for open devices. So fcntl(2) is asked whether the
        // number is open.
        if revents & POLLNVAL != 0 && !self.port.is_there() {
            self.mark_lost(&mut state);
        }
        self.take_answer(&mut state, revents);
        self.update(&mut state);
    }

    fn on_lost(self: Rc<Self>) {
        let mut state = self.state();
        state.registered = Interest::NONE;
        self.mark_lost(&mut state);
        self.take_answer(&mut state, POLLNVAL);
    }
}

impl State {
    /// The events that poll(2) is to be asked for.
    #[inline]
    pub(super) fn interest(&self) -> Interest {
        match &self.watchers {
            _ if self.standing != Standing::Open => Interest::NONE,
            None => self.parked,
            Some(watchers) => self.parked.with(watchers.interest()),
        }
    }
}
