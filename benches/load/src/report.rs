//! A result in the forms that people and programs read.

mod csv;
mod hlog;
mod html;
mod text;

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::tally::Faults;

pub use csv::csv;
pub use hlog::hlog;
pub use html::html;
pub use text::text;

/// An outcome with the plan it is of. `Display` writes it as text for people, faults first;
/// [`to_json`](Self::to_json) for programs.
#[derive(Clone, Debug)]
pub struct Report {
    connections: usize,
    pipeline: usize,
    outcome: Outcome,
}

impl Report {
    /// The report of what came out of `plan`.
    #[must_use]
    pub fn new(plan: &Plan, outcome: Outcome) -> Self {
        Self { connections: plan.connections, pipeline: plan.pipeline, outcome }
    }

    fn latency(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.outcome.response_time.quantile(quantile))
    }

    /// All figures as one JSON object; latencies and CPU times in microseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let faults: serde_json::Map<_, _> = self
            .outcome
            .faults
            .kinds()
            .iter()
            .map(|&(kind, count)| (kind.replace(' ', "_"), json!(count)))
            .collect();
        json!({
            "faults": faults,
            "fault_count": self.outcome.faults.total(),
            "connections": self.connections,
            "pipeline": self.pipeline,
            "responses": self.outcome.answered,
            "connections_opened": self.outcome.connections_opened,
            "bytes_received": self.outcome.bytes_received,
            "elapsed_seconds": self.outcome.elapsed.as_secs_f64(),
            "responses_per_second": self.outcome.rate(),
            "latency_micros": {
                "p50": micros(self.latency(0.5)),
                "p90": micros(self.latency(0.9)),
                "p99": micros(self.latency(0.99)),
                "p99_9": micros(self.latency(0.999)),
                "max": micros(self.latency(1.0)),
            },
            "client_cpu_micros": self.outcome.client_cpu_micros(),
            "client_cores": self.outcome.client_cores(),
            "server_cpu_micros": self.outcome.server_cpu_micros(),
            "server_cores": self.outcome.server.map(|server| server.cores()),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "faults      {}", self.outcome.faults)?;
        writeln!(
            out,
            "responses   {} in {:.3} s, {} connections with {} in flight on each, {} opened",
            self.outcome.answered,
            self.outcome.elapsed.as_secs_f64(),
            self.connections,
            self.pipeline,
            self.outcome.connections_opened,
        )?;
        let megabytes =
            self.outcome.bytes_received as f64 / 1e6 / self.outcome.elapsed.as_secs_f64();
        writeln!(
            out,
            "rate        {:.0} per second, {megabytes:.1} MB/s received",
            self.outcome.rate()
        )?;
        writeln!(
            out,
            "latency     p50 {:.1} µs, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
            micros(self.latency(0.5)),
            micros(self.latency(0.9)),
            micros(self.latency(0.99)),
            micros(self.latency(0.999)),
            micros(self.latency(1.0)),
        )?;
        let used = |each: Option<f64>, cores: f64| match each {
            Some(each) => format!("{each:.2} µs per response, {cores:.2} cores"),
            None => format!("{cores:.2} cores, without any response"),
        };
        write!(
            out,
            "client CPU  {}",
            used(self.outcome.client_cpu_micros(), self.outcome.client_cores())
        )?;
        if let Some(cores) = self.outcome.server.map(|server| server.cores()) {
            write!(out, "\nserver CPU  {}", used(self.outcome.server_cpu_micros(), cores))?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return out.write_str("none");
        }
        write!(out, "{}:", self.total())?;
        let mut separator = "";
        for (kind, count) in self.kinds().into_iter().filter(|(_, count)| *count > 0) {
            write!(out, "{separator} {count} {kind}")?;
            separator = ",";
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}
