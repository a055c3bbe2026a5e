//! Web applications through the whole stack, on a simulated network in virtual time.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

#[path = "../scenarios/chance.rs"]
mod chance;
mod chaos;
mod corners;
mod handlers;
mod later;
mod rig;
mod sse;
mod stream;
mod traces;
mod upload;
