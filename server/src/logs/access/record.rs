//! What is known of one request once it has been answered.

use std::net::SocketAddr;

use corelane_eventloop::{ConnId, ListenerId, Nanos};

/// One answered request, as the access log is told of it. It borrows everything; what is not known is
/// `None`, or empty, and comes out as `-`.
///
/// ```
/// use corelane::logs::AccessRecord;
/// let record = AccessRecord {
///     method: b"GET",
///     target: b"/search?q=1",
///     status: 200,
///     ..AccessRecord::default()
/// };
/// assert_eq!(record.path(), b"/search");
/// assert_eq!(record.query(), Some(&b"q=1"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessRecord<'a> {
    /// When it was answered, in Unix time.
    pub time: Nanos,
    /// Who asked; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The method.
    pub method: &'a [u8],
    /// The request target, as it was sent.
    pub target: &'a [u8],
    /// The version, such as `HTTP/1.1`.
    pub version: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub body_bytes: u64,
    /// From the first byte of the request to the answer.
    pub duration: Nanos,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Host`.
    pub host: Option<&'a [u8]>,
    /// The id of the request.
    pub request_id: Option<&'a [u8]>,
    /// The name of the route that answered.
    pub route: Option<&'a str>,
    /// Who the peer has proved to be.
    pub user: Option<&'a [u8]>,
    /// The connection, as the program's log names it.
    pub connection: Option<ConnId>,
    /// The number of the listener.
    pub listener: ListenerId,
    /// The port that was connected to; `None` on a Unix socket.
    pub server_port: Option<u16>,
    /// Why the connection ended with this answer, if it did.
    pub close_reason: Option<&'a str>,
}

impl<'a> AccessRecord<'a> {
    /// The target up to its first `?`.
    pub fn path(&self) -> &'a [u8] {
        let end = self.target.iter().position(|&byte| byte == b'?');
        &self.target[..end.unwrap_or(self.target.len())]
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&'a [u8]> {
        let mark = self.target.iter().position(|&byte| byte == b'?');
        mark.map(|at| &self.target[at + 1..])
    }
}
