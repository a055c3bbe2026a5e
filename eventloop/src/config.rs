//! The limits of a lane. Every queue, buffer, count and wait has one.

use crate::time::Nanos;

/// The limits of a lane. [`LaneConfig::default`] is meant for servers on the open network.
///
/// ```
/// use corelane_eventloop::LaneConfig;
/// let config = LaneConfig { connections: 1_000, ..LaneConfig::default() };
/// assert!(config.high > config.low);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Connections this lane holds at most, in bounds of memory: further ones are refused.
    /// Default 1,048,576; admission policies usually stop earlier.
    pub connections: usize,
    /// Pending output above which a connection is no longer read or stepped with input, in bytes.
    /// Default 64 KiB.
    pub high: u64,
    /// Pending output at which it is again. Default 16 KiB.
    pub low: u64,
    /// Input that a protocol may leave unconsumed, in bytes; more closes the connection.
    /// At least `page`. Default 64 KiB.
    pub input: usize,
    /// Size of the page that all connections of the lane are read into, in bytes. Default 32 KiB.
    pub page: usize,
    /// Bytes one connection may receive, and may send, in one turn before the others have theirs.
    /// Default 256 KiB.
    pub turn_bytes: usize,
    /// Connections taken from one listener in one turn. Default 64.
    pub turn_accepts: usize,
    /// Pieces of mail taken from one sender in one turn. Default 256.
    pub turn_mail: usize,
    /// Deadlines fired in one turn. Default 1,024.
    pub turn_timers: usize,
    /// Outbound connections being started at one time. Default 1,024.
    pub connects: usize,
    /// How long an outbound connection may take to establish. Default 10 s.
    pub connect_time: Nanos,
    /// A finished connection whose output still waits must let `flush_bytes` leave within each span
    /// of this length, or it is closed. Default 30 s.
    pub flush_time: Nanos,
    /// See `flush_time`; what is left may be less. Default 7,200: 240 bytes per second.
    pub flush_bytes: u64,
    /// How long input is discarded after [`Flow::Linger`](crate::Flow::Linger). Default 2 s.
    pub linger_time: Nanos,
    /// How many bytes of input are discarded then. Default 256 KiB.
    pub linger_bytes: u32,
    /// Where [`Io::random`](crate::Io::random) starts. Give it entropy where jitter should differ
    /// between processes. Default 0.
    pub seed: u64,
}

impl Default for LaneConfig {
    fn default() -> LaneConfig {
        LaneConfig {
            connections: 1 << 20,
            high: 64 * 1024,
            low: 16 * 1024,
            input: 64 * 1024,
            page: 32 * 1024,
            turn_bytes: 256 * 1024,
            turn_accepts: 64,
            turn_mail: 256,
            turn_timers: 1024,
            connects: 1024,
            connect_time: Nanos::from_secs(10),
            flush_time: Nanos::from_secs(30),
            flush_bytes: 7_200,
            linger_time: Nanos::from_secs(2),
            linger_bytes: 256 * 1024,
            seed: 0,
        }
    }
}
