//! State functions: a protocol with several states as one function for each, in a thin layer over closures.

use std::io;

use crate::op::Op;
use crate::task::{done, wait, Flow, Task};

/// A state of a protocol: called with the outcome of what the one before waited for, it names the next operation
/// and the next state. It is for all `'t`, so what it spawns must own what it uses.
pub type StateFn<S> = for<'a, 'e, 't> fn(&'a mut S, &'a mut Task<'e, 't>) -> io::Result<Next<S>>;

/// Where a state function goes: see [`then`] and [`Next::done`].
pub enum Next<S> {
    /// Wait for this, then call that.
    Then(Op, StateFn<S>),
    /// The protocol has ended; the task's value is the state.
    Done,
}

impl<S> Next<S> {
    /// Ends the task. Whoever joins it gets the state.
    pub fn done() -> io::Result<Next<S>> {
        Ok(Next::Done)
    }
}

/// Waits for the operation, then goes on in the next state.
pub fn then<S>(op: impl Into<Op>, next: StateFn<S>) -> io::Result<Next<S>> {
    Ok(Next::Then(op.into(), next))
}

/// The closure that walks from state to state.
pub(crate) fn body<'t, S: 't>(state: S, at: StateFn<S>) -> impl FnMut(&mut Task<'_, 't>) -> Flow<S> + 't {
    let mut at = at;
    let mut state = Some(state);
    move |task: &mut Task<'_, 't>| {
        let walker = state.as_mut().expect("a task that has ended is not resumed");
        match at(walker, task)? {
            Next::Then(op, next) => {
                at = next;
                wait(op)
            }
            Next::Done => done(state.take().expect("it was there a moment ago")),
        }
    }
}
