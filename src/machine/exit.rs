//! The exit machine: wait for a child's end.
//!
//! ```text
//! Running   ── it runs, and its end wakes the task ──► Running
//! Running   ── it runs, and its end wakes nobody: ask again after a pause ──► Running
//! Running   ── it has ended ──► Ended
//! ```
//!
//! The driver of the machine asks the kernel whether the child has ended. Where the kernel has a
//! pidfd for the child, poll(2) reports the end. Elsewhere the driver asks again after pauses that
//! grow from 1 ms to 64 ms. The end of a short wait is noticed soon, and a long wait costs 16 calls
//! a second.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Where a wait for an exit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The child runs, as far as the machine knows.
    Running,
    /// The child has ended.
    Ended,
}

/// All transitions of a wait for an exit.
#[cfg(any(test, fuzzing))]
pub const TRANSITIONS: &[super::table::Edge<State>] = &[
    (
        State::Running,
        "it runs, and its end wakes the task",
        State::Running,
    ),
    (
        State::Running,
        "it runs, and its end wakes nobody: ask again after a pause",
        State::Running,
    ),
    (State::Running, "it has ended", State::Ended),
];

/// The machine's input for one advance.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Whether the child has ended.
    pub has_ended: bool,
    /// Whether the child's end wakes the task. If it does not, the machine asks again after a
    /// pause.
    pub is_watched: bool,
    /// The present time, counted from any fixed moment.
    pub now: Duration,
}

/// The answer of an advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The child runs. The driver advances the machine again at this time, which counts from the
    /// same moment as [`Given::now`]. None if the child's end wakes the task.
    Blocked(Option<Duration>),
    /// The child has ended.
    Ended,
}

/// A wait for a child's exit.
#[derive(Clone, Debug)]
pub struct Waiter {
    state: State,
    /// How long the next pause is.
    pause: Duration,
    /// When the pause that is under way ends.
    ask_again: Duration,
}

impl Waiter {
    /// Makes a waiter.
    pub fn new() -> Waiter {
        Waiter {
            state: State::Running,
            pause: FIRST_PAUSE,
            ask_again: Duration::ZERO,
        }
    }

    /// The state of the wait.
    pub fn state(&self) -> State {
        self.state
    }

    /// The only place where the state changes.
    fn go(&mut self, cause: &'static str, to: State) {
        #[cfg(any(test, fuzzing))]
        super::table::take(TRANSITIONS, (self.state, cause, to));
        let _ = cause;
        self.state = to;
    }

    /// Advances the machine with what the driver knows. A pause that is under way keeps its end.
    pub fn advance(&mut self, given: Given) -> Answer {
        match self.state {
            State::Running if given.has_ended => {
                self.go("it has ended", State::Ended);
                Answer::Ended
            }
            State::Running if given.is_watched => {
                self.go("it runs, and its end wakes the task", State::Running);
                Answer::Blocked(None)
            }
            State::Running => {
                let cause = "it runs, and its end wakes nobody: ask again after a pause";
                self.go(cause, State::Running);
                if given.now >= self.ask_again {
                    self.ask_again = given.now.saturating_add(self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                Answer::Blocked(Some(self.ask_again))
            }
            State::Ended => unreachable!("a wait that has ended is not advanced"),
        }
    }
}

impl Default for Waiter {
    fn default() -> Waiter {
        Waiter::new()
    }
}
