//! One connection to the server under test, driven by a poll with a deadline for every wait.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

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
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::new(&self.stream, flags)];
            match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
                Err(Errno::INTR) => {}
                Ok(count) if count > 0 => return Some(polled[0].revents()),
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const WAIT: Duration = Duration::from_millis(100);

    /// A wire, and the stream at its other end.
    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Wire::new(stream, WAIT).unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn answers_come_one_by_one_and_then_the_end() {
        let (mut wire, mut other) = pair();
        assert_eq!(wire.answer(false), Err(Lack::Quiet));
        other
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\nHTTP/1.1 200")
            .unwrap();
        assert_eq!(wire.first_status(), None, "it is interim");
        assert_eq!(wire.first_status(), Some(204));
        assert_eq!(wire.last_answer(false).map(|answer| answer.status), Ok(204));
        assert_eq!(wire.answer(false), Err(Lack::Quiet));
        other.write_all(b" OK\r\n\r\nto the end").unwrap();
        drop(other);
        let last = wire.last_answer(false).unwrap();
        assert_eq!((last.status, last.body_bytes), (200, 10));
        assert_eq!(wire.answer(false), Err(Lack::Ended(End::Closed)));
    }

    #[test]
    fn a_reset_is_told_from_an_end() {
        let (mut wire, other) = pair();
        assert_eq!(wire.send(b"nobody reads this"), Sent::All);
        // Closed with unread input: the kernel answers with a reset.
        drop(other);
        assert_eq!(wire.rest(), Lack::Ended(End::Reset));
    }

    #[test]
    fn whoever_reads_nothing_stalls_us_and_whoever_is_gone_ends_it() {
        let (mut wire, other) = pair();
        let much = vec![0; 64 << 20];
        assert_eq!(wire.send(&much), Sent::Stalled);
        drop(other);
        assert_eq!(wire.send(&much), Sent::Over);
    }
}
