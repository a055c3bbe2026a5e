//! Any bytes as a header with weights, compared with a slow reference.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::negotiate(input));

#[path = "../../tests/checks/negotiate.rs"]
mod checks;
