#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub mod apps;
#[cfg(feature = "cli")]
pub mod cli;
pub mod supervisor;
#[cfg(feature = "cli")]
mod torture;
