//! Snapshots and process figures as JSON, for a status page.
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
//! Process figures that are not known are `null`. Counts are whole numbers up to 2⁶⁴ − 1; readers
//! that keep numbers as doubles (JavaScript) round above 2⁵³.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

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
    let started = process.started.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({
        "cpu_user_seconds": seconds(process.cpu_user),
        "cpu_system_seconds": seconds(process.cpu_system),
        "memory_resident_bytes": process.memory_resident,
        "memory_resident_max_bytes": process.memory_resident_max,
        "descriptors_open": process.descriptors_open,
        "descriptors_limit": process.descriptors_limit,
        "threads": process.threads,
        "started_unix_seconds": started.map(|since| since.as_secs()),
    })
}

#[cfg(test)]
mod tests {
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
