//! State functions, a thin layer over closures. A protocol with several states is written as one
//! function for each state.

use std::fmt;
use std::io;

use crate::op::operate::Op;
use crate::task::{again, done, wait, Flow, Task};

/// The result of a state function.
pub type StateFlow<S> = io::Result<Next<S>>;

/// A function for one state of a protocol. It is called with the outcome of the operation that the
/// previous state has named. It names the next operation and the next state. It must work for every
/// `'t`, so the tasks that it spawns must own what they use.
pub type StateFn<S> = for<'a, 'e, 't> fn(&'a mut S, &'a mut Task<'e, 't>) -> StateFlow<S>;

/// How a task goes on after a state function: see [`then`], [`Next::again`] and [`Next::done`].
pub enum Next<S> {
    /// The task waits for this operation, then calls this function.
    Then(Op, StateFn<S>),
    /// The task waits for the same operation once more, then calls this function.
    Again(StateFn<S>),
    /// The protocol has ended; the task's value is the state.
    Done,
}

impl<S> Next<S> {
    /// Ends the task. The state is the task's value, which `join` returns.
    pub fn done() -> StateFlow<S> {
        Ok(Next::Done)
    }

    /// Waits for the same operation once more, as [`again`](crate::again) does, then goes on in the
    /// next state.
    pub fn again(next: StateFn<S>) -> StateFlow<S> {
        Ok(Next::Again(next))
    }
}

impl<S> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Next::Then(op, _) => write!(f, "Then({op:?})"),
            Next::Again(_) => f.write_str("Again"),
            Next::Done => f.write_str("Done"),
        }
    }
}

/// Waits for the operation, then goes on in the next state.
///
/// # Example
///
/// This shows a request and its reply, each state a function:
///
/// ```
/// use asyncfile::{then, yield_now, AsyncPipe, Next, Scheduler, StateFlow, Task};
/// use std::process::Command;
///
/// struct Ask { cat: AsyncPipe, reply: Vec<u8> }
///
/// impl Ask {
///     fn ask(&mut self, _task: &mut Task) -> StateFlow<Self> {
///         then(self.cat.write_all("hello\n"), Self::sent)
///     }
///     fn sent(&mut self, task: &mut Task) -> StateFlow<Self> {
///         task.ok()?;
///         then(self.cat.readline(), Self::replied)
///     }
///     fn replied(&mut self, task: &mut Task) -> StateFlow<Self> {
///         self.reply.extend_from_slice(task.line()?.unwrap_or_default());
///         Next::done()
///     }
/// }
///
/// let ask = Ask { cat: AsyncPipe::piped(Command::new("cat"))?, reply: Vec::new() };
/// let mut sched = Scheduler::new();
/// let asking = sched.spawn_states(yield_now(), ask, Ask::ask);
/// assert_eq!(sched.join(asking)?.reply, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn then<S>(op: impl Into<Op>, next: StateFn<S>) -> StateFlow<S> {
    Ok(Next::Then(op.into(), next))
}

/// The closure that walks from state to state.
pub(crate) fn body<'t, S: 't>(
    state: S,
    at: StateFn<S>,
) -> impl FnMut(&mut Task<'_, 't>) -> Flow<S> + 't {
    let mut at = at;
    let mut state = Some(state);
    move |task: &mut Task<'_, 't>| {
        let walker = state
            .as_mut()
            .expect("a task that has ended is not resumed");
        match at(walker, task)? {
            Next::Then(op, next) => {
                at = next;
                wait(op)
            }
            Next::Again(next) => {
                at = next;
                again()
            }
            Next::Done => done(state.take().expect("it was there a moment ago")),
        }
    }
}
