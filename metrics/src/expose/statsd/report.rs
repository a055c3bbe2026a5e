//! What each report says, from the counts and the time since the last one.

use std::time::{Duration, Instant};

use super::families::Families;
use super::{StatsdEncoder, StatsdError, StatsdFlavour, StatsdName};
use crate::registry::{CounterId, GaugeId, Registry};
use crate::snapshot::Snapshot;

/// The highest number of lines in a report.
pub const LINES_MAX: usize = 1_024;

/// One line of every report: a name and where its number comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdLine {
    /// The name, without the prefix.
    pub name: StatsdName,
    /// Where the number comes from.
    pub value: StatsdValue,
}

impl StatsdLine {
    /// A line; for instance `StatsdLine::new("rps", StatsdValue::Rate(requests))`.
    ///
    /// # Errors
    ///
    /// [`StatsdError::Name`].
    pub fn new(name: &str, value: StatsdValue) -> Result<Self, StatsdError> {
        Ok(Self { name: StatsdName::new(name)?, value })
    }
}

/// Where the number of a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsdValue {
    /// What was counted since the last report by the seconds since then, rounded: a gauge.
    Rate(CounterId),
    /// What was counted since the last report: a counter.
    Count(CounterId),
    /// The level now: a gauge.
    Level(GaugeId),
}

/// Writes a report of what happened since the last one. Reads no clock and sends nothing.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use corelane_metrics::Registry;
/// use corelane_metrics::expose::statsd::{StatsdEncoder, StatsdLine, StatsdReport, StatsdValue};
///
/// let mut builder = Registry::builder();
/// let requests = builder.counter("requests_total", "Requests answered.");
/// let registry = builder.build()?;
/// let shard = registry.shard(0)?;
///
/// let start = Instant::now();
/// let rps = StatsdLine::new("rps", StatsdValue::Rate(requests))?;
/// let mut report = StatsdReport::new(vec![rps], &registry, start)?;
/// shard.add(requests, 24_690);
/// let mut encoder = StatsdEncoder::new("corelane", &[])?;
/// report.render(&registry, start + Duration::from_secs(2), &mut encoder);
/// assert_eq!(encoder.datagrams().next(), Some(&b"corelane.rps:12345|g"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatsdReport {
    /// Each line, and the total its counter had at the last report.
    lines: Vec<(StatsdLine, u64)>,
    families: Option<Families>,
    omitted: usize,
    last: Instant,
}

impl StatsdReport {
    /// A report that counts from `now` on.
    ///
    /// # Errors
    ///
    /// [`StatsdError::TooManyLines`].
    ///
    /// # Panics
    ///
    /// If another registry declared the ids.
    pub fn new(
        lines: Vec<StatsdLine>,
        registry: &Registry,
        now: Instant,
    ) -> Result<Self, StatsdError> {
        if lines.len() > LINES_MAX {
            return Err(StatsdError::TooManyLines { lines: lines.len() });
        }
        let total = |line: &StatsdLine| match line.value {
            StatsdValue::Rate(id) | StatsdValue::Count(id) => registry.counter_total(id),
            StatsdValue::Level(id) => {
                registry.gauge_total(id);
                0
            }
        };
        let lines = lines.into_iter().map(|line| (total(&line), line)).map(|(n, l)| (l, n));
        Ok(Self { lines: lines.collect(), families: None, omitted: 0, last: now })
    }

    /// Reports all series of the registry besides, those that come later included, from their
    /// values now on; together in at most `lines_max` lines, which are [`LINES_MAX`] at most. A
    /// negative gauge takes two, but counts as one.
    ///
    /// - A counter is what was counted since the last report; there is no line if nothing was.
    /// - A gauge is its level, summed over all loops.
    /// - A histogram `h` is a counter `h.count` and gauges `h.p50`, `h.p90`, `h.p99`, `h.p99_9` and
    ///   `h.max`, in its unit, of the values since the last report, if there were any. Quantiles of
    ///   several servers cannot be averaged: where that matters, scrape histograms
    ///   ([`crate::expose::prometheus`]).
    ///
    /// Names lose the prefix that the encoder adds, and the `_total` of counters: with the prefix
    /// `corelane`, `corelane_http_requests_total` is `corelane.http_requests`. Characters that a
    /// name or a tag cannot hold become `_`; label values are cut after 96 bytes, and names with the
    /// labels in them after 116; series that are called the same then are numbered.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use corelane_metrics::Registry;
    /// use corelane_metrics::expose::statsd::{StatsdEncoder, StatsdFlavour, StatsdReport};
    ///
    /// let mut builder = Registry::builder();
    /// let [_, errors] =
    ///     builder.counter_family("corelane_responses_total", "", "class", ["2xx", "5xx"]);
    /// let registry = builder.build()?;
    /// let start = Instant::now();
    /// let report = StatsdReport::new(Vec::new(), &registry, start)?;
    /// let mut report = report.with_families(&registry, StatsdFlavour::Dog, 200);
    ///
    /// registry.shard(0)?.add(errors, 2);
    /// let mut encoder = StatsdEncoder::new("corelane", &[])?;
    /// report.render(&registry, start + Duration::from_secs(1), &mut encoder);
    /// assert_eq!(encoder.datagrams().next(), Some(&b"corelane.responses:2|c|#class:5xx"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_families(
        mut self,
        registry: &Registry,
        flavour: StatsdFlavour,
        lines_max: usize,
    ) -> Self {
        self.families = Some(Families::new(registry, flavour, lines_max));
        self
    }

    /// Reports figures of the process besides, after [`Self::with_families`] only: those that `read` tells
    /// each time, whose counters count from their values now on, and what the process uses
    /// ([`crate::ProcessFigures`]; processor time in milliseconds).
    ///
    /// `read` is called once per report, by whoever renders it.
    #[must_use]
    pub fn with_process(
        mut self,
        registry: &Registry,
        read: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Self {
        self.families = self.families.map(|families| families.with_process(registry, read));
        self
    }

    /// How many series the last report left out, because it was full or their lines were too long.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Writes all lines for the time since the last report, however long that is. Does nothing when
    /// no time has passed: what was counted stays for the next.
    pub fn render(&mut self, registry: &Registry, now: Instant, encoder: &mut StatsdEncoder) {
        let elapsed = now.saturating_duration_since(self.last);
        if elapsed.is_zero() {
            return;
        }
        self.last = now;
        self.omitted = 0;
        for (line, before) in &mut self.lines {
            let mut counted = |id| {
                let total = registry.counter_total(id);
                total.wrapping_sub(std::mem::replace(before, total))
            };
            match line.value {
                StatsdValue::Rate(id) => encoder.gauge(&line.name, rate(counted(id), elapsed)),
                StatsdValue::Count(id) => encoder.counter(&line.name, counted(id)),
                StatsdValue::Level(id) => encoder.gauge(&line.name, registry.gauge_total(id)),
            };
        }
        if let Some(families) = &mut self.families {
            self.omitted = families.render(registry, encoder);
        }
    }
}

/// Occurrences per second, rounded to the nearest. `elapsed` is not zero.
fn rate(count: u64, elapsed: Duration) -> i64 {
    let nanoseconds = elapsed.as_nanos();
    let rounded = (u128::from(count) * 1_000_000_000 + nanoseconds / 2) / nanoseconds;
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_and_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(0, second), 0);
        assert_eq!(rate(12_345, second), 12_345);
        assert_eq!(rate(1, 3 * second), 0);
        assert_eq!(rate(2, 3 * second), 1);
        assert_eq!(rate(3, 2 * second), 2);
        assert_eq!(rate(10, second / 4), 40);
        assert_eq!(rate(u64::MAX, Duration::from_nanos(1)), i64::MAX);
        assert_eq!(rate(u64::MAX, Duration::MAX), 1);
    }

    #[test]
    fn each_report_says_what_happened_since_the_last() {
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let open = builder.gauge("open", "");
        let registry = builder.build().unwrap();
        let shards = [registry.shard(0).unwrap(), registry.shard(1).unwrap()];
        shards[0].add(requests, 1_000_000);

        let lines = [
            StatsdLine::new("rps", StatsdValue::Rate(requests)),
            StatsdLine::new("requests", StatsdValue::Count(requests)),
            StatsdLine::new("open", StatsdValue::Level(open)),
        ];
        let lines = lines.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        let mut now = Instant::now();
        let mut report = StatsdReport::new(lines, &registry, now).unwrap();
        let mut said = |after: Duration| {
            now += after;
            let mut encoder = StatsdEncoder::new("c", &[]).unwrap();
            report.render(&registry, now, &mut encoder);
            let joined = encoder.datagrams().collect::<Vec<_>>().concat();
            String::from_utf8(joined).unwrap()
        };

        shards[0].add(requests, 100);
        shards[1].add(requests, 23);
        shards[1].set(open, 7);
        assert_eq!(said(Duration::ZERO), "");
        assert_eq!(said(Duration::from_secs(1)), "c.rps:123|g\nc.requests:123|c\nc.open:7|g");
        assert_eq!(said(Duration::from_secs(1)), "c.rps:0|g\nc.requests:0|c\nc.open:7|g");
        // The last, partial interval: 250 ms.
        shards[0].add(requests, 50);
        assert_eq!(said(Duration::from_millis(250)), "c.rps:200|g\nc.requests:50|c\nc.open:7|g");
    }

    #[test]
    fn the_number_of_lines_is_limited() {
        let mut builder = Registry::builder();
        let value = StatsdValue::Level(builder.gauge("open", ""));
        let registry = builder.build().unwrap();
        let lines = vec![StatsdLine::new("n", value).unwrap(); LINES_MAX + 1];
        let error = StatsdReport::new(lines, &registry, Instant::now()).unwrap_err();
        assert!(error.to_string().contains("at most 1024"), "{error}");
    }
}
