//! `cargo +nightly fuzz run communicate -- -dict=fuzz/dictionaries/communicate.dict`

#![no_main]

#[path = "../harness/communicate.rs"]
mod communicate;
#[path = "../../tests/naive/mod.rs"]
mod naive;
#[path = "../harness/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    communicate::run(data);
});
