//! Operations made of others, waiting for another task's end, and a beat. An annex: the core does
//! not know it.

mod first;
mod join;
mod ticks;

pub use first::{first, First};
pub use join::Join;
pub use ticks::{ticks, Ticks};
