//! Everything that can happen, as long as it is short: every chunking of every string of up to 8 bytes, and every sequence of up
//! to 6 events for each machine, beside the oracle. Most bugs need no more than that to show.
//!
//! Each test says how many cases it has tried, so that it cannot become smaller unnoticed.

mod naive;

#[path = "small_scope/chunkings.rs"]
mod chunkings;
#[path = "small_scope/communicate.rs"]
mod communicate;
#[path = "small_scope/exit.rs"]
mod exit;
#[path = "small_scope/first.rs"]
mod first;
#[path = "small_scope/reader.rs"]
mod reader;
#[path = "small_scope/script.rs"]
mod script;
#[path = "small_scope/writer.rs"]
mod writer;
