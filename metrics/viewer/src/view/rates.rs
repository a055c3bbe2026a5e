//! Rates and latency: what happened in the last interval, in figures.

use corelane_metrics::HistogramSnapshot;
use ratatui::style::Style;

use crate::interval::Interval;
use crate::model::Model;
use crate::text::{bytes, nanoseconds, rate, whole};
use crate::view::paint::Paint;

/// The lines that [`draw`] fills.
pub(super) const RATES: u16 = 5;
/// The lines that [`draw_latency`] fills.
pub(super) const LATENCY: u16 = 3;

/// Where figures begin.
const FIGURES: u16 = 14;

/// Draws five lines: requests, responses, faults, connections, bytes.
pub(super) fn draw(paint: &mut Paint<'_>, model: &Model) {
    let Some(sample) = model.sample() else { return };
    let interval = model.interval();
    let of = |figure: fn(&Interval) -> f64| {
        interval.map_or_else(|| "-".to_owned(), |interval| rate(figure(interval)))
    };
    let total = sample.counter("corelane_http_requests_total").map_or(0, |counter| counter.total);
    title(paint, 0, "requests");
    let x = paint.text(FIGURES, 0, &format!("{}/s", of(|i| i.requests)), paint.theme.strong());
    let end = paint.width().saturating_sub(1);
    let total = format!("{} since start", whole(total));
    let spark = FIGURES + 14;
    paint.right(end, 0, &total, paint.theme.faint());
    let room = end.saturating_sub(spark + total.len() as u16 + 2);
    if x < spark {
        paint.spark(spark, 0, room, model.rates());
    }

    title(paint, 1, "responses");
    let mut x = FIGURES;
    for (class, responses) in interval.map_or(&[][..], |interval| &interval.classes) {
        let is_rare = !["2xx", "3xx", "4xx", "5xx"].contains(&class.as_str());
        if is_rare && *responses <= 0.0 {
            continue;
        }
        let fault = class.starts_with('5') && *responses > 0.0;
        let style = if fault { paint.theme.bad() } else { Style::new() };
        x = figure(paint, x, 1, class, &format!("{}/s", rate(*responses)), style);
    }

    title(paint, 2, "faults");
    let faults = interval.map(|i| {
        [
            ("refused", i.refusals),
            ("timed out", i.timeouts),
            ("connections refused", i.refused),
            ("panics", i.panics),
        ]
    });
    let mut x = FIGURES;
    for (name, faults) in faults.into_iter().flatten() {
        let style = if faults > 0.0 { paint.theme.bad() } else { Style::new() };
        x = figure(paint, x, 2, name, &format!("{}/s", rate(faults)), style);
    }

    title(paint, 3, "connections");
    let limit = sample.connections.limit.map(|limit| format!(" of {}", whole(limit)));
    let open = format!("{}{}", whole(sample.connections.open), limit.unwrap_or_default());
    let x = figure(paint, FIGURES, 3, "open", &open, paint.theme.strong());
    let x = figure(paint, x, 3, "accepted", &format!("{}/s", of(|i| i.accepted)), Style::new());
    figure(paint, x, 3, "closed", &format!("{}/s", of(|i| i.closed)), Style::new());

    title(paint, 4, "bytes");
    let amount = |figure: fn(&Interval) -> f64| match interval {
        Some(interval) => format!("{}/s", bytes(figure(interval))),
        None => "-".to_owned(),
    };
    let x = figure(paint, FIGURES, 4, "in", &amount(|i| i.bytes_in), Style::new());
    let mut x = figure(paint, x, 4, "out", &amount(|i| i.bytes_out), Style::new());
    if let Some(resident) = sample.process.memory_resident_bytes {
        x = figure(paint, x, 4, "memory", &bytes(resident as f64), Style::new());
    }
    if let Some(processors) = interval.and_then(|interval| interval.processors) {
        figure(paint, x, 4, "processors", &format!("{processors:.2}"), Style::new());
    }
}

fn title(paint: &mut Paint<'_>, y: u16, title: &str) {
    paint.text(1, y, title, paint.theme.faint());
}

/// A name and a figure; the column where the next may begin.
fn figure(paint: &mut Paint<'_>, x: u16, y: u16, name: &str, value: &str, style: Style) -> u16 {
    let x = paint.text(x, y, name, paint.theme.faint());
    paint.text(x + 1, y, value, style) + 3
}

/// Draws three lines: the names of quantiles, those of the last interval, those since the start.
pub(super) fn draw_latency(paint: &mut Paint<'_>, model: &Model) {
    const QUANTILES: [(&str, f64); 4] =
        [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
    const WIDTH: u16 = 10;
    let last = match model.interval() {
        Some(interval) => format!("last {:.1} s", interval.seconds),
        None => "last".to_owned(),
    };
    let empty = HistogramSnapshot::default();
    let interval = model.interval().map_or(&empty, |interval| &interval.latency);
    let since_start = model.latency();
    let lines = [(last.as_str(), interval), ("since start", &since_start)];
    paint.text(1, 0, "latency", paint.theme.strong());
    let names = QUANTILES.iter().map(|(name, _)| *name).chain(["max", "mean", "requests"]);
    for (column, name) in (1..).zip(names) {
        paint.right(FIGURES - 4 + column * WIDTH, 0, name, paint.theme.faint());
    }
    for (y, (name, latency)) in (1..).zip(lines) {
        title(paint, y, name);
        let time = |time: u64| if latency.is_empty() { "-".to_owned() } else { nanoseconds(time) };
        let quantiles = QUANTILES.iter().map(|(_, share)| time(latency.quantile(*share)));
        let rest = [time(latency.max()), time(latency.mean() as u64), whole(latency.count())];
        for (column, value) in (1..).zip(quantiles.chain(rest)) {
            paint.right(FIGURES - 4 + column * WIDTH, y, &value, Style::new());
        }
    }
}
