//! Snapshots, process figures and heat maps as JSON, for status pages and viewers.
//!
//! ```text
//! {"loops": 2,
//!  "counters": [{"name": …, "labels": {…}, "help": …, "total": 7, "per_loop": [3, 4]}, …],
//!  "gauges": [like counters],
//!  "histograms": [{"name": …, "labels": {…}, "help": …, "unit": "nanoseconds",
//!    "count": 7, "count_per_loop": [3, 4], "sum": …, "mean": …, "min": …,
//!    "p50": …, "p90": …, "p99": …, "p99_9": …, "max": …}, …],
//!  "process": {"cpu_user_seconds": …, …, "started_unix_seconds": …}}
//! ```
//!
//! That is [`status`]. In [`whole`], each histogram has all its values besides, as
//! `"buckets": [[lowest, highest, count], …]`, from low to high and without empty ones;
//! [`read_histogram`] makes a histogram of them again, to be merged and subtracted.
//!
//! Process figures that are not known are `null`. Counts are whole numbers up to 2⁶⁴ − 1; readers
//! that keep numbers as doubles (JavaScript) round above 2⁵³.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::heat::{HeatColumn, HeatMap, ROWS, row_bounds};
use crate::histogram::{Bucket, BucketsError, HistogramSnapshot};
use crate::process::ProcessFigures;
use crate::registry::Description;
use crate::snapshot::{HistogramSeries, Snapshot};

/// A snapshot and the process figures as one JSON object.
///
/// ```
/// use corelane_metrics::expose::json;
/// use corelane_metrics::{ProcessFigures, Registry};
///
/// let mut builder = Registry::builder();
/// let requests = builder.counter("requests_total", "Requests answered.");
/// let registry = builder.build()?;
/// registry.shard(0)?.add(requests, 7);
///
/// let status = json::status(&registry.snapshot(), &ProcessFigures::read());
/// assert_eq!(status["counters"][0]["total"], 7);
/// let text = status.to_string();
/// assert!(text.starts_with('{'));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn status(snapshot: &Snapshot, process: &ProcessFigures) -> Value {
    values(snapshot, process, histogram)
}

/// The same with all buckets: for viewers, which take the difference of two, and so know the
/// distribution of any span of time. A histogram in use has 10 to 300 buckets of about 20 bytes.
///
/// ```
/// use corelane_metrics::expose::json;
/// use corelane_metrics::{ProcessFigures, Registry, Unit};
///
/// let mut builder = Registry::builder();
/// let latency = builder.histogram("latency", "Time to answer.", Unit::Nanoseconds);
/// let registry = builder.build()?;
/// registry.shard(0)?.record_n(latency, 18_000, 3);
///
/// let whole = json::whole(&registry.snapshot(), &ProcessFigures::read());
/// assert_eq!(whole["histograms"][0]["buckets"].to_string(), "[[17920,18175,3]]");
/// let histogram = json::read_histogram(&whole["histograms"][0])?;
/// assert_eq!(histogram, registry.histogram_merged(latency));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn whole(snapshot: &Snapshot, process: &ProcessFigures) -> Value {
    values(snapshot, process, |series| {
        let mut value = histogram(series);
        let buckets = series.merged().buckets();
        value["buckets"] = buckets.map(|b| json!([b.lowest, b.highest, b.count])).collect();
        value
    })
}

/// The histogram that a member of `"histograms"` in [`whole`] describes; of anything else there is
/// no need to be sure.
///
/// # Errors
///
/// [`ReadError::Shape`] unless there are `buckets`, `sum`, `min` and `max` as written above, and
/// [`ReadError::Buckets`] unless they agree with each other.
pub fn read_histogram(value: &Value) -> Result<HistogramSnapshot, ReadError> {
    let number = |name: &'static str| value[name].as_u64().ok_or(ReadError::Shape { name });
    let (sum, min, max) = (number("sum")?, number("min")?, number("max")?);
    let shape = ReadError::Shape { name: "buckets" };
    let listed = value["buckets"].as_array().ok_or(shape)?;
    let bucket = |value: &Value| match value.as_array()?.as_slice() {
        [lowest, highest, count] => Some(Bucket {
            lowest: lowest.as_u64()?,
            highest: highest.as_u64()?,
            count: count.as_u64()?,
        }),
        _ => None,
    };
    let buckets: Option<Vec<_>> = listed.iter().map(bucket).collect();
    HistogramSnapshot::from_buckets(buckets.ok_or(shape)?, sum, min, max)
        .map_err(ReadError::Buckets)
}

/// Why JSON could not be read as a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// A part is missing, or is not what it should be.
    Shape {
        /// Its name.
        name: &'static str,
    },
    /// The parts do not agree with each other.
    Buckets(BucketsError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { name } => {
                write!(f, "the histogram's {name:?} is missing or malformed")
            }
            Self::Buckets(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

/// A heat map whose epoch is that of Unix:
///
/// ```text
/// {"unit": "nanoseconds", "column_ms": 1000, "rows": [[lowest, highest], …],
///  "columns": [{"at_unix_ms": …, "counts": [[row, count], …]}, …], "expired": 0}
/// ```
///
/// Columns are in the order of time and without gaps, each with its rows that are not empty; rows
/// count from 0, the fastest. With `since`, only columns that begin later are listed.
///
/// ```
/// use std::time::Duration;
///
/// use corelane_metrics::HeatMap;
/// use corelane_metrics::expose::json;
///
/// let mut map = HeatMap::default();
/// map.record_n(Duration::from_millis(1_700_000_000_250), 1_100, 3);
/// let value = json::heat(&map, None);
/// assert_eq!(value["columns"].to_string(), r#"[{"at_unix_ms":1700000000000,"counts":[[1,3]]}]"#);
/// assert_eq!(value["rows"][1].to_string(), "[1024,1279]");
/// ```
pub fn heat(map: &HeatMap, since: Option<Duration>) -> Value {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let column = |column: HeatColumn<'_>| {
        let counts = column.counts().iter().enumerate().filter(|(_, count)| **count > 0);
        json!({
            "at_unix_ms": milliseconds(column.at()),
            "counts": counts.map(|(row, count)| json!([row, count])).collect::<Value>(),
        })
    };
    let columns = map.columns().filter(|column| since.is_none_or(|since| column.at() > since));
    json!({
        "unit": "nanoseconds",
        "column_ms": milliseconds(map.width()),
        "rows": (0..ROWS).map(|row| json!(row_bounds(row))).collect::<Value>(),
        "columns": columns.map(column).collect::<Value>(),
        "expired": map.expired(),
    })
}

fn values(
    snapshot: &Snapshot,
    process: &ProcessFigures,
    histogram: impl Fn(&HistogramSeries) -> Value,
) -> Value {
    let counters = snapshot.counters().iter().map(|series| {
        described(
            series.description(),
            json!({ "total": series.total(), "per_loop": series.per_loop() }),
        )
    });
    let gauges = snapshot.gauges().iter().map(|series| {
        described(
            series.description(),
            json!({ "total": series.total(), "per_loop": series.per_loop() }),
        )
    });
    json!({
        "loops": snapshot.loops(),
        "counters": counters.collect::<Value>(),
        "gauges": gauges.collect::<Value>(),
        "histograms": snapshot.histograms().iter().map(histogram).collect::<Value>(),
        "process": figures(process),
    })
}

fn histogram(series: &HistogramSeries) -> Value {
    let merged = series.merged();
    let values = json!({
        "unit": series.description().unit.name(),
        "count": merged.count(),
        "count_per_loop": series.count_per_loop(),
        "sum": merged.sum(),
        "mean": merged.mean(),
        "min": merged.min(),
        "p50": merged.quantile(0.5),
        "p90": merged.quantile(0.9),
        "p99": merged.quantile(0.99),
        "p99_9": merged.quantile(0.999),
        "max": merged.max(),
    });
    described(series.description(), values)
}

/// Adds to `values` what the series is.
fn described(description: &Description, mut values: Value) -> Value {
    let labels = description.labels.iter().map(|(key, value)| (key.to_string(), json!(value)));
    values["name"] = json!(description.name);
    values["labels"] = Value::Object(labels.collect::<Map<_, _>>());
    values["help"] = json!(description.help);
    values
}

fn figures(process: &ProcessFigures) -> Value {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    json!({
        "cpu_user_seconds": seconds(process.cpu_user),
        "cpu_system_seconds": seconds(process.cpu_system),
        "memory_resident_bytes": process.memory_resident,
        "memory_resident_max_bytes": process.memory_resident_max,
        "descriptors_open": process.descriptors_open,
        "descriptors_limit": process.descriptors_limit,
        "threads": process.threads,
        "started_unix_seconds": process.started_since_epoch().map(|since| since.as_secs()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::registry::{Registry, Unit};

    #[test]
    fn everything_is_there_and_escaped() {
        let mut builder = Registry::builder();
        let hostile = "a\"b\\c\n\u{1}</script>";
        let closed = builder.counter_with_labels("closed", hostile, &[("reason", hostile)]);
        let open = builder.gauge("open", "Open.");
        let latency = builder.histogram("latency", "Latency.", Unit::Nanoseconds);
        let registry = builder.build().unwrap();
        let shard = registry.shard(1).unwrap();
        shard.add(closed, u64::MAX);
        shard.set(open, -3);
        (1..=100).for_each(|value| shard.record(latency, value));

        let text = status(&registry.snapshot(), &ProcessFigures::default()).to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        let counter = &read["counters"][0];
        assert_eq!(counter["labels"]["reason"], hostile);
        assert_eq!(counter["help"], hostile);
        assert_eq!(counter["total"], u64::MAX);
        assert_eq!(counter["per_loop"], json!([0, u64::MAX]));
        assert_eq!(read["gauges"][0]["total"], -3);
        let latency = &read["histograms"][0];
        assert_eq!(latency["unit"], "nanoseconds");
        assert_eq!(latency["count_per_loop"], json!([0, 100]));
        assert_eq!((&latency["p50"], &latency["p99"]), (&json!(50), &json!(99)));
        assert_eq!((&latency["mean"], &latency["max"]), (&json!(50.5), &json!(100)));
        assert_eq!(read["loops"], 2);
        assert_eq!(read["process"]["threads"], Value::Null);
    }

    #[test]
    fn histograms_read_from_text_are_the_same_and_nonsense_is_refused() {
        let mut builder = Registry::builder();
        let [used, unused] = builder.histogram_family("h", "", Unit::Bytes, "kind", ["a", "b"]);
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        (0..60).for_each(|bits| shard.record_n(used, 1 << bits, bits + 1));
        let text = whole(&registry.snapshot(), &ProcessFigures::default()).to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        for (id, value) in [used, unused].into_iter().zip(read["histograms"].as_array().unwrap()) {
            assert_eq!(read_histogram(value), Ok(registry.histogram_merged(id)));
        }

        let good = &read["histograms"][0];
        for (name, bad) in [
            ("sum", json!(-1)),
            ("min", json!(1.5)),
            ("max", Value::Null),
            ("buckets", json!({})),
            ("buckets", json!([[1, 1]])),
            ("buckets", json!([[1, 1, 1, 1]])),
            ("buckets", json!([[1, 1, "1"]])),
            ("buckets", json!([1])),
        ] {
            let mut value = good.clone();
            value[name] = bad;
            assert_eq!(read_histogram(&value), Err(ReadError::Shape { name }));
        }
        let mut value = good.clone();
        value["max"] = json!(0);
        assert!(matches!(read_histogram(&value), Err(ReadError::Buckets(_))));
        for value in [Value::Null, json!([]), json!("histogram")] {
            assert!(read_histogram(&value).is_err());
        }
    }

    #[test]
    fn heat_maps_list_the_columns_asked_for() {
        let second = Duration::from_secs(1);
        let mut map = HeatMap::new(second, 3).unwrap();
        (1..=5).for_each(|n| map.record_n(n * second, 2_000, u64::from(n)));
        let at = |value: &Value| -> Vec<u64> {
            let columns = value["columns"].as_array().unwrap().iter();
            columns.map(|column| column["at_unix_ms"].as_u64().unwrap()).collect()
        };
        assert_eq!(at(&heat(&map, None)), [3_000, 4_000, 5_000]);
        assert_eq!(at(&heat(&map, Some(3 * second))), [4_000, 5_000]);
        assert_eq!(at(&heat(&map, Some(9 * second))), [0; 0]);
        let value = heat(&map, None);
        assert_eq!((&value["column_ms"], &value["expired"]), (&json!(1_000), &json!(3)));
        assert_eq!(value["rows"].as_array().unwrap().len(), ROWS);
        let row = value["columns"][2]["counts"][0][0].as_u64().unwrap() as usize;
        let (lowest, highest) = row_bounds(row).unwrap();
        assert!((lowest..=highest).contains(&2_000));
    }

    #[test]
    fn process_figures_are_in_base_units() {
        let process = ProcessFigures {
            cpu_user: Some(Duration::from_millis(1_250)),
            started: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(77)),
            descriptors_open: Some(12),
            ..ProcessFigures::default()
        };
        let figures = figures(&process);
        assert_eq!(figures["cpu_user_seconds"], 1.25);
        assert_eq!(figures["started_unix_seconds"], 77);
        assert_eq!(figures["descriptors_open"], 12);
    }
}
