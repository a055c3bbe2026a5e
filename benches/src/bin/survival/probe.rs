//! The client that behaves: what the others do must not be felt here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What every request asks for.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
/// Between the starts of two requests.
const INTERVAL: Duration = Duration::from_millis(5);
/// A response that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(5);

/// Latencies of requests, one after the other, over a connection that is kept alive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<Duration>,
    pub(crate) failures: u64,
}

impl Latencies {
    /// The value that `share` of all requests did not exceed, in microseconds.
    pub(crate) fn quantile_micros(&self, share: f64) -> Option<u128> {
        let last = self.sorted.len().checked_sub(1)?;
        Some(self.sorted[(last as f64 * share).ceil() as usize].as_micros())
    }
}

/// A thread that asks until it is stopped.
#[derive(Debug)]
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Latencies>,
}

impl Probe {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || watch(server, &seen)) }
    }

    pub(crate) fn stop(self) -> anyhow::Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the probe panicked"))
    }

    /// Asks for as long as `duration`.
    pub(crate) fn run(server: SocketAddr, duration: Duration) -> anyhow::Result<Latencies> {
        let probe = Self::start(server);
        thread::sleep(duration);
        probe.stop()
    }
}

fn watch(server: SocketAddr, stop: &AtomicBool) -> Latencies {
    let mut latencies = Latencies::default();
    let mut visitor = Visitor::new(server);
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        match visitor.ask() {
            Ok(()) => latencies.sorted.push(started.elapsed()),
            Err(_) => latencies.failures += 1,
        }
        thread::sleep(INTERVAL.saturating_sub(started.elapsed()));
    }
    latencies.sorted.sort_unstable();
    latencies
}

/// Asks, and connects where there is no connection to ask over.
#[derive(Debug)]
pub(crate) struct Visitor {
    server: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Visitor {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server, stream: None, buffer: Vec::new() }
    }

    /// One request and its response.
    pub(crate) fn ask(&mut self) -> anyhow::Result<()> {
        if let Some(stream) = self.stream.take()
            && self.exchange(stream).is_ok()
        {
            return Ok(());
        }
        // A server may end a kept connection at any time; a new one has no excuse.
        let stream = TcpStream::connect_timeout(&self.server, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        self.exchange(stream)
    }

    /// Keeps the connection if the response does.
    fn exchange(&mut self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.write_all(REQUEST)?;
        self.buffer.clear();
        let mut page = [0; 16 * 1024];
        loop {
            let count = stream.read(&mut page)?;
            if count == 0 {
                bail!("the connection ended before the response did");
            }
            self.buffer.extend_from_slice(&page[..count]);
            if let Some(response) = Response::parse(&self.buffer)? {
                if !response.closes {
                    self.stream = Some(stream);
                }
                return Ok(());
            }
        }
    }
}

/// What is asked of a whole response.
#[derive(Debug, Eq, PartialEq)]
struct Response {
    closes: bool,
}

impl Response {
    /// `None` if it is not whole.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("no status")?;
        if status != "200" {
            bail!("status {status}");
        }
        let value = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let length: usize = value("content-length").context("no length")?.parse()?;
        let closes = value("connection") == Some("close");
        Ok((bytes.len() >= end + 4 + length).then_some(Self { closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let text = b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..text.len() {
            assert_eq!(Response::parse(&text[..end]).unwrap(), None);
        }
        assert_eq!(Response::parse(text).unwrap(), Some(Response { closes: true }));
        assert!(Response::parse(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err());
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sorted = (1..=100).map(Duration::from_micros).collect();
        let latencies = Latencies { sorted, failures: 0 };
        assert_eq!(latencies.quantile_micros(0.5), Some(51));
        assert_eq!(latencies.quantile_micros(0.99), Some(100));
        assert_eq!(Latencies::default().quantile_micros(0.5), None);
    }
}
