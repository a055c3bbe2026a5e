//! StatsD and DogStatsD over UDP, in three parts: [`StatsdEncoder`] formats lines and packs them
//! into datagrams, [`StatsdReport`] decides what to say each interval, chosen lines or all series
//! of a registry, and both touch no socket and no clock; [`Statsd`] sends, and [`StatsdReporter`]
//! does it every interval on a thread.
//!
//! ```text
//! corelane.rps:12345|g
//! corelane.rps:12345|g|#env:prod,region:eu
//! ```
//!
//! Formats: the metric types document of statsd/statsd, and Datadog's datagram description for
//! tags.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

mod encoder;
mod families;
mod report;
mod reporter;

pub use encoder::{DATAGRAM_MAX, StatsdEncoder, StatsdName};
pub use families::StatsdFlavour;
pub use report::{LINES_MAX, StatsdLine, StatsdReport, StatsdValue};
pub use reporter::{StatsdReporter, StatsdSummary};

/// The shortest interval between reports.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest interval between reports.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// Where, how often and under which name to report.
///
/// ```
/// use corelane_metrics::expose::statsd::StatsdConfig;
///
/// let config = StatsdConfig {
///     target: "127.0.0.1:9125".to_owned(),
///     tags: vec![("env".to_owned(), "test".to_owned())],
///     ..StatsdConfig::default()
/// };
/// assert_eq!(config.prefix, "corelane");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdConfig {
    /// `host:port`, or `[address]:port` for IPv6. Default: 127.0.0.1:8125.
    pub target: String,
    /// What every name begins with, before a dot. May be empty. Default: `corelane`.
    pub prefix: String,
    /// The time between reports, [`INTERVAL_MIN`] to [`INTERVAL_MAX`]. Default: a second.
    pub interval: Duration,
    /// DogStatsD tags, put on every line; plain StatsD servers understand none. Default: none.
    pub tags: Vec<(String, String)>,
}

impl Default for StatsdConfig {
    fn default() -> Self {
        Self {
            target: "127.0.0.1:8125".to_owned(),
            prefix: "corelane".to_owned(),
            interval: Duration::from_secs(1),
            tags: Vec::new(),
        }
    }
}

/// A socket to a StatsD server, and the lines waiting to be sent.
///
/// Sending never blocks and never fails the caller: what the kernel does not take at once is
/// counted and forgotten, as is the custom with UDP.
///
/// ```
/// use corelane_metrics::expose::statsd::{Statsd, StatsdConfig, StatsdName};
///
/// let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let target = server.local_addr()?.to_string();
/// let mut statsd = Statsd::new(&StatsdConfig { target, ..StatsdConfig::default() })?;
/// statsd.encoder().gauge(&StatsdName::new("rps")?, 12_345);
/// statsd.flush();
///
/// let mut datagram = [0; 64];
/// let length = server.recv(&mut datagram)?;
/// assert_eq!(&datagram[..length], b"corelane.rps:12345|g");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Statsd {
    socket: UdpSocket,
    encoder: StatsdEncoder,
    interval: Duration,
    progress: Arc<StatsdProgress>,
}

/// How reporting goes, for whoever shows it: the same for the life of a [`Statsd`], on any thread.
#[derive(Debug, Default)]
pub struct StatsdProgress {
    sent: AtomicU64,
    failed: AtomicU64,
    omitted: AtomicUsize,
}

impl StatsdProgress {
    /// What became of the datagrams so far.
    pub fn summary(&self) -> StatsdSummary {
        StatsdSummary {
            datagrams_sent: self.sent.load(Ordering::Relaxed),
            datagrams_failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// How many series a report left out at most ([`StatsdReport::omitted`]).
    pub fn omitted(&self) -> usize {
        self.omitted.load(Ordering::Relaxed)
    }

    fn omits(&self, series: usize) {
        self.omitted.fetch_max(series, Ordering::Relaxed);
    }
}

impl Statsd {
    /// Checks the configuration, resolves the target and opens the socket.
    ///
    /// Resolving a name may block for as long as the system's resolver takes. The address is kept:
    /// a name that moves later is not followed.
    ///
    /// # Errors
    ///
    /// See [`StatsdError`].
    pub fn new(config: &StatsdConfig) -> Result<Self, StatsdError> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&config.interval) {
            return Err(StatsdError::Interval { interval: config.interval });
        }
        let encoder = StatsdEncoder::new(&config.prefix, &config.tags)?;
        let socket = connect(&config.target)?;
        Ok(Self { socket, encoder, interval: config.interval, progress: Arc::default() })
    }

    /// Where lines are written before [`Self::flush`].
    pub fn encoder(&mut self) -> &mut StatsdEncoder {
        &mut self.encoder
    }

    /// The configured time between reports.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Hands all waiting datagrams to the kernel, without waiting for room.
    pub fn flush(&mut self) {
        for datagram in self.encoder.datagrams() {
            let outcome = match send(&self.socket, datagram) {
                Ok(_) => &self.progress.sent,
                Err(_) => &self.progress.failed,
            };
            outcome.fetch_add(1, Ordering::Relaxed);
        }
        self.encoder.clear();
    }

    /// How many datagrams the kernel took, and how many it did not.
    pub fn summary(&self) -> StatsdSummary {
        self.progress.summary()
    }

    /// The same, to be looked at while a [`StatsdReporter`] has this; and what its reports leave out.
    pub fn progress(&self) -> Arc<StatsdProgress> {
        self.progress.clone()
    }
}

/// A connected socket reports that nobody listens, one send late: the refusal of the last datagram
/// fails this one unsent. So that a server that has just come up misses nothing, try once more.
fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    match socket.send(datagram) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send(datagram),
        result => result,
    }
}

fn connect(target: &str) -> Result<UdpSocket, StatsdError> {
    let failed = |source| StatsdError::Target { target: target.to_owned(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in target.to_socket_addrs().map_err(failed)? {
        match open(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    Ok(socket)
}

/// Why reporting could not be set up. Nothing fails once it has been.
#[derive(Debug)]
pub enum StatsdError {
    /// The target cannot be resolved or reached.
    Target {
        /// The target as configured.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The thread could not be started.
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// The interval is not within [`INTERVAL_MIN`] to [`INTERVAL_MAX`].
    Interval {
        /// The interval as configured.
        interval: Duration,
    },
    /// A name or prefix is too long or has characters that mean something in the format.
    Name {
        /// The name as given.
        name: String,
    },
    /// A tag is empty, or has characters that mean something in the format.
    Tag {
        /// The tag, as `key:value`.
        tag: String,
    },
    /// All tags together do not fit a line.
    TagsTooLong {
        /// Their length in bytes, with separators.
        length: usize,
    },
    /// There are more than [`LINES_MAX`] lines in a report.
    TooManyLines {
        /// Their number.
        lines: usize,
    },
}

impl fmt::Display for StatsdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { target, source } => write!(
                f,
                "cannot send StatsD to {target:?}: {source}; give host:port (or [address]:port \
                 for IPv6) of a StatsD server whose name resolves"
            ),
            Self::Thread { source } => write!(
                f,
                "cannot start the StatsD thread: {source}; raise the limit of processes or memory"
            ),
            Self::Interval { interval } => write!(
                f,
                "StatsD interval {interval:?} is out of range: use {INTERVAL_MIN:?} to \
                 {INTERVAL_MAX:?}"
            ),
            Self::Name { name } => write!(
                f,
                "StatsD name {name:?} is invalid: use 1 to {} printable ASCII characters without \
                 space, `:`, `|`, `@` and `#`",
                encoder::NAME_MAX
            ),
            Self::Tag { tag } => write!(
                f,
                "StatsD tag {tag:?} is invalid: write key:value without spaces, `|`, `,`, `#` and \
                 control characters, and no `:` in the key"
            ),
            Self::TagsTooLong { length } => write!(
                f,
                "StatsD tags take {length} bytes together: use at most {}",
                encoder::TAGS_MAX
            ),
            Self::TooManyLines { lines } => {
                write!(f, "{lines} lines in a StatsD report: use at most {LINES_MAX}")
            }
        }
    }
}

impl std::error::Error for StatsdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Target { source, .. } | Self::Thread { source } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(target: &str) -> StatsdConfig {
        StatsdConfig { target: target.to_owned(), ..StatsdConfig::default() }
    }

    #[test]
    fn a_bad_target_is_named_with_what_to_do() {
        for target in ["", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:", "host.invalid:8125"] {
            let error = Statsd::new(&to(target)).unwrap_err();
            assert!(matches!(error, StatsdError::Target { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&format!("{target:?}")), "{text}");
            assert!(text.contains("give host:port"), "{text}");
        }
    }

    #[test]
    fn intervals_are_limited() {
        for interval in [Duration::ZERO, Duration::MAX, INTERVAL_MIN - Duration::from_nanos(1)] {
            let error = Statsd::new(&StatsdConfig { interval, ..to("127.0.0.1:1") }).unwrap_err();
            assert!(error.to_string().contains("10ms to 3600s"), "{error}");
        }
    }

    #[test]
    fn an_absent_server_fails_nothing_and_misses_only_what_was_sent_before_it_came() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        drop(server);
        let mut statsd = Statsd::new(&to(&address.to_string())).unwrap();
        let name = StatsdName::new("n").unwrap();
        for _ in 0..5 {
            statsd.encoder().gauge(&name, 1);
            statsd.flush();
        }
        let before = statsd.summary();
        assert_eq!(before.datagrams_sent + before.datagrams_failed, 5);

        // Another process may have taken the port meanwhile; then there is nothing to show.
        let Ok(server) = UdpSocket::bind(address) else { return };
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        statsd.encoder().gauge(&name, 2);
        statsd.flush();
        let mut datagram = [0; 64];
        let length = server.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], b"corelane.n:2|g");
    }

    #[test]
    fn ipv6_targets_work_where_there_is_ipv6() {
        let Ok(server) = UdpSocket::bind("[::1]:0") else { return };
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut statsd = Statsd::new(&to(&server.local_addr().unwrap().to_string())).unwrap();
        statsd.encoder().counter(&StatsdName::new("n").unwrap(), 3);
        statsd.flush();
        let mut datagram = [0; 64];
        let length = server.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], b"corelane.n:3|c");
    }
}
