//! Operations made of others, waiting for another task's end, and queues between tasks. An annex:
//! the core does not know it.

mod first;
mod join;
mod queue;

pub use first::{first, First};
pub use join::Join;
pub use queue::{queue, Queue};
