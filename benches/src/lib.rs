#![doc = include_str!("../README.md")]

pub mod build;
pub mod environment;
pub mod launch;
pub mod scratch;
pub mod server;
