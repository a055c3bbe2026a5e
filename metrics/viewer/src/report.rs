//! What is on the screen, for files and pipes: as text, JSON and CSV.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corelane_metrics::HistogramSnapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Map, Value, json};

use crate::interval::Interval;
use crate::model::Model;
use crate::ui::{Format, Ui};
use crate::view::{self, Theme};

/// The size of the page that [`text`] is cut from.
const PAGE: (u16, u16) = (100, 44);
/// How many files of one second are kept apart by their names.
const NAMES_MAX: u32 = 100;

/// Everything that is known as one JSON object; `null` where there are not yet two answers to compare.
/// Rates are per second; latencies are in nanoseconds.
pub fn json(model: &Model) -> Value {
    let Some(sample) = model.sample() else { return Value::Null };
    json!({
        "server": {
            "name": sample.name,
            "version": sample.version,
            "instance": sample.instance,
            "addresses": sample.addresses.join(" "),
            "at_unix_ms": sample.at_unix_ms,
            "uptime_seconds": sample.uptime_seconds,
            "stopping": sample.stopping,
            "loops": sample.loops,
            "connections_open": sample.connections.open,
            "connections_limit": sample.connections.limit,
            "memory_resident_bytes": sample.process.memory_resident_bytes,
        },
        "interval": model.interval().map(rates),
        "responses_per_second": model.interval().map(|interval| {
            interval.classes.iter().cloned().map(|(class, rate)| (class, json!(rate))).collect::<Map<_, _>>()
        }),
        "latency": {
            "interval": model.interval().map(|interval| latency(&interval.latency)),
            "since_start": latency(&model.latency()),
        },
        "loops": model.interval().map(loops),
        "routes": model.interval().map(routes),
    })
}

fn rates(interval: &Interval) -> Value {
    json!({
        "seconds": interval.seconds,
        "requests_per_second": interval.requests,
        "bytes_received_per_second": interval.bytes_in,
        "bytes_sent_per_second": interval.bytes_out,
        "connections_accepted_per_second": interval.accepted,
        "connections_closed_per_second": interval.closed,
        "connections_refused_per_second": interval.refused,
        "requests_refused_per_second": interval.refusals,
        "timeouts_per_second": interval.timeouts,
        "panics_per_second": interval.panics,
        "processors": interval.processors,
    })
}

fn latency(values: &HistogramSnapshot) -> Value {
    json!({
        "count": values.count(),
        "mean": values.mean(),
        "p50": values.quantile(0.5),
        "p90": values.quantile(0.9),
        "p99": values.quantile(0.99),
        "p99_9": values.quantile(0.999),
        "max": values.max(),
    })
}

fn loops(interval: &Interval) -> Value {
    let of = |(index, share): (usize, &crate::interval::LoopShare)| {
        json!({
            "name": index.to_string(),
            "requests_per_second": share.requests,
            "connections": share.connections,
            "busy": share.busy,
            "bytes_received_per_second": share.bytes_in,
            "bytes_sent_per_second": share.bytes_out,
            "turns_per_second": share.turns,
        })
    };
    interval.loops.iter().enumerate().map(of).collect()
}

fn routes(interval: &Interval) -> Value {
    let of = |route: &crate::interval::RouteShare| {
        let mut object = latency(&route.latency);
        object["name"] = json!(route.name);
        object["requests_per_second"] = json!(route.requests);
        object["total"] = json!(route.total);
        object
    };
    interval.routes.iter().map(of).collect()
}

/// The same as lines of `section,name,figure,value`.
pub fn csv(report: &Value) -> String {
    let mut text = String::from("section,name,figure,value\n");
    for (section, value) in report.as_object().into_iter().flatten() {
        match value {
            Value::Array(members) => {
                for member in members {
                    let name = member["name"].as_str().unwrap_or_default();
                    figures(&mut text, section, name, member);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter().filter(|(_, member)| member.is_object()) {
                    figures(&mut text, section, name, member);
                }
                figures(&mut text, section, "", value);
            }
            _ => {}
        }
    }
    text
}

/// A line for each figure of one object.
fn figures(text: &mut String, section: &str, name: &str, object: &Value) {
    for (figure, value) in object.as_object().into_iter().flatten() {
        let value = match value {
            Value::Object(_) | Value::Array(_) => continue,
            Value::Null => String::new(),
            Value::String(_) if figure == "name" => continue,
            Value::String(text) => field(text),
            other => other.to_string(),
        };
        let _ = writeln!(text, "{section},{},{},{value}", field(name), field(figure));
    }
}

/// A field as RFC 4180 has it: in quotes where it needs them. Programs that calculate with fields that
/// begin with `=`, `+`, `-` or `@` get a quote before them.
fn field(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// The overview as plain text.
pub fn text(model: &Model, address: &str) -> String {
    let area = Rect::new(0, 0, PAGE.0, PAGE.1);
    let mut buffer = Buffer::empty(area);
    let theme = Theme { color: false, unicode: false };
    view::draw_page(area, &mut buffer, model, &Ui::new(Duration::ZERO), theme, address);
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let line: String = (area.left()..area.right()).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Writes what is known to a new file in a folder; its path.
///
/// # Errors
/// If there is nothing to write yet, or the file cannot be made.
pub fn export(model: &Model, format: Format, folder: &Path) -> io::Result<PathBuf> {
    let Some(sample) = model.sample() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there was no answer yet"));
    };
    let report = json(model);
    let (ending, content) = match format {
        Format::Json => ("json", format!("{report:#}\n")),
        Format::Csv => ("csv", csv(&report)),
    };
    let second = sample.at_unix_ms / 1_000;
    for number in 1..=NAMES_MAX {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("corelane-top-{second}{suffix}.{ending}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(content.as_bytes())?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of that second"))
}
