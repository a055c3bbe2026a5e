//! The applications of the `corelane` program, usable as a library.

#[cfg(feature = "http")]
pub mod admin;
pub mod broadcast;
pub mod echo;
#[cfg(feature = "http")]
pub mod fixed;
#[cfg(feature = "http")]
pub mod kept;
