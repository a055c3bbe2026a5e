//! What a run has shown.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::plan::Plan;
use crate::process::Cpu;
use crate::tally::{Faults, Tally};

/// What a run has shown: only what was counted between the opening and the closing of its window.
///
/// `Display` writes it as text for people, faults first; [`to_json`](Self::to_json) for programs.
#[derive(Clone, Debug)]
pub struct Report {
    connections: usize,
    pipeline: usize,
    tally: Tally,
    elapsed: Duration,
    cpu: Duration,
    watched: Option<Watched>,
}

/// What the watched process used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) cpu: Cpu,
    pub(crate) elapsed: Duration,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        tally: Tally,
        elapsed: Duration,
        cpu: Duration,
        watched: Option<Watched>,
    ) -> Self {
        let Plan { connections, pipeline, .. } = *plan;
        Self { connections, pipeline, tally, elapsed, cpu, watched }
    }

    /// What went wrong, by kind.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.tally.faults
    }

    /// Whole responses, right or wrong.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.tally.responses
    }

    /// Connections opened while it was measured.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.tally.opened
    }

    /// The measured time.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whole responses per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.tally.responses as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency below which `quantile` (0 to 1) of the responses came, from the request's send
    /// (for `Connection: close`, from the dialling) to the receive that completed its response.
    /// Within 0.1 %; zero when there was no response.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.tally.latency.value_at_quantile(quantile))
    }

    /// The longest latency.
    #[must_use]
    pub fn latency_max(&self) -> Duration {
        Duration::from_nanos(self.tally.latency.max())
    }

    /// CPU time the generator itself used for each response, in microseconds. `None` without
    /// response.
    #[must_use]
    pub fn client_cpu_micros(&self) -> Option<f64> {
        self.per_response(self.cpu)
    }

    /// CPU time the watched process used for each response, in microseconds. `None` without
    /// response or watched process.
    #[must_use]
    pub fn server_cpu_micros(&self) -> Option<f64> {
        let watched = self.watched?;
        self.per_response(Duration::from_nanos(watched.cpu.ran_nanos))
    }

    /// How busy the watched process was, in cores: 1.0 is one core without a pause. Counts the time
    /// it ran and the time it wanted to run while something else had its core. Below about 0.9 its
    /// CPU time per response contains the price of going idle and waking.
    #[must_use]
    pub fn server_cores(&self) -> Option<f64> {
        self.watched.map(|Watched { cpu, elapsed }| {
            (cpu.ran_nanos + cpu.waited_nanos) as f64 / elapsed.as_nanos() as f64
        })
    }

    /// How busy the generator was, in cores.
    #[must_use]
    pub fn client_cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// All figures as one JSON object; latencies and CPU times in microseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let faults: serde_json::Map<_, _> = self
            .faults()
            .kinds()
            .iter()
            .map(|&(kind, count)| (kind.replace(' ', "_"), json!(count)))
            .collect();
        json!({
            "faults": faults,
            "fault_count": self.faults().total(),
            "connections": self.connections,
            "pipeline": self.pipeline,
            "responses": self.responses(),
            "connections_opened": self.connections_opened(),
            "bytes_received": self.tally.bytes_received,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "responses_per_second": self.rate(),
            "latency_micros": {
                "p50": micros(self.latency(0.5)),
                "p90": micros(self.latency(0.9)),
                "p99": micros(self.latency(0.99)),
                "p99_9": micros(self.latency(0.999)),
                "max": micros(self.latency_max()),
            },
            "client_cpu_micros": self.client_cpu_micros(),
            "client_cores": self.client_cores(),
            "server_cpu_micros": self.server_cpu_micros(),
            "server_cores": self.server_cores(),
        })
    }

    fn per_response(&self, cpu: Duration) -> Option<f64> {
        let responses = self.tally.responses;
        (responses > 0).then(|| cpu.as_secs_f64() * 1e6 / responses as f64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "faults      {}", self.faults())?;
        writeln!(
            out,
            "responses   {} in {:.3} s, {} connections with {} in flight on each, {} opened",
            self.responses(),
            self.elapsed.as_secs_f64(),
            self.connections,
            self.pipeline,
            self.connections_opened(),
        )?;
        let megabytes = self.tally.bytes_received as f64 / 1e6 / self.elapsed.as_secs_f64();
        writeln!(out, "rate        {:.0} per second, {megabytes:.1} MB/s received", self.rate())?;
        writeln!(
            out,
            "latency     p50 {:.1} µs, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
            micros(self.latency(0.5)),
            micros(self.latency(0.9)),
            micros(self.latency(0.99)),
            micros(self.latency(0.999)),
            micros(self.latency_max()),
        )?;
        let used = |each: Option<f64>, cores: f64| match each {
            Some(each) => format!("{each:.2} µs per response, {cores:.2} cores"),
            None => format!("{cores:.2} cores, without any response"),
        };
        write!(out, "client CPU  {}", used(self.client_cpu_micros(), self.client_cores()))?;
        if let Some(cores) = self.server_cores() {
            write!(out, "\nserver CPU  {}", used(self.server_cpu_micros(), cores))?;
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
