//! What one worker counts.

use std::collections::BTreeMap;

use corelane_metrics::HistogramSnapshot;

use crate::plan::Plan;
use crate::response::{Malformed, Response};

/// Everything that went wrong between client and server, by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Connections that could not be opened (each is tried again 10 ms later).
    pub connects: u64,
    /// Requests, and attempts to connect, that took longer than the timeout.
    pub timeouts: u64,
    /// Connections that broke: a reset, or another error of a send or receive.
    pub resets: u64,
    /// Connections closed by the server while it owed a response, without having announced it.
    pub closed_early: u64,
    /// Connections on which something came that is no HTTP response, or came unasked.
    pub malformed: u64,
    /// Responses with another status than expected.
    pub wrong_status: u64,
    /// Responses with the expected status and another body than expected.
    pub wrong_body: u64,
    /// Connections that the server kept open for half a second although the request or its own
    /// response said `Connection: close`.
    pub kept_open: u64,
    /// Requests of [`Stop::Requests`](crate::Stop::Requests) that were never sent, because the
    /// server had stopped answering.
    pub unsent: u64,
}

impl Faults {
    /// Each kind with its name, in order of gravity.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, u64); 9] {
        [
            ("connects", self.connects),
            ("timeouts", self.timeouts),
            ("resets", self.resets),
            ("closed early", self.closed_early),
            ("malformed", self.malformed),
            ("wrong status", self.wrong_status),
            ("wrong body", self.wrong_body),
            ("kept open", self.kept_open),
            ("unsent", self.unsent),
        ]
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.connects += other.connects;
        self.timeouts += other.timeouts;
        self.resets += other.resets;
        self.closed_early += other.closed_early;
        self.malformed += other.malformed;
        self.wrong_status += other.wrong_status;
        self.wrong_body += other.wrong_body;
        self.kept_open += other.kept_open;
        self.unsent += other.unsent;
    }
}

impl From<Malformed> for Faults {
    fn from(_: Malformed) -> Self {
        Self { malformed: 1, ..Self::default() }
    }
}

/// Counts of a window of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) faults: Faults,
    pub(crate) sent: u64,
    /// Whole responses, right or wrong.
    pub(crate) responses: u64,
    /// Connections opened.
    pub(crate) opened: u64,
    pub(crate) bytes_received: u64,
    pub(crate) latency: HistogramSnapshot,
    /// Responses by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
}

impl Tally {
    /// Counts one whole response.
    pub(crate) fn score(&mut self, response: Response, latency_nanos: u64, plan: &Plan) {
        self.responses += 1;
        self.latency.record_n(latency_nanos, 1);
        *self.statuses.entry(response.status).or_default() += 1;
        if !plan.accepts(response.status) {
            self.faults.wrong_status += 1;
        } else if !response.body_matches {
            self.faults.wrong_body += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.faults.add(&other.faults);
        self.sent += other.sent;
        self.responses += other.responses;
        self.opened += other.opened;
        self.bytes_received += other.bytes_received;
        self.latency.merge(&other.latency);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }
}
