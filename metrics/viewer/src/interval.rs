//! What happened between two samples of one server.

use std::collections::BTreeMap;

use corelane_metrics::HistogramSnapshot;

use crate::sample::{Counter, Key, Sample};

/// The latency of all requests.
pub(crate) const LATENCY: &str = "corelane_http_latency_nanoseconds";
const ROUTE_LATENCY: &str = "corelane_http_route_latency_nanoseconds";
const REQUESTS: &str = "corelane_http_requests_total";
const ROUTE_REQUESTS: &str = "corelane_http_route_requests_total";
const OPEN: &str = "corelane_connections_open";
const BUSY: &str = "corelane_loop_busy_nanoseconds_total";

/// What happened between two samples of one server. Rates are per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// How long it was, by the server's clock.
    pub seconds: f64,
    /// Requests answered.
    pub requests: f64,
    /// Bytes received.
    pub bytes_in: f64,
    /// Bytes sent.
    pub bytes_out: f64,
    /// Connections accepted.
    pub accepted: f64,
    /// Connections closed, for whatever reason.
    pub closed: f64,
    /// Connections refused, for whatever reason.
    pub refused: f64,
    /// Requests refused, by whatever rule.
    pub refusals: f64,
    /// Time-outs of every kind.
    pub timeouts: f64,
    /// Loops that panicked.
    pub panics: f64,
    /// Responses by class of status, in the order of the classes.
    pub classes: Vec<(String, f64)>,
    /// Processor time used, in processors.
    pub processors: Option<f64>,
    /// How long requests took.
    pub latency: HistogramSnapshot,
    /// What each loop did.
    pub loops: Vec<LoopShare>,
    /// What each route answered.
    pub routes: Vec<RouteShare>,
}

/// What one loop did in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopShare {
    /// Requests answered per second.
    pub requests: f64,
    /// Its open connections.
    pub connections: i64,
    /// The share of time, 0 to 1, that it did not wait, if the server tells.
    pub busy: Option<f64>,
    /// Bytes received per second.
    pub bytes_in: f64,
    /// Bytes sent per second.
    pub bytes_out: f64,
    /// Turns per second.
    pub turns: f64,
}

/// What one route answered in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteShare {
    /// Its name.
    pub name: String,
    /// Requests answered per second.
    pub requests: f64,
    /// Requests since the server started.
    pub total: u64,
    /// How long they took.
    pub latency: HistogramSnapshot,
}

impl Interval {
    /// The difference of two samples; none if the later is not later, or of another start of the server.
    /// Counters that went down count as if they had stood still.
    pub fn between(earlier: &Sample, later: &Sample) -> Option<Interval> {
        if earlier.instance != later.instance {
            return None;
        }
        let seconds = seconds_between(earlier, later)?;
        let deltas = Deltas::new(earlier, later, seconds);
        let processors = cpu(later)
            .zip(cpu(earlier))
            .map(|(later, earlier)| ((later - earlier) / seconds).max(0.0));
        Some(Interval {
            seconds,
            requests: deltas.sum(REQUESTS),
            bytes_in: deltas.sum("corelane_bytes_received_total"),
            bytes_out: deltas.sum("corelane_bytes_sent_total"),
            accepted: deltas.sum("corelane_connections_accepted_total"),
            closed: deltas.sum("corelane_connections_closed_total"),
            refused: deltas.sum("corelane_connections_refused_total"),
            refusals: deltas.sum("corelane_http_refusals_total"),
            timeouts: deltas.sum("corelane_http_timeouts_total"),
            panics: deltas.sum("corelane_loop_panics_total"),
            classes: deltas.members("corelane_http_responses_total", "class"),
            processors,
            latency: latency(earlier, later),
            loops: deltas.loops(),
            routes: deltas.routes(earlier),
        })
    }
}

/// The time between two samples: by the clock that does not jump, where the server has told it.
fn seconds_between(earlier: &Sample, later: &Sample) -> Option<f64> {
    let up = later.uptime_seconds - earlier.uptime_seconds;
    let told = earlier.uptime_seconds > 0.0 && later.uptime_seconds > 0.0;
    let seconds = match told {
        true => up,
        false => later.at_unix_ms.checked_sub(earlier.at_unix_ms)? as f64 / 1e3,
    };
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

fn cpu(sample: &Sample) -> Option<f64> {
    Some(sample.process.cpu_user_seconds? + sample.process.cpu_system_seconds?)
}

/// The latency of requests that were answered in between.
fn latency(earlier: &Sample, later: &Sample) -> HistogramSnapshot {
    let Some(now) = later.histogram(LATENCY) else { return HistogramSnapshot::default() };
    match earlier.histogram(LATENCY) {
        Some(before) => now.values.delta(&before.values),
        None => now.values.clone(),
    }
}

/// Two samples, prepared for looking counters of the earlier up.
struct Deltas<'s> {
    earlier: BTreeMap<&'s Key, &'s Counter>,
    later: &'s Sample,
    seconds: f64,
}

impl<'s> Deltas<'s> {
    fn new(earlier: &'s Sample, later: &'s Sample, seconds: f64) -> Deltas<'s> {
        let earlier = earlier.counters.iter().map(|counter| (&counter.key, counter)).collect();
        Deltas { earlier, later, seconds }
    }

    /// By how much a counter grew per second.
    fn of(&self, counter: &Counter) -> f64 {
        let before = self.earlier.get(&counter.key).map_or(0, |before| before.total);
        counter.total.saturating_sub(before) as f64 / self.seconds
    }

    /// By how much all counters of that name grew per second, whatever their labels.
    fn sum(&self, name: &str) -> f64 {
        let counters = self.later.counters.iter().filter(|counter| counter.key.name == name);
        counters.map(|counter| self.of(counter)).sum()
    }

    /// By how much each member of a family grew per second.
    fn members(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let counters = self.later.counters.iter();
        let members = counters.filter_map(|counter| {
            Some((counter.key.member(name, label)?.to_owned(), self.of(counter)))
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members
    }

    /// By how much a counter grew per second in each loop.
    fn per_loop(&self, name: &str) -> Vec<f64> {
        let Some(counter) = self.later.counter(name) else { return Vec::new() };
        let before = self.earlier.get(&counter.key).map_or(&[][..], |before| &before.per_loop);
        let of = |(index, now): (usize, &u64)| {
            let before = before.get(index).copied().unwrap_or(0);
            now.saturating_sub(before) as f64 / self.seconds
        };
        counter.per_loop.iter().enumerate().map(of).collect()
    }

    fn loops(&self) -> Vec<LoopShare> {
        let at = |values: &[f64], index: usize| values.get(index).copied().unwrap_or(0.0);
        let requests = self.per_loop(REQUESTS);
        let bytes_in = self.per_loop("corelane_bytes_received_total");
        let bytes_out = self.per_loop("corelane_bytes_sent_total");
        let turns = self.per_loop("corelane_loop_turns_total");
        let busy = self.per_loop(BUSY);
        let open = self.later.gauge(OPEN).map_or(&[][..], |gauge| &gauge.per_loop);
        let of = |index: usize| LoopShare {
            requests: at(&requests, index),
            connections: open.get(index).copied().unwrap_or(0),
            busy: busy.get(index).map(|nanoseconds| (nanoseconds / 1e9).clamp(0.0, 1.0)),
            bytes_in: at(&bytes_in, index),
            bytes_out: at(&bytes_out, index),
            turns: at(&turns, index),
        };
        (0..self.later.loops).map(of).collect()
    }

    fn routes(&self, earlier: &Sample) -> Vec<RouteShare> {
        let (before, now) = (route_latencies(earlier), route_latencies(self.later));
        let routes = self.later.counters.iter().filter_map(|counter| {
            let name = counter.key.member(ROUTE_REQUESTS, "route")?;
            let latency = match (now.get(name), before.get(name)) {
                (Some(now), Some(before)) => now.delta(before),
                (Some(now), None) => (*now).clone(),
                (None, _) => HistogramSnapshot::default(),
            };
            let (requests, total) = (self.of(counter), counter.total);
            Some(RouteShare { name: name.to_owned(), requests, total, latency })
        });
        routes.collect()
    }
}

/// The latency of each route since the start.
fn route_latencies(sample: &Sample) -> BTreeMap<&str, &HistogramSnapshot> {
    let latencies = sample.histograms.iter().filter_map(|histogram| {
        Some((histogram.key.member(ROUTE_LATENCY, "route")?, &histogram.values))
    });
    latencies.collect()
}
