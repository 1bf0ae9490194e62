//! What things cost, in exact counts: system calls, allocations, bytes.
//!
//! Both counters are in this binary, and per thread, so that tests do not disturb each other: an
//! allocator that counts, and functions named as libc's, which the linker takes for the library's
//! calls and which count and go on to a sibling.
#![cfg(target_os = "linux")]
// Tests are compiled by today's compiler; `done(task.ok()?)` is how a task ends that only waited.
#![allow(clippy::incompatible_msrv, clippy::unit_arg)]

mod descriptors;

#[path = "costs/calls.rs"]
mod calls;
#[path = "costs/children.rs"]
mod children;
#[path = "costs/counters.rs"]
mod counters;
#[path = "costs/lines.rs"]
mod lines;
#[path = "costs/memory.rs"]
mod memory;
