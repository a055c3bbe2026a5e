//! Why middleware was not built.

/// Middleware was told something that it cannot do, or that would be unsafe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{middleware}: {reason}")]
pub struct MiddlewareError {
    /// Its [name](crate::web::Middleware::name).
    pub middleware: &'static str,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl MiddlewareError {
    pub(crate) fn new(middleware: &'static str, reason: impl Into<String>) -> MiddlewareError {
        MiddlewareError { middleware, reason: reason.into() }
    }
}
