//! One client that does not behave.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Socket, Type};

/// How long a connection may take to be established.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A receive buffer that fills at once; the kernel doubles it.
const NARROW_BYTES: usize = 4096;
/// Segments as over Ethernet. Over loopback they would be 64 KiB long, and the server's kernel would
/// take megabytes from it before it had to wait.
const SEGMENT_BYTES: u32 = 1460;
/// The most that a client takes or gives at one time.
const TURN_BYTES: usize = 256 * 1024;

/// How much a client can be sent before its peer has to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Window {
    /// As the kernel sees fit.
    Usual,
    /// A few KiB.
    Narrow,
}

/// A connection to the server whose owner decides each byte. Nothing it does blocks.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    port: u16,
    /// Where `send_piece` goes on.
    cycle_at: usize,
    sent: u64,
    received: u64,
    /// The first bytes received.
    start: [u8; 12],
    /// The server takes no more. What it said before may still be read.
    refused: bool,
    ended: bool,
}

impl Client {
    pub(crate) fn connect(server: SocketAddr, window: Window) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        if window == Window::Narrow {
            socket.set_recv_buffer_size(NARROW_BYTES)?;
            socket.set_tcp_mss(SEGMENT_BYTES)?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.connect_timeout(&server.into(), CONNECT_LIMIT).context("connect")?;
        socket.set_nonblocking(true)?;
        let stream = TcpStream::from(socket);
        let port = stream.local_addr()?.port();
        let start = [0; 12];
        let (refused, ended) = (false, false);
        Ok(Self { stream, port, cycle_at: 0, sent: 0, received: 0, start, refused, ended })
    }

    /// The port at this end, by which the kernel's tables know it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that the kernel has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the server ended the connection, as far as this end has seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The status of the first response, once enough of it is there.
    pub(crate) fn status(&self) -> Option<u16> {
        let start = self.start.strip_prefix(b"HTTP/1.")?;
        std::str::from_utf8(&start[2..]).ok()?.get(..3)?.parse().ok()
    }

    /// Sends as much of `bytes` as goes at once, and says how much that was.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        if self.refused || self.ended {
            return 0;
        }
        match self.stream.write(bytes) {
            Ok(count) => {
                self.sent += count as u64;
                count
            }
            Err(error) => {
                self.refused = !is_passing(error.kind());
                0
            }
        }
    }

    /// Sends `bytes` over and over, for as long as they go at once, but not for ever.
    pub(crate) fn send_cycle(&mut self, bytes: &[u8]) -> usize {
        let mut total = 0;
        while total < TURN_BYTES {
            match self.send_piece(bytes) {
                0 => break,
                count => total += count,
            }
        }
        total
    }

    /// Goes on with `bytes` where it was stopped the last time, once.
    pub(crate) fn send_piece(&mut self, bytes: &[u8]) -> usize {
        let count = self.send(&bytes[self.cycle_at..]);
        self.cycle_at = (self.cycle_at + count) % bytes.len();
        count
    }

    /// Takes at most `most` bytes of what is there.
    pub(crate) fn receive(&mut self, most: usize) -> usize {
        let mut page = [0; 4096];
        let mut total = 0;
        while !self.ended && total < most {
            let size = page.len().min(most - total);
            match self.stream.read(&mut page[..size]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    let known = self.start.len().min(self.received as usize);
                    let fresh = count.min(self.start.len() - known);
                    self.start[known..known + fresh].copy_from_slice(&page[..fresh]);
                    self.received += count as u64;
                    total += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.ended = !is_passing(error.kind()),
            }
        }
        total
    }

    /// Takes whatever is there.
    pub(crate) fn receive_all(&mut self) -> usize {
        self.receive(TURN_BYTES)
    }

    /// Ends the connection by a reset, as a client that crashes does.
    pub(crate) fn reset(self) -> anyhow::Result<()> {
        Socket::from(self.stream).set_linger(Some(Duration::ZERO)).context("SO_LINGER")
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// `count` clients, a few milliseconds apart, so that no queue of the listener overflows.
pub(crate) fn crowd(
    server: SocketAddr,
    count: usize,
    window: Window,
    mut greet: impl FnMut(&mut Client),
) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let mut client = Client::connect(server, window)
            .with_context(|| format!("connection {} of {count}", index + 1))?;
        greet(&mut client);
        clients.push(client);
        if index % 128 == 127 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(clients)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A client, and the server's end of its connection.
    fn pair(window: Window) -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(listener.local_addr().unwrap(), window).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Receives until `done`, which must come soon.
    fn receive_until(client: &mut Client, done: impl Fn(&Client) -> bool) {
        let deadline = std::time::Instant::now() + CONNECT_LIMIT;
        while !done(client) {
            assert!(std::time::Instant::now() < deadline, "{client:?}");
            client.receive_all();
        }
    }

    #[test]
    fn a_status_is_read_from_pieces() {
        let (mut client, mut server) = pair(Window::Usual);
        assert_eq!(client.status(), None);
        for piece in ["HTTP/1.", "1 4", "31 Request Header Fields Too Large\r\n\r\n"] {
            server.write_all(piece.as_bytes()).unwrap();
            let before = client.received;
            receive_until(&mut client, |client| client.received == before + piece.len() as u64);
        }
        assert_eq!(client.status(), Some(431));
        assert!(!client.has_ended());
        drop(server);
        receive_until(&mut client, Client::has_ended);
    }

    #[test]
    fn a_cycle_goes_on_where_it_was_stopped() {
        let (mut client, mut server) = pair(Window::Narrow);
        let sender = std::thread::spawn(move || {
            while client.sent() < 10_000_000 {
                client.send_cycle(b"0123456789");
            }
        });
        let mut text = vec![0; 10_000_000];
        server.read_exact(&mut text).unwrap();
        assert!(text.chunks(10).all(|chunk| chunk == b"0123456789"));
        drop(server);
        sender.join().unwrap();
    }
}
