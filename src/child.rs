//! A child process: noticing its exit without blocking and without a thread, and reaping it.
//!
//! Where the kernel has pidfds (Linux 5.3), the exit is an event in the poll set. Elsewhere, and when descriptors
//! have run out, whoever waits asks waitpid(2) again after a pause that grows to a bound
//! ([`machine::exit`](crate::machine::exit)).
//!
//! Children whose pipe was dropped while they lived go to a list of the thread, empty until needed; every turn and
//! spawn on that thread reaps it. Those that outlive the thread go to a list of the process, which every thread reaps.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use crate::descriptor::{Descriptor, Direction};
use crate::inbox::Inbox;
use crate::key::Key;
use crate::port::Port;
use crate::sys;
use crate::sys::process::Process;
use crate::wake::lock;

/// What is known of a child's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Exited(ExitStatus),
    /// Somebody else has reaped it: the host's own waitpid(2), or the kernel, because SIGCHLD is ignored.
    Unknown,
}

/// A child process that is ours to reap.
pub(crate) struct ChildProcess {
    id: u32,
    process: RefCell<Process>,
    status: Cell<Status>,
    /// When that end was noticed.
    ended_at: Cell<Option<Instant>>,
    /// Its pidfd, while somebody waits for its exit.
    notice: RefCell<Option<Rc<Descriptor>>>,
    /// It is on the thread's list.
    is_left: Cell<bool>,
}

impl ChildProcess {
    pub fn new(process: Process) -> ChildProcess {
        let id = process.id();
        ChildProcess {
            id,
            process: RefCell::new(process),
            status: Cell::new(Status::Running),
            ended_at: Cell::new(None),
            notice: RefCell::new(None),
            is_left: Cell::new(false),
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is known, without asking.
    pub fn status(&self) -> Status {
        self.status.get()
    }

    /// When its end was noticed: None while it runs.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at.get()
    }

    /// Asks waitpid(2), if the end is not known; reaps the child if it has ended.
    pub fn try_wait(&self) -> Status {
        if self.status.get() == Status::Running {
            let answer = self.process.borrow_mut().try_wait();
            match answer {
                Ok(None) => return Status::Running,
                Ok(Some(status)) => self.has_ended(Status::Exited(status)),
                // waitpid's only other error, EINVAL, cannot be: ECHILD, it is not our child any more.
                Err(_) => self.has_ended(Status::Unknown),
            }
            // Closing the pidfd wakes whoever else waits for this exit.
            let notice = self.notice.borrow_mut().take();
            if let Some(notice) = notice {
                notice.close();
            }
        }
        self.status.get()
    }

    fn has_ended(&self, status: Status) {
        self.status.set(status);
        self.ended_at.set(Some(sys::now()));
    }

    /// Whether it has ended; if not, `key` is woken when it does. `Err(status)`: there is nothing that could wake it,
    /// so it has to ask again.
    pub fn watch(&self, inbox: &Rc<Inbox>, key: Key) -> Result<Status, Status> {
        // One that another scheduler watches tells only that one.
        let mut known = self.notice.borrow().clone();
        if known.as_ref().map_or(false, |notice| !notice.is_ours()) {
            // Closed behind our back, it tells nothing any more: out of the poll set with it.
            known = None;
            self.notice.take();
        }
        let is_anothers = known.as_ref().map_or(false, |notice| notice.state().admits(inbox).is_err());
        if is_anothers {
            return if self.try_wait() == Status::Running { Err(Status::Running) } else { Ok(self.status()) };
        }
        if let Some(notice) = known {
            // poll(2) tells: no need to ask waitpid(2) as long as it has said nothing.
            if self.status() != Status::Running || notice.watch(inbox, key, Direction::Read).is_none() {
                return Ok(self.status());
            }
            notice.unwatch(key, Direction::Read);
            // Should waitpid(2) not confirm what the pidfd says, asking again after a pause is all that is left.
            return if self.try_wait() == Status::Running { Err(Status::Running) } else { Ok(self.status()) };
        }
        if self.try_wait() != Status::Running {
            return Ok(self.status());
        }
        let pidfd = sys::process::pidfd(self.id).map_err(|_| Status::Running)?;
        let notice = Rc::new(Descriptor::new(Port::watched(pidfd)));
        // Reaped behind our back, it may have been somebody else's number by then.
        if self.try_wait() != Status::Running {
            return Ok(self.status());
        }
        notice.watch(inbox, key, Direction::Read);
        *self.notice.borrow_mut() = Some(notice);
        Ok(Status::Running)
    }

    /// `key` waits no more.
    pub fn unwatch(&self, key: Key) {
        let notice = self.notice.borrow().clone();
        if let Some(notice) = notice {
            notice.unwatch(key, Direction::Read);
            let is_watched = notice.state().has_waiters();
            if !is_watched {
                self.notice.borrow_mut().take();
            }
        }
    }

    /// kill(2), unless it was reaped: its number may be another process by then.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match self.try_wait() {
            Status::Running => sys::process::kill(self.id, signal),
            Status::Exited(_) | Status::Unknown => Ok(()),
        }
    }

    /// Ends it at once and reaps it: for a child that was started for nothing.
    pub fn kill_and_wait(&self) {
        if self.signal(libc::SIGKILL).is_ok() && self.status() == Status::Running {
            let answer = self.process.borrow_mut().wait();
            self.has_ended(answer.map_or(Status::Unknown, Status::Exited));
        }
    }
}

impl fmt::Debug for ChildProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "child {}", self.id)
    }
}

/// Children that live on without a pipe: a thread's, until it ends.
struct Left(RefCell<Vec<Rc<ChildProcess>>>);

thread_local! {
    static LEFT: Left = const { Left(RefCell::new(Vec::new())) };
}

/// Those that have outlived their thread too: whichever thread looks reaps them.
static ORPHANS: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// Whether there are any: looked at in each turn.
static ARE_THERE_ORPHANS: AtomicBool = AtomicBool::new(false);

/// The child's pipe is gone: if it lives, the thread's list keeps it until it can be reaped.
pub(crate) fn leave(child: Rc<ChildProcess>) {
    if child.try_wait() == Status::Running && !child.is_left.replace(true) {
        let is_kept = LEFT.try_with(|left| left.0.borrow_mut().push(Rc::clone(&child))).is_ok();
        if !is_kept {
            orphan(child); // at the thread's end the list may be gone
        }
    }
}

/// Reaps those that were left and have ended.
pub(crate) fn reap() {
    let _ = LEFT.try_with(|left| {
        let mut left = left.0.borrow_mut();
        if !left.is_empty() {
            left.retain(|child| child.try_wait() == Status::Running);
        }
    });
    if ARE_THERE_ORPHANS.load(Ordering::Relaxed) {
        reap_orphans();
    }
}

#[cold]
fn reap_orphans() {
    let mut orphans = lock(&ORPHANS);
    orphans.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    ARE_THERE_ORPHANS.store(!orphans.is_empty(), Ordering::Relaxed);
}

/// Its thread ends. (One that a pipe still has, which then was closed, is that pipe's to leave.)
fn orphan(child: Rc<ChildProcess>) {
    child.is_left.set(false);
    if let Ok(child) = Rc::try_unwrap(child) {
        let mut orphans = lock(&ORPHANS);
        orphans.push(child.process.into_inner());
        ARE_THERE_ORPHANS.store(true, Ordering::Relaxed);
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let living = |child: &Rc<ChildProcess>| child.try_wait() == Status::Running;
        self.0.take().into_iter().filter(living).for_each(orphan);
    }
}

/// The kernel that is simulated ends: its children are nobody's.
#[cfg(any(test, fuzzing))]
pub(crate) fn abandon() {
    let is_real = |child: &Rc<ChildProcess>| matches!(*child.process.borrow(), Process::Real(_));
    let _ = LEFT.try_with(|left| left.0.borrow_mut().retain(is_real));
}
