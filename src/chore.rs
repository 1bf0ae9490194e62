//! A chore: work that is no task's, such as asking whether dropped children have ended. The
//! scheduler does it when a drive begins, and ten times a second while it is awake anyway; it knows
//! nothing of what is done.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::sys::clock::Moment;

/// The time between two chores of one drive, in nanoseconds.
const PAUSE: u64 = 100_000_000;

thread_local! {
    /// This thread's.
    static CHORE: Cell<Option<fn()>> = const { Cell::new(None) };
    /// When the next one is due, in the drive under way.
    static NEXT: Cell<Moment> = const { Cell::new(Moment::ZERO) };
}

/// That of every thread, and whether there is one: looked at without the lock.
static SHARED: Mutex<Option<fn()>> = Mutex::new(None);
static IS_SHARED: AtomicBool = AtomicBool::new(false);

/// From here on this is the thread's chore; None: it has none.
pub(crate) fn set(chore: Option<fn()>) {
    let _ = CHORE.try_with(|cell| cell.set(chore));
}

/// From here on this is a chore of every thread; None: there is none.
pub(crate) fn set_shared(chore: Option<fn()>) {
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) = chore;
    IS_SHARED.store(chore.is_some(), Ordering::Relaxed);
}

/// A drive begins.
pub(crate) fn begin_drive() {
    if let Ok(Some(chore)) = CHORE.try_with(Cell::get) {
        chore();
    }
    if IS_SHARED.load(Ordering::Relaxed) {
        // Not waited for: a fork may have copied the lock while another thread held it.
        let chore = SHARED.try_lock().ok().and_then(|chore| *chore);
        chore.into_iter().for_each(|chore| chore());
    }
}

/// A turn has this time.
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
