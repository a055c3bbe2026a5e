//! From what a run gives back to what is kept.

use std::time::{Duration, UNIX_EPOCH};

use super::heat::Heat;
use super::*;
use crate::outcome::{Interval, Outcome};
use crate::tally::Faults;

impl Record {
    /// The record of a run: what was asked for and what came out. Arguments, environment and what the
    /// server has measured are for the caller to add.
    #[must_use]
    pub fn new(load: Load, outcome: &Outcome) -> Self {
        Self {
            schema: SCHEMA,
            generator: concat!("corelane-load ", env!("CARGO_PKG_VERSION")).to_owned(),
            began_unix_ms: outcome.began_at.duration_since(UNIX_EPOCH).map_or(0, millis),
            arguments: Vec::new(),
            targets: targets(&load, outcome),
            load,
            end: if outcome.interrupted { End::Interrupted } else { End::Complete },
            elapsed_seconds: outcome.elapsed.as_secs_f64(),
            faults: faults(&outcome.faults).collect(),
            sends: Sends {
                intended: outcome.intended,
                sent: outcome.sent,
                late: outcome.late.count,
                late_max: nanos(outcome.late.worst),
                late_mean: per(nanos(outcome.late.total) as f64, outcome.sent as f64),
            },
            answered: outcome.answered,
            lost: outcome.lost,
            cut_off: outcome.cut_off,
            statuses: outcome.statuses.iter().copied().collect(),
            connections_opened: outcome.connections_opened,
            bytes_received: outcome.bytes_received,
            bytes_sent: outcome.bytes_sent,
            client: Usage {
                cpu_seconds: outcome.client_cpu.as_secs_f64(),
                cores: outcome.client_cores(),
                waiting: None,
                saturation: Some(outcome.busy),
            },
            server: outcome.server.map(|watched| Usage {
                cpu_seconds: watched.cpu.ran_nanos as f64 / 1e9,
                cores: watched.cores(),
                waiting: Some(watched.waiting()),
                saturation: None,
            }),
            service_time: outcome.service_time.clone(),
            response_time: outcome.response_time.clone(),
            heat: Heat::new(&outcome.heat),
            seconds: outcome.intervals.iter().map(second).collect(),
            steps: Vec::new(),
            server_side: None,
            unknown: Vec::new(),
            environment: Environment::default(),
        }
    }
}

fn second(interval: &Interval) -> Second {
    Second {
        at_seconds: interval.at.as_secs_f64(),
        length_seconds: interval.length.as_secs_f64(),
        intended: interval.intended,
        sent: interval.sent,
        late: interval.late,
        answered: interval.answered,
        faults: faults(&interval.faults).filter(|fault| fault.count > 0).collect(),
        bytes_received: interval.bytes_received,
        response_time: interval.response_time.clone(),
    }
}

/// The requests by name, where there are several.
fn targets(load: &Load, outcome: &Outcome) -> Vec<Target> {
    if outcome.requests.len() < 2 {
        return Vec::new();
    }
    let weights = load.weights.iter().copied().chain(std::iter::repeat(1));
    outcome
        .requests
        .iter()
        .zip(weights)
        .map(|(request, weight)| Target {
            url: request.name.clone(),
            weight,
            sent: request.sent,
            answered: request.answered,
            wrong: request.wrong,
            response_time: request.response_time.clone(),
        })
        .collect()
}

fn faults(faults: &Faults) -> impl Iterator<Item = Fault> {
    faults.kinds().into_iter().map(|(kind, count)| Fault { kind: kind.to_owned(), count })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
