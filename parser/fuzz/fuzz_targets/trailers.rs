//! Any bytes as a trailer section, compared with a slow reference: the first bytes say how
//! they are cut, and cutting must change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::trailers(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
