//! The protocol on the simulated network: whole conversations, in virtual time.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod answers;
mod chance;
mod cuts;
mod deadlines;
mod hostile;
mod latency;
mod memory;
mod moving;
mod rig;
mod stopping;
