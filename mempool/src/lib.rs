#![doc = include_str!("../README.md")]

mod arena;
mod budget;
mod buf;
mod pool;
mod shared;
mod slab;

pub use arena::Arena;
pub use budget::{Budget, OutOfBudget};
pub use buf::Buf;
pub use pool::{Pool, PoolConfig, PoolStats};
pub use shared::Shared;
pub use slab::{Full, Key, Slab};
