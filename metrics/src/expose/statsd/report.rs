//! What each report says, from the counts and the time since the last one.

use std::time::{Duration, Instant};

use super::{StatsdEncoder, StatsdError, StatsdName};
use crate::registry::{CounterId, GaugeId, Registry};

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
        Ok(Self { lines: lines.collect(), last: now })
    }

    /// Writes all lines for the time since the last report, however long that is. Does nothing when
    /// no time has passed: what was counted stays for the next.
    pub fn render(&mut self, registry: &Registry, now: Instant, encoder: &mut StatsdEncoder) {
        let elapsed = now.saturating_duration_since(self.last);
        if elapsed.is_zero() {
            return;
        }
        self.last = now;
        for (line, before) in &mut self.lines {
            let mut counted = |id| {
                let total = registry.counter_total(id);
                total.wrapping_sub(std::mem::replace(before, total))
            };
            match line.value {
                StatsdValue::Rate(id) => encoder.gauge(&line.name, rate(counted(id), elapsed)),
                StatsdValue::Count(id) => encoder.counter(&line.name, counted(id)),
                StatsdValue::Level(id) => encoder.gauge(&line.name, registry.gauge_total(id)),
            }
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
