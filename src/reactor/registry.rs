//! The list of a thread's reactors, and the values that annexes keep beside a reactor.

use std::any::Any;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::Reactor;

thread_local! {
    /// The reactors of this thread.
    static REACTORS: RefCell<Vec<Weak<Reactor>>> = const { RefCell::new(Vec::new()) };
}

impl Reactor {
    /// Makes a reactor, and puts it into this thread's list.
    pub fn new() -> Rc<Reactor> {
        let reactor = Rc::new(Reactor::default());
        let _ = REACTORS.try_with(|reactors| {
            let mut reactors = reactors.borrow_mut();
            reactors.retain(|other| other.strong_count() > 0);
            reactors.push(Rc::downgrade(&reactor));
        });
        reactor
    }

    /// Any reactor of this thread whose scheduler is alive. Watches that belong to no task use it.
    pub fn any() -> Option<Rc<Reactor>> {
        Reactor::find(Some)
    }

    /// Calls `choose` with each reactor of this thread whose scheduler is alive, the youngest
    /// first, until it returns a value.
    pub fn find<T>(choose: impl FnMut(Rc<Reactor>) -> Option<T>) -> Option<T> {
        let find = |reactors: &RefCell<Vec<Weak<Reactor>>>| {
            let reactors = reactors.borrow();
            let all = reactors.iter().rev().filter_map(Weak::upgrade);
            all.filter(|reactor| !reactor.is_closed.get())
                .find_map(choose)
        };
        REACTORS.try_with(find).ok().flatten()
    }

    /// The value of type `T` that another part of the library keeps beside the reactor. None if
    /// there is none.
    pub fn kept<T: 'static>(&self) -> Option<Rc<T>> {
        let kept = self.kept.borrow();
        kept.iter()
            .find_map(|value| Rc::clone(value).downcast().ok())
    }

    /// Keeps the value until the scheduler is dropped.
    pub fn keep(&self, value: Rc<dyn Any>) {
        self.kept.borrow_mut().push(value);
    }
}
