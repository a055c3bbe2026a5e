#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod breaker;
mod config;
mod conn;
mod content;
mod context;
pub mod files;
mod handler;
mod lookahead;
mod metrics;
pub mod middleware;
pub mod negotiate;
mod notes;
mod outstanding;
mod pace;
mod protocol;
mod ready;
mod refuse;
mod reply;
mod slots;
pub mod web;

pub use config::HttpConfig;
pub use conn::Conn;
pub use content::{Content, Produce, Produced, Sink};
pub use context::Context;
pub use handler::{Handler, HttpMail, Intake, Ticket, Wakes};
pub use metrics::{HttpCounters, HttpMetrics, RouteId, RouteNames};
pub use protocol::Http;
pub use reply::{Replied, Reply};
