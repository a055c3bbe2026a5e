//! Ways out: the same figures for whoever listens.

#[cfg(feature = "json")]
pub mod json;
pub mod prometheus;
pub mod statsd;
