//! One connection to the server under test, driven by a poll with a deadline for every wait.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answer::{self, Answer, Front};

/// The most that is kept of what a server sends; more than any check needs.
const INBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Received and not yet read as an answer.
    inbox: Vec<u8>,
    end: Option<End>,
    /// A write failed: the other side is gone, though what it said before can still be read.
    broken: bool,
    wait: Duration,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nothing came for as long as we wait.
    Quiet,
    /// The connection is over.
    Ended(End),
    /// What came is no response.
    Garbled,
}

/// What became of bytes to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All were taken.
    All,
    /// The server takes no more, for as long as we wait.
    Stalled,
    /// The connection is over.
    Over,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Closed => "closed",
            End::Reset => "reset",
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Quiet => f.write_str("open"),
            Lack::Ended(end) => end.fmt(f),
            Lack::Garbled => f.write_str("no valid response"),
        }
    }
}

impl Wire {
    /// Takes over a connected stream. `wait` bounds every single wait.
    pub(crate) fn new(stream: TcpStream, wait: Duration) -> std::io::Result<Wire> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Wire { stream, inbox: Vec::new(), end: None, broken: false, wait })
    }

    /// Sends, and receives meanwhile what would otherwise keep the server from reading.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Sent {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            if self.end.is_some() || self.broken {
                return Sent::Over;
            }
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let deadline = Instant::now() + self.wait;
                    let Some(ready) = self.ready(PollFlags::IN | PollFlags::OUT, deadline) else {
                        return Sent::Stalled;
                    };
                    if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                        self.receive();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
        Sent::All
    }

    /// Says that we send no more.
    pub(crate) fn finish(&mut self) {
        // Fails only if the connection is over, which the next read tells.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer, interim ones included.
    pub(crate) fn answer(&mut self, head_only: bool) -> Result<Answer, Lack> {
        let deadline = Instant::now() + self.wait;
        loop {
            if let Some(end) = self.end
                && self.inbox.is_empty()
            {
                return Err(Lack::Ended(end));
            }
            match answer::read(&self.inbox, head_only, self.end.is_some()) {
                Front::Whole(answer, used) => {
                    self.inbox.drain(..used);
                    return Ok(answer);
                }
                Front::Garbled => return Err(Lack::Garbled),
                Front::Partial if self.inbox.len() > INBOX_BYTES_MAX => return Err(Lack::Garbled),
                Front::Partial => {}
            }
            if !self.receive_until(deadline) {
                return Err(Lack::Quiet);
            }
        }
    }

    /// The next answer that is not interim.
    pub(crate) fn last_answer(&mut self, head_only: bool) -> Result<Answer, Lack> {
        loop {
            match self.answer(head_only) {
                Ok(answer) if answer.is_interim() => {}
                other => return other,
            }
        }
    }

    /// The status of the next final answer whose head is here already, without waiting for more.
    pub(crate) fn first_status(&mut self) -> Option<u16> {
        self.receive_until(Instant::now());
        match answer::read(&self.inbox, true, false) {
            Front::Whole(answer, used) if answer.is_interim() => {
                self.inbox.drain(..used);
                None
            }
            Front::Whole(answer, _) => Some(answer.status),
            Front::Partial | Front::Garbled => None,
        }
    }

    /// Reads on without looking until the connection ends, or nothing comes for as long as we wait.
    pub(crate) fn rest(&mut self) -> Lack {
        let mut received = 0;
        while self.end.is_none() && received < INBOX_BYTES_MAX {
            if !self.receive_until(Instant::now() + self.wait) {
                return Lack::Quiet;
            }
            received += self.inbox.len();
            self.inbox.clear();
        }
        self.end.map_or(Lack::Quiet, Lack::Ended)
    }

    /// Receives once; false if nothing came in time.
    fn receive_until(&mut self, deadline: Instant) -> bool {
        if self.end.is_some() {
            return true;
        }
        let ready = self.ready(PollFlags::IN, deadline).is_some();
        if ready {
            self.receive();
        }
        ready
    }

    fn receive(&mut self) {
        let mut page = [0; 16 * 1024];
        match self.stream.read(&mut page) {
            Ok(0) => self.end = Some(if self.broken { End::Reset } else { End::Closed }),
            Ok(n) => self.inbox.extend_from_slice(&page[..n]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.end = Some(End::Reset),
        }
    }

    fn ready(&self, flags: PollFlags, deadline: Instant) -> Option<PollFlags> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(&self.stream, flags)];
        // A signal is as good as nothing: whoever waits looks again.
        let count = poll(&mut polled, Timespec::try_from(left).ok().as_ref()).unwrap_or(0);
        (count > 0).then(|| polled[0].revents())
    }
}
