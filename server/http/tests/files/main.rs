//! Static files through the whole stack: in the simulator, with files in memory that change under the
//! server; and over real connections, with files of the operating system.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod answers;
mod chance;
mod changes;
mod rig;
mod system;
