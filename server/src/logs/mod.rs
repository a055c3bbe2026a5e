//! What a server says: the program's log and the access log.
//!
//! Neither ever makes a lane wait. Each has a bounded queue and a thread that writes; what does not
//! fit is dropped and counted.

mod access;
pub mod filter;
#[cfg(feature = "http")]
mod observe;
mod program;
mod queue;

pub use self::access::{
    AccessConfig, AccessCounts, AccessFormat, AccessLane, AccessLog, AccessLogError, AccessLogSlot,
    AccessRecord, AccessTarget, FormatError,
};
#[cfg(feature = "http")]
pub use self::observe::AccessObserver;
pub use self::program::{LogConfig, LogCounts, LogError, LogFormat, Logs};
