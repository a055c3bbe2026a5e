//! What a lane has done, as plain numbers that its owner publishes.

use crate::protocol::Closed;

/// Plain counters of one lane. Only the lane writes them; its owner reads them between turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Turns of the loop.
    pub turns: u64,
    /// Nanoseconds that turns took, from the end of the poll to the end of the turn; to the end of the
    /// flush if no connection was drained, closed or moved after it, and none put further output.
    pub busy: u64,
    /// Readiness events that named a live connection or listener.
    pub events: u64,
    /// Readiness events for connections that were gone.
    pub stale_events: u64,
    /// Connections accepted and admitted.
    pub accepted: u64,
    /// Connections closed right after accept by admission.
    pub refused: u64,
    /// Connections closed right after accept because the protocol or the lane's own limit refused.
    pub declined: u64,
    /// Of these, those that the lane's own limit refused.
    pub full: u64,
    /// Failed calls of accept, other than "nothing there".
    pub accept_errors: u64,
    /// Outbound connections established.
    pub connected: u64,
    /// Closed connections by reason, indexed by [`Closed::index`].
    pub closed: [u64; Closed::NAMES.len()],
    /// Connections that came from another lane.
    pub moved_in: u64,
    /// Connections that went to another lane.
    pub moved_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the kernel.
    pub bytes_out: u64,
    /// Receive calls, successful or not.
    pub receives: u64,
    /// Send calls (sends, gathered sends, file sends), successful or not.
    pub sends: u64,
    /// Deadlines that fired.
    pub timers: u64,
    /// Mail delivered to connections or to the lane.
    pub mail_in: u64,
    /// Mail handed to a queue.
    pub mail_out: u64,
    /// Mail refused because the queue was full.
    pub mail_refused: u64,
    /// Mail whose connection was gone.
    pub mail_stale: u64,
    /// Mail sent after connections that have moved to another lane.
    pub mail_forwarded: u64,
    /// Mail for connections that have moved, dropped because their lane took none for a second.
    pub mail_dropped: u64,
    /// Wakes sent to other lanes.
    pub wakes: u64,
    /// Times a connection was put off to the next turn.
    pub yields: u64,
    /// Times output passed its high watermark.
    pub watermarks: u64,
    /// Connections shed because memory was short.
    pub shed: u64,
    /// Panics caught around a protocol's step.
    pub panics: u64,
}

impl LaneStats {
    /// Connections closed, for whatever reason.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }
}
