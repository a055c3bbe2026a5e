//! Any bytes as a connection to a server in the simulator, however they are cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::serve(input));

#[path = "../../tests/checks/mod.rs"]
mod checks;
