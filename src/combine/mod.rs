//! Operations made of others, and waiting for another task's end. An annex: the core does not know
//! it.

mod first;
mod join;

pub use first::{first, First};
pub use join::Join;
