//! Middleware for [`web`](crate::web) applications.
//!
//! | middleware | what |
//! |---|---|
//! | `Compress` (feature `compress`) | gzip, brotli and zstd, by what the client accepts |
//! | [`Cors`] | which other sites' scripts may read answers |
//! | [`SecurityHeaders`] | fields that make browsers careful |
//! | [`SetHeaders`] | fields set, added and removed on every response |
//! | [`RequestId`] | a name for every request |
//! | [`HostCheck`] | which names the server answers to |
//! | `BasicAuth` | names and passwords; with the feature `basic-auth` |
//! | [`BearerAuth`] | tokens |
//! | [`RateLimit`] | how often clients may ask, over the whole process |
//! | [`ErrorPages`] | what people see when something is wrong |
//! | [`LoadShedder`] | what is refused first when there is too much to do |
//! | [`Timeout`], [`BodyLimit`] | limits of routes |

mod accept;
#[cfg(feature = "basic-auth")]
mod basic_auth;
mod bearer_auth;
#[cfg(feature = "compress")]
mod compress;
mod cors;
mod credentials;
mod error;
mod error_pages;
mod host_check;
mod limits;
mod network;
mod priority;
mod rate_limit;
mod rate_limiter;
mod request_id;
mod security_headers;
mod set_headers;
mod syntax;
mod trace_parent;
mod user;
#[cfg(feature = "basic-auth")]
mod users;

pub(crate) use accept::quality as accept_quality;
#[cfg(feature = "basic-auth")]
pub use basic_auth::BasicAuth;
pub use bearer_auth::{BearerAuth, BearerError};
#[cfg(feature = "compress")]
pub use compress::{COMPRESSIBLE, Compress};
pub use cors::{Cors, CorsBuilder};
pub use error::MiddlewareError;
pub use error_pages::ErrorPages;
pub use host_check::HostCheck;
pub use limits::{BodyLimit, Timeout};
pub use network::{Network, NetworkError};
pub use priority::{
    LoadGate, LoadLimits, LoadMetrics, LoadShedder, LoadShedderBuilder, Priority, ShedCounts,
};
pub use rate_limit::{RateLimit, RateLimitMetrics};
pub use rate_limiter::{Allowance, Quota, RateLimiter};
pub use request_id::{Id, RequestId};
pub use security_headers::SecurityHeaders;
pub use set_headers::SetHeaders;
pub use trace_parent::TraceParent;
pub use user::User;
#[cfg(feature = "basic-auth")]
pub use users::Users;
