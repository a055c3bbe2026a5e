//! Any bytes as a body of any kind: the first bytes say how
//! they are cut, and cutting must change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::body(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
