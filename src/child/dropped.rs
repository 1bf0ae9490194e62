//! Children whose pipe was dropped while they lived. They are neither killed nor waited for, but
//! they are reaped when they have ended.
//!
//! Each thread has a list of its dropped children. Some of them are checked with waitpid(2), a
//! bounded number at a time: at the end of the turn in which they were dropped, at each spawn, and
//! by the thread's [`chore`](crate::chore). Up to 64 of those that live on are watched: their
//! pidfds are hidden entries in the poll set of one of the thread's schedulers. A watched child is
//! not checked any more, and costs nothing until it ends. Children that outlive their thread go to
//! one list of the whole process. The chore of every thread checks that list.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::process::{ChildProcess, Status};
use crate::chore;
use crate::reactor::Reactor;
use crate::scheduler::Calls;
use crate::sys::process::Process;

/// The most pidfds that a thread watches. A process can open only a limited number of descriptors,
/// and most of them are left to the rest of the program.
const WATCHED: usize = 64;

/// How many children are checked at a time.
const ASKED: usize = 16;

/// The dropped children of a thread, until the thread ends.
#[derive(Default)]
pub(super) struct Dropped {
    /// The children whose pidfds are watched, `WATCHED` of them at most.
    pub(super) watched: RefCell<Vec<Rc<ChildProcess>>>,
    /// The children that are not watched. They are checked in turn, a few at a time.
    pub(super) asked: RefCell<Vec<Rc<ChildProcess>>>,
    /// The index of the child to check next.
    next: Cell<usize>,
    /// How many children were dropped and not checked since. A call that waits to be made has a
    /// clone.
    new: Rc<Cell<usize>>,
}

thread_local! {
    pub(super) static DROPPED: Dropped = Dropped::default();
}

/// Children that have outlived their threads, and the index of the child to check next. The chore
/// of every thread reaps them.
static ORPHANS: Mutex<(Vec<Process>, usize)> = Mutex::new((Vec::new(), 0));

/// Takes over a child whose pipe was dropped.
pub(crate) fn leave(child: Rc<ChildProcess>) {
    child.let_go();
    if !keep(&child) {
        orphan(child);
    }
}

/// If the child lives, the list keeps it until it can be reaped. Returns false if the thread is
/// ending and has no list any more.
pub(crate) fn keep(child: &Rc<ChildProcess>) -> bool {
    if child.is_dropped.get() || child.is_over() {
        return true;
    }
    child.is_dropped.set(true);
    let is_kept = DROPPED
        .try_with(|dropped| dropped.add(Rc::clone(child)))
        .is_ok();
    child.is_dropped.set(is_kept);
    is_kept
}

/// Reaps children that have ended. This is the thread's chore.
pub(crate) fn reap() {
    let _ = DROPPED.try_with(Dropped::reap);
}

impl Dropped {
    fn add(&self, child: Rc<ChildProcess>) {
        self.asked.borrow_mut().push(child);
        chore::set(Some(reap));
        self.new.set(self.new.get() + 1);
        if Rc::strong_count(&self.new) == 1 {
            self.look_at_new_ones();
        }
    }

    /// Has the new children checked at the end of the turn. If a body has dropped them, poll(2) may
    /// sleep long after that turn, and those that live on must be watched.
    fn look_at_new_ones(&self) {
        if let Some(calls) = Reactor::any().and_then(|reactor| Calls::of(&reactor)) {
            let new = Rc::clone(&self.new);
            calls.leave(move |_| (0..new.take()).step_by(ASKED).for_each(|_| reap()));
        }
    }

    fn reap(&self) {
        self.release_unwatched();
        // The list is taken out of its cell, so nothing is borrowed while a child is checked.
        let (mut asked, mut next) = (self.asked.take(), self.next.get());
        ask_some(&mut asked, &mut next, |child| {
            child.is_over() || self.watch(child)
        });
        self.next.set(next);
        let is_empty = asked.is_empty() && self.watched.borrow().is_empty();
        self.asked.replace(asked);
        if is_empty {
            chore::set(None);
        }
    }

    /// Puts the child into `watched`, and its pidfd into a poll set. Returns false if `watched` is
    /// full, or if the pidfd cannot be put into a poll set. A poll set has the pidfd already if the
    /// pipe was closed and not dropped, and a task waits for the exit of this child.
    fn watch(&self, child: &Rc<ChildProcess>) -> bool {
        let watch = |reactor| child.watch(&reactor);
        let is_watched = child.status() == Status::Running
            && self.watched.borrow().len() < WATCHED
            && (child.is_watched() || Reactor::any().map_or(false, watch));
        if is_watched {
            self.watched.borrow_mut().push(Rc::clone(child));
        }
        is_watched
    }

    /// Takes the children out of `watched` whose pidfds are in no poll set any more. Such a child
    /// has ended, or the scheduler of the poll set is gone. A child that has not ended goes back to
    /// `asked`.
    fn release_unwatched(&self) {
        let mut watched = self.watched.take();
        watched.retain(|child| {
            let is_watched = child.is_watched();
            if !is_watched && !child.is_over() {
                self.asked.borrow_mut().push(Rc::clone(child));
            }
            is_watched
        });
        self.watched.replace(watched);
    }
}

/// Checks at most `ASKED` entries of the list, from `next` on, and takes out those for which
/// `is_done` is true.
fn ask_some<T>(list: &mut Vec<T>, next: &mut usize, mut is_done: impl FnMut(&mut T) -> bool) {
    for _ in 0..list.len().min(ASKED) {
        if *next >= list.len() {
            *next = 0;
        }
        match is_done(&mut list[*next]) {
            true => drop(list.swap_remove(*next)),
            false => *next += 1,
        }
    }
}

impl Drop for Dropped {
    /// Moves the children that live to the list of the whole process, because the thread ends.
    fn drop(&mut self) {
        let mut children = self.watched.take();
        children.append(&mut self.asked.take());
        for child in children {
            child.is_dropped.set(false);
            child.unwatch();
            if !child.is_over() {
                orphan(child);
            }
        }
    }
}

/// Puts a dropped child into the list of the whole process, because the thread that has dropped it
/// ends. (A child that still has a pipe is left to that pipe.)
fn orphan(child: Rc<ChildProcess>) {
    if let Ok(child) = Rc::try_unwrap(child) {
        let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.0.push(child.into_process());
        chore::set_shared(Some(reap_orphans));
    }
}

/// Reaps children that have outlived their threads and have ended. This is the chore of every
/// thread.
fn reap_orphans() {
    let mut orphans = match ORPHANS.try_lock() {
        Ok(orphans) => orphans,
        Err(_) => return, // another thread does it
    };
    let (list, next) = &mut *orphans;
    ask_some(list, next, |child| match child.try_wait() {
        Ok(status) => status.is_some(),
        Err(error) => error.raw_os_error() == Some(libc::ECHILD),
    });
    if list.is_empty() {
        chore::set_shared(None);
    }
}
