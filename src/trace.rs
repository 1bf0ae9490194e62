//! The events that an observer sees. The scheduler compares before and after; the machines know
//! nothing of it.

use crate::error::TaskError;
use crate::machine::End;
use crate::op::operate::Op;
use crate::task_table::TaskId;

/// One transition of one task: see [`Scheduler::observe`](crate::Scheduler::observe).
#[derive(Debug)]
pub struct Trace<'a> {
    /// The task.
    pub task: TaskId,
    /// The number of the turn, counted from 1; 0 before the first turn.
    pub turn: u64,
    /// The event.
    pub event: Event<'a>,
}

/// An event of a task.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The task was spawned, and waits for this operation.
    Spawned(&'a Op),
    /// The task's operation was advanced, from one state of its machine to another (or the same).
    Advanced {
        /// The operation.
        op: &'a Op,
        /// The state before.
        from: &'static str,
        /// The state after.
        to: &'static str,
    },
    /// The task was resumed with an outcome, and waits for this operation.
    Resumed(End, &'a Op),
    /// The task was resumed with an outcome, and has ended with a value.
    Done(End),
    /// The task has ended without a value.
    Failed(&'a TaskError),
}
