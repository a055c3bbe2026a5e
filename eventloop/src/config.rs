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
    /// Connections this lane holds at most, in bounds of memory: further ones are refused, but for
    /// those that move here from another lane.
    /// Default 1,048,576; admission policies usually stop earlier.
    pub connections: usize,
    /// Pending output above which a connection is no longer read or stepped with input, in bytes.
    /// Default 16 KiB.
    pub high: u64,
    /// Pending output at which it is again. Default 4 KiB.
    pub low: u64,
    /// Input that a protocol may leave unconsumed, in bytes; more closes the connection.
    /// At least `page`. Default 32 KiB.
    pub input: usize,
    /// Size of the page that all connections of the lane are read into, in bytes. Default 32 KiB.
    pub page: usize,
    /// Bytes one connection may receive, and may send, in one turn before the others have theirs. Of
    /// a file, which the kernel sends without a copy, it may send four times as much, and to its end
    /// what would be no more than 16 KiB. Default 256 KiB.
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
    /// Bytes per second that a peer must take while output waits for it, or the connection is closed
    /// with [`Closed::SlowReader`](crate::Closed::SlowReader). 0 is no rule: whoever reads nothing
    /// then keeps its connection and what waits for it. Default 240.
    ///
    /// Output waits while the kernel takes no more of it; behind a shut gate it does not. A byte is
    /// taken when the peer has acknowledged it (elsewhere than on Linux: when the kernel has taken
    /// it). In any span `t` of waiting at least `read_rate × (t − read_credit)` bytes are taken.
    pub read_rate: u64,
    /// How long a peer may take nothing when output begins to wait. Default 5 s. Where its progress is
    /// seen only in large steps (Unix sockets, other systems than Linux), `read_credit` instead.
    pub read_grace: Nanos,
    /// The time that a peer that takes more than the rate saves up at most, to take less later. At
    /// least `read_grace`. Default 30 s.
    pub read_credit: Nanos,
    /// How long the output of a finished connection may stand behind one shut gate, at least; at most
    /// twice as long. Default 30 s.
    pub gate_time: Nanos,
    /// How long input is discarded after [`Flow::Linger`](crate::Flow::Linger). Default 2 s.
    pub linger_time: Nanos,
    /// How many bytes of input are discarded then. Default 16 MiB: a client that sends a large body all
    /// the same should read why not, and the time bounds it anyway.
    pub linger_bytes: u32,
    /// Where [`Io::random`](crate::Io::random) starts. Give it entropy where jitter should differ
    /// between processes. Default 0.
    pub seed: u64,
}

impl Default for LaneConfig {
    fn default() -> LaneConfig {
        LaneConfig {
            connections: 1 << 20,
            high: 16 * 1024,
            low: 4 * 1024,
            input: 32 * 1024,
            page: 32 * 1024,
            turn_bytes: 256 * 1024,
            turn_accepts: 64,
            turn_mail: 256,
            turn_timers: 1024,
            connects: 1024,
            connect_time: Nanos::from_secs(10),
            read_rate: 240,
            read_grace: Nanos::from_secs(5),
            read_credit: Nanos::from_secs(30),
            gate_time: Nanos::from_secs(30),
            linger_time: Nanos::from_secs(2),
            linger_bytes: 16 * 1024 * 1024,
            seed: 0,
        }
    }
}

impl LaneConfig {
    /// The most time that a peer can have saved up.
    pub(crate) fn credit(&self) -> Nanos {
        self.read_credit.max(self.read_grace)
    }
}
