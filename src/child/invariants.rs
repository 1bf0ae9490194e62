//! The invariants of children between turns: see
//! [`Scheduler::check_invariants`](crate::Scheduler::check_invariants).

use std::rc::Rc;

use super::communicate::Communicate;
use super::dropped::DROPPED;
use super::input::Feed;
use super::process::{ChildProcess, Status};
use super::processes::Processes;
use super::streams::Entry;
use crate::op::operate::Standing;
use crate::port::Direction;

impl ChildProcess {
    /// Whether the task is sure to be woken: the child wakes it at its end, or the task has a
    /// deadline at which it looks again.
    pub fn is_awaited(&self, at: &Standing<'_>) -> bool {
        let waiters = self.waiters.borrow();
        let is_in = waiters.list.keys().contains(&at.key);
        at.has_deadline || (is_in && self.is_watched())
    }
}

impl Processes {
    /// Whether the task is sure to be woken: each child that still runs wakes it at its end, or the
    /// task has a deadline at which it looks again.
    pub fn are_awaited(&self, at: &Standing<'_>) -> bool {
        let mut children = self.children().iter();
        children.all(|child| child.status() != Status::Running || child.is_awaited(at))
    }
}

impl Communicate {
    /// Whether the task is sure to be woken. The front of the conversation's queue wakes the tasks
    /// behind it. The end of the child wakes the front. After that end, a stream or the deadline
    /// wakes the front. Fails if the task is not in the queue, or if it is the front and has left
    /// stdin open although the whole input was fed.
    pub(crate) fn check(&self, at: &Standing<'_>) -> bool {
        let conversation = self.conversation.borrow();
        let mut waiting = conversation.waiters.list.keys().into_iter();
        assert!(waiting.any(|key| key == at.key), "{self:?} is in no queue");
        if !conversation.is_led_by(at.key) {
            return true;
        }
        let stdin = &self.streams.stdin;
        let is_fed = match &conversation.input {
            Feed::Nothing => stdin.is_front(at.key),
            Feed::Bytes(data) => conversation.machine.fed() == data.len(),
            _ => conversation.machine.is_fed(),
        };
        let is_open = is_fed && stdin.file.is_open();
        assert!(!is_open, "{self:?}: all was fed, and stdin is open");
        let child = self.processes.last();
        match child.status() {
            Status::Running => child.is_awaited(at),
            Status::Exited(_) | Status::Unknown => {
                let streams = [&self.streams.stdout, &self.streams.stderr];
                let is_waited_on =
                    |stream: &Entry| stream.file.is_waited_on_by(at, Direction::Read);
                at.has_deadline || streams.into_iter().any(is_waited_on)
            }
        }
    }
}

/// Forgets the children of a simulated kernel when that kernel ends.
pub(crate) fn abandon() {
    let is_real = |child: &Rc<ChildProcess>| child.process.borrow().is_real();
    let _ = DROPPED.try_with(|dropped| {
        dropped.watched.borrow_mut().retain(is_real);
        dropped.asked.borrow_mut().retain(is_real);
    });
}
