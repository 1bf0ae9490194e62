//! What an observer sees. The scheduler compares before and after; the machines know nothing of it.

use crate::error::TaskError;
use crate::machine::End;
use crate::op::operate::Op;
use crate::task_table::TaskId;

/// One transition of one task: see [`Scheduler::observe`](crate::Scheduler::observe).
#[derive(Debug)]
pub struct Trace<'a> {
    /// The task.
    pub task: TaskId,
    /// In which turn, counted from 1; 0 before the first.
    pub turn: u64,
    /// What happened.
    pub event: Event<'a>,
}

/// What happened to a task.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It was spawned, and waits for this.
    Spawned(&'a Op),
    /// Its operation was advanced, from one state of its machine to another (or the same).
    Advanced {
        /// The operation.
        op: &'a Op,
        /// The state before.
        from: &'static str,
        /// The state after.
        to: &'static str,
    },
    /// It was resumed with an outcome, and waits for this.
    Resumed(End, &'a Op),
    /// It was resumed with an outcome, and has ended with a value.
    Done(End),
    /// It has ended without a value.
    Failed(&'a TaskError),
}
