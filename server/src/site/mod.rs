//! A configured site: from a configuration to something that runs, and to the next configuration
//! without losing a request.
//!
//! One [`Source`] is shared by the whole process. Each lane has a [`Live`] of its own: an application
//! built from the source's current [`Blueprint`], and rebuilt in the lane's next turn once there is
//! another. Requests under way end as they began.

mod build;
mod files;
mod live;
mod middleware;
mod plan;
mod source;

pub use self::build::BuildError;
pub use self::live::Live;
pub use self::plan::{http_config, lanes, plan};
pub use self::source::{Blueprint, ReloadError, ReloadState, Source};
