//! What the protocol counts, and where it publishes that.

use std::rc::Rc;

use corelane_metrics::{CounterId, HistogramId, RegistryBuilder, Shard, Unit};
use corelane_parser::Refusal;

use crate::refuse;

/// The metrics of the protocol, declared once per process.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: CounterId,
    responses: [CounterId; 6],
    refusals: std::sync::Arc<[CounterId]>,
    handler_errors: CounterId,
    handler_panics: CounterId,
    latency: HistogramId,
}

impl HttpMetrics {
    /// The name of the counter of answered requests.
    pub const REQUESTS: &'static str = "corelane_http_requests_total";
    /// The name of the latency histogram.
    pub const LATENCY: &'static str = "corelane_http_latency_nanoseconds";

    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> HttpMetrics {
        let refusals = rules().map(|rule| {
            builder.counter_with_labels(
                "corelane_http_refusals_total",
                "Requests refused, by rule.",
                &[("rule", rule)],
            )
        });
        HttpMetrics {
            refusals: refusals.collect(),
            requests: builder.counter(HttpMetrics::REQUESTS, "Requests answered by a handler."),
            responses: builder.counter_family(
                "corelane_http_responses_total",
                "Responses by class of status, those of refused requests included.",
                "class",
                ["other", "1xx", "2xx", "3xx", "4xx", "5xx"],
            ),
            handler_errors: builder.counter(
                "corelane_http_handler_errors_total",
                "Answers of handlers that were malformed and replaced by a 500.",
            ),
            handler_panics: builder.counter(
                "corelane_http_handler_panics_total",
                "Handlers that panicked, and whose answer was replaced by a 500.",
            ),
            latency: builder.histogram(
                HttpMetrics::LATENCY,
                "From the poll that brought a request's first byte to the send of its last.",
                Unit::Nanoseconds,
            ),
        }
    }

    /// The counter of answered requests, for those who report a rate.
    pub fn requests(&self) -> CounterId {
        self.requests
    }

    /// The histogram of all latencies.
    pub fn latency(&self) -> HistogramId {
        self.latency
    }
}

/// Whatever a request can be refused for, in the order of the counters.
fn rules() -> impl Iterator<Item = &'static str> {
    Refusal::ALL.iter().map(|refusal| refusal.rule()).chain(refuse::OWN.map(|answer| answer.rule))
}

/// What one lane has counted since it last published: plain numbers, so that counting a request costs
/// an addition.
#[derive(Debug)]
pub struct HttpCounters {
    metrics: HttpMetrics,
    shard: Rc<Shard>,
    requests: u64,
    responses: [u64; 6],
    handler_errors: u64,
    handler_panics: u64,
}

impl HttpCounters {
    /// Counts into this lane's shard.
    pub fn new(metrics: HttpMetrics, shard: Rc<Shard>) -> HttpCounters {
        HttpCounters {
            metrics,
            shard,
            requests: 0,
            responses: [0; 6],
            handler_errors: 0,
            handler_panics: 0,
        }
    }

    #[inline]
    pub(crate) fn answered(&mut self, replied: crate::Replied) {
        self.requests += 1;
        self.response(replied.status);
        self.handler_errors += u64::from(replied.malformed);
        self.handler_panics += u64::from(replied.panicked);
    }

    #[inline]
    pub(crate) fn response(&mut self, status: u16) {
        let class = usize::from(status / 100);
        self.responses[if class < self.responses.len() { class } else { 0 }] += 1;
    }

    #[cold]
    pub(crate) fn refused(&mut self, rule: &str) {
        let at = rules().position(|other| other == rule);
        if let Some(&id) = at.and_then(|at| self.metrics.refusals.get(at)) {
            self.shard.add(id, 1);
        }
    }

    #[inline]
    pub(crate) fn latency(&self, nanos: u64, requests: u64) {
        self.shard.record_n(self.metrics.latency, nanos, requests);
    }

    /// Makes what was counted in this turn visible.
    pub(crate) fn publish(&mut self) {
        if self.requests > 0 {
            self.shard.add(self.metrics.requests, std::mem::take(&mut self.requests));
        }
        for (count, &id) in self.responses.iter_mut().zip(&self.metrics.responses) {
            if *count > 0 {
                self.shard.add(id, std::mem::take(count));
            }
        }
        if self.handler_errors > 0 {
            self.shard.add(self.metrics.handler_errors, std::mem::take(&mut self.handler_errors));
        }
        if self.handler_panics > 0 {
            self.shard.add(self.metrics.handler_panics, std::mem::take(&mut self.handler_panics));
        }
    }
}
