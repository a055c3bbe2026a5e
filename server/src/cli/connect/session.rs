//! The connection of a client, as both of its threads see it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one address may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may leave a typed line unread once all buffers between are full.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon the receiving thread notices what the other one did; and how long the server pauses in the
/// middle of a line before that half is shown.
const TICK: Duration = Duration::from_millis(100);

const READ_SIZE: usize = 16 * 1024;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Host and port, resolved again at each attempt.
    Tcp(String),
    Unix(PathBuf),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Target, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a Unix socket needs a path, such as unix:/run/chat.sock".to_owned()),
                path => Ok(Target::Unix(path.into())),
            };
        }
        let (host, port) = match text.rsplit_once(':') {
            Some(parts) => parts,
            None if text.bytes().all(|b| b.is_ascii_digit()) => ("", text),
            None => return Err("no port; write HOST:PORT, such as 127.0.0.1:8080".to_owned()),
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse().unwrap_or(0_u16) == 0 {
            return Err("the port must be a number from 1 to 65535".to_owned());
        }
        match host {
            "" => Ok(Target::Tcp(format!("127.0.0.1:{port}"))),
            _ if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
                Err("write an IPv6 address in brackets, such as [::1]:8080".to_owned())
            }
            _ => Ok(Target::Tcp(text.to_owned())),
        }
    }

    /// Connects to the first address that accepts.
    fn connect(&self) -> io::Result<Stream> {
        match self {
            Target::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Target::Tcp(address) => {
                let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                        Ok(stream) => {
                            // A typed line is worth a packet of its own.
                            let _ = stream.set_nodelay(true);
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(address) => f.write_str(address),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write_all(bytes),
            Stream::Unix(stream) => (&mut &*stream).write_all(bytes),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It fails if the connection is gone, which is as good.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }

    fn set_timeouts(&self, read: Duration, write: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(read))?;
                stream.set_write_timeout(write)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(read))?;
                stream.set_write_timeout(write)
            }
        }
    }
}

/// What [`Session::receive`] has to say.
pub(super) enum Received<'a> {
    /// The server sent this.
    Bytes(&'a [u8]),
    /// For a moment it sent nothing.
    Quiet,
}

/// Why nothing more is received.
#[derive(Debug)]
pub(super) enum End {
    /// The server closed in order.
    Closed,
    /// The connection broke.
    Lost(io::Error),
    /// The input has ended, and the server had no more to say.
    Silent,
    /// The user wants no more.
    Stopped,
    /// What came could not be shown.
    Output(io::Error),
}

/// Why something was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    NotConnected,
    InputEnded,
    /// A part of it may have been. The connection has been given up, since the rest would be taken for a
    /// message of its own.
    Failed(io::Error),
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsent::NotConnected => f.write_str("not sent: there is no connection"),
            Unsent::InputEnded => f.write_str("not sent: the input has ended"),
            Unsent::Failed(error) if would_block(error) => {
                f.write_str("perhaps not sent: the server does not read")
            }
            Unsent::Failed(error) => write!(f, "perhaps not sent: {error}"),
        }
    }
}

/// Why not all was sent.
#[derive(Debug)]
pub(super) enum SendAllError {
    /// What there is to send could not be read.
    Input(io::Error),
    Unsent(Unsent),
}

impl fmt::Display for SendAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendAllError::Input(error) => write!(f, "standard input: {error}"),
            SendAllError::Unsent(unsent) => unsent.fmt(f),
        }
    }
}

/// One server, and at most one connection to it at a time.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) target: Target,
    wait: Duration,
    crlf: bool,
    stream: Mutex<Option<Arc<Stream>>>,
    input_ended: Mutex<Option<Instant>>,
    stopped: Arc<AtomicBool>,
}

impl Session {
    pub(super) fn new(target: Target, wait: Duration, crlf: bool) -> Session {
        Session {
            target,
            wait,
            crlf,
            stream: Mutex::new(None),
            input_ended: Mutex::new(None),
            stopped: Arc::default(),
        }
    }

    /// Connects, in place of any earlier connection.
    pub(super) fn connect(&self) -> io::Result<()> {
        let stream = self.target.connect()?;
        stream.set_timeouts(TICK, None)?;
        *lock(&self.stream) = Some(Arc::new(stream));
        Ok(())
    }

    /// Sends text, its lines ended as the server wants them, with a limit on how long the server may leave
    /// it unread.
    pub(super) fn send_lines(&self, text: &str) -> Result<(), Unsent> {
        let ending = if self.crlf { "\r\n" } else { "\n" };
        let mut bytes = Vec::with_capacity(text.len() + 2);
        for line in text.split('\n') {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(ending.as_bytes());
        }
        self.send(&bytes, Some(SEND_TIMEOUT))
    }

    /// Sends all that comes from `input`, as it is but for the ends of lines, and ends the input.
    pub(super) fn send_all(&self, input: &mut impl io::BufRead) -> Result<(), SendAllError> {
        let sent = self.send_until_end(input);
        self.end_input();
        sent
    }

    fn send_until_end(&self, input: &mut impl io::BufRead) -> Result<(), SendAllError> {
        let mut last = 0;
        let mut converted = Vec::new();
        loop {
            let bytes = match input.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(SendAllError::Input(error)),
            };
            let len = bytes.len();
            let mut ready = bytes;
            if self.crlf {
                converted.clear();
                for &byte in bytes {
                    if byte == b'\n' && last != b'\r' {
                        converted.push(b'\r');
                    }
                    converted.push(byte);
                    last = byte;
                }
                ready = &converted;
            }
            self.send(ready, None).map_err(SendAllError::Unsent)?;
            input.consume(len);
        }
    }

    fn send(&self, bytes: &[u8], timeout: Option<Duration>) -> Result<(), Unsent> {
        if self.has_input_ended() {
            return Err(Unsent::InputEnded);
        }
        let Some(stream) = lock(&self.stream).clone() else { return Err(Unsent::NotConnected) };
        let sent = stream.set_timeouts(TICK, timeout).and_then(|()| stream.write_all(bytes));
        sent.map_err(|error| {
            stream.shutdown(Shutdown::Both);
            Unsent::Failed(error)
        })
    }

    /// Tells the server that nothing more will come.
    pub(super) fn end_input(&self) {
        lock(&self.input_ended).get_or_insert_with(Instant::now);
        if let Some(stream) = &*lock(&self.stream) {
            stream.shutdown(Shutdown::Write);
        }
    }

    pub(super) fn has_input_ended(&self) -> bool {
        lock(&self.input_ended).is_some()
    }

    /// Whether the input has ended so long ago that a user, who waits, wants no more: five times as long as
    /// the silence that ends it.
    pub(super) fn has_lingered(&self) -> bool {
        lock(&self.input_ended).is_some_and(|ended| ended.elapsed() >= self.wait.saturating_mul(5))
    }

    /// Ends everything, soon.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Ends everything, too, once it is set.
    pub(super) fn stopped(&self) -> &Arc<AtomicBool> {
        &self.stopped
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for `delay`, and says whether there is still anything to wait for.
    pub(super) fn pause(&self, delay: Duration) -> bool {
        let deadline = Instant::now() + delay;
        loop {
            if self.is_stopped() || self.has_input_ended() {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Hands on what the server sends until the connection ends.
    pub(super) fn receive(&self, mut show: impl FnMut(Received<'_>) -> io::Result<()>) -> End {
        let Some(stream) = lock(&self.stream).clone() else { return End::Stopped };
        let end = self.receive_from(&stream, &mut show);
        *lock(&self.stream) = None;
        end
    }

    fn receive_from(
        &self,
        stream: &Stream,
        show: &mut impl FnMut(Received<'_>) -> io::Result<()>,
    ) -> End {
        let mut buffer = vec![0; READ_SIZE];
        let mut heard = Instant::now();
        loop {
            let shown = match stream.read(&mut buffer) {
                Ok(0) => return End::Closed,
                Ok(len) => {
                    heard = Instant::now();
                    show(Received::Bytes(&buffer[..len]))
                }
                Err(error) if would_block(&error) => show(Received::Quiet),
                // A window that changes its size is a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(error) => return End::Lost(error),
            };
            if let Err(error) = shown {
                return End::Output(error);
            }
            if self.is_stopped() {
                return End::Stopped;
            }
            if let Some(ended) = *lock(&self.input_ended)
                && heard.max(ended).elapsed() >= self.wait
            {
                return End::Silent;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a time-out of a socket looks like.
fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets() {
        for (text, expected) in [
            ("127.0.0.1:80", Ok("127.0.0.1:80")),
            ("[::1]:80", Ok("[::1]:80")),
            ("chat.example:4000", Ok("chat.example:4000")),
            (":80", Ok("127.0.0.1:80")),
            ("80", Ok("127.0.0.1:80")),
            ("unix:/run/a:b", Ok("unix:/run/a:b")),
            ("", Err("port")),
            ("chat.example", Err("no port")),
            ("chat.example:", Err("1 to 65535")),
            ("chat.example:http", Err("1 to 65535")),
            (":+80", Err("1 to 65535")),
            (":0", Err("1 to 65535")),
            ("65536", Err("1 to 65535")),
            ("::1:80", Err("brackets")),
            ("unix:", Err("path")),
        ] {
            match (Target::parse(text), expected) {
                (Ok(target), Ok(shown)) => assert_eq!(target.to_string(), shown),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }
}
