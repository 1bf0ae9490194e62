//! A task's share of one advance: 512 resumes or one millisecond, whichever comes first.
//!
//! A look at the clock costs more than handing over a line. So the first look comes after 8
//! resumes. While a look shows that a resume takes less than 50 microseconds, the distance to the
//! next look is doubled. When a resume takes more, each resume is followed by a look. All other
//! resumes only count down to the next look.
//!
//! The millisecond begins with the first look at the clock, and not with the share. Most tasks are
//! blocked long before the first look, so the clock is not read when a share begins.

use super::Scheduler;
use crate::sys::clock::{self, Moment};

/// The most resumes of a task in one advance, before other tasks are advanced.
const RESUMES: u32 = 512;

/// The longest time of a task in one advance, in nanoseconds.
const TIME: u64 = 1_000_000;

/// The clock is first looked at after this many resumes.
const FIRST_LOOK: u32 = 8;

/// Resumes that take longer than this many nanoseconds are each followed by a look at the clock.
const SLOW: u64 = 50_000;

/// What is left of the share of the task that is advanced, and when the clock was last looked at.
#[derive(Default)]
pub(crate) struct Share {
    /// How often the task may be resumed before the next look at the clock.
    pub resumes: u32,
    /// How many resumes of the share are left for the time after the next look at the clock.
    left: u32,
    /// How many resumes lie between the last look at the clock and the next one.
    distance: u32,
    /// When the last look at the clock was made.
    looked: Moment,
    /// When the share is used up.
    ends: Moment,
}

impl Share {
    /// Begins the share of a task that is advanced.
    #[inline]
    pub fn begin(&mut self) {
        self.resumes = FIRST_LOOK;
        self.left = RESUMES - FIRST_LOOK;
    }

    /// Decides whether the task may be resumed further in this advance. Sets `resumes` to the
    /// number of resumes before the next look at the clock. The first look has no earlier look to
    /// compare with. It measures from the beginning of the turn (`turn_began`), which is before
    /// these resumes.
    #[cold]
    pub fn look(&mut self, turn_began: Moment) -> bool {
        if self.left == 0 {
            return false;
        }
        let now = clock::now();
        if self.left == RESUMES - FIRST_LOOK {
            self.distance = FIRST_LOOK;
            self.looked = turn_began;
            self.ends = now.after(TIME);
        }
        if now >= self.ends {
            self.left = 0;
            return false;
        }
        let is_slow = now >= self.looked.after(u64::from(self.distance) * SLOW);
        let next = if is_slow { 1 } else { self.distance * 2 };
        // If only a few resumes would be left after the next look, that look is not made.
        let is_last = self.left <= next + FIRST_LOOK;
        self.distance = if is_last { self.left } else { next };
        self.left -= self.distance;
        self.looked = now;
        self.resumes = self.distance;
        true
    }
}

impl Scheduler<'_> {
    /// Checks whether the running task has used up its share. Returns true if the task may be
    /// resumed once more.
    #[cold]
    pub(crate) fn look(&mut self) -> bool {
        self.share.look(self.reactor.turn_began.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{fairness::work, Kernel};
    use std::time::Duration;

    /// How many resumes lie between the looks at a share whose resumes take this long each.
    fn distances(cost: Duration) -> Vec<u32> {
        let (_, distances) = Kernel::new(|_| 0).run(|| {
            let (mut share, began) = (Share::default(), clock::now());
            share.begin();
            let mut distances = vec![share.resumes];
            loop {
                work(cost * share.resumes);
                if !share.look(began) {
                    return distances;
                }
                distances.push(share.resumes);
            }
        });
        distances
    }

    #[test]
    fn the_distance_of_the_looks_doubles_unless_resumes_are_slow() {
        let of = |microseconds| distances(Duration::from_micros(microseconds));
        assert_eq!(of(0), [8, 16, 32, 64, 128, 264], "512 resumes");
        assert_eq!(
            of(10),
            [8, 16, 32, 64],
            "a millisecond after the first look"
        );
        assert_eq!(of(49), [8, 16, 32]);
        assert_eq!(of(50), [vec![8], vec![1; 20]].concat(), "these are slow");
        assert_eq!(of(2000), [8, 1]);
    }
}
