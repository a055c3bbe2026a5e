#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod apps;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "cli")]
mod explain;
pub mod handler;
#[cfg(feature = "logs")]
pub mod logs;
#[cfg(feature = "cli")]
mod notify;
#[cfg(feature = "signals")]
mod signals;
#[cfg(feature = "cli")]
pub mod site;
pub mod supervisor;
#[cfg(feature = "templates")]
pub mod templates;
#[cfg(feature = "cli")]
mod torture;
#[cfg(feature = "cli")]
mod url;
#[cfg(feature = "http")]
pub mod web;
