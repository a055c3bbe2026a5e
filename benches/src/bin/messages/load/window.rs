//! What is counted between two moments.

use std::time::{Duration, Instant};

use anyhow::Context;
use corelane_load::process::{self, Cpu};
use hdrhistogram::Histogram;

use crate::sample::{Faults, Sample};

/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_NANOS_MAX: u64 = 60_000_000_000;
/// Three digits: a latency is shown within 0.1 % of what it was.
const LATENCY_DIGITS: u8 = 3;

/// Counts of messages that have arrived.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    /// Receives that brought something.
    pub(crate) receives: u64,
    pub(crate) latency: Histogram<u64>,
    pub(crate) faults: Faults,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, LATENCY_DIGITS)
            .context("a latency histogram")?;
        Ok(Self { messages: 0, receives: 0, latency, faults: Faults::default() })
    }

    /// Counts a message that was due `nanos` ago.
    pub(crate) fn score(&mut self, nanos: u64) {
        self.messages += 1;
        self.latency.saturating_record(nanos.max(1));
    }

    /// What such a share of the messages did not exceed, in microseconds; `None` without messages.
    fn quantile(&self, share: f64) -> Option<f64> {
        let nanos = self.latency.value_at_quantile(share);
        (self.messages > 0).then_some(nanos as f64 / 1000.0)
    }

    /// Begins to count; faults stay, since a fault is one whenever it comes.
    fn restart(&mut self) {
        self.messages = 0;
        self.receives = 0;
        self.latency.reset();
    }
}

/// An open window: messages and the server's CPU time are counted from here on.
#[derive(Debug)]
pub(crate) struct Window {
    server: u32,
    cpu: Cpu,
    opened_at: Instant,
}

impl Window {
    pub(crate) fn open(server: u32, tally: &mut Tally) -> anyhow::Result<Self> {
        let cpu = server_cpu(server)?;
        tally.restart();
        Ok(Self { server, cpu, opened_at: Instant::now() })
    }

    /// What has been counted.
    pub(crate) fn close(self, tally: &Tally) -> anyhow::Result<Sample> {
        let elapsed = self.opened_at.elapsed();
        let cpu = server_cpu(self.server)?.since(self.cpu);
        let messages = tally.messages as f64;
        let arrived = tally.messages > 0;
        Ok(Sample {
            messages_per_second: Some(messages / elapsed.as_secs_f64()),
            cpu_micros: arrived.then_some(cpu.ran_nanos as f64 / 1000.0 / messages),
            p50_micros: tally.quantile(0.5),
            p99_micros: tally.quantile(0.99),
            messages_per_receive: arrived.then_some(messages / tally.receives as f64),
            server_busy: Some(share(cpu.ran_nanos + cpu.waited_nanos, elapsed)),
            ..Sample::default()
        })
    }
}

fn server_cpu(server: u32) -> anyhow::Result<Cpu> {
    process::cpu(server).context("CPU time of the server")
}

fn share(nanos: u64, elapsed: Duration) -> f64 {
    nanos as f64 / elapsed.as_nanos() as f64
}
