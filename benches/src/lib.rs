#![doc = include_str!("../README.md")]

pub mod build;
mod configuration;
pub mod environment;
pub mod launch;
pub mod namespace;
pub mod output;
pub mod record;
pub mod scratch;
pub mod server;
pub mod start;
pub mod started;
pub mod statistics;
