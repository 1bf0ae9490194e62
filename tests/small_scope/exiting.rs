//! Waits for an exit in the small scope: what can happen to one, and a function that lets every
//! sequence of it happen. It returns how many sequences there were.

use std::time::Duration;

use super::naive::exiting::Rig;
use super::script;

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Exits,
    /// This many milliseconds pass.
    Passes(u64),
    /// poll(2) will tell of the end from here on, or it will not any more.
    Watched,
    Unwatched,
    /// It is dropped, and another begins.
    Cut,
    /// It is advanced although nothing has happened.
    Spurious,
}

use Event::*;

/// A millisecond is the first pause; 64 is the longest.
const EVENTS: [Event; 8] = [
    Exits,
    Passes(1),
    Passes(63),
    Passes(64),
    Watched,
    Unwatched,
    Cut,
    Spurious,
];

/// Whether the second of two events in a row can show something new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        (None, Some(Unwatched | Cut)) => false,
        (Some(Passes(_)), Some(Passes(_))) => true,
        (before, event) => before.is_none() || before != event,
    }
}

/// Lets these events happen, and advances the wait after each of them.
fn happen(events: &[Event]) {
    let mut rig = Rig::new();
    rig.advance();
    for event in events {
        match event {
            Exits => rig.exits(),
            Passes(time) => rig.passes(Duration::from_millis(*time)),
            Watched => rig.is_watched = true,
            Unwatched => rig.is_watched = false,
            Cut => rig.begin_again(),
            Spurious => {}
        }
        rig.advance();
    }
}

pub fn to_a_wait_for_an_exit() -> usize {
    script::for_each(6, &EVENTS, shows, &mut happen)
}
