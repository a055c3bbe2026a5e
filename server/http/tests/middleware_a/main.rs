//! Middleware in applications, through the whole stack, in the simulator.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod auth;
mod cors;
mod error_pages;
mod fields;
mod rate_limit;
mod request_id;
mod rig;
