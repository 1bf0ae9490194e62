//! A scheduler's remote control, for other threads and signal handlers: closures to call in its thread, a wake, a stop.
//!
//! The closures lie in a queue under a lock, and the turn takes one at a time and calls it after it has let the lock
//! go. How the turn learns of them is another room's business: `wake`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::scheduler::Scheduler;
use crate::wake::{lock, Wake};

/// A closure from elsewhere. It knows nothing of the scheduler's lifetime, so what it spawns owns what it uses.
pub(crate) type Call = Box<dyn FnOnce(&mut Scheduler<'_>) + Send>;

/// Controls a scheduler from other threads and signal handlers: see [`Scheduler::remote`].
///
/// While a Remote lives, no task of its scheduler is [`Stalled`](crate::TaskError::Stalled): it may be woken at any time. But it
/// does not keep [`run`](Scheduler::run) going, which returns when no task is left. For a scheduler that serves other
/// threads for as long as they may come, keep a task that waits on a [`channel`](crate::channel()), and give them its senders.
///
/// Each call is kept until a drive (run, join, block_on, turn, dispatch) has seen it, whether it comes before that begins, while it
/// sleeps, or while it ends.
///
/// # Example
///
/// This shows another thread that starts a task, and then has the loop return:
///
/// ```
/// use asyncfile::{done, sleep, wait, yield_now, Flow, Scheduler};
/// use std::{cell::Cell, time::Duration};
///
/// let mut sched = Scheduler::new();
/// let remote = sched.remote()?;
/// let tick = || sleep(Duration::from_secs(3600));
/// sched.spawn(tick(), move |task| -> Flow { task.ok()?; wait(tick()) });      // for ever
/// let thread = std::thread::spawn(move || {
///     let stopper = remote.clone();
///     remote.run(move |sched| {
///         sched.spawn(yield_now(), move |_task| { stopper.stop(); done(()) });
///     });
/// });
/// sched.run()?;
/// # thread.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Remote {
    calls: Arc<Calls>,
}

impl Remote {
    pub(crate) fn new(calls: &Arc<Calls>) -> Remote {
        calls.wake.add_remote();
        Remote { calls: Arc::clone(calls) }
    }

    /// Has `f` called by the next turn, in the scheduler's thread, in the order of the calls from this thread. No lock is held
    /// meanwhile: `f` may do anything, even drive the scheduler. A panic in it comes out of the drive, as a detached task's does.
    ///
    /// True if the scheduler is there to call it. False if that was dropped: then `f` is dropped, uncalled. If it is
    /// dropped later, before a turn came to `f`, that is dropped, too. A `run` that has no tasks but is sent closures, before
    /// or while it runs, calls them and goes on with what they spawn.
    pub fn run(&self, f: impl FnOnce(&mut Scheduler<'_>) + Send + 'static) -> bool {
        let call: Call = Box::new(f);
        let mut queue = lock(&self.calls.queue);
        if queue.is_closed {
            drop(queue); // before the closure is dropped: the user's code
            return false;
        }
        queue.calls.push_back(call);
        drop(queue);
        self.wake();
        true
    }

    /// Ends the scheduler's sleep: a [`turn`](Scheduler::turn) that sleeps returns, a foreign loop's poll(2) does, and if none
    /// sleeps, the next one does not. `run`, `join` and `block_on` look around and go on.
    ///
    /// Never waits. Many wakes before a turn count as one. May be called from a signal handler: atomics and at most one write(2); errno
    /// stays what it was.
    pub fn wake(&self) {
        self.calls.wake.wake();
    }

    /// Ends the drive that is under way, or, if none is, the next one, as soon as the body that runs returns. It ends that one only.
    /// The tasks are kept: driving again goes on where they are, dropping the scheduler cancels them.
    ///
    /// * [`run`](Scheduler::run) returns `Ok`;
    /// * [`turn`](Scheduler::turn) and [`dispatch`](Scheduler::dispatch) return how many tasks are alive;
    /// * [`join`](Scheduler::join) returns [`TaskError::Stopped`](crate::TaskError::Stopped) and detaches the task, unless that has ended
    ///   already: then its result, and the stop is for the next drive;
    /// * [`block_on`](Scheduler::block_on) returns the same as an error, and what its operation had read stays in the file.
    ///
    /// The failure of a detached task comes out first, and the stop is for the next drive.
    ///
    /// Never waits. Many stops before that count as one. May be called from a signal handler, as [`wake`](Remote::wake) may.
    pub fn stop(&self) {
        self.calls.wake.stop();
    }
}

impl Clone for Remote {
    fn clone(&self) -> Remote {
        Remote::new(&self.calls)
    }
}

impl Drop for Remote {
    /// After the last one the scheduler finds out whether its tasks are stalled. Not for signal handlers.
    fn drop(&mut self) {
        self.calls.wake.remove_remote();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if lock(&self.calls.queue).is_closed { "gone" } else { "alive" };
        write!(f, "Remote of a scheduler ({state})")
    }
}

/// What the Remotes of one scheduler share with it.
pub(crate) struct Calls {
    queue: Mutex<Queue>,
    wake: Arc<Wake>,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    /// The scheduler is gone.
    is_closed: bool,
}

impl Calls {
    pub fn new(wake: Arc<Wake>) -> Arc<Calls> {
        Arc::new(Calls { queue: Mutex::default(), wake })
    }

    pub fn len(&self) -> usize {
        lock(&self.queue).calls.len()
    }

    pub fn next(&self) -> Option<Call> {
        lock(&self.queue).calls.pop_front()
    }

    /// Some were left for the next turn.
    pub fn wake_again(&self) {
        self.wake.wake();
    }

    /// The scheduler is gone. Gives back what it has not called, to be dropped.
    pub fn close(&self) -> impl Iterator<Item = Call> {
        let mut queue = lock(&self.queue);
        queue.is_closed = true;
        std::mem::take(&mut queue.calls).into_iter()
    }
}
