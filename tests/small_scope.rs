//! Everything that can happen, as long as it is short: every chunking of every string of up to 8
//! bytes, and every sequence of up to 6 events for each machine, beside the oracle. Most bugs show
//! within that.
//!
//! Each test asserts how many cases it has tried, so that no change makes it smaller unnoticed.

mod naive;

#[path = "small_scope/chunkings.rs"]
mod chunkings;
#[path = "small_scope/communicate.rs"]
mod communicate;
#[path = "small_scope/communicating.rs"]
mod communicating;
#[path = "small_scope/exit.rs"]
mod exit;
#[path = "small_scope/exiting.rs"]
mod exiting;
#[path = "small_scope/first.rs"]
mod first;
#[path = "small_scope/reader.rs"]
mod reader;
#[path = "small_scope/reading.rs"]
mod reading;
#[path = "small_scope/script.rs"]
mod script;
#[path = "small_scope/writer.rs"]
mod writer;
#[path = "small_scope/writing.rs"]
mod writing;
