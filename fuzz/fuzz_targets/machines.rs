//! `cargo +nightly fuzz run machines -- -dict=fuzz/dictionaries/machines.dict`

#![no_main]

#[path = "../harness/machines.rs"]
mod machines;
#[path = "../../tests/naive/mod.rs"]
mod naive;
#[path = "../harness/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    machines::run(data);
});
