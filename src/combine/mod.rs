//! Operations that are made of other operations, the wait for another task's end, a beat, and
//! queues between tasks. This is an annex: the core does not know it.

mod first;
mod join;
mod queue;
mod ticks;

pub use first::{first, First};
pub use join::Join;
pub use queue::{queue, Queue};
pub use ticks::{ticks, Ticks};
