//! The tasks that wait for the same thing, all of one scheduler.

use std::rc::Rc;

use crate::reactor::Reactor;
use crate::task_table::Key;
use crate::wait_list::{Ticket, WaitList};

/// The tasks that wait for one thing: see the head of this file.
pub(crate) struct Waiters {
    /// The reactor of the tasks that wait, or were the last to wait.
    reactor: Option<Rc<Reactor>>,
    pub(super) list: WaitList,
}

impl Waiters {
    pub fn new() -> Waiters {
        Waiters {
            reactor: None,
            list: WaitList::new(),
        }
    }

    /// Enters at the back, if the task has no place yet. Returns false if tasks of another
    /// scheduler wait.
    pub fn enter(&mut self, ticket: &mut Ticket, (reactor, key): (&Rc<Reactor>, Key)) -> bool {
        if *ticket != Ticket::NONE {
            return true;
        }
        if self.list.front.is_none() {
            self.reactor = Some(Rc::clone(reactor));
        }
        let is_here = self.reactor.iter().all(|ours| Rc::ptr_eq(ours, reactor));
        if is_here {
            *ticket = self.list.enter(key);
        }
        is_here
    }

    /// Takes the task out of the list. Returns true if it was the front. Idempotent.
    pub fn leave(&mut self, ticket: &mut Ticket) -> bool {
        *ticket != Ticket::NONE && self.list.leave(std::mem::replace(ticket, Ticket::NONE))
    }

    pub fn front(&self) -> Option<Key> {
        self.list.front
    }

    pub fn wake_all(&self) {
        if let Some(reactor) = &self.reactor {
            self.list.for_each(&mut |key| reactor.wake(key));
        }
    }

    pub fn wake_front(&self) {
        if let (Some(reactor), Some(front)) = (&self.reactor, self.list.front) {
            reactor.wake(front);
        }
    }
}
