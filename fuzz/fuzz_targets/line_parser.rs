//! `cargo +nightly fuzz run line_parser -- -dict=fuzz/dictionaries/line_parser.dict`

#![no_main]

#[path = "../harness/line_parser.rs"]
mod line_parser;
#[path = "../../tests/naive/mod.rs"]
mod naive;
#[path = "../harness/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    line_parser::run(data);
});
