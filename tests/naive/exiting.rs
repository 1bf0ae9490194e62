//! The exit machine beside its oracle, which knows whether the child has ended and how often it was
//! asked.

use std::time::Duration;

use asyncfile::machine::exit::{Answer, Given, State, Waiter};

/// The pauses between two questions, in milliseconds, where nothing tells of an exit; the last one
/// again and again.
const PAUSES: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A child, and a wait for its end.
pub struct Rig {
    waiter: Waiter,
    /// The clock stands still until it is told that time passes.
    now: Duration,
    has_ended: bool,
    /// poll(2) will tell of the end.
    pub is_watched: bool,
    /// Of this waiter: how many pauses it has had, and until when the last one is.
    pauses: usize,
    ask_again: Duration,
}

impl Rig {
    pub fn new() -> Rig {
        Rig {
            waiter: Waiter::new(),
            now: Duration::from_secs(1000),
            has_ended: false,
            is_watched: false,
            pauses: 0,
            ask_again: Duration::ZERO,
        }
    }

    /// The wait is cut, and another begins.
    pub fn begin_again(&mut self) {
        self.waiter = Waiter::new();
        (self.pauses, self.ask_again) = (0, Duration::ZERO);
    }

    pub fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    pub fn exits(&mut self) {
        self.has_ended = true;
    }

    /// The wait is over: a communicate is told that the child has ended.
    pub fn has_exited(&self) -> bool {
        self.waiter.state() == State::Ended
    }

    /// Advances the machine, unless the wait is over. Returns where it is, and what it answered.
    pub fn advance(&mut self) -> (State, Answer) {
        if self.has_exited() {
            return (State::Ended, Answer::Ended);
        }
        let given = Given {
            has_ended: self.has_ended,
            is_watched: self.is_watched,
            now: self.now,
        };
        let answer = self.waiter.advance(given);
        let (state, expected) = match self.has_ended {
            true => (State::Ended, Answer::Ended),
            false => (State::Running, Answer::Blocked(self.question())),
        };
        assert_eq!(
            (self.waiter.state(), answer),
            (state, expected),
            "of {given:?}"
        );
        if let Answer::Blocked(Some(at)) = answer {
            assert!(at > self.now, "to be asked again at once");
        }
        (state, answer)
    }

    /// When to ask again: after a pause that is longer each time, or when poll(2) tells of the end.
    fn question(&mut self) -> Option<Duration> {
        if self.is_watched {
            return None;
        }
        if self.ask_again <= self.now {
            let pause = PAUSES[self.pauses.min(PAUSES.len() - 1)];
            self.pauses += 1;
            self.ask_again = self.now + Duration::from_millis(pause);
        }
        Some(self.ask_again)
    }
}
