//! Any path, ranges and conditions as a request for static files.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::files(input));

#[path = "../../tests/checks/files.rs"]
mod checks;
