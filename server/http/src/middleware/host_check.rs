//! Which names a server answers to.

use super::error::MiddlewareError;
use crate::web::{Before, Middleware, Request, Response};

const NAME: &str = "host-check";

/// Answers 421 (RFC 9110 §15.5.20) to requests for hosts that are not named here, whatever their
/// port. It keeps other people's names, and pages that have their own name point here (DNS rebinding),
/// away from what a server does for its own.
///
/// `*.example.org` stands for every name beneath `example.org`, and not for that itself.
///
/// ```
/// use corelane_http::middleware::HostCheck;
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::{Request, Routes};
///
/// let check = HostCheck::new(["localhost", "[::1]", "*.example.org"])?;
/// let app = Routes::new().get("/", |_: &Request<'_>| "hello\n").with(check).build()?;
/// let mut server = TestServer::new(app);
/// for (host, status) in [("LOCALHOST:80", 200), ("a.example.org", 200), ("example.org", 421)] {
///     assert_eq!(server.send(TestRequest::get("/").header("Host", host)).status(), status);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HostCheck {
    /// In small letters.
    exact: Vec<String>,
    /// What names end in: `.example.org`.
    suffixes: Vec<String>,
}

impl HostCheck {
    /// These hosts, without port.
    ///
    /// # Errors
    /// If one is not a host.
    pub fn new<S: AsRef<str>>(
        hosts: impl IntoIterator<Item = S>,
    ) -> Result<HostCheck, MiddlewareError> {
        let mut check = HostCheck { exact: Vec::new(), suffixes: Vec::new() };
        for host in hosts {
            let host = host.as_ref().to_ascii_lowercase();
            let name = host.strip_prefix("*.").unwrap_or(&host);
            let valid = corelane_parser::http1::host::is_authority(name.as_bytes());
            if !valid || name.contains('*') || without_port(name) != name {
                let reason = format!("`{host}` is no host: a name or address without port");
                return Err(MiddlewareError::new(NAME, reason));
            }
            match host.strip_prefix('*') {
                Some(suffix) => check.suffixes.push(suffix.to_owned()),
                None => check.exact.push(host),
            }
        }
        Ok(check)
    }

    fn accepts(&self, authority: &str) -> bool {
        let host = without_port(authority);
        let host = host.strip_suffix('.').unwrap_or(host);
        let ends_in = |suffix: &String| {
            let rest = host.len().checked_sub(suffix.len()).filter(|rest| *rest > 0);
            let end = rest.and_then(|rest| host.get(rest..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        };
        self.exact.iter().any(|name| name.eq_ignore_ascii_case(host))
            || self.suffixes.iter().any(ends_in)
    }
}

impl Middleware for HostCheck {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before(&self, request: &Request<'_>) -> Before {
        match request.authority() {
            Some(authority) if self.accepts(authority) => Before::Next,
            _ => Before::Answer(Response::problem(421, "this server does not answer to that host")),
        }
    }
}

/// A valid authority without its port.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let check = HostCheck::new(["A.example", "*.b.example", "[::1]", "192.0.2.1"]).unwrap();
        for good in [
            "a.example",
            "A.EXAMPLE:8080",
            "a.example.",
            "a.example.:80",
            "x.b.example",
            "X.Y.B.Example:1",
            "[::1]",
            "[::1]:80",
            "192.0.2.1:",
        ] {
            assert!(check.accepts(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "b.example",
            ".b.example",
            "xb.example",
            "x.a.example",
            "a.example.evil",
            "[::2]",
            "::1",
            "192.0.2.10",
            "ä.b.exampl",
        ] {
            assert!(!check.accepts(bad), "{bad}");
        }
        for bad in ["", "a.example:80", "*", "a.*.example", "http://a", "[::1]:8", "a b"] {
            assert!(HostCheck::new([bad]).is_err(), "{bad}");
        }
    }
}
