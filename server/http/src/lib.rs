#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod conn;
mod handler;
mod metrics;
mod pace;
mod protocol;
mod refuse;
mod reply;

pub use config::HttpConfig;
pub use conn::Conn;
pub use handler::Handler;
pub use metrics::{HttpCounters, HttpMetrics};
pub use protocol::Http;
pub use reply::{Replied, Reply};
