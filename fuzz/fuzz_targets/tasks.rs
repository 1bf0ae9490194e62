//! `cargo +nightly fuzz run tasks`: random programs of tasks on the simulated kernel. See
//! tests/simulation.

#![no_main]

#[path = "../../tests/simulation/mod.rs"]
mod simulation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    simulation::run(simulation::bytes(data.to_vec()), false);
});
