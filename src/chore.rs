//! Chores: work that belongs to no task, such as asking whether dropped children have ended. The
//! scheduler does the chores when a drive begins, and in its turns, at most ten times a second. It
//! never wakes up for them, and does not know what they do.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::sys::clock::Moment;

/// The least time between two turns that do the chores, in nanoseconds.
const PAUSE: u64 = 100_000_000;

thread_local! {
    /// The chore of this thread.
    static CHORE: Cell<Option<fn()>> = const { Cell::new(None) };
    /// The next moment at which a turn of this thread does the chores. A drive does them when it
    /// begins, without regard to this moment.
    static NEXT: Cell<Moment> = const { Cell::new(Moment::ZERO) };
}

/// The chore that every thread does. `IS_SHARED` says whether there is one, so that a thread need
/// not take the lock to know.
static SHARED: Mutex<Option<fn()>> = Mutex::new(None);
static IS_SHARED: AtomicBool = AtomicBool::new(false);

/// Sets the chore of this thread, in place of the chore before. With None the thread has no chore.
pub(crate) fn set(chore: Option<fn()>) {
    let _ = CHORE.try_with(|cell| cell.set(chore));
}

/// Sets the chore of every thread. With None there is no such chore.
pub(crate) fn set_shared(chore: Option<fn()>) {
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) = chore;
    IS_SHARED.store(chore.is_some(), Ordering::Relaxed);
}

/// Does the chores of this thread, because a drive begins.
pub(crate) fn begin_drive() {
    if let Ok(Some(chore)) = CHORE.try_with(Cell::get) {
        chore();
    }
    if IS_SHARED.load(Ordering::Relaxed) {
        // The lock is only tried. A fork may have copied it while another thread held it, and then
        // no wait for it would end.
        let chore = SHARED.try_lock().ok().and_then(|chore| *chore);
        chore.into_iter().for_each(|chore| chore());
    }
}

/// Does the chores of this thread if they are due. Each turn calls this with the time at which it
/// began.
#[inline]
pub(crate) fn tick(now: Moment) {
    let is_due = NEXT.try_with(|next| now >= next.get()).unwrap_or(false);
    if is_due {
        do_it(now);
    }
}

#[cold]
fn do_it(now: Moment) {
    let _ = NEXT.try_with(|next| next.set(now.after(PAUSE)));
    begin_drive();
}
