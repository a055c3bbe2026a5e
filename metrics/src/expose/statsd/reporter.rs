//! The thread that reports every interval.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Statsd, StatsdError, StatsdLine, StatsdReport};
use crate::registry::Registry;

/// A thread that sends a report every interval, and one about the rest when it is stopped.
///
/// ```
/// use std::sync::Arc;
///
/// use corelane_metrics::Registry;
/// use corelane_metrics::expose::statsd::{
///     Statsd, StatsdConfig, StatsdLine, StatsdReporter, StatsdValue,
/// };
///
/// let mut builder = Registry::builder();
/// let requests = builder.counter("requests_total", "Requests answered.");
/// let registry = Arc::new(builder.build()?);
///
/// let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let target = server.local_addr()?.to_string();
/// let statsd = Statsd::new(&StatsdConfig { target, ..StatsdConfig::default() })?;
/// let lines = vec![StatsdLine::new("requests", StatsdValue::Count(requests))?];
/// let reporter = StatsdReporter::spawn(statsd, Arc::clone(&registry), lines)?;
///
/// registry.shard(0)?.add(requests, 42);
/// let summary = reporter.stop();
/// assert_eq!(summary.datagrams_sent, 1);
/// # let mut datagram = [0; 64];
/// # let length = server.recv(&mut datagram)?;
/// # assert_eq!(&datagram[..length], b"corelane.requests:42|c");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StatsdReporter {
    /// Nothing is ever sent: dropping it is the word to stop.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<StatsdSummary>>,
}

/// What became of the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsdSummary {
    /// Taken by the kernel. Whether they arrive, UDP does not tell.
    pub datagrams_sent: u64,
    /// Not taken: nobody listens, no route, no room.
    pub datagrams_failed: u64,
}

impl StatsdReporter {
    /// Starts to report `lines` about `registry`, counting from now.
    ///
    /// # Errors
    ///
    /// [`StatsdError::TooManyLines`], and [`StatsdError::Thread`] when no thread can be started.
    ///
    /// # Panics
    ///
    /// If another registry declared the ids.
    pub fn spawn(
        statsd: Statsd,
        registry: Arc<Registry>,
        lines: Vec<StatsdLine>,
    ) -> Result<Self, StatsdError> {
        let report = StatsdReport::new(lines, &registry, Instant::now())?;
        Self::spawn_report(statsd, registry, report)
    }

    /// Starts to send a report made before about the same registry, such as one of all series
    /// ([`StatsdReport::with_families`]).
    ///
    /// # Errors
    ///
    /// [`StatsdError::Thread`] when no thread can be started.
    pub fn spawn_report(
        statsd: Statsd,
        registry: Arc<Registry>,
        report: StatsdReport,
    ) -> Result<Self, StatsdError> {
        let start = Instant::now();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("statsd".to_owned())
            .spawn(move || run(statsd, &registry, report, start, &stopped))
            .map_err(|source| StatsdError::Thread { source })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Sends what has been counted since the last report and ends the thread; takes no longer than
    /// that. Call it when the loops have stopped, so that it is the whole rest. Dropping the
    /// reporter does the same.
    pub fn stop(mut self) -> StatsdSummary {
        self.finish()
    }

    fn finish(&mut self) -> StatsdSummary {
        self.stop = None;
        // The thread runs no foreign code and does not panic; if it did, that would end here.
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for StatsdReporter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(
    mut statsd: Statsd,
    registry: &Registry,
    mut report: StatsdReport,
    start: Instant,
    stopped: &Receiver<Infallible>,
) -> StatsdSummary {
    let mut ticker = Ticker { due: start + statsd.interval(), interval: statsd.interval() };
    loop {
        let wait = ticker.due.saturating_duration_since(Instant::now());
        let stopping = stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        let now = Instant::now();
        if stopping || ticker.tick(now) {
            report.render(registry, now, statsd.encoder());
            statsd.progress.omits(report.omitted());
            statsd.flush();
        }
        if stopping {
            return statsd.summary();
        }
    }
}

/// When the next report is due: on a fixed grid, so that delays do not add up.
#[derive(Debug)]
struct Ticker {
    due: Instant,
    interval: Duration,
}

impl Ticker {
    /// Whether a report is due; then the next is due at the next point of the grid after `now`.
    /// Points that were missed (a suspended machine) are skipped, not made up for.
    fn tick(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        let late = (now - self.due).as_nanos() % self.interval.as_nanos();
        // The remainder is below the interval, which is at most an hour: it fits.
        self.due = now + self.interval - Duration::from_nanos(late as u64);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::super::{StatsdConfig, StatsdValue};
    use super::*;

    #[test]
    fn ticks_stay_on_the_grid_and_missed_ones_are_skipped() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut ticker = Ticker { due: at(1_000), interval: Duration::from_secs(1) };
        assert!(!ticker.tick(at(999)));
        assert!(ticker.tick(at(1_000)));
        assert_eq!(ticker.due, at(2_000));
        assert!(ticker.tick(at(2_300)));
        assert_eq!(ticker.due, at(3_000));
        assert!(ticker.tick(at(7_500)));
        assert_eq!(ticker.due, at(8_000));
        assert!(!ticker.tick(at(7_999)));
    }

    /// The numbers of all lines received so far, by name.
    fn received(server: &UdpSocket) -> Vec<(String, i64)> {
        let mut lines = Vec::new();
        let mut datagram = [0; 2_048];
        while let Ok(length) = server.recv(&mut datagram) {
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            for line in text.split('\n') {
                let (name, value) = line.split_once(':').unwrap();
                let (value, _) = value.split_once('|').unwrap();
                lines.push((name.to_owned(), value.parse().unwrap()));
            }
        }
        lines
    }

    #[test]
    fn datagrams_agree_with_the_counts_to_the_last() {
        const COUNT: u64 = 30_000;
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let registry = Arc::new(builder.build().unwrap());
        let statsd = Statsd::new(&StatsdConfig {
            target: server.local_addr().unwrap().to_string(),
            interval: Duration::from_millis(20),
            ..StatsdConfig::default()
        });
        let lines = vec![
            StatsdLine::new("requests", StatsdValue::Count(requests)).unwrap(),
            StatsdLine::new("rps", StatsdValue::Rate(requests)).unwrap(),
        ];
        let start = Instant::now();
        let reporter =
            StatsdReporter::spawn(statsd.unwrap(), Arc::clone(&registry), lines).unwrap();
        let loops = [0, 1].map(|index| {
            let shard = registry.shard(index).unwrap();
            thread::spawn(move || {
                for _ in 0..10 {
                    shard.add(requests, COUNT / 20);
                    thread::sleep(Duration::from_millis(7));
                }
            })
        });
        loops.into_iter().for_each(|thread| thread.join().unwrap());
        let summary = reporter.stop();
        let elapsed = start.elapsed();

        let lines = received(&server);
        assert_eq!(summary.datagrams_sent, lines.len() as u64 / 2);
        assert_eq!(summary.datagrams_failed, 0);
        assert!(summary.datagrams_sent >= 2, "{summary:?}");
        let sum = |wanted: &str| -> i64 {
            lines.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).sum()
        };
        assert_eq!(sum("corelane.requests"), COUNT as i64);
        // Some interval was at least as fast as the mean over the whole run.
        let mean = COUNT as f64 / elapsed.as_secs_f64();
        let highest = lines.iter().filter(|(name, _)| name == "corelane.rps").map(|l| l.1).max();
        assert!(highest.unwrap() as f64 >= mean - 1.0, "{highest:?} {mean}");
    }

    #[test]
    fn stopping_does_not_wait_for_the_interval_and_sends_the_rest() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let registry = Arc::new(builder.build().unwrap());
        let statsd = Statsd::new(&StatsdConfig {
            target: server.local_addr().unwrap().to_string(),
            interval: super::super::INTERVAL_MAX,
            ..StatsdConfig::default()
        });
        let lines = vec![StatsdLine::new("requests", StatsdValue::Count(requests)).unwrap()];
        let reporter =
            StatsdReporter::spawn(statsd.unwrap(), Arc::clone(&registry), lines).unwrap();
        registry.shard(0).unwrap().add(requests, 3);
        let before = Instant::now();
        drop(reporter);
        assert!(before.elapsed() < Duration::from_secs(60));
        assert_eq!(received(&server), [("corelane.requests".to_owned(), 3)]);
    }
}
