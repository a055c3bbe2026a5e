//! The real binary, on real sockets: flags, clients, limits, signals, exit codes.
//!
//! Each test starts a process of its own on a port that the kernel chooses, and ends it. Nothing here
//! waits for a fixed time where it can wait for something to happen.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod accept;
mod admin;
mod browser;
mod client;
mod closes;
mod command_line;
mod config;
mod connect;
mod dashboard;
mod descriptors;
mod drain;
mod explain;
mod families;
mod listen;
mod load;
mod logs;
mod messages;
mod process;
mod prometheus;
mod refusals;
mod reload;
mod requests;
mod responses;
mod startup;
mod statsd;
mod systemd;
mod terminal;
mod timeouts;
mod top;
mod torture;
