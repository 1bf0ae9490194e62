//! Whether a read that has filled its window is followed by another one at once, without poll(2).
//!
//! Such a read may have left bytes in the kernel. In a stream of records it mostly has, and a
//! poll(2) for each record is one call too many. But if the peer sends a record and waits for an
//! answer, the next read meets EAGAIN, which is one call too many as well. So nothing is guessed
//! where writes come between the reads. Elsewhere the guess is that there is more, and each wrong
//! guess doubles the number of reads that are not followed by one, until a guess is right.

use std::cell::Cell;

/// The most reads in a row that are not followed by a guess.
const LONGEST: u8 = 127;

/// The value of `pauses` while the next read is a guess.
const GUESSED: u8 = u8::MAX;

/// The guesses for one descriptor.
#[derive(Clone, Default)]
pub(super) struct Guess {
    /// How many more reads that fill their windows are not followed by a guess, or `GUESSED`.
    pauses: Cell<u8>,
    /// How many such reads there were after the last wrong guess. 0 after a right one.
    last: Cell<u8>,
    /// Whether the descriptor was written to since the last read that has filled its window.
    is_answered: Cell<bool>,
}

impl Guess {
    /// Decides about a read that has filled its window. If that read was a guess itself, the guess
    /// was right.
    #[inline(never)]
    pub fn expects_more(&self) -> bool {
        if self.is_answered.take() {
            return false;
        }
        match self.pauses.get() {
            0 => {}
            GUESSED => self.last.set(0),
            pauses => {
                self.pauses.set(pauses - 1);
                return false;
            }
        }
        self.pauses.set(GUESSED);
        true
    }

    /// Notes a write to the descriptor: what was read was a request, or the write is one. Returns
    /// whether the next read was a guess. It is none any more.
    #[inline]
    pub fn is_given_up(&self) -> bool {
        self.is_answered.set(true);
        let was_guess = self.pauses.get() == GUESSED;
        if was_guess {
            self.pauses.set(0);
        }
        was_guess
    }

    /// Notes that a read has met EAGAIN.
    #[cold]
    pub fn met_nothing(&self) {
        if self.pauses.get() == GUESSED {
            self.last.set(LONGEST.min(self.last.get() * 2 + 1));
            self.pauses.set(self.last.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these reads are guesses, if each of them fills its window, and each guess meets
    /// nothing unless `is_right`.
    fn guesses(guess: &Guess, reads: usize, is_right: bool) -> usize {
        let guessed = (0..reads).filter(|_| {
            let expects_more = guess.expects_more();
            if expects_more && !is_right {
                guess.met_nothing();
            }
            expects_more
        });
        guessed.count()
    }

    #[test]
    fn a_stream_of_records_is_read_without_poll() {
        assert_eq!(guesses(&Guess::default(), 1000, true), 1000);
    }

    #[test]
    fn a_peer_that_waits_for_answers_costs_ever_fewer_guesses() {
        let guess = Guess::default();
        assert_eq!(guesses(&guess, 127, false), 7, "after 1, 3, 7, ... reads");
        assert_eq!(guesses(&guess, 128_000, false), 1000, "one of 128");
    }

    #[test]
    fn a_right_guess_ends_the_pauses() {
        let guess = Guess::default();
        guesses(&guess, 1000, false);
        while !guess.expects_more() {}
        assert!(guess.expects_more(), "the guess was right");
        guess.met_nothing();
        assert!(!guess.expects_more());
        assert!(guess.expects_more(), "a pause of one read again");
    }

    #[test]
    fn nothing_is_guessed_between_request_and_reply() {
        let guess = Guess::default();
        for _ in 0..1000 {
            assert!(!guess.is_given_up());
            assert!(!guess.expects_more());
        }
        assert!(guess.expects_more(), "no write came before this read");
        assert!(guess.is_given_up(), "a write came after it");
        assert!(!guess.is_given_up());
    }

    #[test]
    fn only_a_read_that_was_a_guess_counts_as_wrong() {
        let guess = Guess::default();
        guess.met_nothing();
        assert!(guess.expects_more());
    }
}
