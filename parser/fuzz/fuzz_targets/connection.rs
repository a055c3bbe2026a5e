//! Any bytes as the requests of one connection, compared with a slow reference: the first bytes say how
//! they are cut, and cutting must change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::connection(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
