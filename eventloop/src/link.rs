//! One connection as the lane keeps it.

use corelane_mempool::Buf;

use crate::id::{Origin, Peer};
use crate::out::OutQueue;
use crate::protocol::Closed;
use crate::time::Nanos;

/// Where a connection is in its life. Transitions only go down the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// An outbound connection that is not established yet: no events.
    Connecting,
    /// Stepped with events.
    Open,
    /// The protocol is done; output is flushed, then the connection closes.
    Finishing,
    /// The protocol is done; output is flushed, then writing is shut down…
    Lingering,
    /// …and input is discarded, until its end or a bound.
    Discarding,
    /// To be removed at the end of the turn, for this reason.
    Closing(Closed),
}

/// What a protocol can see of its link, and the flags that steer it.
pub(crate) struct LinkState {
    pub(crate) peer: Peer,
    pub(crate) origin: Origin,
    pub(crate) received: u64,
    /// The end of the poll before the last receive.
    pub(crate) received_at: Nanos,
    pub(crate) phase: Phase,
    /// The protocol paused; cleared when a step returns `Read`.
    pub(crate) paused: bool,
    /// The protocol yielded; cleared when its next turn comes.
    pub(crate) yielded: bool,
    /// Pending output passed the high watermark; cleared at the low one.
    pub(crate) full: bool,
    /// Output waits because the kernel takes no more; cleared when it does again.
    pub(crate) stuck: bool,
    /// The tail holds input that should be stepped though nothing new came in.
    pub(crate) unread: bool,
    /// The peer has sent its last byte, and the protocol knows.
    pub(crate) eof: bool,
    /// Told to end because memory was short.
    pub(crate) shed: bool,
    /// Listed for flushing, for being visited next turn, as waiting at a gate, and among the peers
    /// that output waits for.
    pub(crate) dirty: bool,
    pub(crate) revisit: bool,
    pub(crate) gated: bool,
    pub(crate) judged: bool,
    /// The [epoch](crate::mail::Post::epoch) in which it sent mail last.
    pub(crate) mailed: u8,
    /// While output is flushed at the end: how much had left when its gate was last looked at, the
    /// lower half. While discarding: bytes discarded.
    pub(crate) tally: u32,
    /// The lane's count of connections when this one came, which wraps.
    pub(crate) born: u32,
}

impl LinkState {
    pub(crate) fn new(peer: Peer, origin: Origin, phase: Phase, born: u32) -> LinkState {
        LinkState {
            peer,
            origin,
            received: 0,
            received_at: Nanos::ZERO,
            phase,
            paused: false,
            yielded: false,
            full: false,
            stuck: false,
            unread: false,
            eof: false,
            shed: false,
            dirty: false,
            revisit: false,
            gated: false,
            judged: false,
            mailed: 0,
            tally: 0,
            born,
        }
    }
}

/// One connection: its protocol's state, its unconsumed input, its output.
pub(crate) struct Link<C> {
    /// `None` only between the making of the link and `open`, and when `open` refused.
    pub(crate) conn: Option<C>,
    /// Input received and not consumed. INVARIANT: never `Some` of an empty buffer.
    pub(crate) tail: Option<Buf>,
    pub(crate) out: OutQueue,
    pub(crate) state: LinkState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_little() {
        assert_eq!(size_of::<LinkState>(), 88);
    }
}
