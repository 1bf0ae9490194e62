//! Children whose pipe was dropped while they lived. They are neither killed nor waited for, and
//! reaped when they have ended.
//!
//! A list of the thread has them; the list is the truth. The thread's [`chore`](crate::chore) and
//! each spawn ask some of them, a bounded number at a time. Of those that live on, up to 64 have
//! their pidfds in the poll set of one of the thread's schedulers, hidden: these are asked no more,
//! and cost nothing until they end. Children that outlive their thread go to a list of the process,
//! which every thread's chore asks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::process::{ChildProcess, Status};
use crate::chore;
use crate::reactor::Reactor;
use crate::sys::process::Process;

/// How many pidfds are watched at most: descriptors are the host's.
const WATCHED: usize = 64;

/// How many children are asked at a time.
const ASKED: usize = 16;

/// A thread's list, until the thread ends.
#[derive(Default)]
pub(super) struct Dropped {
    /// At most `WATCHED`.
    pub(super) watched: RefCell<VecDeque<Rc<ChildProcess>>>,
    /// Asked in this order.
    pub(super) asked: RefCell<VecDeque<Rc<ChildProcess>>>,
}

thread_local! {
    pub(super) static DROPPED: Dropped = Dropped::default();
}

/// Children that have outlived their threads.
static ORPHANS: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// The last handle of the child's pipe is gone.
pub(crate) fn leave(child: Rc<ChildProcess>) {
    child.let_go();
    if !keep(&child) {
        orphan(child);
    }
}

/// If the child lives, the list keeps it until it can be reaped. False if there is no list any
/// more: the thread ends.
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

/// Reaps those that have ended: the thread's chore.
pub(crate) fn reap() {
    let _ = DROPPED.try_with(Dropped::reap);
}

impl Dropped {
    fn add(&self, child: Rc<ChildProcess>) {
        self.asked.borrow_mut().push_back(child);
        chore::set(Some(reap));
    }

    fn reap(&self) {
        self.release_unwatched();
        let count = self.asked.borrow().len().min(ASKED);
        let asked: Vec<_> = self.asked.borrow_mut().drain(..count).collect();
        for child in asked.into_iter().filter(|child| !child.is_over()) {
            let list = match self.watch(&child) {
                true => &self.watched,
                false => &self.asked,
            };
            list.borrow_mut().push_back(child);
        }
        if self.watched.borrow().is_empty() && self.asked.borrow().is_empty() {
            chore::set(None);
        }
    }

    /// Whether a poll set has the child's pidfd. (Of a pipe that was closed, a task may wait for
    /// the exit: then it is that of the task's scheduler.)
    fn watch(&self, child: &Rc<ChildProcess>) -> bool {
        let watch = |reactor| child.watch(&reactor);
        child.status() == Status::Running
            && self.watched.borrow().len() < WATCHED
            && (child.is_watched() || Reactor::any().map_or(false, watch))
    }

    /// Those that have ended, and those whose scheduler is gone, are watched no more: they are
    /// asked next.
    fn release_unwatched(&self) {
        let mut watched = self.watched.borrow_mut();
        let children = std::mem::take(&mut *watched).into_iter();
        for child in children {
            match child.is_watched() {
                true => watched.push_back(child),
                false => self.asked.borrow_mut().push_front(child),
            }
        }
    }
}

impl Drop for Dropped {
    /// The thread ends.
    fn drop(&mut self) {
        let children = self.watched.take().into_iter().chain(self.asked.take());
        for child in children {
            child.is_dropped.set(false);
            child.unwatch();
            if !child.is_over() {
                orphan(child);
            }
        }
    }
}

/// Its thread ends. (One whose pipe was closed and is still there is that pipe's to leave.)
fn orphan(child: Rc<ChildProcess>) {
    if let Ok(child) = Rc::try_unwrap(child) {
        let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.push(child.into_process());
        chore::set_shared(Some(reap_orphans));
    }
}

/// Asks some of those that have outlived their threads: the chore of every thread.
fn reap_orphans() {
    let mut orphans = match ORPHANS.try_lock() {
        Ok(orphans) => orphans,
        Err(_) => return, // another thread does it
    };
    let count = orphans.len().min(ASKED);
    let mut asked: Vec<_> = orphans.drain(..count).collect();
    asked.retain_mut(|child| match child.try_wait() {
        Ok(status) => status.is_none(),
        Err(error) => error.raw_os_error() != Some(libc::ECHILD),
    });
    orphans.append(&mut asked);
    if orphans.is_empty() {
        chore::set_shared(None);
    }
}
