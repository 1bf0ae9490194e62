//! Tasks that wait for bare readiness of a descriptor. They do not queue: poll's answer is for all
//! of them.

use libc::c_short;

use super::{Descriptor, Interest, ALWAYS};
use crate::error::Cause;
use crate::reactor::Reactor;
use crate::task_table::Key;
use std::rc::Rc;

/// The tasks that wait for bare readiness of one descriptor. There is at least one: when the last
/// one leaves, the descriptor drops its `Watchers`.
pub(crate) struct Watchers {
    places: Vec<Option<Watcher>>,
    /// Places that tasks have left, to be used again.
    free: Vec<usize>,
    /// The events that poll(2) is asked for, on behalf of the watchers that have no answer yet.
    /// When a watcher leaves, its events stay here until poll(2) answers. That makes leaving O(1).
    interest: Interest,
}

/// A task that waits, the events that it waits for, and the part of poll(2)'s answer that concerns
/// them (0 before the answer).
#[derive(Clone, Copy)]
struct Watcher {
    key: Key,
    events: c_short,
    revents: c_short,
    /// Whether buffered bytes end the wait, as they do for a `readable`.
    heeds_buffer: bool,
}

impl Watchers {
    fn new() -> Watchers {
        Watchers {
            places: Vec::new(),
            free: Vec::new(),
            interest: Interest::NONE,
        }
    }

    pub fn interest(&self) -> Interest {
        self.interest
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.places.iter().flatten().map(|watcher| watcher.key)
    }

    /// Wakes the tasks that wait for `readable`. A task that waits for `readiness` is not woken,
    /// because buffered bytes do not end its wait. For example, a task may wait for a `first` of a
    /// `readiness` and a read of the same file. If buffered bytes woke that task, each advance of
    /// its read would wake the task once more, without end.
    pub fn wake_readers(&self, reactor: &Reactor) {
        let watchers = self.places.iter().flatten();
        watchers
            .filter(|watcher| watcher.heeds_buffer)
            .for_each(|watcher| reactor.wake(watcher.key));
    }

    /// Notes poll(2)'s answer, and wakes the tasks that it concerns.
    pub fn take_answer(&mut self, revents: c_short, reactor: &Reactor) {
        self.interest = Interest::NONE;
        for watcher in self
            .places
            .iter_mut()
            .flatten()
            .filter(|watcher| watcher.revents == 0)
        {
            watcher.revents = revents & (watcher.events | ALWAYS);
            if watcher.revents != 0 {
                reactor.wake(watcher.key);
            } else {
                self.interest = self.interest.with(Interest::of(watcher.events));
            }
        }
    }

    fn enter(&mut self, key: Key, events: c_short, heeds_buffer: bool) -> usize {
        let watcher = Some(Watcher {
            key,
            events,
            revents: 0,
            heeds_buffer,
        });
        self.interest = self.interest.with(Interest::of(events));
        match self.free.pop() {
            Some(place) => {
                self.places[place] = watcher;
                place
            }
            None => {
                self.places.push(watcher);
                self.places.len() - 1
            }
        }
    }
}

/// The place of a watcher. None if the task does not wait.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<usize>);

impl Descriptor {
    /// The part of poll(2)'s answer that concerns this watcher, or 0 before the answer. The first
    /// call makes the task a watcher.
    pub fn watch(
        self: &Rc<Self>,
        place: &mut Place,
        (reactor, key): (&Rc<Reactor>, Key),
        events: c_short,
        heeds_buffer: bool,
    ) -> Result<c_short, Cause> {
        let mut state = self.state();
        state.admit(reactor)?;
        state.claim(reactor);
        let watchers = state
            .watchers
            .get_or_insert_with(|| Box::new(Watchers::new()));
        match place.0 {
            Some(place) => return Ok(watchers.places[place].map_or(0, |watcher| watcher.revents)),
            None => place.0 = Some(watchers.enter(key, events, heeds_buffer)),
        }
        self.update(&mut state);
        Ok(0)
    }

    pub fn unwatch(self: &Rc<Self>, place: &mut Place) {
        let place = match place.0.take() {
            Some(place) => place,
            None => return,
        };
        let mut state = self.state();
        if let Some(watchers) = &mut state.watchers {
            watchers.places[place] = None;
            watchers.free.push(place);
            if watchers.free.len() == watchers.places.len() {
                state.watchers = None;
            }
        }
        self.update(&mut state);
    }

    /// For the simulation: whether poll(2) is asked on behalf of this watcher.
    #[cfg(any(test, fuzzing))]
    pub fn is_watched(&self, place: &Place) -> bool {
        let state = self.state();
        let watcher = match (place.0, &state.watchers) {
            (Some(place), Some(watchers)) => watchers.places[place],
            _ => None,
        };
        watcher.map_or(false, |watcher| {
            watcher.revents == 0 && self.is_registered_for(&state, watcher.events)
        })
    }
}
