//! Asynchronous files and pipes on one thread, on `poll(2)`, with no futures.
//!
//! An **operation** (read, readline, write, ...) is an explicit state machine. A **task** is a closure that names the operation it
//! waits for; the **scheduler** drives that machine and calls the closure again with its outcome.
//!
//! ```
//! use asyncfile::{done, wait, AsyncFile, Scheduler};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
//! let mut sched = Scheduler::new();
//! let mut count = 0;
//! let counter = sched.spawn(file.readline().timeout(SECOND), move |task| match task.line()? {
//!     Some(_line) => { count += 1; wait(file.readline().timeout(SECOND)) }    // _line: &[u8], lent from the file's buffer
//!     None => done(count),                                                    // end of file
//! });
//! let lines: u64 = sched.join(counter)?;
//! # assert!(lines > 10);
//! # Ok(())
//! # }
//! ```
//!
//! # The map of the house
//!
//! What a room does rests on its own floor and those below it (two look upwards: an operation names the task's accessor that takes its
//! output, and `sim` clears the thread's children). One concept a file, the file named for it.
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 0 | `sys` | every kernel call, the clock, every `unsafe` (`sys/process`: starting and reaping; `sys/sigpipe`); in tests, `sim` stands behind it: a simulated kernel (`sim/transfer`, `sim/polling`: its calls; `sim/faults`: what goes wrong; `sim/seeds`: runs `tests/simulation`) |
//! | 0 | `pool` | the free list of buffers |
//! | 0 | [`line_buffer`] | the line parser: bytes in, lines out; where a partial line goes while its reader is blocked |
//! | 1 | [`machine`] | the state machines: `read` (also full, read_to_end, readline, readlines), `write`, `communicate`, `exit`; `SHARE`: the most that one advance moves |
//! | 1 | `poll_set`, `deadlines` | what poll(2) is asked; who waits until when |
//! | 1 | `port` | a descriptor as a source and a sink that never wait |
//! | 1 | `key`, `waiters` | a task's name; a queue of them |
//! | 1 | `inbox` | notes to the scheduler: who is ready, who is cancelled, what failed; who notices that a number is another file's |
//! | 1 | `descriptor` | an open file, its buffer and its queues (`descriptor/state`); keeps what poll(2) is asked up to date, also at its close; what is done when somebody else closed its number |
//! | 1 | `wake`, `wait_queue` | how other threads wake the scheduler; who waits for a message |
//! | 1 | `data`, `conversation` | bytes to be written; what a child is fed, and what outlives a communicate: the rest of its input, and which streams have ended (what was collected is in their buffers) |
//! | 2 | [`op`] | operations: a machine, what it works on, its time. `op/timeout`: that data beats a deadline; `op/exit`: that a stdin which nobody else has is closed; `op/communicate`: its turn, timeout and limit |
//! | 2 | `file`, `pipe` | the faces: [`AsyncFile`], [`AsyncPipe`] |
//! | 2 | `child`, `processes` | exit watching and reaping, also of what outlives its thread; a chain of children and the streams at its ends |
//! | 3 | `task`, `handle`, `state_fn` | [`Task`], [`Flow`], [`Outcome`]; [`JoinHandle`] and the body behind it, and whose its failure is; state functions |
//! | 3 | `scheduler`, `trace` | the turn, what bounds it, and where failures come out; `scheduler/advance`: a task's step, its share of the turn, a body that panics; `scheduler/outside`: foreign loops, other threads' calls; what an observer sees |
//! | 3 | `remote`, `channel` | [`Remote`], the scheduler's control for other threads; messages to tasks |
//! | - | `error` | errors that name the operation, the descriptor and the cause |
//! | - | `*/invariants` | what must be true between turns, of the scheduler, its inbox, a descriptor: asserted in tests |
//!
//! The [`guide`] tells how a turn goes, where bytes are, and twenty-five things to know of the kernel.
//!
//! # What matters, in this order
//!
//! 1. Nothing is lost: what was read is handed over once, in order, or is still in the file.
//! 2. Nothing hangs: a deadline is kept, a closed file wakes who waits on it, a stalled scheduler says so.
//! 3. Errors do not pass silently.
//! 4. The cost: no allocation for an operation, a resume, a line.

#![deny(unsafe_code)]
#![warn(missing_docs)]

// The simulation's programs (`tests/simulation`, part of `sim/seeds`) call the library by its name, here as in a fuzz target.
#[cfg(test)]
extern crate self as asyncfile;

mod channel;
mod child;
mod conversation;
mod data;
mod deadlines;
mod descriptor;
mod error;
mod file;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod handle;
mod inbox;
mod key;
pub mod line_buffer;
pub mod machine;
pub mod op;
mod pipe;
mod poll_set;
mod pool;
mod port;
mod processes;
mod remote;
mod scheduler;
#[cfg(any(test, fuzzing))]
pub mod sim;
mod state_fn;
mod sys;
mod task;
pub mod trace;
mod wait_queue;
mod waiters;
mod wake;

pub use channel::{channel, Receiver, Sender};
pub use error::TaskError;
pub use file::AsyncFile;
pub use handle::JoinHandle;
pub use key::TaskId;
pub use machine::End;
pub use op::{first, sleep, yield_now, Op, Operation};
pub use pipe::AsyncPipe;
pub use remote::Remote;
pub use scheduler::Scheduler;
pub use state_fn::{then, Next, StateFn};
#[doc(hidden)]
pub use sys::process::refuse_pidfds;
pub use task::{done, wait, Flow, Lines, Outcome, Step, Task};
pub use trace::Trace;

/// The programs in README, run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
