//! What a peer may send, and how long it may take.

use corelane_eventloop::Nanos;
use corelane_parser::http1::Limits;

/// Limits of the HTTP protocol. The defaults are meant for servers on the open network.
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::HttpConfig;
/// let config = HttpConfig { idle_time: Nanos::from_secs(5), ..HttpConfig::default() };
/// assert_eq!(config.head_time, Nanos::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Sizes and counts.
    pub limits: Limits,
    /// How long a whole head may take from its first byte. Default 10 s.
    pub head_time: Nanos,
    /// How long a whole body may take from the end of its head. Default 60 s.
    pub body_time: Nanos,
    /// How long a connection may be open without a request. Default 60 s.
    pub idle_time: Nanos,
    /// Bytes per second that a client must take off the answers waiting for it, over `idle_time`.
    /// What the kernel has buffered counts as taken. Default 240.
    pub read_rate: u64,
    /// Requests of one connection answered in one turn, before others have theirs. Default 128.
    pub turn_requests: u32,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            limits: Limits::DEFAULT,
            head_time: Nanos::from_secs(10),
            body_time: Nanos::from_secs(60),
            idle_time: Nanos::from_secs(60),
            read_rate: 240,
            turn_requests: 128,
        }
    }
}
