//! A client that sends exactly what it is told, and judges framing by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::net::{AddressFamily, SocketType, sockopt};

/// A whole exchange may take this long.
const LIMIT: Duration = Duration::from_secs(5);
/// An answer may be this long; what is longer is cut here, and said to be.
const ANSWER_BYTES_MAX: usize = 80 << 20;

/// One answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0 if there was none.
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    /// Without the chunked coding.
    pub(crate) body: Vec<u8>,
    /// How it ended.
    pub(crate) end: End,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum End {
    /// Where its head said.
    Whole,
    /// The server closed before.
    #[default]
    Cut,
    /// Nothing more came within the limit.
    Stalled,
    /// It would have been longer than any answer here may be.
    Endless,
}

impl Answer {
    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Whether one of the comma-separated members of a field is `member`.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        let mut fields = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        fields.any(|(_, value)| {
            value.split(',').any(|known| known.trim().eq_ignore_ascii_case(member))
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status, or what there was instead of one.
    pub(crate) fn seen(&self) -> String {
        match (self.status, self.end) {
            (0, End::Stalled) => "no answer".to_owned(),
            (0, _) => "closed".to_owned(),
            (status, End::Whole) => status.to_string(),
            (status, end) => format!("{status}, {end:?}").to_lowercase(),
        }
    }
}

/// A connection, with what was received and not used.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    deadline: Instant,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Self::new(TcpStream::connect_timeout(&address, LIMIT)?)
    }

    /// With a small receive buffer, so that the server cannot be done before the client reads.
    pub(crate) fn open_slow(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        sockopt::set_socket_recv_buffer_size(&socket, 64 * 1024)?;
        rustix::net::connect(&socket, &address)?;
        Self::new(TcpStream::from(socket))
    }

    fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { stream, input: Vec::new(), deadline: Instant::now() + LIMIT })
    }

    /// Gives what follows until `limit` from now.
    pub(crate) fn allow(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
    }

    /// Sends, as far as the server takes it: one that refuses early need not read everything.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Receives until there are `length` bytes; false at the end, or when time is up.
    pub(crate) fn fill(&mut self, length: usize) -> End {
        let mut page = vec![0; 64 * 1024];
        while self.input.len() < length {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return End::Stalled;
            }
            match self.stream.read(&mut page) {
                Ok(0) => return End::Cut,
                Ok(read) => self.input.extend_from_slice(&page[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return End::Stalled,
                Err(_) => return End::Cut,
            }
        }
        End::Whole
    }

    /// The answer to a request of this method, interim ones left out.
    pub(crate) fn answer(&mut self, method: &str) -> anyhow::Result<Answer> {
        loop {
            let mut answer = match self.head()? {
                Ok(head) => head,
                Err(end) => return Ok(Answer { end, ..Answer::default() }),
            };
            if (100..200).contains(&answer.status) {
                continue;
            }
            if method == "HEAD" || matches!(answer.status, 204 | 304) {
                answer.end = End::Whole;
            } else {
                self.body(&mut answer)?;
            }
            return Ok(answer);
        }
    }

    fn head(&mut self) -> anyhow::Result<Result<Answer, End>> {
        let mut wanted = 1;
        loop {
            let end = self.fill(wanted);
            if end != End::Whole {
                return Ok(Err(end));
            }
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.input).context("the answer is not HTTP")?;
            let httparse::Status::Complete(length) = parsed else {
                wanted = self.input.len() + 1;
                continue;
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            let answer = Answer {
                status: head.code.unwrap_or(0),
                fields: head
                    .headers
                    .iter()
                    .map(|field| (field.name.to_owned(), text(field.value)))
                    .collect(),
                ..Answer::default()
            };
            self.input.drain(..length);
            return Ok(Ok(answer));
        }
    }

    fn body(&mut self, answer: &mut Answer) -> anyhow::Result<()> {
        if answer.lists("Transfer-Encoding", "chunked") {
            return self.chunks(answer);
        }
        let announced = answer.field("Content-Length").map(str::parse::<usize>).transpose()?;
        let wanted = announced.unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
        answer.end = match (self.fill(wanted), announced) {
            (End::Cut, None) => End::Whole,
            (End::Whole, announced) if announced != Some(wanted) => End::Endless,
            (end, _) => end,
        };
        let length = self.input.len().min(wanted);
        answer.body = self.input.drain(..length).collect();
        Ok(())
    }

    fn chunks(&mut self, answer: &mut Answer) -> anyhow::Result<()> {
        loop {
            let Some(line) = self.line(&mut answer.end) else { return Ok(()) };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).context("a chunk's size")?;
            if size == 0 {
                while self.line(&mut answer.end).is_some_and(|line| !line.is_empty()) {}
                answer.end = End::Whole;
                return Ok(());
            }
            if answer.body.len() + size > ANSWER_BYTES_MAX {
                answer.end = End::Endless;
                return Ok(());
            }
            answer.end = self.fill(size + 2);
            if answer.end != End::Whole {
                return Ok(());
            }
            answer.body.extend(self.input.drain(..size));
            if self.input.drain(..2).ne(*b"\r\n") {
                bail!("a chunk is longer than it says");
            }
        }
    }

    /// A line without its end; `None`, and why, if there is none.
    fn line(&mut self, end: &mut End) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<_> = self.input.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            *end = self.fill(self.input.len() + 1);
            if *end != End::Whole {
                return None;
            }
        }
    }
}

/// A request's bytes.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answer_of(wire: &'static [u8]) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(wire).unwrap();
        });
        let answer = Connection::open(address).unwrap().answer("GET").unwrap();
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_end_where_their_heads_say() {
        let whole = answer_of(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\
            Content-Length: 2\r\n\r\nhi!",
        );
        assert_eq!((whole.status, whole.end, whole.text().as_str()), (200, End::Whole, "hi"));
        assert_eq!(whole.field("a"), Some("b"));
        let chunked = answer_of(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            2;x=y\r\nhi\r\n0\r\n\r\n",
        );
        assert_eq!((chunked.end, chunked.text().as_str()), (End::Whole, "hi"));
        let cut = answer_of(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi");
        assert_eq!((cut.end, cut.seen().as_str()), (End::Cut, "200, cut"));
        assert_eq!(answer_of(b"").seen(), "closed");
    }
}
