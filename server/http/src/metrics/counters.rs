//! What one lane counts.

use std::rc::Rc;

use corelane_eventloop::{Nanos, Origin};
use corelane_metrics::{CounterId, HistogramId, METERED, Shard};

use super::routes::Cells;
use super::{HttpMetrics, RouteId, RouteNames, class_index, rules};
use crate::reply::{Fault, Replied};

/// What waits can be cut short for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeouts {
    /// No request came.
    Idle,
    /// The connection was old, and between two requests.
    Age,
    /// A head was not whole in time.
    Head,
    /// A body came too slowly.
    Body,
    /// A handler took too long.
    Handler,
    /// The client took its answer too slowly.
    SlowReader,
}

impl Timeouts {
    pub(super) const NAMES: [&'static str; 6] =
        ["idle", "age", "head", "body", "handler", "slow_reader"];
}

/// What a request is counted under: status, route, method and listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u64);

impl Kind {
    /// That of no request: no method has such a place.
    pub(super) const NONE: Kind = Kind(u64::MAX);

    #[inline]
    pub(crate) fn of(replied: Replied, method: u8, origin: Origin) -> Kind {
        let listener = match origin {
            Origin::Accepted(listener) => listener,
            Origin::Connected(_) => u16::MAX,
        };
        let low = u32::from(replied.status) | u32::from(replied.route.to_bits()) << 16;
        Kind(u64::from(low) | u64::from(method) << 32 | u64::from(listener) << 48)
    }

    fn class(self) -> usize {
        class_index(self.0 as u16)
    }

    fn route(self) -> RouteId {
        RouteId::from_bits((self.0 >> 16) as u16)
    }

    fn method(self) -> usize {
        usize::from((self.0 >> 32) as u8)
    }

    fn listener(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// What one lane has counted since it last published.
#[derive(Debug)]
pub struct HttpCounters {
    metrics: HttpMetrics,
    shard: Rc<Shard>,
    routes: RouteNames,
    /// By number, once it was asked for.
    listeners: Vec<Option<CounterId>>,
    /// Requests of one kind in a row.
    run: Run,
    /// Latencies that are the same, in a row.
    sent: Sent,
    /// As published last.
    futures: usize,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    kind: Kind,
    count: u64,
    /// Where the kind is counted.
    ids: [CounterId; 5],
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    latency: Nanos,
    kind: Kind,
    count: u64,
    /// Where the kind is recorded.
    ids: [HistogramId; 3],
}

impl Drop for HttpCounters {
    /// What a lane that dies in the middle of a turn has counted is not lost with it; and what it had
    /// answered but not sent is not sent any more, whichever of its connections that was for.
    fn drop(&mut self) {
        self.publish_answered();
        self.publish_latencies();
        let HttpMetrics { requests, unsent, latency, .. } = self.metrics;
        let over = self.shard.histogram_count(latency) + self.shard.counter(unsent);
        self.unsent(self.shard.counter(requests).saturating_sub(over));
    }
}

impl HttpCounters {
    /// Counts into this lane's shard, of which it must be the only one that counts requests: when it is dropped,
    /// what was answered there and not sent is counted as unsent.
    pub fn new(metrics: HttpMetrics, shard: Rc<Shard>) -> HttpCounters {
        // A lane that died may have left others behind.
        shard.set(metrics.futures, 0);
        HttpCounters {
            routes: RouteNames::new(metrics.clone()),
            listeners: Vec::new(),
            run: Run { kind: Kind::NONE, count: 0, ids: [metrics.requests; 5] },
            sent: Sent {
                latency: Nanos::ZERO,
                kind: Kind::NONE,
                count: 0,
                ids: [metrics.latency; 3],
            },
            metrics,
            shard,
            futures: 0,
        }
    }

    /// The routes that requests are counted under.
    pub(crate) fn routes(&self) -> &RouteNames {
        &self.routes
    }

    /// A request was answered, for what it is counted under.
    #[inline]
    pub(crate) fn answered(&mut self, replied: Replied, kind: Kind) {
        if !METERED {
            return;
        }
        if kind != self.run.kind {
            self.begin_run(kind);
        }
        self.run.count += 1;
        if replied.fault != Fault::None {
            self.fault(replied.fault);
        }
    }

    #[cold]
    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::None => {}
            Fault::Malformed => self.shard.add(self.metrics.handler_errors, 1),
            Fault::Panicked => self.shard.add(self.metrics.handler_panics, 1),
            Fault::TimedOut => self.timed_out(Timeouts::Handler),
        }
    }

    /// A request that no handler saw was answered, for this rule.
    #[cold]
    pub(crate) fn refused(&mut self, rule: &str, status: u16) {
        let at = rules().position(|other| other == rule);
        if let Some(&id) = at.and_then(|at| self.metrics.refusals.get(at)) {
            self.shard.add(id, 1);
        }
        self.shard.add(self.metrics.responses[class_index(status)], 1);
    }

    /// A wait was cut short.
    #[cold]
    pub(crate) fn timed_out(&mut self, what: Timeouts) {
        self.shard.add(self.metrics.timeouts[what as usize], 1);
    }

    /// So many answers were counted and will not be sent.
    #[cold]
    pub(crate) fn unsent(&mut self, answers: u64) {
        self.shard.add(self.metrics.unsent, answers);
    }

    /// Answers to requests of one kind were sent, after this time.
    #[inline]
    pub(crate) fn latency(&mut self, latency: Nanos, kind: Kind, count: u32) {
        if kind != self.sent.kind || latency != self.sent.latency {
            self.begin_sent(latency, kind);
        }
        self.sent.count += u64::from(count);
    }

    /// Makes visible what was answered in this turn: before it is sent, so that whoever has an answer
    /// finds it counted.
    #[inline]
    pub(crate) fn publish_answered(&mut self) {
        let Run { count, ids, .. } = self.run;
        if count > 0 {
            self.run.count = 0;
            for id in ids {
                self.shard.add(id, count);
            }
        }
    }

    /// So many futures work on requests.
    #[inline]
    pub(crate) fn futures(&mut self, futures: usize) {
        if METERED && futures != self.futures {
            self.futures = futures;
            self.shard.set(self.metrics.futures, futures as i64);
        }
    }

    /// Makes visible what was sent in this turn.
    #[inline]
    pub(crate) fn publish_latencies(&mut self) {
        let Sent { latency, count, ids, .. } = self.sent;
        if count > 0 {
            self.sent.count = 0;
            for id in ids {
                self.shard.record_n(id, latency.0, count);
            }
        }
    }

    /// Requests of another kind come.
    #[inline(never)]
    fn begin_run(&mut self, kind: Kind) {
        self.publish_answered();
        let Cells { requests: route, .. } = self.routes.cells(kind.route());
        let listener = self.listener(kind.listener());
        let HttpMetrics { requests, methods, responses, .. } = &self.metrics;
        let method = methods[kind.method().min(methods.len() - 1)];
        let ids = [*requests, responses[kind.class()], method, route, listener];
        self.run = Run { kind, count: 0, ids };
    }

    /// Answers of another kind were sent, or after another time.
    #[inline(never)]
    fn begin_sent(&mut self, latency: Nanos, kind: Kind) {
        self.publish_latencies();
        self.sent.latency = latency;
        if kind != self.sent.kind {
            let Cells { latency: route, .. } = self.routes.cells(kind.route());
            self.sent.ids = [self.metrics.latency, route, self.metrics.class_latency[kind.class()]];
            self.sent.kind = kind;
        }
    }

    #[inline]
    fn listener(&mut self, number: u16) -> CounterId {
        match self.listeners.get(usize::from(number)) {
            Some(Some(id)) => *id,
            _ => self.find_listener(number),
        }
    }

    #[cold]
    fn find_listener(&mut self, number: u16) -> CounterId {
        let id = self.metrics.listener(number);
        let at = usize::from(number);
        // Outbound connections have no listener, and no place in this list.
        if number != u16::MAX {
            self.listeners.resize(self.listeners.len().max(at + 1), None);
            self.listeners[at] = Some(id);
        }
        id
    }
}
