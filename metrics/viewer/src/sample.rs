//! One answer of `/metrics.json`: everything a server has counted, at one time.

use corelane_metrics::{Bucket, BucketsError, HistogramSnapshot};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::text;

/// The most series of a kind, and loops, that are read of an answer.
const SERIES_MAX: usize = 10_000;
const LOOPS_MAX: usize = 4_096;

/// Everything that a server has counted since it started, at one time. What an answer does not have is
/// zero or empty; names are as [`text::clean`] leaves them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Which server it is.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Differs for every start of a server.
    pub instance: String,
    /// When it was taken, by the server's clock: milliseconds since 1970.
    pub at_unix_ms: u64,
    /// How long the server has been up; by a clock that never jumps.
    pub uptime_seconds: f64,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Open connections, and how many there may be.
    pub connections: Connections,
    /// Whether it is about to end.
    pub stopping: bool,
    /// How many loops it has.
    pub loops: usize,
    /// What only grows.
    pub counters: Vec<Counter>,
    /// What goes up and down.
    pub gauges: Vec<Gauge>,
    /// Distributions.
    pub histograms: Vec<Histogram>,
    /// What the system says of the process.
    pub process: Process,
}

/// Open connections and their limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// The most there may be, if that is known.
    pub limit: Option<u64>,
}

/// What the system says of the server's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Processor time in its own code.
    pub cpu_user_seconds: Option<f64>,
    /// Processor time in the kernel on its behalf.
    pub cpu_system_seconds: Option<f64>,
    /// Memory that is in RAM.
    pub memory_resident_bytes: Option<u64>,
    /// Open descriptors.
    pub descriptors_open: Option<u64>,
    /// How many there may be.
    pub descriptors_limit: Option<u64>,
}

/// What a series is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its labels, in the order of their keys.
    pub labels: Vec<(String, String)>,
}

/// A value that only grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counter {
    /// What it is called.
    pub key: Key,
    /// Over all loops.
    pub total: u64,
    /// Of each loop.
    pub per_loop: Vec<u64>,
}

/// A value that goes up and down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauge {
    /// What it is called.
    pub key: Key,
    /// Over all loops.
    pub total: i64,
    /// Of each loop.
    pub per_loop: Vec<i64>,
}

/// A distribution over all loops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// What it is called.
    pub key: Key,
    /// The values.
    pub values: HistogramSnapshot,
}

/// Why an answer is not read.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// It is no JSON, or not of this form.
    #[error("the answer is not what a corelane server says: {0}")]
    Form(#[from] serde_json::Error),
    /// A histogram contradicts itself, or has other buckets than ours.
    #[error("the answer's histogram {name} cannot be read: {source}")]
    Histogram {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        source: BucketsError,
    },
    /// It has more series or loops than are read.
    #[error("the answer has too many {what}: {count}, at most {most} are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it has.
        count: usize,
        /// How many are read.
        most: usize,
    },
}

impl Sample {
    /// Reads the body of an answer. Keys that are not known are skipped.
    ///
    /// ```
    /// use corelane_viewer::Sample;
    ///
    /// let text = br#"{"instance": "a1", "uptime_seconds": 7.5, "counters":
    ///     [{"name": "corelane_http_requests_total", "total": 9, "per_loop": [4, 5]}]}"#;
    /// let sample = Sample::read(text)?;
    /// assert_eq!(sample.counter("corelane_http_requests_total").map(|counter| counter.total), Some(9));
    /// # Ok::<(), corelane_viewer::SampleError>(())
    /// ```
    ///
    /// # Errors
    /// See [`SampleError`].
    pub fn read(body: &[u8]) -> Result<Sample, SampleError> {
        let wire: Wire = serde_json::from_slice(body)?;
        wire.sample()
    }

    /// The counter of that name without labels.
    pub fn counter(&self, name: &str) -> Option<&Counter> {
        self.counters.iter().find(|counter| counter.key.is(name))
    }

    /// The gauge of that name without labels.
    pub fn gauge(&self, name: &str) -> Option<&Gauge> {
        self.gauges.iter().find(|gauge| gauge.key.is(name))
    }

    /// The histogram of that name without labels.
    pub fn histogram(&self, name: &str) -> Option<&Histogram> {
        self.histograms.iter().find(|histogram| histogram.key.is(name))
    }
}

impl Key {
    /// Whether it is that name without labels.
    pub fn is(&self, name: &str) -> bool {
        self.name == name && self.labels.is_empty()
    }

    /// The value of the only label, if the name is that and so is the label's key.
    pub fn member(&self, name: &str, label: &str) -> Option<&str> {
        match self.labels.as_slice() {
            [(key, value)] if self.name == name && key == label => Some(value),
            _ => None,
        }
    }
}

/// An answer as it is written.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    name: String,
    version: String,
    instance: Value,
    at_unix_ms: u64,
    uptime_seconds: f64,
    addresses: Vec<String>,
    connections: Connections,
    stopping: bool,
    loops: usize,
    counters: Vec<WireSeries<u64>>,
    gauges: Vec<WireSeries<i64>>,
    histograms: Vec<WireHistogram>,
    process: Process,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireSeries<T: Default> {
    name: String,
    labels: Map<String, Value>,
    total: T,
    per_loop: Vec<T>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireHistogram {
    name: String,
    labels: Map<String, Value>,
    sum: u64,
    min: u64,
    max: u64,
    buckets: Vec<(u64, u64, u64)>,
}

impl Wire {
    fn sample(self) -> Result<Sample, SampleError> {
        for (what, count) in [
            ("counters", self.counters.len()),
            ("gauges", self.gauges.len()),
            ("histograms", self.histograms.len()),
        ] {
            if count > SERIES_MAX {
                return Err(SampleError::TooMany { what, count, most: SERIES_MAX });
            }
        }
        if self.loops > LOOPS_MAX {
            let (count, most) = (self.loops, LOOPS_MAX);
            return Err(SampleError::TooMany { what: "loops", count, most });
        }
        let counters = self.counters.into_iter().map(|series| Counter {
            key: key(&series.name, &series.labels),
            total: series.total,
            per_loop: cut(series.per_loop),
        });
        let gauges = self.gauges.into_iter().map(|series| Gauge {
            key: key(&series.name, &series.labels),
            total: series.total,
            per_loop: cut(series.per_loop),
        });
        let histograms = self.histograms.iter().map(WireHistogram::histogram);
        let histograms = histograms.collect::<Result<_, _>>()?;
        Ok(Sample {
            name: text::clean(&self.name),
            version: text::clean(&self.version),
            instance: plain(&self.instance),
            at_unix_ms: self.at_unix_ms,
            uptime_seconds: self.uptime_seconds,
            addresses: self
                .addresses
                .iter()
                .take(LOOPS_MAX)
                .map(|name| text::clean(name))
                .collect(),
            connections: self.connections,
            stopping: self.stopping,
            loops: self.loops,
            counters: counters.collect(),
            gauges: gauges.collect(),
            histograms,
            process: self.process,
        })
    }
}

impl WireHistogram {
    fn histogram(&self) -> Result<Histogram, SampleError> {
        let key = key(&self.name, &self.labels);
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|&(lowest, highest, count)| Bucket { lowest, highest, count });
        match HistogramSnapshot::from_buckets(buckets, self.sum, self.min, self.max) {
            Ok(values) => Ok(Histogram { key, values }),
            Err(source) => Err(SampleError::Histogram { name: key.name, source }),
        }
    }
}

fn cut<T>(mut per_loop: Vec<T>) -> Vec<T> {
    per_loop.truncate(LOOPS_MAX);
    per_loop
}

fn key(name: &str, labels: &Map<String, Value>) -> Key {
    let mut labels: Vec<_> =
        labels.iter().map(|(key, value)| (text::clean(key), plain(value))).collect();
    labels.sort();
    Key { name: text::clean(name), labels }
}

/// A string as itself, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text::clean(text),
        Value::Null => String::new(),
        other => text::clean(&other.to_string()),
    }
}
