//! What is written is read back: by our own lint always, and by the official client library of
//! Prometheus where it is installed.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::lint::{self, Family};
use super::*;
use crate::registry::{Registry, Shard};

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

fn figures() -> ProcessFigures {
    ProcessFigures {
        cpu_user: Some(Duration::from_millis(1_250)),
        cpu_system: Some(Duration::from_millis(20)),
        memory_resident: Some(5 << 20),
        memory_resident_max: Some(6 << 20),
        descriptors_open: Some(12),
        descriptors_limit: Some(u64::MAX),
        threads: Some(3),
        started: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)),
    }
}

/// The values of the samples of that name, with their labels as `key=value`.
fn samples(families: &[Family], name: &str) -> Vec<(String, f64)> {
    let samples = families.iter().flat_map(|family| &family.samples);
    samples
        .filter(|sample| sample.name == name)
        .map(|sample| {
            let labels: Vec<_> = sample.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            (labels.join(","), sample.value)
        })
        .collect()
}

/// A registry with two loops, one of each kind, and label values as given.
fn registry(values: &[String]) -> (Registry, [Shard; 2]) {
    let mut builder = Registry::builder();
    let requests = builder.counter("c_requests_total", "Requests: \\ \" all\nof them.");
    let routes =
        builder.counter_family_with_capacity("c_route_total", "By route.", "route", values.len());
    let busy = builder.counter("c_busy_nanoseconds_total", "Time at work.");
    let open = builder.gauge("c_open", "Open.");
    let by_route = builder.histogram_family_with_capacity(
        "c_latency_ns",
        "Time to answer.",
        Unit::Nanoseconds,
        "route",
        values.len(),
    );
    let sizes = builder.histogram("c_size", "Sizes.", Unit::Bytes);
    let batches = builder.histogram("c_batch", "Requests in a turn.", Unit::None);
    let registry = builder.build().unwrap();
    let shards = [0, 1].map(|index| registry.shard(index).unwrap());
    for (shard, factor) in shards.iter().zip([1_u64, 10]) {
        shard.add(requests, 7 * factor);
        shard.add(busy, 1_500_000_001 * factor);
        shard.set(open, -3 * factor as i64);
        for (value, count) in values.iter().zip(1..) {
            shard.add(routes.member(value), count);
            let latency = by_route.member(value);
            (0..60).for_each(|bits| shard.record_n(latency, 1 << bits, count));
        }
        (0..60).for_each(|bits| shard.record(sizes, 1 << bits));
        (0..60).for_each(|bits| shard.record(batches, (1 << bits) - 1));
    }
    (registry, shards)
}

#[test]
fn every_kind_is_written_with_its_sums_and_loops() {
    let (registry, _shards) = registry(&["/".to_owned()]);
    for format in FORMATS {
        let text = render(format, &registry.snapshot(), &figures());
        let families = lint::check(format, &text).unwrap();
        let of = |name| samples(&families, name);
        let one = |labels: &str, value| vec![(labels.to_owned(), value)];
        assert_eq!(of("c_requests_total"), one("", 77.0));
        let loops = [("loop=0".to_owned(), 7.0), ("loop=1".to_owned(), 70.0)];
        assert_eq!(of("c_requests_per_loop_total"), loops);
        assert_eq!(of("c_route_total"), one("route=/", 2.0));
        assert_eq!(of("c_busy_seconds_total"), one("", 16.500_000_011));
        assert_eq!(of("c_busy_per_loop_seconds_total")[0].1, 1.500_000_001);
        assert_eq!(of("c_open"), one("", -33.0));
        assert_eq!(of("c_open_per_loop")[1].1, -30.0);
        assert_eq!(of("c_latency_seconds_count"), one("route=/", 120.0));
        assert_eq!(of("process_cpu_seconds_total"), one("", 1.27));
        assert_eq!(of("process_open_fds"), one("", 12.0));
        assert_eq!(of("process_start_time_seconds"), one("", 1_700_000_000.5));
        assert!(families[0].help.starts_with("Requests: \\ \" all\nof them."));
    }
}

#[test]
fn what_is_not_there_is_not_written() {
    let mut builder = Registry::builder();
    builder.counter_family_with_capacity("c_total", "C.", "route", 5);
    let registry = builder.build().unwrap();
    let nothing = ProcessFigures::default();
    assert_eq!(render(Format::Text, &registry.snapshot(), &nothing), "");
    assert_eq!(render(Format::OpenMetrics, &registry.snapshot(), &nothing), "# EOF\n");
}

#[test]
fn series_of_one_name_stay_together_and_loops_are_of_the_one_without_labels() {
    let mut builder = Registry::builder();
    for label in ["a", "b"] {
        builder.counter_with_labels("c_total", "C.", &[("x", label)]);
        builder.gauge_with_labels("g", "G.", &[("x", label)]);
    }
    builder.gauge("g", "G.");
    let registry = builder.build().unwrap();
    let _shard = registry.shard(0).unwrap();
    let text = render(Format::Text, &registry.snapshot(), &ProcessFigures::default());
    let families = lint::check(Format::Text, &text).unwrap();
    let names: Vec<_> = families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, ["c_total", "g", "g_per_loop"]);
    assert_eq!(families[1].samples.len(), 3);
}

#[test]
fn bounds_are_ends_of_buckets() {
    for unit in [Unit::None, Unit::Nanoseconds, Unit::Bytes] {
        let bounds: Vec<_> = bounds(unit).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b));
        for bound in bounds {
            let ends = crate::HistogramSnapshot::every_bucket().any(|bucket| bucket.1 == bound);
            assert!(ends, "{bound}");
        }
    }
}

#[test]
fn nanoseconds_are_written_as_seconds_to_the_last_digit() {
    for (nanoseconds, expected) in [
        (0, "0"),
        (1, "0.000000001"),
        (1_023, "0.000001023"),
        (10_000_000, "0.01"),
        (1_000_000_000, "1"),
        (100_000_000_000, "100"),
        (u128::from(u64::MAX), "18446744073.709551615"),
    ] {
        let mut text = "90".to_owned();
        push_seconds(&mut text, nanoseconds);
        assert_eq!(text, format!("90{expected}"));
    }
}

proptest! {
    #[test]
    fn any_label_value_is_read_back(
        values in prop::collection::btree_set("\\PC{0,8}|[\\\\\"\n{},= \r\u{0}a]{0,8}", 0..4),
    ) {
        let values: Vec<_> = values.into_iter().collect();
        let (registry, _shards) = registry(&values);
        for format in FORMATS {
            let text = render(format, &registry.snapshot(), &figures());
            let families = lint::check(format, &text);
            let families = families.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
            let read = samples(&families, "c_route_total");
            let expected: Vec<_> = values
                .iter()
                .zip(1..)
                .map(|(value, count)| (format!("route={value}"), f64::from(2 * count)))
                .collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn buckets_are_exact(values in prop::collection::vec((0_u32..42, any::<u64>()), 0..50)) {
        let values: Vec<_> =
            values.into_iter().map(|(bits, value)| value & ((1 << bits) - 1)).collect();
        for unit in [Unit::None, Unit::Nanoseconds, Unit::Bytes] {
            let mut builder = Registry::builder();
            let id = builder.histogram("h", "H.", unit);
            let registry = builder.build().unwrap();
            let shard = registry.shard(0).unwrap();
            values.iter().for_each(|value| shard.record(id, *value));
            let text = render(Format::Text, &registry.snapshot(), &ProcessFigures::default());
            let families = lint::check(Format::Text, &text).unwrap();
            let name = format!("{}_bucket", families[0].name);
            let counts: Vec<_> = samples(&families, &name).into_iter().map(|(_, n)| n).collect();
            let below = |bound: u64| values.iter().filter(|value| **value <= bound).count() as f64;
            let expected: Vec<_> = bounds(unit).chain([u64::MAX]).map(below).collect();
            prop_assert_eq!(counts, expected);
        }
    }
}

/// What a program says to a text; `None` where it is not there, or ends with 77.
fn told(program: &str, arguments: &[&str], text: &str) -> Option<(bool, Vec<u8>)> {
    use std::io::Write;

    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .ok()?;
    // Where it ends early, its status tells.
    child.stdin.take().unwrap().write_all(text.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    (output.status.code() != Some(77)).then(|| (output.status.success(), output.stdout))
}

/// Without the other's program there is nothing to compare with: but where all is to be checked, it is
/// there.
fn missing<T>() -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "not installed: .ci/run installs it");
    None
}

/// What the official parser makes of a text; `None` where it is not installed.
fn official(format: Format, text: &str) -> Option<serde_json::Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prometheus_parser.py");
    let format = if format == Format::Text { "text" } else { "openmetrics" };
    // Whichever comes first in the path need not be the one whose packages the system installs.
    let pythons = ["python3", "/usr/bin/python3"];
    let (good, read) =
        pythons.iter().find_map(|python| told(python, &[script, format], text)).or_else(missing)?;
    assert!(good, "the official parser refuses:\n{text}");
    Some(serde_json::from_slice(&read).unwrap())
}

const HOSTILE: [&str; 6] =
    ["", "a\\b\"c\nd", "{x=\"1\"} 2 # {", "é\u{2028}\u{0}\r", "\\n\\\\", "other"];

#[test]
fn promtool_has_nothing_to_say() {
    let (registry, _shards) = registry(&HOSTILE.map(str::to_owned));
    let text = render(Format::Text, &registry.snapshot(), &figures());
    match told("promtool", &["check", "metrics"], &text).or_else(missing) {
        Some((good, _)) => assert!(good),
        None => eprintln!("skipped: promtool is not installed"),
    }
}

#[test]
fn the_official_parser_reads_the_same() {
    let (registry, _shards) = registry(&HOSTILE.map(str::to_owned));
    for format in FORMATS {
        let text = render(format, &registry.snapshot(), &figures());
        let Some(official) = official(format, &text) else {
            eprintln!("skipped: the package prometheus_client is not installed");
            return;
        };
        let ours = lint::check(format, &text).unwrap();
        assert_eq!(official.as_array().unwrap().len(), ours.len());
        for (ours, theirs) in ours.iter().zip(official.as_array().unwrap()) {
            // It drops the suffix of counters in both formats.
            assert_eq!(ours.name.trim_end_matches("_total"), theirs[0]);
            assert_eq!(
                (&*ours.kind, &*ours.help),
                (theirs[1].as_str().unwrap(), theirs[2].as_str().unwrap())
            );
            assert_eq!(ours.unit, theirs[3]);
            assert_eq!(ours.samples.len(), theirs[4].as_array().unwrap().len());
            for (ours, theirs) in ours.samples.iter().zip(theirs[4].as_array().unwrap()) {
                assert_eq!(ours.name, theirs[0]);
                let labels = theirs[1].as_object().unwrap();
                assert_eq!(ours.labels.len(), labels.len(), "{theirs}");
                for (key, value) in &ours.labels {
                    assert_eq!(value, &labels[key]);
                }
                assert_eq!(ours.value, theirs[2].as_str().unwrap().parse::<f64>().unwrap());
            }
        }
    }
}
