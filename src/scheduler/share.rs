//! A task's share of one advance: 512 resumes or one millisecond, whichever comes first.
//!
//! To look at the clock costs more than a line. So the first look comes after 8 resumes, and the
//! distance to the next one is doubled while a look shows that a resume takes less than 50
//! microseconds; when it takes more, each resume is followed by a look. What is counted with each
//! resume is only the distance to the next look. The millisecond counts from the first look: when
//! the share began is not known, because most tasks are blocked long before that, and no clock is
//! read for them.

use super::Scheduler;
use crate::sys::clock::{self, Moment};

/// The most resumes of a task in one advance, before other tasks are advanced.
const RESUMES: u32 = 512;

/// The longest time of a task in one advance, in nanoseconds.
const TIME: u64 = 1_000_000;

/// The first look comes after so many resumes.
const FIRST_LOOK: u32 = 8;

/// Resumes that take longer than so many nanoseconds are each followed by a look.
const SLOW: u64 = 50_000;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Share {
    /// How often the task may be resumed before the next look.
    pub resumes: u32,
    /// How often it may be resumed after that.
    left: u32,
    /// The resumes from the look before to the next one.
    distance: u32,
    /// When the look before was made.
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

    /// Looks whether the task may be resumed further in this advance, and how far. The turn began
    /// at `turn_began`: the first resumes have not taken longer.
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
        // A look that a few resumes alone would follow is not worth it.
        let is_last = self.left <= next + FIRST_LOOK;
        self.distance = if is_last { self.left } else { next };
        self.left -= self.distance;
        self.looked = now;
        self.resumes = self.distance;
        true
    }
}

impl Scheduler<'_> {
    /// The running task comes to a look at its share. Whether it may be resumed once more.
    #[cold]
    pub(crate) fn look(&mut self) -> bool {
        self.share.look(self.reactor.turn_began.get())
    }
}
