//! The event-handler framework: what handlers see, what receivers get, and what is counted.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod chaos;
mod checks;
mod lanes;
mod life;
mod panics;
mod rooms;
mod slow;
