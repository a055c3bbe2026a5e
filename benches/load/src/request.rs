//! The bytes of one request.

use crate::error::Error;

/// One request, rendered once and sent again and again.
///
/// # Examples
/// ```
/// use corelane_load::Request;
///
/// let request = Request::new("POST", "/echo", "example.com", &[("X-Id", "7")], b"hello")?;
/// assert!(request.bytes().starts_with(b"POST /echo HTTP/1.1\r\nHost: example.com\r\nX-Id: 7\r\n"));
/// assert!(request.bytes().ends_with(b"Content-Length: 5\r\n\r\nhello"));
/// # Ok::<(), corelane_load::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    bytes: Vec<u8>,
    head_only: bool,
    closes: bool,
}

impl Request {
    /// Renders a request. `Content-Length` is added when there is a body.
    ///
    /// # Errors
    /// [`Error::Request`] when a part contains a byte that would end it early (a line break, or a
    /// space in the method or path), or is empty where it may not be.
    pub fn new(
        method: &str,
        path: &str,
        host: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Self, Error> {
        check("method", method, |byte| byte.is_ascii_graphic())?;
        check("path", path, |byte| byte.is_ascii_graphic())?;
        check("host", host, |byte| byte.is_ascii_graphic())?;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        let mut closes = false;
        for (name, value) in fields {
            check("field name", name, |byte| byte.is_ascii_graphic() && byte != b':')?;
            if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(refused("field value", value));
            }
            closes |= name.eq_ignore_ascii_case("connection")
                && value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Ok(Self { bytes, head_only: method == "HEAD", closes })
    }

    /// The request as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the method is `HEAD`, whose responses have no body whatever their fields say.
    #[must_use]
    pub fn head_only(&self) -> bool {
        self.head_only
    }

    /// Whether the request says `Connection: close`, so that each needs a connection of its own.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closes
    }
}

fn check(part: &'static str, value: &str, allowed: impl Fn(u8) -> bool) -> Result<(), Error> {
    if value.is_empty() || !value.bytes().all(allowed) {
        return Err(refused(part, value));
    }
    Ok(())
}

fn refused(part: &'static str, value: &str) -> Error {
    Error::Request { part, value: value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_body_has_no_length() {
        let request = Request::new("GET", "/", "a", &[], b"").unwrap();
        assert_eq!(request.bytes(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!request.head_only() && !request.closes());
    }

    #[test]
    fn connection_close_is_noticed_among_other_tokens() {
        let fields = [("connection", "TE, Close")];
        assert!(Request::new("GET", "/", "a", &fields, b"").unwrap().closes());
        let fields = [("connection", "keep-alive")];
        assert!(!Request::new("GET", "/", "a", &fields, b"").unwrap().closes());
    }

    #[test]
    fn parts_that_break_the_framing_are_refused() {
        assert!(Request::new("GET /", "/", "a", &[], b"").is_err());
        assert!(Request::new("GET", "/ x", "a", &[], b"").is_err());
        assert!(Request::new("GET", "/", "a\r\n", &[], b"").is_err());
        assert!(Request::new("GET", "/", "a", &[("b:", "c")], b"").is_err());
        assert!(Request::new("GET", "/", "a", &[("b", "c\r\nd: e")], b"").is_err());
        assert!(Request::new("", "/", "a", &[], b"").is_err());
    }
}
