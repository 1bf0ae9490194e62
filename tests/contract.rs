//! The rules of the contract, one theme a file, each test named for the rule it shows. Written from
//! the documentation alone: only public names, real descriptors.
// Tests are compiled by today's compiler; `done(task.ok()?)` is how a task ends that only waited.
#![allow(clippy::incompatible_msrv, clippy::unit_arg)]

mod descriptors;

#[path = "contract/accessors.rs"]
mod accessors;
#[path = "contract/bad_input.rs"]
mod bad_input;
#[path = "contract/cancelling.rs"]
mod cancelling;
#[path = "contract/examples.rs"]
mod examples;
#[path = "contract/failures.rs"]
mod failures;
#[path = "contract/foreign_loop.rs"]
mod foreign_loop;
#[path = "contract/handles.rs"]
mod handles;
#[path = "contract/observing.rs"]
mod observing;
#[path = "contract/on_failure.rs"]
mod on_failure;
#[path = "contract/panics.rs"]
mod panics;
#[path = "contract/sizes.rs"]
mod sizes;
#[path = "contract/spawning.rs"]
mod spawning;
#[path = "contract/stalled.rs"]
mod stalled;
