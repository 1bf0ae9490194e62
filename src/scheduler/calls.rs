//! Calls that need the scheduler. Code that cannot make such a call itself leaves it here. For
//! example, an operation does so to start a hidden task, and the hidden task of a Remote does so
//! with the calls that other threads have sent. The calls are made at the end of the turn, in the
//! order in which they were left.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::Scheduler;
use crate::reactor::Reactor;

pub(super) type Call = Box<dyn FnOnce(&mut Scheduler<'_>)>;

/// The calls that were left for one scheduler. Its reactor keeps them.
#[derive(Default)]
pub(crate) struct Calls {
    queue: RefCell<VecDeque<Call>>,
    /// Whether the queue may hold a call.
    has_any: Cell<bool>,
}

impl Calls {
    /// Makes the `Calls` of a new scheduler. The reactor keeps them.
    pub(super) fn beside(reactor: &Reactor) -> Rc<Calls> {
        let calls = Rc::new(Calls::default());
        reactor.keep(Rc::clone(&calls) as Rc<_>);
        calls
    }

    /// The `Calls` of this reactor's scheduler. None if the scheduler is gone.
    pub fn of(reactor: &Reactor) -> Option<Rc<Calls>> {
        reactor.kept()
    }

    /// Has `call` called at the end of this turn, or when the next drive begins. No task is being
    /// advanced then, so `call` may itself drive the scheduler, and even put another scheduler in
    /// its place.
    pub fn leave(&self, call: impl FnOnce(&mut Scheduler<'_>) + 'static) {
        self.queue.borrow_mut().push_back(Box::new(call));
        self.has_any.set(true);
    }

    #[inline]
    pub(super) fn has_any(&self) -> bool {
        self.has_any.get()
    }

    pub(super) fn set_any(&self, has_any: bool) {
        self.has_any.set(has_any);
    }

    pub(super) fn next(&self) -> Option<Call> {
        self.queue.borrow_mut().pop_front()
    }
}
