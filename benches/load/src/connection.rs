//! One connection: what it has sent, what it waits for.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::response::Reader;

/// An open connection, or one on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) reader: Reader,
    pub(crate) phase: Phase,
    /// When each unanswered request was sent, oldest first.
    pub(crate) sent: VecDeque<u64>,
    /// Bytes of the newest requests that the socket has not taken yet.
    unsent: usize,
    /// When it was dialled; later, when its phase changed.
    pub(crate) since: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The handshake has not ended.
    Connecting,
    /// Requests may be sent.
    Open,
    /// The last response has come: the server closes next.
    Closing,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, phase: Phase, now: u64) -> Self {
        Self {
            socket,
            reader: Reader::default(),
            phase,
            sent: VecDeque::new(),
            unsent: 0,
            since: now,
        }
    }

    /// Notes that the next `count` requests leave at `now`; [`flush`](Self::flush) sends them.
    pub(crate) fn issue(&mut self, count: usize, request_length: usize, now: u64) {
        self.sent.extend(std::iter::repeat_n(now, count));
        self.unsent += count * request_length;
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Sends what is unsent: the last bytes of `batch`, which is the request as often as the
    /// pipeline is deep. What the socket does not take now waits for it to become writable.
    pub(crate) fn flush(&mut self, batch: &[u8]) -> Result<(), Errno> {
        while self.unsent > 0 {
            match send(&self.socket, &batch[batch.len() - self.unsent..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.unsent -= sent,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Since when it waits for the server; `None` when it does not.
    pub(crate) fn waits_since(&self) -> Option<u64> {
        match self.phase {
            Phase::Connecting | Phase::Closing => Some(self.since),
            Phase::Open => self.sent.front().copied(),
        }
    }
}
