//! One slow client.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::torture::target::Target;

/// A byte each, once the beginning is sent.
const DRIP: Duration = Duration::from_secs(1);
/// Body bytes sent at once: it begins like any other.
const BODY_BEGIN_BYTES: usize = 1000;
/// The least the kernel grants; it makes the server's answers pile up at the server soon.
const RECEIVE_BUFFER_BYTES: usize = 2048;
/// So many bytes of requests a reader sends as fast as it can, which is more than the kernel's buffers
/// hold of answers; then one request per second, since a server that has ended the connection answers
/// that with a reset, while its last bytes stand behind those that are not read.
const FLOOD_BYTES_MAX: usize = 8 << 20;
/// More than this does not wait in the kernel of the server: whoever sends on is not at its end.
const DRAIN_BYTES_MAX: usize = 4 << 20;

/// What a client is slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Body,
    /// Sends requests and never reads.
    SilentReader,
    /// Sends requests and reads a byte per second.
    DrippingReader,
}

/// A client and its connection.
pub(super) struct Client {
    pub(super) kind: Kind,
    stream: Option<TcpStream>,
    opened: Instant,
    closed: Option<Instant>,
    /// The next byte is due.
    next: Instant,
    /// To be sent as soon as the kernel takes it.
    unsent: Vec<u8>,
    /// What readers ask for, again and again.
    request: Vec<u8>,
    sent_bytes: usize,
    drained_bytes: usize,
    /// The end stood behind answers that were read only when the patience was over.
    pub(super) hidden: bool,
    /// Of the first answer, unless the client does not read.
    pub(super) status: Option<u16>,
    /// There was no connection to begin with.
    pub(super) failure: Option<String>,
}

impl Kind {
    pub(super) const ALL: &[Kind] =
        &[Kind::Head, Kind::Body, Kind::SilentReader, Kind::DrippingReader];

    pub(super) fn id(self) -> &'static str {
        match self {
            Kind::Head => "slow-heads",
            Kind::Body => "slow-bodies",
            Kind::SilentReader => "silent-readers",
            Kind::DrippingReader => "dripping-readers",
        }
    }

    pub(super) fn sent(self) -> &'static str {
        match self {
            Kind::Head => "a head, 1 byte per second",
            Kind::Body => "a body, 1 kB at once, then 1 byte per second",
            Kind::SilentReader => "GET again and again, nothing read",
            Kind::DrippingReader => "GET again and again, 1 byte per second read",
        }
    }

    /// It is slow at reading.
    pub(super) fn reads(self) -> bool {
        matches!(self, Kind::SilentReader | Kind::DrippingReader)
    }
}

impl Client {
    /// Connects and sends the beginning.
    pub(super) fn open(kind: Kind, target: &Target) -> Client {
        let unsent = match kind {
            Kind::Head => target.fill("{get}A: "),
            Kind::Body => {
                let mut bytes = target.fill("{post}Content-Length: 1000000\r\n\r\n");
                bytes.extend([b'a'; BODY_BEGIN_BYTES]);
                bytes
            }
            Kind::SilentReader | Kind::DrippingReader => Vec::new(),
        };
        let opened = Instant::now();
        let (stream, failure) = match connect(kind, target) {
            Ok(stream) => (Some(stream), None),
            Err(error) => (None, Some(error)),
        };
        Client {
            kind,
            stream,
            opened,
            closed: None,
            next: opened + DRIP,
            unsent,
            request: target.fill("{get}\r\n"),
            sent_bytes: 0,
            drained_bytes: 0,
            hidden: false,
            status: None,
            failure,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// How long it lasted, once the server has ended it.
    pub(super) fn lived(&self) -> Option<Duration> {
        self.closed.map(|closed| closed - self.opened)
    }

    /// What wakes it: for those who do not read, only the end.
    pub(super) fn poll_fd(&self, draining: bool) -> Option<PollFd<'_>> {
        let deaf = self.kind.reads() && !draining;
        let flags = if deaf { PollFlags::empty() } else { PollFlags::IN };
        self.stream.as_ref().map(|stream| PollFd::new(stream, flags))
    }

    /// Does what is due.
    pub(super) fn act(&mut self, now: Instant) {
        let due = now >= self.next;
        if due {
            self.next = now + DRIP;
        }
        match self.kind {
            Kind::Head | Kind::Body => {
                if due {
                    self.unsent.push(b'a');
                }
                self.send(now);
                let _ = self.receive(now, 4096);
            }
            Kind::SilentReader | Kind::DrippingReader => {
                self.ask(now, due);
                // The end may stand before anything is read.
                if self.is_reset() {
                    self.close(now);
                } else if due && self.kind == Kind::DrippingReader {
                    let _ = self.receive(now, 1);
                }
            }
        }
    }

    /// Reads on, to find the end behind what was not read.
    pub(super) fn drain(&mut self) {
        if self.drained_bytes > DRAIN_BYTES_MAX {
            return;
        }
        if let Some(stream) = &self.stream
            && self.drained_bytes == 0
        {
            // If it stays small, it only takes longer.
            let _ = set_socket_recv_buffer_size(stream, DRAIN_BYTES_MAX);
        }
        self.drained_bytes += self.receive(Instant::now(), 256 * 1024);
        self.hidden = self.stream.is_none();
    }

    /// Requests for as long as the kernel takes them.
    fn ask(&mut self, now: Instant, due: bool) {
        // So that one fast server does not keep the others waiting.
        for _ in 0..16 {
            if self.unsent.is_empty() && self.sent_bytes < FLOOD_BYTES_MAX {
                self.unsent = self.request.repeat(100);
            }
            if self.unsent.is_empty() || !self.send(now) {
                break;
            }
        }
        if due && self.unsent.is_empty() {
            self.unsent.clone_from(&self.request);
        }
    }

    /// Sends what is unsent; false if the kernel does not take all of it.
    fn send(&mut self, now: Instant) -> bool {
        let Some(mut stream) = self.stream.as_ref() else { return false };
        if self.unsent.is_empty() {
            return true;
        }
        match stream.write(&self.unsent) {
            Ok(n) => {
                self.unsent.drain(..n);
                self.sent_bytes += n;
            }
            Err(error) if is_passing(error.kind()) => {}
            // A reset; what came before it can still be read.
            Err(_) if !self.kind.reads() => self.unsent.clear(),
            Err(_) => self.close(now),
        }
        self.unsent.is_empty()
    }

    /// Receives once; how many bytes came.
    fn receive(&mut self, now: Instant, bytes: usize) -> usize {
        let Some(mut stream) = self.stream.as_ref() else { return 0 };
        let mut page = vec![0; bytes];
        match stream.read(&mut page) {
            Ok(0) => self.close(now),
            Ok(n) => {
                if self.status.is_none() {
                    self.status = status(&page[..n]);
                }
                return n;
            }
            Err(error) if is_passing(error.kind()) => {}
            Err(_) => self.close(now),
        }
        0
    }

    fn is_reset(&self) -> bool {
        let error = self.stream.as_ref().and_then(|stream| stream.take_error().ok().flatten());
        error.is_some()
    }

    fn close(&mut self, now: Instant) {
        self.stream = None;
        self.closed = Some(now);
    }
}

fn connect(kind: Kind, target: &Target) -> Result<TcpStream, String> {
    let stream = target.stream()?;
    let told = |error: std::io::Error| error.to_string();
    stream.set_nodelay(true).map_err(told)?;
    stream.set_nonblocking(true).map_err(told)?;
    if kind.reads() {
        set_socket_recv_buffer_size(&stream, RECEIVE_BUFFER_BYTES)
            .map_err(|error| told(error.into()))?;
    }
    Ok(stream)
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// `HTTP/1.1 408 …`
fn status(bytes: &[u8]) -> Option<u16> {
    std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()
}
