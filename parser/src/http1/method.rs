//! Request methods (RFC 9110 §9).

use std::fmt;

/// The longest method accepted, in bytes. The longest registered one, `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// A request method. Methods are case-sensitive: `get` is another method than `GET`.
///
/// ```
/// use corelane_parser::http1::Method;
///
/// assert_eq!(Method::from("GET"), Method::Get);
/// assert_eq!(Method::from("PURGE").as_str(), "PURGE");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'b> {
    /// RFC 9110 §9.3.1.
    Get,
    /// RFC 9110 §9.3.2: the answer has no body.
    Head,
    /// RFC 9110 §9.3.3.
    Post,
    /// RFC 9110 §9.3.4.
    Put,
    /// RFC 9110 §9.3.5.
    Delete,
    /// RFC 9110 §9.3.6: for proxies only.
    Connect,
    /// RFC 9110 §9.3.7.
    Options,
    /// RFC 9110 §9.3.8.
    Trace,
    /// RFC 5789.
    Patch,
    /// Any other token.
    Other(&'b str),
}

impl<'b> Method<'b> {
    /// The method as it stands on the wire.
    pub const fn as_str(self) -> &'b str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => name,
        }
    }
}

impl<'b> From<&'b str> for Method<'b> {
    #[inline]
    fn from(name: &'b str) -> Self {
        match name {
            "GET" => Method::Get,
            _ => Method::from_rest(name),
        }
    }
}

impl<'b> Method<'b> {
    /// Any method but GET.
    #[inline(never)]
    fn from_rest(name: &'b str) -> Self {
        match name.as_bytes() {
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other(name),
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for name in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "get"]
        {
            assert_eq!(Method::from(name).as_str(), name);
        }
        assert_eq!(Method::from("get"), Method::Other("get"));
    }
}
