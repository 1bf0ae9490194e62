//! The monotonic clock. It stands still while the machine is suspended (clock_gettime(2),
//! CLOCK_MONOTONIC).

use std::time::{Duration, Instant};

#[cfg(any(test, fuzzing))]
use crate::sim;

/// A moment of the monotonic clock, in nanoseconds. A moment takes one word, and std's `Instant`
/// two. The difference counts, because each task holds moments, and so do some operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment that never comes.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// A moment before all others.
    pub const ZERO: Moment = Moment(0);

    /// The moment this many nanoseconds later. A moment too far ahead for 64 bits (some 500 years)
    /// becomes NEVER.
    #[inline]
    pub fn after(self, nanoseconds: u64) -> Moment {
        Moment(self.0.saturating_add(nanoseconds))
    }

    /// How many whole periods lie between `earlier` and this moment.
    pub fn periods_since(self, earlier: Moment, period: u64) -> u64 {
        self.0.saturating_sub(earlier.0) / period
    }

    /// The time from `earlier` to this moment; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds. A duration longer than 584 years becomes `u64::MAX`, which means "no
/// end".
#[inline]
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(time.subsec_nanos()))
}

/// The present moment.
#[inline]
pub(crate) fn now() -> Moment {
    #[cfg(any(test, fuzzing))]
    if let Some(time) = sim::now() {
        return Moment(nanoseconds(time));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which the call fills in. CLOCK_MONOTONIC always
    // exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Moment(
        (time.tv_sec as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(time.tv_nsec as u64),
    )
}

/// One moment, both as a [`Moment`] and as std's `Instant`, to translate between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    moment: Moment,
    instant: Instant,
}

thread_local! {
    /// One epoch serves all schedulers of a thread. So an `Instant` that was made from a moment is
    /// translated back into the same moment.
    static EPOCH: Epoch = Epoch::new();
}

impl Epoch {
    /// The epoch of this thread.
    pub fn of_thread() -> Epoch {
        // A thread that is being torn down has no epoch any more. It has no moments left to
        // translate either, so a new epoch does no harm.
        EPOCH
            .try_with(|epoch| *epoch)
            .unwrap_or_else(|_| Epoch::new())
    }

    /// Reads std's clock (`Instant`), then this file's clock (`Moment`). The `Moment` is read
    /// second, so an `Instant` that is translated into a `Moment` is never too early. It is too
    /// late by the time between the two readings. The kernel may run another thread between them,
    /// so eight pairs are read. The pair with the least time between its readings is used.
    fn new() -> Epoch {
        let (mut distance, mut closest) = Epoch::pair();
        for _ in 1..8 {
            let next = Epoch::pair();
            if next.0 < distance {
                (distance, closest) = next;
            }
        }
        closest
    }

    /// Reads both clocks. The number is the most nanoseconds that can lie between the two readings.
    #[inline(never)]
    fn pair() -> (u64, Epoch) {
        let (before, instant, moment) = (now(), Instant::now(), now());
        (moment.0.saturating_sub(before.0), Epoch { moment, instant })
    }

    /// A moment as std's `Instant`.
    pub fn instant(self, moment: Moment) -> Instant {
        let before = self.instant.checked_sub(self.moment.since(moment));
        before.unwrap_or(self.instant) + moment.since(self.moment)
    }

    /// std's `Instant` as a moment. An `Instant` too far ahead for 64 bits of nanoseconds (some 500
    /// years) becomes NEVER.
    pub fn moment(self, instant: Instant) -> Moment {
        match instant.checked_duration_since(self.instant) {
            Some(ahead) => self.moment.after(nanoseconds(ahead)),
            None => {
                let behind = nanoseconds(self.instant.duration_since(instant));
                Moment(self.moment.0.saturating_sub(behind))
            }
        }
    }
}
