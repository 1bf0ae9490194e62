//! Child processes: how they are started, fed, read, ended and waited for. An annex: the core does
//! not know it.
//!
//! * [`pipe`](self::pipe): [`AsyncPipe`], what users see.
//! * [`spawn`](self::spawn): starts commands, one or a pipeline of them.
//! * [`processes`](self::processes): the children of a pipe, and the streams at its ends.
//! * [`process`](self::process): one child, from its start to its reaping. Its pidfd is a `Watch`.
//! * [`waiters`](self::waiters): the tasks that wait for a child, or to communicate with one.
//! * [`dropped`](self::dropped): children that live on without a pipe.
//! * [`exit`](self::exit): the operation that waits for the last child's end.
//! * [`exit_all`](self::exit_all): the operation that waits for the ends of all children.
//! * [`stop`](self::stop): the operation that ends children, gracefully at first.
//! * [`communicate`](self::communicate): the operation that feeds a child and collects its output.
//! * [`input`](self::input): the input that a communicate feeds to a child.
//! * [`streams`](self::streams): the streams that a communicate uses, and its places in their
//!   queues.
//! * [`conversation`](self::conversation): the part of a communicate that outlives it.

mod communicate;
mod conversation;
mod dropped;
mod exit;
mod exit_all;
mod input;
#[cfg(any(test, fuzzing))]
mod invariants;
mod pipe;
mod process;
mod processes;
mod spawn;
mod stop;
mod streams;
mod waiters;

pub use communicate::Communicate;
pub use exit::Exit;
pub use exit_all::ExitAll;
pub use input::Input;
pub use pipe::AsyncPipe;
pub use stop::Stop;

#[cfg(any(test, fuzzing))]
pub(crate) use invariants::abandon;

#[cfg(test)]
mod tests;
