//! One connection: what it has sent, what it waits for.

use std::collections::VecDeque;

use crate::ledger::Sent;
use crate::response::Reader;

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    pub(crate) reader: Reader,
    /// What was sent on it and not answered, oldest first.
    pub(crate) sent: VecDeque<Sent>,
    /// When it was dialled; once it is closing, since when.
    pub(crate) since: u64,
    /// Bytes received on it that are in the books.
    pub(crate) received: u64,
    /// It is listed among those that can take a request.
    pub(crate) free: bool,
    /// A request said that it is the last one.
    pub(crate) last: bool,
    pub(crate) failed: bool,
    /// It has had its response and is kept.
    pub(crate) held: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The handshake has not ended.
    Dialling,
    /// Requests may be sent.
    Open,
    /// The last response has come: the server closes next.
    Closing,
}

impl Conn {
    /// One that is dialled now.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            phase: Phase::Dialling,
            reader: Reader::default(),
            sent: VecDeque::new(),
            since: now,
            received: 0,
            free: false,
            last: false,
            failed: false,
            held: false,
        }
    }
}
