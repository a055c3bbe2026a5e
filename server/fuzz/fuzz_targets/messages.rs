//! Any bytes as messages of any framing, however they are cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::messages(input));

#[path = "../../tests/handler/checks.rs"]
mod checks;
