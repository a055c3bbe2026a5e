//! Middleware about effort: compression, load shedding.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "compress")]
mod compress;
mod priority;
