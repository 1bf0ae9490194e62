//! The exit machine beside its oracle, which knows when the last child exited, whether all have, and how often was asked.

use std::time::{Duration, Instant};

use asyncfile::machine::exit::{Answer, Given, State, Waiter};

/// How long the others have after the last.
const GRACE: Duration = Duration::from_millis(100);

/// The pauses between two questions, in milliseconds, where nothing tells of an exit; the last one again and again.
const PAUSES: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A chain of children, and who waits for it.
pub struct Rig {
    waiter: Waiter,
    /// The clock stands still until it is told that time passes.
    now: Instant,
    last_exited_at: Option<Instant>,
    have_all_exited: bool,
    pub is_told: bool,
    /// Of this waiter: how often it was asked in vain, and until when it need not be asked again.
    pauses: usize,
    ask_again: Option<Instant>,
    has_ended: bool,
}

impl Rig {
    pub fn new() -> Rig {
        Rig {
            waiter: Waiter::new(),
            now: Instant::now(),
            last_exited_at: None,
            have_all_exited: false,
            is_told: false,
            pauses: 0,
            ask_again: None,
            has_ended: false,
        }
    }

    /// The wait is cut, and another begins.
    pub fn begin_again(&mut self) {
        self.waiter = Waiter::new();
        (self.pauses, self.ask_again, self.has_ended) = (0, None, false);
    }

    pub fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    pub fn last_exits(&mut self) {
        self.last_exited_at.get_or_insert(self.now);
    }

    /// The others have, and so all have if the last one has.
    pub fn others_exit(&mut self) {
        self.have_all_exited = true;
    }

    /// What the conversation is told: the wait for the exits is over.
    pub fn has_exited(&self) -> bool {
        self.has_ended
    }

    /// The exit was noticed.
    pub fn has_last_exited(&self) -> bool {
        self.last_exited_at.is_some()
    }

    /// Asks the machine. The answer is how it stands, and what it said.
    pub fn advance(&mut self) -> (State, Answer) {
        let Rig { now, last_exited_at, have_all_exited, is_told, .. } = *self;
        let given =
            Given { last_exited_at, have_all_exited: have_all_exited && last_exited_at.is_some(), is_told, now };
        let answer = self.waiter.advance(given);
        let until = last_exited_at.map(|at| at + GRACE);
        let is_over = until.is_some_and(|until| have_all_exited || now >= until);
        self.has_ended |= is_over;
        let (state, expected) = match until {
            _ if self.has_ended => (State::Ended, Answer::Ended),
            Some(until) => {
                (State::Grace(until), Answer::Blocked(self.question().map_or(Some(until), |at| Some(at.min(until)))))
            }
            None => (State::Running, Answer::Blocked(self.question())),
        };
        assert_eq!((self.waiter.state(), answer), (state, expected), "of {given:?}");
        if let Answer::Blocked(Some(at)) = answer {
            assert!(at > now, "to be asked again at once");
        }
        (state, answer)
    }

    /// When it is to be asked again: after a pause that is longer each time, or when told of an exit.
    fn question(&mut self) -> Option<Instant> {
        if self.is_told {
            return None;
        }
        if self.ask_again.is_none_or(|at| at <= self.now) {
            let pause = PAUSES[self.pauses.min(PAUSES.len() - 1)];
            self.pauses += 1;
            self.ask_again = Some(self.now + Duration::from_millis(pause));
        }
        self.ask_again
    }
}
