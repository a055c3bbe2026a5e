//! Load shedding: what matters less is refused first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corelane_eventloop::Nanos;
use corelane_metrics::{CounterId, GaugeId, RegistryBuilder, Shard};

use crate::web::{Before, Middleware, Request, Response};

/// How much a request matters, compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Refused first: what can be done later, or by nobody.
    Low,
    /// Refused when that was not enough.
    Normal,
    /// Refused last: health checks, administration, payment.
    High,
}

impl Priority {
    /// All of them, the lowest first.
    pub const ALL: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

    /// `low`, `normal` or `high`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        }
    }
}

/// From which load on requests are refused, by priority. [`u64::MAX`] is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Of those of low priority.
    pub low: u64,
    /// Of those of normal priority.
    pub normal: u64,
    /// Of those of high priority.
    pub high: u64,
}

impl LoadLimits {
    /// Requests of low priority are refused from 1/2 of a load on, normal ones from 3/4, high ones
    /// from all of it.
    pub fn of(full: u64) -> LoadLimits {
        LoadLimits { low: full / 2, normal: full - full / 4, high: full }
    }

    fn of_class(&self, priority: Priority) -> u64 {
        [self.low, self.normal, self.high][priority as usize]
    }
}

/// What a load shedder has counted of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedCounts {
    /// Requests that passed.
    pub passed: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// The metrics of the load shedders of one name, one per lane; declared once per process.
#[derive(Clone, Debug)]
pub struct LoadMetrics {
    /// By priority: passed, refused.
    requests: [[CounterId; 2]; 3],
    in_flight: GaugeId,
}

impl LoadMetrics {
    /// Requests, by `shedder`, `priority` and `outcome`: passed, refused.
    pub const REQUESTS: &'static str = "corelane_load_requests_total";
    /// Requests that have passed and are not answered yet, by `shedder`.
    pub const IN_FLIGHT: &'static str = "corelane_load_in_flight";

    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder, name: &str) -> LoadMetrics {
        LoadMetrics {
            requests: Priority::ALL.map(|priority| {
                ["passed", "refused"].map(|outcome| {
                    let priority = ("priority", priority.as_str());
                    builder.counter_with_labels(
                        LoadMetrics::REQUESTS,
                        "Requests at a load shedder, by priority and outcome.",
                        &[("shedder", name), priority, ("outcome", outcome)],
                    )
                })
            }),
            in_flight: builder.gauge_with_labels(
                LoadMetrics::IN_FLIGHT,
                "Requests that a load shedder let pass and that are not answered yet.",
                &[("shedder", name)],
            ),
        }
    }
}

/// The load of one lane, and what is refused because of it. Clones are the same.
///
/// The load that is known by itself is the number of requests that have passed and are not answered
/// yet: those that futures work on. Other loads are [told](LoadShedderBuilder::gauge).
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::middleware::{LoadLimits, LoadShedder, Priority};
/// use corelane_http::web::{Request, Routes};
/// use corelane_mempool::Budget;
///
/// let budget = Budget::new(1 << 30);
/// let memory = move || (budget.used() >> 20) as u64;
/// let shedder =
///     LoadShedder::builder(LoadLimits::of(1000)).gauge(LoadLimits::of(900), memory).build();
/// let app = Routes::new()
///     .get("/health", |_: &Request<'_>| "up\n").with_last(shedder.gate(Priority::High))
///     .get("/report", |_: &Request<'_>| "…\n").with_last(shedder.gate(Priority::Low))
///     .build()?;
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
///
/// Once requests of a priority are refused, they are until the load has fallen to
/// [three quarters](LoadShedderBuilder::resume_percent) of its limit, so that the server does not flutter.
#[derive(Clone)]
pub struct LoadShedder(Rc<Shared>);

struct Shared {
    sources: Vec<Source>,
    in_flight: Cell<u64>,
    counts: RefCell<[ShedCounts; 3]>,
    resume_percent: u32,
    retry_after: Nanos,
    published: Option<(LoadMetrics, Rc<Shard>)>,
}

impl Shared {
    fn set_in_flight(&self, count: u64) {
        self.in_flight.set(count);
        if let Some((metrics, shard)) = &self.published {
            shard.set(metrics.in_flight, count as i64);
        }
    }

    fn count(&self, priority: Priority, refused: bool) {
        let mut counts = self.counts.borrow_mut();
        let counts = &mut counts[priority as usize];
        *if refused { &mut counts.refused } else { &mut counts.passed } += 1;
        if let Some((metrics, shard)) = &self.published {
            shard.add(metrics.requests[priority as usize][usize::from(refused)], 1);
        }
    }
}

/// One kind of load.
struct Source {
    limits: LoadLimits,
    /// `None` for the requests in flight.
    gauge: Option<Box<dyn Fn() -> u64>>,
    refuses: [Cell<bool>; 3],
}

impl Source {
    /// Whether requests of this priority are refused at this load. Changes with every look.
    fn refuses(&self, priority: Priority, load: u64, resume_percent: u32) -> bool {
        let limit = self.limits.of_class(priority);
        let refuses = &self.refuses[priority as usize];
        let resume = u128::from(limit) * u128::from(resume_percent) / 100;
        if load >= limit {
            refuses.set(true);
        } else if u128::from(load) <= resume {
            refuses.set(false);
        }
        refuses.get()
    }
}

/// Builds a [`LoadShedder`].
pub struct LoadShedderBuilder(Shared);

impl LoadShedderBuilder {
    /// Another kind of load, read for every request: memory in use, a queue's length, how late the lane
    /// is. Refused is what any of them refuses.
    pub fn gauge(mut self, limits: LoadLimits, gauge: impl Fn() -> u64 + 'static) -> Self {
        let gauge: Option<Box<dyn Fn() -> u64>> = Some(Box::new(gauge));
        self.0.sources.push(Source { limits, gauge, refuses: Default::default() });
        self
    }

    /// At which part of a limit refusing ends. Default 75; at most 100, which is no distance at all.
    pub fn resume_percent(mut self, percent: u32) -> Self {
        self.0.resume_percent = percent.min(100);
        self
    }

    /// When those refused may come again (Retry-After, in whole seconds, at least 1). Default 1 s. By
    /// chance it is up to twice as long, so that they do not all come at once.
    pub fn retry_after(mut self, time: Nanos) -> Self {
        self.0.retry_after = time;
        self
    }

    /// Has what it counts published by its lane, where all can see it: `/status` of the admin pages,
    /// for instance.
    pub fn count_into(mut self, metrics: LoadMetrics, shard: Rc<Shard>) -> Self {
        self.0.published = Some((metrics, shard));
        self
    }

    /// The load shedder.
    pub fn build(self) -> LoadShedder {
        // A lane that died may have left a number behind.
        self.0.set_in_flight(0);
        LoadShedder(Rc::new(self.0))
    }
}

impl LoadShedder {
    /// With limits for the number of requests in flight on this lane, and the defaults.
    pub fn new(in_flight: LoadLimits) -> LoadShedder {
        LoadShedder::builder(in_flight).build()
    }

    /// Begins with limits for the number of requests in flight on this lane.
    pub fn builder(in_flight: LoadLimits) -> LoadShedderBuilder {
        LoadShedderBuilder(Shared {
            sources: vec![Source { limits: in_flight, gauge: None, refuses: Default::default() }],
            in_flight: Cell::new(0),
            counts: RefCell::default(),
            resume_percent: 75,
            retry_after: Nanos::from_secs(1),
            published: None,
        })
    }

    /// Middleware for routes whose requests have this priority.
    pub fn gate(&self, priority: Priority) -> LoadGate {
        self.gate_by(move |_| priority)
    }

    /// Middleware for routes whose requests have the priority that a function says, by their head.
    pub fn gate_by(&self, priority: impl Fn(&Request<'_>) -> Priority + 'static) -> LoadGate {
        LoadGate { shedder: self.clone(), priority: Box::new(priority) }
    }

    /// Requests that have passed and are not answered yet.
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.get()
    }

    /// What was counted of this priority.
    pub fn counts(&self, priority: Priority) -> ShedCounts {
        self.0.counts.borrow()[priority as usize]
    }

    /// Whether a request of this priority is refused now.
    fn refuses(&self, priority: Priority) -> bool {
        let shared = &*self.0;
        // All are asked: what one of them has seen must not depend on another.
        shared.sources.iter().fold(false, |refused, source| {
            let load = source.gauge.as_ref().map_or(shared.in_flight.get(), |gauge| gauge());
            source.refuses(priority, load, shared.resume_percent) | refused
        })
    }
}

/// The middleware of a [`LoadShedder`]: lets requests pass, or answers 503 with Retry-After (RFC 9110
/// §15.6.4).
///
/// Put it far out, so that what is refused has cost little.
pub struct LoadGate {
    shedder: LoadShedder,
    priority: Box<dyn Fn(&Request<'_>) -> Priority>,
}

/// Left on a request while it is in flight: also one whose client leaves is dropped, and with it this.
struct InFlight(Rc<Shared>);

impl InFlight {
    fn new(shared: &Rc<Shared>) -> InFlight {
        shared.set_in_flight(shared.in_flight.get() + 1);
        InFlight(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set_in_flight(self.0.in_flight.get() - 1);
    }
}

impl Middleware for LoadGate {
    fn name(&self) -> &'static str {
        "load-gate"
    }

    fn before(&self, request: &Request<'_>) -> Before {
        let priority = (self.priority)(request);
        let refused = self.shedder.refuses(priority);
        let shared = &self.shedder.0;
        shared.count(priority, refused);
        if !refused {
            request.insert(InFlight::new(shared));
            return Before::Next;
        }
        let least = shared.retry_after.as_secs().max(1);
        let seconds = least + request.random() % (least + 1);
        let response = Response::problem(503, "the server is busy: come again later");
        Before::Answer(response.with("Retry-After", seconds.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusing_begins_at_the_limit_and_ends_below_it() {
        let load = Rc::new(Cell::new(0));
        let gauge = load.clone();
        let limits = LoadLimits { low: 40, normal: 80, high: u64::MAX };
        let shedder = LoadShedder::builder(LoadLimits::of(u64::MAX));
        let shedder = shedder.gauge(limits, move || gauge.get()).build();
        // Load, and whether low and normal are refused.
        let steps = [
            (39, false, false),
            (40, true, false),
            (31, true, false),
            (30, false, false),
            (39, false, false),
            (80, true, true),
            (61, true, true),
            (60, true, false),
            (30, false, false),
            (u64::MAX - 1, true, true),
            (0, false, false),
        ];
        for (now, low, normal) in steps {
            load.set(now);
            let refused = Priority::ALL.map(|priority| shedder.refuses(priority));
            assert_eq!(refused, [low, normal, false], "at {now}");
        }
    }

    #[test]
    fn limits_are_in_the_order_of_priorities() {
        for full in [0, 1, 2, 3, 100, u64::MAX] {
            let LoadLimits { low, normal, high } = LoadLimits::of(full);
            assert!(low <= normal && normal <= high && high == full);
        }
    }
}
