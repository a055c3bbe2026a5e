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
    /// Bytes per second at which a body must arrive; 0 for no such rule. Default 240.
    ///
    /// Kept as time: a body begins with `body_grace`, each byte earns `1 / body_rate` seconds, of
    /// which `body_credit` can be saved, and when all is spent the answer is 408. So a body may pause
    /// after it was fast, and over any span of time it brings `body_rate` times what the span exceeds
    /// `body_credit` by. Time in which the connection is not read, because answers wait to be taken,
    /// does not count.
    pub body_rate: u64,
    /// How long a body may take to reach its rate. Default 5 s.
    pub body_grace: Nanos,
    /// How long a body may pause after it was fast; at least `body_grace`. Default 30 s.
    pub body_credit: Nanos,
    /// How long a connection may be open without a request. Default 60 s.
    pub idle_time: Nanos,
    /// Requests after which a connection closes. Default: any number.
    pub requests_max: Option<u32>,
    /// Age at which a connection closes, once no request is under way. Default: any age.
    pub age_max: Option<Nanos>,
    /// Requests of one connection answered in one turn, before others have theirs. Default 128.
    pub turn_requests: u32,
    /// Requests of one connection whose answers may be outstanding; further ones are not read until
    /// some are answered. At least 1. Default 16.
    pub outstanding: u32,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            limits: Limits::DEFAULT,
            head_time: Nanos::from_secs(10),
            body_rate: 240,
            body_grace: Nanos::from_secs(5),
            body_credit: Nanos::from_secs(30),
            idle_time: Nanos::from_secs(60),
            requests_max: None,
            age_max: None,
            turn_requests: 128,
            outstanding: 16,
        }
    }
}
