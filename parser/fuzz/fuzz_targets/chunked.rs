//! Any bytes as a chunked body, compared with a slow reference: the first bytes say how
//! they are cut, and cutting must change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::chunked(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
