//! The exit machine: wait for a child, or for the last of a chain of them.
//!
//! ```text
//!      Running ── the last has exited ──► Grace ── all have, or the grace is over ──► Ended
//!       │   ▲                             │   ▲
//!       └───┘ asked again after a pause   └───┘
//! ```
//!
//! The status is the last child's. Those before it have lost their reader by then and end in a moment; they are given that
//! moment, so that their statuses are known too, but one that lives on holds nobody up.

use std::time::{Duration, Instant};

/// How long the others of a chain are waited for after the last has exited.
const GRACE: Duration = Duration::from_millis(100);

/// The first pause between two questions, where nothing tells of an exit. It is doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The last child runs.
    Running,
    /// It has exited; others have not, and are waited for until then.
    Grace(Instant),
    /// Over.
    Ended,
}

/// What the machine is told.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// When the last child's exit was noticed: None while it runs.
    pub last_exited_at: Option<Instant>,
    /// All have.
    pub have_all_exited: bool,
    /// Something will tell of each exit that is still waited for: no need to ask again.
    pub is_told: bool,
    /// The time.
    pub now: Instant,
}

/// What the machine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not yet. Ask again then, or when told of an exit.
    Blocked(Option<Instant>),
    /// It is over.
    Ended,
}

/// A wait for exits.
#[derive(Clone, Debug)]
pub struct Waiter {
    state: State,
    pause: Duration,
    ask_again: Option<Instant>,
}

impl Waiter {
    /// A wait at its beginning.
    pub fn new() -> Waiter {
        Waiter { state: State::Running, pause: FIRST_PAUSE, ask_again: None }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes in what is known by now.
    pub fn advance(&mut self, given: Given) -> Answer {
        // From the exit on, not from this wait's beginning: waits that are cut again and again would never end.
        if let (State::Running, Some(at)) = (self.state, given.last_exited_at) {
            self.state = State::Grace(at + GRACE);
        }
        match self.state {
            State::Running => Answer::Blocked(self.next_question(given)),
            State::Grace(until) if given.have_all_exited || given.now >= until => {
                self.state = State::Ended;
                Answer::Ended
            }
            State::Grace(until) => Answer::Blocked(self.next_question(given).map(|ask| ask.min(until)).or(Some(until))),
            State::Ended => Answer::Ended,
        }
    }

    fn next_question(&mut self, given: Given) -> Option<Instant> {
        if given.is_told {
            return None;
        }
        match self.ask_again {
            Some(at) if given.now < at => {}
            _ => {
                self.ask_again = given.now.checked_add(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
        self.ask_again
    }
}

impl Default for Waiter {
    fn default() -> Waiter {
        Waiter::new()
    }
}
