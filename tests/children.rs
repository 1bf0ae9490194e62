//! Children: AsyncPipe, communicate and exit, with real processes. Gotchas 14, 15 and 21 to 25 of
//! the guide are here, each under a heading with its number.

mod descriptors;
mod support;

#[path = "children/bulk.rs"]
mod bulk;
#[path = "children/chains.rs"]
mod chains;
#[path = "children/communicate.rs"]
mod communicate;
#[path = "children/exit_all.rs"]
mod exit_all;
#[path = "children/exits.rs"]
mod exits;
#[cfg(target_os = "linux")]
#[path = "children/forked.rs"]
mod forked;
#[cfg(target_os = "linux")]
#[path = "children/groups.rs"]
mod groups;
#[path = "children/help.rs"]
mod help;
#[path = "children/inputs.rs"]
mod inputs;
#[path = "children/linger.rs"]
mod linger;
#[path = "children/not_started.rs"]
mod not_started;
#[path = "children/nothing_left.rs"]
mod nothing_left;
#[path = "children/reaped_behind.rs"]
mod reaped_behind;
#[path = "children/resuming.rs"]
mod resuming;
#[path = "children/starting.rs"]
mod starting;
#[cfg(target_os = "linux")]
#[path = "children/stop.rs"]
mod stop;
#[path = "children/streams.rs"]
mod streams;
