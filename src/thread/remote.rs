//! A scheduler's remote control, for other threads and signal handlers: calls, a wake, a stop.
//!
//! A call is a closure that the scheduler runs. Calls come through a channel, and a hidden task
//! takes them out of it. The scheduler runs them at the end of the turn, when no task is being
//! advanced. How the scheduler is woken is in `wake`.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::channel::{Receiver, Sender};
use super::wake::{Waiting, Wake, WakeReader};
use crate::error;
use crate::machine::End;
use crate::scheduler::Scheduler;
use crate::task::{again, done};

/// A closure from another thread. It cannot name the scheduler's lifetime, so the tasks that it
/// spawns own what they use.
type Call = Box<dyn FnOnce(&mut Scheduler<'_>) + Send>;

/// Controls a scheduler from other threads and signal handlers: see [`Scheduler::remote`].
///
/// While a Remote lives, no task of its scheduler is [`Stalled`](crate::TaskError::Stalled),
/// because the Remote may wake it at any time. A Remote does not keep [`run`](Scheduler::run)
/// going: `run` returns when no task is left. To keep it going for other threads, spawn a task that
/// waits on a [`channel`](crate::channel()), and give the senders of the channel to these threads.
///
/// Each call is kept until a drive (run, join, block_on, turn, dispatch) has seen it. The call may
/// come before the drive begins, while the drive sleeps, or while the drive ends. When the last
/// Remote is dropped, in any thread, the calls that are left are still made. Only then may tasks be
/// stalled again. Signal handlers may `wake` and `stop`, and do nothing else with a Remote.
///
/// # After a fork
///
/// After a fork(2) both processes share the pipe that wakes the scheduler, and each may take bytes
/// that are meant for the other. Drive the scheduler, and use its Remotes, on one side of the fork
/// only.
///
/// # Example
///
/// This shows a thread that starts a task in the loop of another thread. The task ends that loop:
///
/// ```
/// use asyncfile::{again, done, sleep, yield_now, Flow, Scheduler};
/// use std::{cell::Cell, time::Duration};
///
/// const HOUR: Duration = Duration::from_secs(3600);
///
/// let mut sched = Scheduler::new();
/// let remote = sched.remote()?;
/// sched.spawn(sleep(HOUR), move |task| -> Flow { task.ok()?; again() });      // for ever
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
#[derive(Clone)]
pub struct Remote {
    calls: Sender<Call>,
    wake: Arc<Wake>,
}

/// The values that the hidden task owns. They are dropped when the task has ended.
struct Server {
    calls: Receiver<Call>,
    /// While a Remote lives, no task is stalled, and poll(2) watches the wake pipe.
    _waiting: Waiting,
}

/// The server of the scheduler's Remotes, while there is one. All Remotes share it, so that the
/// calls of a thread keep their order.
type Latest = RefCell<Weak<Server>>;

impl Scheduler<'_> {
    /// A remote control for other threads and signal handlers. The first call makes the wake pipe,
    /// unless a wait on a channel has made it before. The pipe lasts until the scheduler and all
    /// its Remotes are dropped.
    ///
    /// # Errors
    ///
    /// Errors of pipe(2): EMFILE, ENFILE.
    pub fn remote(&self) -> io::Result<Remote> {
        let reader = WakeReader::of(&self.reactor);
        let reader = reader.map_err(|error| error::system("remote", -1, error))?;
        let wake = Arc::clone(&reader.wake);
        let latest = self.reactor.kept::<Latest>().unwrap_or_else(|| {
            let latest = Rc::default();
            self.reactor.keep(Rc::clone(&latest) as _);
            latest
        });
        let server = latest.borrow().upgrade().unwrap_or_else(|| {
            let (calls, _waiting) = (Receiver::new(), Waiting::new(reader));
            let server = Rc::new(Server { calls, _waiting });
            let own = Rc::clone(&server);
            self.call_later(move |scheduler| serve(scheduler, own));
            server
        });
        latest.replace(Rc::downgrade(&server));
        let calls = server.calls.sender();
        Ok(Remote { calls, wake })
    }
}

/// Starts the hidden task. It ends after the last Remote is dropped, when it has taken all calls.
fn serve(scheduler: &mut Scheduler<'_>, server: Rc<Server>) {
    scheduler.spawn_hidden(server.calls.ready(), move |task| {
        task.ok()?;
        while let Ok(call) = server.calls.try_recv() {
            task.scheduler.call_later(call);
        }
        match task.end() {
            End::Eof => done(()),
            _ => again(),
        }
    });
}

impl Remote {
    /// Has `f` called in the scheduler's thread, at the end of the next turn. Closures from one
    /// thread are called in the order in which they were sent. No lock is held meanwhile: `f` may
    /// do anything, even drive the scheduler. If `f` panics, the drive returns
    /// [`TaskError::Panicked`](crate::TaskError::Panicked); `join` and `block_on` leave this error
    /// to the next drive.
    ///
    /// Returns true if the scheduler is alive. Returns false if it was dropped; then `f` is dropped
    /// without a call. `f` is also dropped if the scheduler is dropped before a turn has called
    /// `f`. A [`Scheduler::run`] without tasks calls the closures that were sent before or while it
    /// runs, and goes on with the tasks that they spawn.
    pub fn run(&self, f: impl FnOnce(&mut Scheduler<'_>) + Send + 'static) -> bool {
        self.calls.send(Box::new(f)).is_ok()
    }

    /// Ends the scheduler's sleep. A [`turn`](Scheduler::turn) that sleeps returns, and so does a
    /// foreign loop's poll(2). If neither sleeps at the moment, the next turn, or the next poll(2)
    /// of the foreign loop, does not sleep. `run`, `join` and `block_on` go on with the next turn.
    ///
    /// Never waits. Many wakes before the scheduler polls count as one. May be called from a signal
    /// handler: it uses atomics and at most one write(2), and errno stays what it was.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// Ends the drive that is under way, as soon as the running body returns. If no drive is under
    /// way, the next one ends. A stop ends one drive only. The tasks are kept: another drive goes
    /// on with them, and a drop of the scheduler cancels them.
    ///
    /// * [`run`](Scheduler::run) returns `Ok`;
    /// * [`turn`](Scheduler::turn) and [`dispatch`](Scheduler::dispatch) return how many tasks are
    ///   alive;
    /// * [`join`](Scheduler::join) returns [`TaskError::Stopped`](crate::TaskError::Stopped) and
    ///   detaches the task. If the task has ended already, `join` returns its result, and the stop
    ///   ends the next drive;
    /// * [`block_on`](Scheduler::block_on) returns `Stopped` as an `io::Error`, and the bytes that
    ///   its operation had read stay in the file.
    ///
    /// If a detached task has failed, this drive returns that failure, and the stop ends the next
    /// drive.
    ///
    /// Never waits. Many stops before the drive ends count as one. May be called from a signal
    /// handler, as [`wake`](Remote::wake) may.
    pub fn stop(&self) {
        self.wake.stop();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.calls.is_received() {
            "alive"
        } else {
            "gone"
        };
        write!(f, "Remote of a scheduler ({state})")
    }
}
