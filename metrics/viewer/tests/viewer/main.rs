//! The viewer, with servers that the tests play: its screens, its client, the program on a terminal.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod client;
mod hostile;
mod played;
mod screens;
mod svg;
#[cfg(target_os = "linux")]
mod terminal;
