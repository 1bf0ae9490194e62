//! The events that an observer sees. The scheduler finds them by comparing its state before and
//! after each step. The machines know nothing of observers.

use std::os::unix::io::RawFd;
use std::time::Duration;

use libc::pollfd;

use crate::error::TaskError;
use crate::machine::End;
use crate::op::operate::Op;
use crate::task_table::TaskId;

/// One event of one task, or of poll(2): see [`Scheduler::observe`](crate::Scheduler::observe).
#[derive(Debug)]
pub struct Trace<'a> {
    /// The task, or [`TaskId::NONE`] for an event that belongs to no task.
    pub task: TaskId,
    /// The number of the turn, counted from 1; 0 before the first turn. [`Event::Asked`] and
    /// [`Event::Answered`] belong to the turn that they begin. What happens between two turns
    /// belongs to the turn before.
    pub turn: u64,
    /// The event.
    pub event: Event<'a>,
}

/// An event of a task, or of poll(2).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The task was spawned, and waits for this operation.
    Spawned(&'a Op),
    /// poll(2) is asked, or [`pollfds`](crate::Scheduler::pollfds) has given the entries of the
    /// poll set to a foreign loop. The event belongs to no task.
    Asked {
        /// How many descriptors poll(2) is given for the tasks.
        entries: usize,
        /// How long poll(2) sleeps at most. With zero it does not sleep, with None there is no
        /// bound.
        timeout: Option<Duration>,
    },
    /// poll(2) has answered for these descriptors. Only descriptors of tasks are shown, so the
    /// slice may be empty. The event belongs to no task.
    Answered(&'a [pollfd]),
    /// The task was made ready: it will be advanced.
    Woken(By),
    /// The task's operation was advanced, from one state of its machine to another (or the same).
    Advanced {
        /// The operation.
        op: &'a Op,
        /// The state before the advance.
        from: &'static str,
        /// The state after the advance.
        to: &'static str,
    },
    /// The task was resumed with an outcome, and waits for this operation.
    Resumed(End, &'a Op),
    /// The task goes on in the next turn: it has had its share of this one, or it yields.
    Yielded,
    /// The task was resumed with an outcome, and has ended with a value.
    Done(End),
    /// The task was marked as cancelled. It is dropped before another task is resumed. The drop is
    /// shown as a `Failed`.
    Cancelled(By),
    /// The task has ended without a value.
    Failed(&'a TaskError),
    /// The file with this descriptor was closed, and tasks wait on it, or have waited on it. The
    /// event belongs to the task that has closed it.
    Closed(RawFd),
}

/// What has woken a task, or cancelled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// poll(2), which has answered for this descriptor. The descriptor may be one of the library's
    /// own, by which it learns that a child has exited.
    Descriptor(RawFd),
    /// A foreign loop, which has handed over poll's answer for this descriptor.
    ForeignLoop(RawFd),
    /// The deadline of the task's operation, which is due.
    Deadline,
    /// This task. The event comes from what its body did, from its end, or from its leaving a queue
    /// in which the woken task came next.
    Task(TaskId),
    /// Another thread or a signal handler: through a channel or a Remote.
    Thread,
    /// The program's own code, between two turns.
    Program,
}
