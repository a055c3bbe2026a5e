#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod error;
pub mod http1;

pub use error::Refusal;
