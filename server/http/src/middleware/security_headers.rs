//! Response fields that tell browsers to be careful.

use std::time::Duration;

use corelane_parser::http1::FieldBlock;

use super::error::MiddlewareError;
use crate::web::{Middleware, Request, Response};

const NAME: &str = "security-headers";

/// What browsers are told unless it is changed.
const DEFAULTS: [(&str, &str); 3] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
];

/// Adds fields that make browsers careful to every response that does not have them yet: what a
/// handler has set stands.
///
/// | field | default | why |
/// |---|---|---|
/// | X-Content-Type-Options (Fetch standard) | `nosniff` | a script or style sheet must be labelled as one |
/// | X-Frame-Options (RFC 7034) | `SAMEORIGIN` | other sites may not frame the page; `frame-ancestors` of a Content-Security-Policy overrules it |
/// | Referrer-Policy | `strict-origin-when-cross-origin` | other sites learn the origin, never the path |
/// | Content-Security-Policy | none | it depends on the page |
/// | Permissions-Policy | none | it depends on the page |
/// | Strict-Transport-Security (RFC 6797) | none | it binds browsers to https for its whole age |
///
/// ```
/// use std::time::Duration;
/// use corelane_http::middleware::SecurityHeaders;
/// use corelane_http::web::{Request, Routes};
///
/// let headers = SecurityHeaders::new()
///     .set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")?
///     .remove("X-Frame-Options")
///     .hsts(Duration::from_secs(365 * 86_400));
/// let app = Routes::new().get("/", |_: &Request<'_>| "hello\n").with(headers).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders(FieldBlock);

impl SecurityHeaders {
    /// The defaults.
    pub fn new() -> SecurityHeaders {
        let mut headers = SecurityHeaders::none();
        for (name, value) in DEFAULTS {
            headers.put(name, value);
        }
        headers
    }

    /// No fields at all: add what is wanted.
    pub fn none() -> SecurityHeaders {
        SecurityHeaders(FieldBlock::new())
    }

    /// Sets a field, in the place of the default.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn set(mut self, name: &str, value: &str) -> Result<SecurityHeaders, MiddlewareError> {
        self.0
            .set(name, value.as_bytes())
            .map_err(|flaw| MiddlewareError::new(NAME, format!("{name}: {flaw}")))?;
        Ok(self)
    }

    /// Leaves a field out.
    pub fn remove(mut self, name: &str) -> SecurityHeaders {
        self.0.remove(name);
        self
    }

    /// Strict-Transport-Security: for so long browsers that have seen it use nothing but https for
    /// this host. Only for sites that are reached by https, through a proxy that has the certificate:
    /// it must not be sent over plain HTTP (RFC 6797 §7.2), and cannot be taken back soon.
    pub fn hsts(mut self, max_age: Duration) -> SecurityHeaders {
        self.put("Strict-Transport-Security", &format!("max-age={}", max_age.as_secs()));
        self
    }

    /// As [`hsts`](SecurityHeaders::hsts), for all hosts beneath this one, too (RFC 6797 §6.1.2).
    pub fn hsts_with_subdomains(mut self, max_age: Duration) -> SecurityHeaders {
        let value = format!("max-age={}; includeSubDomains", max_age.as_secs());
        self.put("Strict-Transport-Security", &value);
        self
    }

    /// Sets a field of ours, which is well-formed.
    fn put(&mut self, name: &str, value: &str) {
        let put = self.0.set(name, value.as_bytes());
        debug_assert!(put.is_ok(), "{name}");
    }
}

impl Default for SecurityHeaders {
    fn default() -> SecurityHeaders {
        SecurityHeaders::new()
    }
}

impl Middleware for SecurityHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self, _request: &Request<'_>, response: &mut Response) {
        response.fields_mut().append_missing(&self.0);
    }
}
