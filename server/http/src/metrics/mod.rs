//! What the protocol counts, and where it publishes that.
//!
//! Counting is by runs. A request is counted under a [`Kind`]: its status, route, method and listener as
//! one number. As long as the next one is of the same kind, counting it is a comparison and an addition;
//! only the end of a run, or of a turn, adds to the families. Latencies likewise: the clock is read once
//! for all flushes of a turn, so requests that came with the same poll have the same latency, whatever
//! their connection.

mod counters;
mod routes;
mod unsent;

use std::sync::{Arc, OnceLock};

use corelane_metrics::{
    CounterFamily, CounterId, GaugeId, HistogramFamily, HistogramId, RegistryBuilder, Unit,
};
use corelane_parser::Refusal;
use corelane_parser::http1::Method;

pub use self::counters::HttpCounters;
pub(crate) use self::counters::{Kind, Timeouts};
pub use self::routes::{RouteId, RouteNames};
pub(crate) use self::unsent::Unsent;
use crate::refuse;

/// Routes that are told apart; what comes beyond is counted as `other`.
pub(crate) const ROUTES_MAX: usize = 512;

/// Listeners that are told apart.
const LISTENERS_MAX: usize = 64;

/// Methods that are told apart: CONNECT and TRACE are refused before.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"];

/// The place of a method among [`METHODS`].
#[inline]
pub(crate) fn method_index(method: Method<'_>) -> u8 {
    match method {
        Method::Get => 0,
        Method::Head => 1,
        Method::Post => 2,
        Method::Put => 3,
        Method::Delete => 4,
        Method::Patch => 5,
        Method::Options => 6,
        Method::Connect | Method::Trace | Method::Other(_) => 7,
    }
}

/// Classes of statuses; the first is for what is no status.
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

fn class_index(status: u16) -> usize {
    match usize::from(status / 100) {
        class if class < CLASSES.len() => class,
        _ => 0,
    }
}

/// The metrics of the protocol, declared once per process. They are separate families, never a product
/// of them: the requests of all routes, of all methods, of all listeners and of all loops are as many as
/// [`HttpMetrics::REQUESTS`].
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: CounterId,
    routes: CounterFamily,
    methods: [CounterId; METHODS.len()],
    listeners: CounterFamily,
    listener_names: Arc<OnceLock<Box<[Box<str>]>>>,
    responses: [CounterId; CLASSES.len()],
    refusals: Arc<[CounterId]>,
    timeouts: [CounterId; Timeouts::NAMES.len()],
    unsent: CounterId,
    futures: GaugeId,
    handler_errors: CounterId,
    handler_panics: CounterId,
    latency: HistogramId,
    route_latency: HistogramFamily,
    class_latency: [HistogramId; CLASSES.len()],
}

impl HttpMetrics {
    /// The name of the counter of answered requests.
    pub const REQUESTS: &'static str = "corelane_http_requests_total";
    /// The name of the latency histogram.
    pub const LATENCY: &'static str = "corelane_http_latency_nanoseconds";

    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> HttpMetrics {
        HttpMetrics {
            refusals: refusals(builder),
            requests: builder.counter(HttpMetrics::REQUESTS, "Requests answered by a handler."),
            routes: builder.counter_family_with_capacity(
                "corelane_http_route_requests_total",
                "Requests answered, by the name or the pattern of their route.",
                "route",
                ROUTES_MAX,
            ),
            methods: builder.counter_family(
                "corelane_http_method_requests_total",
                "Requests answered, by method.",
                "method",
                METHODS,
            ),
            listeners: builder.counter_family_with_capacity(
                "corelane_http_listener_requests_total",
                "Requests answered, by the listener that their connection came in through.",
                "listener",
                LISTENERS_MAX,
            ),
            listener_names: Arc::default(),
            responses: builder.counter_family(
                "corelane_http_responses_total",
                "Responses by class of status, those of refused requests included.",
                "class",
                CLASSES,
            ),
            timeouts: builder.counter_family(
                "corelane_http_timeouts_total",
                "Waits that took too long, by what was waited for.",
                "kind",
                Timeouts::NAMES,
            ),
            unsent: builder.counter(
                "corelane_http_unsent_total",
                "Answers whose connection ended before the kernel had taken them whole.",
            ),
            futures: builder.gauge(
                "corelane_http_futures",
                "Futures that work on requests, and those that handlers spawned.",
            ),
            handler_errors: builder.counter(
                "corelane_http_handler_errors_total",
                "Answers of handlers that were malformed and replaced by a 500.",
            ),
            handler_panics: builder.counter(
                "corelane_http_handler_panics_total",
                "Handlers that panicked, and whose answer was replaced by a 500.",
            ),
            latency: latency(builder),
            route_latency: route_latency(builder),
            class_latency: class_latency(builder),
        }
    }

    /// Calls listeners by these names, in the order of their numbers, once they are known: before the
    /// first request. Those without a name go by their number.
    pub fn with_listeners(mut self, names: Arc<OnceLock<Box<[Box<str>]>>>) -> HttpMetrics {
        self.listener_names = names;
        self
    }

    /// The counter of answered requests, for those who report a rate.
    pub fn requests(&self) -> CounterId {
        self.requests
    }

    /// The histogram of all latencies.
    pub fn latency(&self) -> HistogramId {
        self.latency
    }

    /// The counter of a listener.
    fn listener(&self, number: u16) -> CounterId {
        let names = self.listener_names.get();
        match names.and_then(|names| names.get(usize::from(number))) {
            Some(name) => self.listeners.member(name),
            None => self.listeners.member(&number.to_string()),
        }
    }
}

fn refusals(builder: &mut RegistryBuilder) -> Arc<[CounterId]> {
    let counter = |rule| {
        builder.counter_with_labels(
            "corelane_http_refusals_total",
            "Requests refused, by rule.",
            &[("rule", rule)],
        )
    };
    rules().map(counter).collect()
}

fn latency(builder: &mut RegistryBuilder) -> HistogramId {
    builder.histogram(
        HttpMetrics::LATENCY,
        "From the poll that brought a request's first byte to the send of its last.",
        Unit::Nanoseconds,
    )
}

fn route_latency(builder: &mut RegistryBuilder) -> HistogramFamily {
    builder.histogram_family_with_capacity(
        "corelane_http_route_latency_nanoseconds",
        "Latency, by the name or the pattern of the route.",
        Unit::Nanoseconds,
        "route",
        ROUTES_MAX,
    )
}

fn class_latency(builder: &mut RegistryBuilder) -> [HistogramId; CLASSES.len()] {
    builder.histogram_family(
        "corelane_http_class_latency_nanoseconds",
        "Latency, by class of the response's status.",
        Unit::Nanoseconds,
        "class",
        CLASSES,
    )
}

/// Whatever a request can be refused for, in the order of the counters.
fn rules() -> impl Iterator<Item = &'static str> {
    Refusal::ALL.iter().map(|refusal| refusal.rule()).chain(refuse::OWN.map(|answer| answer.rule))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use corelane_eventloop::{Nanos, Origin};
    use corelane_metrics::{Registry, Snapshot};
    use proptest::prelude::*;

    use super::*;
    use crate::reply::{Fault, Replied};

    /// The sum over a family's members.
    fn counters(snapshot: &Snapshot, name: &str) -> u64 {
        let all = snapshot.counters().iter().filter(|series| *series.description().name == *name);
        all.map(|series| series.total()).sum()
    }

    /// How many values a family of histograms has, and their sum.
    fn latencies(snapshot: &Snapshot, name: &str) -> (u64, u64) {
        let all = snapshot.histograms().iter();
        let all = all.filter(|series| *series.description().name == *name);
        all.fold((0, 0), |(count, sum), series| {
            (count + series.merged().count(), sum + series.merged().sum())
        })
    }

    pub(super) fn rig(listeners: &[&str]) -> (Registry, HttpCounters) {
        let mut builder = Registry::builder();
        let names = Arc::<OnceLock<Box<[Box<str>]>>>::default();
        names.set(listeners.iter().map(|&name| name.into()).collect()).unwrap();
        let metrics = HttpMetrics::declare(&mut builder).with_listeners(names);
        let registry = builder.build().unwrap();
        let shard = Rc::new(registry.shard(0).unwrap());
        (registry, HttpCounters::new(metrics, shard))
    }

    const METHOD_NAMES: [Method<'_>; 4] =
        [Method::Get, Method::Post, Method::Trace, Method::Other("BREW")];

    /// What happens to one of three connections.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Answer { conn: usize, status: u16, route: usize, method: usize, later: u64 },
        Sent { conn: usize },
        Lost { conn: usize },
        TurnEnds,
    }

    fn step() -> impl Strategy<Value = Step> {
        let statuses = prop::sample::select(vec![200, 201, 304, 404, 500, 999, 0]);
        let answer = (0..3_usize, statuses, 0..80_usize, 0..METHOD_NAMES.len(), 0..4_u64);
        prop_oneof![
            8 => answer.prop_map(|(conn, status, route, method, later)| {
                Step::Answer { conn, status, route, method, later }
            }),
            1 => (0..3_usize).prop_map(|conn| Step::Sent { conn }),
            1 => (0..3_usize).prop_map(|conn| Step::Lost { conn }),
            2 => Just(Step::TurnEnds),
        ]
    }

    proptest! {
        /// However requests mix, each is counted once in every family, and each that was sent has its
        /// latency once in every histogram.
        #[test]
        fn families_agree(steps in prop::collection::vec(step(), 0..300)) {
            let (registry, mut lane) = rig(&["a", "b", "c"]);
            let names: Vec<String> = (0..80).map(|n| format!("/{n}")).collect();
            let mut conns = [Unsent::NONE, Unsent::NONE, Unsent::NONE];
            let (mut now, mut answered, mut sent, mut lost) = (Nanos(1_000), 0_u64, 0_u64, 0_u64);
            let (mut waiting, mut put, mut left) = ([0_u64; 3], [0_u64; 3], [0_u64; 3]);
            let mut by_route = vec![0_u64; 80];
            for step in steps {
                match step {
                    Step::Answer { conn, status, route, method, later } => {
                        let number = lane.routes().route(&names[route]);
                        let replied = Replied { status, route: number, fault: Fault::None };
                        let method = method_index(METHOD_NAMES[method]);
                        let kind = Kind::of(replied, method, Origin::Accepted(conn as u16));
                        put[conn] += 100 + later;
                        conns[conn].add(kind, Nanos(now.0 - later), put[conn], || put[conn] - left[conn]);
                        lane.answered(replied, kind);
                        (answered, waiting[conn]) = (answered + 1, waiting[conn] + 1);
                        by_route[route] += 1;
                    }
                    Step::Sent { conn } => {
                        left[conn] = put[conn];
                        conns[conn].sent(left[conn], now, &mut lane);
                        sent += std::mem::take(&mut waiting[conn]);
                    }
                    Step::Lost { conn } => {
                        conns[conn].end(left[conn], now, &mut lane);
                        lost += std::mem::take(&mut waiting[conn]);
                    }
                    Step::TurnEnds => {
                        lane.publish_answered();
                        lane.publish_latencies();
                        now += Nanos(700);
                    }
                }
            }
            lane.publish_answered();
            lane.publish_latencies();
            let snapshot = registry.snapshot();
            for name in [
                HttpMetrics::REQUESTS,
                "corelane_http_route_requests_total",
                "corelane_http_method_requests_total",
                "corelane_http_listener_requests_total",
                "corelane_http_responses_total",
            ] {
                prop_assert_eq!(counters(&snapshot, name), answered, "{}", name);
            }
            prop_assert_eq!(counters(&snapshot, "corelane_http_unsent_total"), lost);
            let all = latencies(&snapshot, HttpMetrics::LATENCY);
            prop_assert_eq!(all.0, sent);
            for name in
                ["corelane_http_route_latency_nanoseconds", "corelane_http_class_latency_nanoseconds"]
            {
                prop_assert_eq!(latencies(&snapshot, name), all, "{}", name);
            }
            for (name, count) in names.iter().zip(by_route) {
                let labels = [("route", name.as_str())];
                let series = snapshot.counter("corelane_http_route_requests_total", &labels);
                prop_assert_eq!(series.map_or(0, |series| series.total()), count);
            }
            for series in snapshot.counters() {
                let description = series.description();
                if &*description.name == "corelane_http_listener_requests_total" {
                    let name = &*description.labels[0].1;
                    prop_assert!(["a", "b", "c"].contains(&name), "{} is no name", name);
                }
            }
        }
    }

    #[test]
    fn a_lane_that_dies_in_a_turn_loses_no_count() {
        let (registry, mut lane) = rig(&["a"]);
        let replied = Replied { status: 200, route: lane.routes().route("/"), fault: Fault::None };
        let kind = Kind::of(replied, 0, Origin::Accepted(0));
        (0..4).for_each(|_| lane.answered(replied, kind));
        lane.latency(Nanos(5), kind, 1);
        lane.unsent(1);
        drop(lane);
        let snapshot = registry.snapshot();
        assert_eq!(counters(&snapshot, HttpMetrics::REQUESTS), 4);
        assert_eq!(latencies(&snapshot, HttpMetrics::LATENCY), (1, 5));
        // Of two answers nobody had said yet that they cannot be sent.
        assert_eq!(counters(&snapshot, "corelane_http_unsent_total"), 3);
    }

    #[test]
    fn the_number_of_routes_is_bounded_and_none_is_lost() {
        let (registry, lane) = rig(&[]);
        let ids: Vec<RouteId> =
            (0..2 * ROUTES_MAX).map(|n| lane.routes().route(&n.to_string())).collect();
        assert_eq!(lane.routes().route("7"), ids[7]);
        assert!(ids[ROUTES_MAX..].iter().all(|id| *id == ids[ROUTES_MAX]), "the rest are one");
        assert_ne!(ids[ROUTES_MAX], ids[0]);
        let name = "corelane_http_route_requests_total";
        let series = registry.snapshot();
        let series = series.counters().iter().filter(|series| *series.description().name == *name);
        assert_eq!(series.count(), ROUTES_MAX + 1);
    }
}
