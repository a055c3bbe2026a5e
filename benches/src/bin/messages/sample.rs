//! What one measurement gave.

use serde::{Deserialize, Serialize};

/// What one measurement gave. What a workload does not measure is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) faults: Faults,
    /// Messages that have arrived at a receiver, for each second of the window.
    pub(crate) messages_per_second: Option<f64>,
    /// CPU time of the server for each of them, in microseconds.
    pub(crate) cpu_micros: Option<f64>,
    pub(crate) p50_micros: Option<f64>,
    pub(crate) p99_micros: Option<f64>,
    /// Messages that a client found at once: how many the server had written together, or more.
    pub(crate) messages_per_receive: Option<f64>,
    /// How busy the server's core was, from 0 to 1.
    pub(crate) server_busy: Option<f64>,
    /// Resident memory for each idle connection, in KiB.
    pub(crate) idle_kibibytes: Option<f64>,
    /// What some receivers that do not read did.
    pub(crate) slow: Option<Slow>,
}

/// What some receivers that do not read did to a server, and it to them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Slow {
    /// Latency of the others before, in microseconds.
    pub(crate) p50_micros_before: Option<f64>,
    pub(crate) p99_micros_before: Option<f64>,
    /// Resident memory of the server before.
    pub(crate) resident_kibibytes: f64,
    /// What the server grew by, for each of them.
    pub(crate) grown_kibibytes_each: f64,
    /// What was sent to each of them meanwhile.
    pub(crate) offered_kibibytes_each: f64,
    /// Those whom the server closed.
    pub(crate) closed: f64,
    /// Lines that each of the others missed when it read again, on the average.
    pub(crate) missed_lines_each: f64,
}

/// Everything that went wrong for clients that keep up, by kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Faults {
    /// Connections that the server closed or reset.
    pub(crate) closed: u64,
    /// Messages with other bytes than were sent, or that came back to their sender.
    pub(crate) wrong: u64,
    /// Messages that came twice, or after a later one of the same sender.
    pub(crate) disordered: u64,
    /// Messages that did not come, although nobody was behind.
    pub(crate) lost: u64,
    /// Messages that were due and not sent, because the server had stopped reading.
    pub(crate) unsent: u64,
}

impl Faults {
    /// Each kind with its name, in order of gravity.
    pub(crate) fn kinds(&self) -> [(&'static str, u64); 5] {
        [
            ("closed", self.closed),
            ("wrong", self.wrong),
            ("disordered", self.disordered),
            ("lost", self.lost),
            ("unsent", self.unsent),
        ]
    }

    /// All kinds together.
    pub(crate) fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }
}
