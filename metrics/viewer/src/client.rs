//! A client for the admin pages: blocking, with limits on time and size.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use corelane_parser::Refusal;
use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits, Method, Progress};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::target::Target;
use crate::text;

/// The largest body that is read. 200 routes on 64 loops take less than 2 MB.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// How long to wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer, once connected.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(5) }
    }
}

/// Why a page was not had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host has no address.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The host and port.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// No connection was made.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The answer did not come in time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did")]
    Cut,
    /// The answer is not HTTP, or too large.
    #[error("the answer is not as it should be: {0}")]
    Refused(#[from] Refusal),
    /// The server wants a token, or another one.
    #[error("the server wants a token: --token-file, or CORELANE_ADMIN_TOKEN")]
    Token,
    /// The answer is another one.
    #[error("{path} was answered with {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// The status of the answer.
        status: u16,
    },
}

/// Asks for one page after another, over one connection as long as that lasts.
#[derive(Debug)]
pub struct Client {
    target: Target,
    token: Option<String>,
    patience: Patience,
    stream: Option<Stream>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// A client that will connect when it is first asked. The token is sent as `Authorization: Bearer`, and
    /// must be visible ASCII.
    pub fn new(target: Target, token: Option<String>, patience: Patience) -> Client {
        Client { target, token, patience, stream: None }
    }

    /// The body of a page.
    ///
    /// # Errors
    /// See [`ClientError`]. The next call makes a new connection.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, ClientError> {
        if let Some(stream) = self.stream.take() {
            // The server may have closed it meanwhile, so this is no last word.
            match self.ask(stream, path) {
                Err(ClientError::Broken(_) | ClientError::Cut) => {}
                other => return other,
            }
        }
        let stream = self.connect()?;
        self.ask(stream, path)
    }

    fn connect(&self) -> Result<Stream, ClientError> {
        let host = match &self.target {
            Target::Unix(path) => {
                let stream = connect_unix(path, self.patience.connect);
                return stream.map(Stream::Unix).map_err(ClientError::Connect);
            }
            Target::Tcp(host) => host,
        };
        let unresolved = |source| ClientError::Resolve { host: host.clone(), source };
        let mut last = io::Error::new(ErrorKind::NotFound, "it has no address");
        for address in host.to_socket_addrs().map_err(unresolved)?.take(4) {
            match TcpStream::connect_timeout(&address, self.patience.connect) {
                Ok(stream) => return Ok(Stream::Tcp(stream)),
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect(last))
    }

    /// Asks on a connection, and keeps it if it can be used again.
    fn ask(&mut self, mut stream: Stream, path: &str) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + self.patience.answer;
        let host = match &self.target {
            Target::Tcp(host) => host,
            Target::Unix(_) => "localhost",
        };
        let token = match &self.token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{token}\r\n"
        );
        stream.wait_until(deadline, self.patience)?;
        stream.write_all(request.as_bytes()).map_err(|error| self.broken(error))?;
        let mut answer = Answer::default();
        let mut piece = vec![0; PIECE];
        loop {
            stream.wait_until(deadline, self.patience)?;
            let count = match stream.read(&mut piece) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error)),
            };
            let done = if count == 0 { answer.end()? } else { answer.add(&piece[..count])? };
            if done {
                break;
            }
        }
        if answer.keep_alive {
            self.stream = Some(stream);
        }
        match answer.status {
            200 => Ok(answer.body),
            401 | 403 => Err(ClientError::Token),
            status => Err(ClientError::Status { path: text::clean(path), status }),
        }
    }

    fn broken(&self, error: io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Late(self.patience.answer),
            _ => ClientError::Broken(error),
        }
    }
}

/// Connects within `wait`, also to a listener that does not accept and whose queue is full.
fn connect_unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The time for sending holds for connecting, too (unix(7), SO_SNDTIMEO of socket(7)).
    socket.set_write_timeout(Some(wait))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(UnixStream::from(OwnedFd::from(socket))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    }
}

impl Stream {
    /// Gives what comes next as long as there is until `deadline`.
    fn wait_until(&self, deadline: Instant, patience: Patience) -> Result<(), ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::Late(patience.answer));
        }
        let set = match self {
            Stream::Tcp(stream) => stream
                .set_read_timeout(Some(left))
                .and_then(|()| stream.set_write_timeout(Some(left))),
            Stream::Unix(stream) => stream
                .set_read_timeout(Some(left))
                .and_then(|()| stream.set_write_timeout(Some(left))),
        };
        set.map_err(ClientError::Broken)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

const LIMITS: Limits = Limits { body_bytes: BODY_BYTES_MAX, ..Limits::DEFAULT };

/// One answer, as its bytes arrive.
#[derive(Default)]
struct Answer {
    parser: ResponseParser,
    /// What has arrived and was not understood.
    input: Vec<u8>,
    /// How the body goes on, once the head is there.
    rest: Option<Body>,
    until_close: bool,
    status: u16,
    keep_alive: bool,
    body: Vec<u8>,
}

impl Answer {
    /// Adds bytes; whether the answer is complete.
    fn add(&mut self, bytes: &[u8]) -> Result<bool, ClientError> {
        self.input.extend_from_slice(bytes);
        while self.rest.is_none() {
            if !self.head()? {
                return Ok(false);
            }
        }
        let Some(rest) = &mut self.rest else { return Ok(false) };
        let mut from = 0;
        let done = loop {
            let step = rest.advance(&self.input[from..], &LIMITS)?;
            from += step.consumed();
            match step {
                BodyStep::Data { data, .. } => self.body.extend_from_slice(data),
                BodyStep::NeedMore { .. } => break false,
                BodyStep::Done { .. } => break true,
            }
            if self.body.len() as u64 > BODY_BYTES_MAX {
                return Err(Refusal::BodyTooLarge.into());
            }
        };
        self.input.drain(..from);
        Ok(done)
    }

    /// Reads a head if it is there. Interim ones are skipped.
    fn head(&mut self) -> Result<bool, ClientError> {
        let mut slots = ResponseSlots::new();
        let head = match self.parser.parse(&self.input, Method::Get, &mut slots, &LIMITS)? {
            Progress::Partial => return Ok(false),
            Progress::Complete(head) => head,
        };
        if let BodyKind::Length(length) = head.body()
            && length > BODY_BYTES_MAX
        {
            return Err(Refusal::BodyTooLarge.into());
        }
        let bytes = head.bytes();
        if head.status() >= 200 {
            self.status = head.status();
            self.keep_alive = head.keep_alive();
            self.until_close = head.body() == BodyKind::UntilClose;
            self.rest = Some(Body::new(head.body(), &LIMITS));
        }
        self.input.drain(..bytes);
        Ok(true)
    }

    /// No more bytes will come; whether the answer is complete.
    fn end(&self) -> Result<bool, ClientError> {
        if self.rest.is_some() && self.until_close { Ok(true) } else { Err(ClientError::Cut) }
    }
}
