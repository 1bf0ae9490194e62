//! What poll(2), pipes, clocks and signals do to an event loop, and what this one makes of it: one
//! heading for each gotcha, with the number that it has in the guide. All descriptors are real.
// Tests are compiled by today's compiler; `done(task.ok()?)` is how a task ends that only waited.
#![allow(clippy::incompatible_msrv, clippy::unit_arg)]

mod descriptors;

#[path = "gotchas/cancelling.rs"]
mod cancelling;
#[cfg(target_os = "linux")]
#[path = "gotchas/children.rs"]
mod children;
#[path = "gotchas/closing.rs"]
mod closing;
#[path = "gotchas/limits.rs"]
mod limits;
#[path = "gotchas/messages.rs"]
mod messages;
#[path = "gotchas/misleading.rs"]
mod misleading;
#[path = "gotchas/nothing_lost.rs"]
mod nothing_lost;
#[path = "gotchas/readiness.rs"]
mod readiness;
#[path = "gotchas/sandboxes.rs"]
mod sandboxes;
#[path = "gotchas/signals.rs"]
mod signals;
#[path = "gotchas/terminals.rs"]
mod terminals;
#[path = "gotchas/time.rs"]
mod time;
