//! Asynchronous files and pipes on one thread, on `poll(2)`, with no futures.
//!
//! An **operation** (read, readline, write, ...) is an explicit state machine. A **task** is a
//! closure that names the operation it waits for; the **scheduler** drives that machine and calls
//! the closure again with its outcome.
//!
//! ```
//! use asyncfile::{again, done, AsyncFile, Scheduler};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = AsyncFile::new(std::fs::File::open("Cargo.toml")?)?;
//! let mut sched = Scheduler::new();
//! let mut count = 0;
//! let counter = sched.spawn(file.readline().timeout(SECOND), move |task| match task.line()? {
//!     Some(_line) => { count += 1; again() }      // _line: &[u8], lent from the file's buffer
//!     None => done(count),                        // end of file
//! });
//! let lines: u64 = sched.join(counter)?;
//! # assert!(lines > 10);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | read and write files, pipes, sockets, terminals | [`AsyncFile`] |
//! | start a child process, feed it, read it, end it | [`AsyncPipe`] |
//! | start and run tasks, in a loop of one's own too | [`Scheduler`], [`Spawn`] |
//! | have the outcome of an operation | [`Task`], [`Outcome`] |
//! | go on from the body of a task | [`wait`], [`again`], [`done`]; [`then`] for state functions |
//! | wait for time | [`sleep()`], [`sleep_until`], [`ticks`]; `timeout` and `until` of each operation in [`op`] |
//! | wait for the first of several | [`first`] |
//! | wait for another task, or cancel it | [`JoinHandle`] |
//! | hand things from task to task | [`queue()`] |
//! | hand things from other threads to tasks | [`channel()`], [`Remote`] |
//! | find the cause of an error | [`OperationError`], [`TaskError`] |
//! | understand an event loop, and the kernel | [`guide`] |
//! | use the parser or the machines alone | [`line_buffer`], [`machine`] |
//!
//! README has a recipe for each of the usual tasks: a deadline for several steps, a beat, Ctrl-C, a
//! queue of jobs, a server.
//!
//! # The map of the house
//!
//! A file uses files of its own floor and of those below it, never of one above. The annexes use
//! the core, and the core does not know them: they plug in through two traits, `Watch` (the owner
//! of an entry of the poll set) and `Operate` (an operation as the scheduler sees it).
//! `tests/house.rs` checks this. The phrases of the third column are in the order of the files.
//!
//! | floor | files | what they hold |
//! |---|---|---|
//! | 0 kernel | `sys`, `sys/socket`, `sys/clock`, `sys/process`, `sys/sigpipe` | every kernel call and every `unsafe`; those of sockets alone; the clock; starting, reaping and killing children, and opening a pidfd; a write to a closed pipe without SIGPIPE. In test builds a simulated kernel stands behind the same functions |
//! | 0 bytes | `line_buffer`, `line_buffer/lent`, `pool`, `data` | the line parser, bytes in and lines out; bytes that are lent for one resume; free buffers; bytes to be written |
//! | 0 errors | `error` | errors as codes that are printed late; how a task ends without value |
//! | 1 machines | `machine`, `machine/read`, `machine/message`, `machine/write`, `machine/table` | what a source and a sink are; the sans-IO machines, each with its transitions: a read, and which bytes it hands over or keeps at its deadline; one read as one message; a write; the check of the transitions in test builds |
//! | 1 structures | `task_table`, `wait_list`, `deadlines`, `poll_set` | slots, keys and generations; a queue with O(1) enter and leave; the heap of deadlines; the entries that poll(2) is given, and their owners |
//! | 2 reactor | `reactor`, `reactor/notes`, `reactor/registry`, `reactor/foreign`, `reactor/seen`, `chore` | what poll(2) is asked, the ready queue, the tasks that are put off, `Watch`; who was cancelled or has failed; the reactors of a thread; the poll set in a foreign loop; who was woken or cancelled, and what was closed, since the last report to an observer; work that belongs to no task |
//! | 2 files | `port`, `port/calls`, `port/guess` | a descriptor, and whether a call is worth trying (a read after poll(2); a write at once, until EAGAIN); the calls of one advance, the last look at a deadline among them; whether a read is tried without poll(2) after one that has filled its window |
//! | 2 files | `descriptor`, `descriptor/interest`, `descriptor/standing`, `descriptor/run`, `descriptor/hand_over`, `descriptor/watchers` | an open file: port, buffer, wait lists, which task is woken next, and the close, which wakes all of them; its entry in the poll set; the error if it is closed or was never there; how far a task has taken line after line; its next owner; bare readiness |
//! | 3 operations | `op/operate`, `op/read`, `op/write`, `op/sleep`, `op/timeout`, `op/deadline`, `op/ready`, `op/shutdown`, `op/faces`, `op/described` | `Op` and `Operate`; a read and a write: machine, place in the queue, and data before deadline; sleep and yield; how long an operation may take; the same for one that waits for other moments, too; bare readiness; a half-close; the names users know; how errors and observers show operations |
//! | 4 loop | `scheduler`, `scheduler/turn`, `scheduler/share`, `scheduler/resume`, `scheduler/drive`, `scheduler/calls`, `scheduler/foreign`, `scheduler/observe` | the beginning and end of a task; the turn: *ask, fall due, advance*, and a task that has had its share is put off; when that is so (512 resumes or 1 ms); one resume, and the panic of a body; run, join, block_on and failures; what is done between two turns; foreign loops; telling an observer what happened, and which task has woken which |
//! | 4 tasks | `task`, `task/lines`, `handle`, `shortcut`, `state_fn`, `spawn`, `operation`, `trace` | what a running task sees; the lines of a readlines; the two ends of a task; the next line without a return to the scheduler; state functions; where tasks are started; owned outputs; the types of the events that an observer is told |
//! | 5 face | `file` | [`AsyncFile`] |
//! | annex child | `child`, `child/pipe`, `child/spawn`, `child/process`, `child/processes`, `child/dropped` | the annex; [`AsyncPipe`]; starting one command or a pipeline; one child: its pidfd, its end, its reaping; the children of a pipe and its three streams; children whose pipe was dropped, reaped later |
//! | annex child | `child/waiters`, `child/exit`, `child/exit_all`, `child/stop`, `machine/exit` | the tasks that wait for one thing; the wait for an exit; for all exits; a graceful stop; the exit machine, and its pauses where there is no pidfd |
//! | annex child | `child/communicate`, `child/streams`, `child/conversation`, `child/input`, `machine/communicate` | the operation communicate; the streams that it uses at once; what outlives it; the input of a child; its machine |
//! | annex thread | `thread`, `thread/wake`, `thread/wait_queue`, `thread/remote`, `thread/channel` | the annex; the pipe by which another thread ends poll's sleep; the tasks that wait for a message, and how a send wakes them; [`Remote`]; [`channel()`] |
//! | annex combine | `combine`, `combine/first`, `combine/join`, `combine/queue`, `combine/ticks` | [`first`], waiting for a task's end, [`queue()`], a beat |
//! | annex guide | `guide` | the pages of the guide |
//! | - | `sim`, `sim/*` | the simulated kernel |
//!
//! **To read it in one sitting**: `scheduler/turn`, `reactor`, `descriptor`, `wait_list`,
//! `machine/read`, `op/read`, `op/timeout`; then the heads of `deadlines`, `line_buffer` and
//! `port/calls`. [`guide::start_here`] says what to look for in each. The [`guide`] tells how a
//! turn goes, where bytes are, and what to know of the kernel.
//!
//! # What matters, in this order
//!
//! 1. Nothing is lost: what was read is handed over once, in order, or is still in the file.
//! 2. Nothing hangs: a deadline is kept, a closed file wakes the tasks that wait on it, a stalled
//!    scheduler says so.
//! 3. Errors do not pass silently.
//! 4. The cost is small: everyday operations, resumes and lines make no allocation.

#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]
#![deny(missing_docs)]

// The simulation's programs (`tests/simulation`, part of `sim/seeds`) are compiled both here and in
// a fuzz target. They call the library by its name, which needs this line here.
#[cfg(test)]
extern crate self as asyncfile;

mod child;
mod chore;
mod combine;
mod data;
mod deadlines;
mod descriptor;
mod error;
mod file;
pub mod guide;
mod handle;
pub mod line_buffer;
pub mod machine;
mod operation;
mod poll_set;
mod pool;
mod port;
mod reactor;
mod scheduler;
mod shortcut;
#[cfg(any(test, fuzzing))]
#[allow(missing_debug_implementations)]
pub mod sim;
mod spawn;
mod state_fn;
mod sys;
mod task;
mod task_table;
mod thread;
pub mod trace;
mod wait_list;

/// Operations: what a task can wait for.
///
/// An operation is a machine, the descriptor it works on, and its timeout. It is advanced by the
/// scheduler and never waits itself. Making one does nothing yet: it begins when a task waits for
/// it, and costs nothing if none does.
pub mod op {
    pub(crate) mod deadline;
    mod described;
    pub(crate) mod faces;
    pub(crate) mod operate;
    pub(crate) mod read;
    pub(crate) mod ready;
    pub(crate) mod shutdown;
    pub(crate) mod sleep;
    pub(crate) mod timeout;
    pub(crate) mod write;

    pub use crate::child::{Communicate, Exit, ExitAll, Input, Stop};
    pub use crate::combine::{First, Join, Ticks};
    pub use crate::data::Data;
    pub use faces::{Read, ReadToEnd, Readline, Readlines, Write};
    pub use operate::Op;
    pub use ready::Ready;
    pub use shutdown::Shutdown;
    pub use sleep::{Sleep, YieldNow};
}

pub use child::AsyncPipe;
pub use combine::{first, queue, ticks, Queue};
pub use error::{OperationError, TaskError};
pub use file::AsyncFile;
pub use handle::{CancelOnDrop, JoinHandle};
pub use machine::End;
pub use op::sleep::{never, sleep, sleep_until, yield_now};
pub use op::Op;
pub use operation::Operation;
pub use scheduler::Scheduler;
pub use spawn::Spawn;
pub use state_fn::{then, Next, StateFlow, StateFn};
#[doc(hidden)]
pub use sys::process::refuse_pidfds;
pub use task::{again, done, wait, Flow, Lines, Outcome, Step, Task};
pub use task_table::TaskId;
pub use thread::{channel, Receiver, Remote, Sender};
pub use trace::Trace;

/// The programs in README, run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
