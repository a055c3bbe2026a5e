//! Middleware for [`web`](crate::web) applications.
//!
//! | middleware | what |
//! |---|---|
//! | [`Cors`] | which other sites' scripts may read answers |
//! | [`SecurityHeaders`] | fields that make browsers careful |
//! | [`SetHeaders`] | fields set, added and removed on every response |
//! | [`RateLimit`] | how often clients may ask, over the whole process |
//! | [`Timeout`], [`BodyLimit`] | limits of routes |

mod cors;
mod error;
mod limits;
mod network;
mod rate_limit;
mod rate_limiter;
mod security_headers;
mod set_headers;
mod syntax;
mod user;

pub use cors::{Cors, CorsBuilder};
pub use error::MiddlewareError;
pub use limits::{BodyLimit, Timeout};
pub use network::{Network, NetworkError};
pub use rate_limit::RateLimit;
pub use rate_limiter::{Allowance, Quota, RateLimiter};
pub use security_headers::SecurityHeaders;
pub use set_headers::SetHeaders;
pub use user::User;
