//! Middleware for [`web`](crate::web) applications.
//!
//! | middleware | what |
//! |---|---|
//! | [`Cors`] | which other sites' scripts may read answers |
//! | [`SecurityHeaders`] | fields that make browsers careful |
//! | [`SetHeaders`] | fields set, added and removed on every response |
//! | [`Timeout`], [`BodyLimit`] | limits of routes |

mod cors;
mod error;
mod limits;
mod security_headers;
mod set_headers;
mod syntax;

pub use cors::{Cors, CorsBuilder};
pub use error::MiddlewareError;
pub use limits::{BodyLimit, Timeout};
pub use security_headers::SecurityHeaders;
pub use set_headers::SetHeaders;
