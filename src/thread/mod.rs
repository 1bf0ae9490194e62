//! How other threads and signal handlers reach the tasks of a scheduler. This is an annex: the core
//! does not know it.
//!
//! * [`wake`](self::wake): a flag and a pipe, which end poll(2)'s sleep;
//! * [`wait_queue`](self::wait_queue): the tasks that wait on a channel;
//! * [`channel`](mod@self::channel): messages to a task;
//! * [`remote`](self::remote): calls that other threads make on a scheduler. Each is a message to
//!   one of its hidden tasks.

mod channel;
mod remote;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
#[path = "../../tests/stepping/mod.rs"]
mod stepping;
mod wait_queue;
mod wake;

pub use channel::{channel, Receiver, Sender};
pub use remote::Remote;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex of this annex. No user code runs under such a lock, so its data is whole even if
/// the lock is poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
