//! Every sequence of events for a wait for a chain of children.

use std::time::Duration;

use super::naive::exiting::Rig;
use super::script;

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    LastExits,
    OthersExit,
    /// So many milliseconds pass.
    Passes(u64),
    /// Something tells of exits from now on, or nothing does any more.
    Told,
    Untold,
    /// It is dropped, and another begins.
    Cut,
    /// It is asked although nothing has happened.
    Spurious,
}

use Event::*;

/// A millisecond is the first pause; 64 is the longest; in 99 the grace is almost over.
const EVENTS: [Event; 9] = [LastExits, OthersExit, Passes(1), Passes(64), Passes(99), Told, Untold, Cut, Spurious];

/// Whether the second of these, in a row, can show something new.
fn shows(before: Option<Event>, event: Option<Event>) -> bool {
    match (before, event) {
        (None, Some(Untold | Cut)) => false,
        (Some(Passes(_)), Some(Passes(_))) => true,
        (before, event) => before.is_none() || before != event,
    }
}

/// Lets these events happen, and asks after each of them.
fn happen(events: &[Event]) {
    let mut rig = Rig::new();
    rig.advance();
    for event in events {
        match event {
            LastExits => rig.last_exits(),
            OthersExit => rig.others_exit(),
            Passes(time) => rig.passes(Duration::from_millis(*time)),
            Told => rig.is_told = true,
            Untold => rig.is_told = false,
            Cut => rig.begin_again(),
            Spurious => {}
        }
        rig.advance();
    }
}

#[test]
fn anything_may_happen_to_a_wait_for_exits() {
    let count = script::for_each(6, &EVENTS, shows, &mut happen);
    assert_eq!(count, 287_939);
}
