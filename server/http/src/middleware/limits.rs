//! Limits of routes, set where middleware is.

use std::time::Duration;

use crate::web::{Middleware, RouteLimits};

/// How long `async` handlers of the routes behind it may take; then 503. Of several, the innermost
/// counts ([`RouteLimits::time`], which says from when). A plain handler cannot be interrupted.
///
/// ```
/// use std::time::Duration;
/// use corelane_http::middleware::Timeout;
/// use corelane_http::web::{Request, Routes};
///
/// let app = Routes::new()
///     .get("/", |_: &Request<'_>| "hello\n")
///     .with(Timeout::new(Duration::from_secs(5)))
///     .build()?;
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout(Duration);

impl Timeout {
    /// So long.
    pub fn new(time: Duration) -> Timeout {
        Timeout(time)
    }
}

impl Middleware for Timeout {
    fn name(&self) -> &'static str {
        "timeout"
    }

    fn configure(&self, limits: &mut RouteLimits) {
        limits.time = self.0.into();
    }
}

/// How many bytes a request's body may have that is collected for the routes behind it; else 413. Of
/// several, the innermost counts ([`RouteLimits::body_bytes`]): one route may take more than the rest.
///
/// ```
/// use corelane_http::middleware::BodyLimit;
/// use corelane_http::web::{Request, Routes};
///
/// let app = Routes::new()
///     .post("/avatar", |request: &Request<'_>| format!("{} bytes\n", request.body().len()))
///     .with_last(BodyLimit::new(8 << 20))
///     .with(BodyLimit::new(64 << 10))
///     .build()?;
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(u64);

impl BodyLimit {
    /// So many bytes.
    pub fn new(bytes: u64) -> BodyLimit {
        BodyLimit(bytes)
    }
}

impl Middleware for BodyLimit {
    fn name(&self) -> &'static str {
        "body-limit"
    }

    fn configure(&self, limits: &mut RouteLimits) {
        limits.body_bytes = self.0;
    }
}
