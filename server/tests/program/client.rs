//! A plain blocking HTTP client that takes nothing for granted.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::process::PATIENCE;

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// Received and not yet looked at.
    buffer: Vec<u8>,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and fields.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a field, if it is there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (field, value) = line.split_once(':').unwrap();
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice: {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The response says that the connection ends.
    pub(crate) fn closes(&self) -> bool {
        self.head.lines().any(|line| {
            let (field, value) = line.split_once(':').unwrap_or_default();
            let options = || value.split(',').map(str::trim);
            field.eq_ignore_ascii_case("connection")
                && options().any(|option| option.eq_ignore_ascii_case("close"))
        })
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        Client::of(stream)
    }

    /// Takes over a connection.
    pub(crate) fn of(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Shuts down the sending side.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl Client<UnixStream> {
    pub(crate) fn connect_unix(path: &Path) -> Client<UnixStream> {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, buffer: Vec::new() }
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request and returns its response, which has a body.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// `GET` of a path.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The next response.
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.head();
        if response.status == 204 || response.status == 304 {
            return response;
        }
        let length = response.field("content-length").expect("a length").parse().unwrap();
        while self.buffer.len() < length {
            assert!(self.receive() > 0, "the body ends after {} bytes", self.buffer.len());
        }
        response.body = self.buffer.drain(..length).collect();
        response
    }

    /// The next response, which has no body.
    pub(crate) fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let n = self.receive();
            assert!(n > 0, "ended within a head: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().trim_end().to_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap();
        Response { status: status.parse().unwrap(), head, body: Vec::new() }
    }

    /// The server must now end the connection in order, without another byte.
    pub(crate) fn ends(&mut self) {
        let n = self.receive();
        assert_eq!(n, 0, "unexpected: {:?}", String::from_utf8_lossy(&self.buffer));
        assert!(self.buffer.is_empty(), "{:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Waits until the connection is over, in order or not; what comes before that is returned.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut page = vec![0; 64 * 1024];
        loop {
            match self.read(&mut page) {
                Ok(0) => break,
                Ok(n) => self.buffer.extend_from_slice(&page[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server does not end the connection: {error}"),
            }
        }
        std::mem::take(&mut self.buffer)
    }

    /// Receives once, up to `n` bytes, which are kept for later.
    pub(crate) fn receive_some(&mut self, n: usize) {
        let mut page = vec![0; n];
        let n = self.read(&mut page).unwrap();
        self.buffer.extend_from_slice(&page[..n]);
    }

    fn receive(&mut self) -> usize {
        let mut page = [0; 16 * 1024];
        let n = self.read(&mut page).expect("an answer or an end in time");
        self.buffer.extend_from_slice(&page[..n]);
        n
    }

    /// A read with a time-out is interrupted by signals that concern nobody here.
    fn read(&mut self, page: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(page) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
