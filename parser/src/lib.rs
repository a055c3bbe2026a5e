#![doc = include_str!("../README.md")]

pub mod error;
pub mod http1;
mod scan;

pub use error::Refusal;
