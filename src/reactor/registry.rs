//! Which reactors a thread has, and what annexes keep beside one.

use std::any::Any;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::Reactor;

thread_local! {
    /// The reactors of this thread.
    static REACTORS: RefCell<Vec<Weak<Reactor>>> = const { RefCell::new(Vec::new()) };
}

impl Reactor {
    /// A reactor that this thread's list knows.
    pub fn new() -> Rc<Reactor> {
        let reactor = Rc::new(Reactor::default());
        let _ = REACTORS.try_with(|reactors| {
            let mut reactors = reactors.borrow_mut();
            reactors.retain(|other| other.strong_count() > 0);
            reactors.push(Rc::downgrade(&reactor));
        });
        reactor
    }

    /// A reactor of this thread whose scheduler is alive: for watches that no task has asked for.
    pub fn any() -> Option<Rc<Reactor>> {
        Reactor::find(Some)
    }

    /// What `choose` finds at a reactor of this thread whose scheduler is alive, the youngest
    /// first.
    pub fn find<T>(choose: impl FnMut(Rc<Reactor>) -> Option<T>) -> Option<T> {
        let find = |reactors: &RefCell<Vec<Weak<Reactor>>>| {
            let reactors = reactors.borrow();
            let all = reactors.iter().rev().filter_map(Weak::upgrade);
            all.filter(|reactor| !reactor.is_closed.get())
                .find_map(choose)
        };
        REACTORS.try_with(find).ok().flatten()
    }

    /// What an annex keeps here, of this type.
    pub fn kept<T: 'static>(&self) -> Option<Rc<T>> {
        let kept = self.kept.borrow();
        kept.iter()
            .find_map(|value| Rc::clone(value).downcast().ok())
    }

    /// Keeps this until the scheduler is dropped.
    pub fn keep(&self, value: Rc<dyn Any>) {
        self.kept.borrow_mut().push(value);
    }
}
