//! The applications of the `corelane` program, usable as a library.

pub mod admin;
pub mod fixed;
pub mod kept;
