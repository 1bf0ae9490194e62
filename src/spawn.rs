//! Where tasks can be started: one trait for the scheduler and a running task.

use crate::handle::JoinHandle;
use crate::op::operate::Op;
use crate::scheduler::Scheduler;
use crate::state_fn::StateFn;
use crate::task::{Flow, Task};

/// A [`Scheduler`] or a running [`Task`], for functions that start tasks from either.
///
/// # Example
///
/// This shows a function that is called from ordinary code and from a task:
///
/// ```
/// use asyncfile::{done, yield_now, JoinHandle, Scheduler, Spawn};
/// use std::cell::Cell;
///
/// fn add<'t>(to: &mut impl Spawn<'t>, sum: &'t Cell<u32>, n: u32) -> JoinHandle<()> {
///     to.spawn(yield_now(), move |task| {
///         task.ok()?;
///         sum.set(sum.get() + n);
///         if n > 1 {
///             add(task, sum, n - 1);
///         }
///         done(())
///     })
/// }
///
/// let sum = Cell::new(0);
/// let mut sched = Scheduler::new();
/// add(&mut sched, &sum, 4);
/// sched.run()?;
/// assert_eq!(sum.get(), 10);
/// # Ok::<(), asyncfile::TaskError>(())
/// ```
pub trait Spawn<'t> {
    /// Starts a task: see [`Scheduler::spawn`].
    fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T>;

    /// Starts a task of state functions: see [`Scheduler::spawn_states`].
    fn spawn_states<S: 't>(&mut self, op: impl Into<Op>, state: S, at: StateFn<S>)
        -> JoinHandle<S>;
}

impl<'t> Spawn<'t> for Scheduler<'t> {
    fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        self.spawn(op, body)
    }

    fn spawn_states<S: 't>(
        &mut self,
        op: impl Into<Op>,
        state: S,
        at: StateFn<S>,
    ) -> JoinHandle<S> {
        self.spawn_states(op, state, at)
    }
}

impl<'t> Spawn<'t> for Task<'_, 't> {
    fn spawn<T: 't>(
        &mut self,
        op: impl Into<Op>,
        body: impl FnMut(&mut Task<'_, 't>) -> Flow<T> + 't,
    ) -> JoinHandle<T> {
        self.scheduler.spawn(op, body)
    }

    fn spawn_states<S: 't>(
        &mut self,
        op: impl Into<Op>,
        state: S,
        at: StateFn<S>,
    ) -> JoinHandle<S> {
        self.scheduler.spawn_states(op, state, at)
    }
}
