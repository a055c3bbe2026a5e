//! A name for every request.

use corelane_eventloop::Nanos;

use super::trace_parent::TraceParent;
use crate::web::{Before, Middleware, Request, Response};

const FIELD: &str = "X-Request-Id";

/// Gives every request an id, for handlers and logs ([`Request::id`]), and puts it on the response as
/// `X-Request-Id`.
///
/// Ids are UUIDs of version 7 (RFC 9562 §5.7): they sort by time. Their other bits come from the
/// lane's random numbers, so they are unlikely to meet, and no secret: whoever has seen some may guess
/// others. An id that the request brings along is taken over only if it is
/// [trusted](RequestId::trust_if) and has 1 to 64 letters, digits and `-_.:+/=@`.
///
/// A valid `traceparent` is put on the request as [`TraceParent`].
///
/// ```
/// use corelane_http::middleware::RequestId;
/// use corelane_http::web::testing::TestServer;
/// use corelane_http::web::{Request, Routes};
///
/// let show = |request: &Request<'_>| request.id().map(|id| id.to_string());
/// let ids = RequestId::new().trust_if(|request| request.peer_ip().is_some_and(|ip| ip.is_loopback()));
/// let mut server = TestServer::new(Routes::new().get("/", show).with(ids).build()?);
/// let response = server.get("/");
/// assert_eq!(response.field("X-Request-Id"), Some(response.text()));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
pub struct RequestId {
    trusts: Option<Box<Trusts>>,
}

type Trusts = dyn Fn(&Request<'_>) -> bool;

/// The id of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// INVARIANT: the first `len` of them are ASCII.
    bytes: [u8; Id::MOST],
    len: u8,
}

/// The two hexadecimal digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

impl RequestId {
    /// Every request gets an id of ours.
    pub fn new() -> RequestId {
        RequestId { trusts: None }
    }

    /// Takes over the ids of these requests: those that come from a proxy of yours.
    pub fn trust_if(mut self, trusts: impl Fn(&Request<'_>) -> bool + 'static) -> RequestId {
        self.trusts = Some(Box::new(trusts));
        self
    }
}

impl Default for RequestId {
    fn default() -> RequestId {
        RequestId::new()
    }
}

impl Middleware for RequestId {
    fn name(&self) -> &'static str {
        "request-id"
    }

    fn before(&self, request: &Request<'_>) -> Before {
        let trusted = self.trusts.as_ref().is_some_and(|trusts| trusts(request));
        let brought = trusted.then(|| request.header(FIELD).and_then(Id::parse)).flatten();
        let drawn = || Id::uuid(request.wall(), request.random());
        request.extensions().set_id(|| brought.unwrap_or_else(drawn));
        if let Some(parent) = request.header("traceparent").and_then(TraceParent::parse) {
            request.insert(parent);
        }
        Before::Next
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        if let Some(id) = request.id() {
            response.set(FIELD, id.as_bytes());
        }
    }
}

impl Id {
    /// The longest id, in bytes.
    pub const MOST: usize = 64;

    /// The id, if it is one.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Takes 1 to 64 bytes that can stand in a log and a URL without harm.
    pub fn parse(value: &[u8]) -> Option<Id> {
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        if value.is_empty() || !value.iter().all(good) {
            return None;
        }
        let mut bytes = [0; Id::MOST];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Id { bytes, len: value.len() as u8 })
    }

    /// A UUID of version 7: milliseconds since the epoch, 12 bits of what is below them (RFC 9562
    /// §6.2, method 3), and 62 random bits.
    fn uuid(wall: Nanos, random: u64) -> Id {
        let millis = u128::from(wall.as_millis() & 0xffff_ffff_ffff);
        let fraction = u128::from((wall.0 % 1_000_000) * 4096 / 1_000_000);
        let value = millis << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | u128::from(random >> 2);
        let mut digits = [0; 32];
        let (pairs, _) = digits.as_chunks_mut();
        for (pair, byte) in pairs.iter_mut().zip(value.to_be_bytes()) {
            *pair = PAIRS[usize::from(byte)];
        }
        let mut bytes = [0; Id::MOST];
        bytes[..36].fill(b'-');
        for (before, group) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
            bytes[group.start + before..group.end + before].copy_from_slice(&digits[group]);
        }
        Id { bytes, len: 36 }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_7() {
        // The time of RFC 9562's example in appendix A.6, 2022-02-22T19:22:22Z.
        let wall = Nanos::from_millis(0x017f_22e2_79b0);
        let id = Id::uuid(wall, u64::MAX);
        assert_eq!(id.as_str(), "017f22e2-79b0-7000-bfff-ffffffffffff");
        let later = Id::uuid(wall + Nanos::from_micros(500), 0);
        assert_eq!(later.as_str(), "017f22e2-79b0-7800-8000-000000000000");
        assert_eq!(Id::parse(later.as_str().as_bytes()), Some(later));
    }

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["a", "A-b_c.d:e+f/g=@9", &"x".repeat(64)] {
            assert_eq!(Id::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\"", "a,b", "ä", "a\0", "${x}", "<b>", &"x".repeat(65)] {
            assert_eq!(Id::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
