//! Any bytes as a chunked body: the first byte says how they are cut, and cutting must change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::body(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
