//! What a breaker counts, for everybody to see.

use std::rc::Rc;

use corelane_metrics::{CounterId, GaugeId, RegistryBuilder, Shard};

use super::circuit::{BreakerCounts, BreakerState};

/// The metrics of the breakers of one name, one breaker per lane; declared once per process.
#[derive(Clone, Debug)]
pub struct BreakerMetrics {
    outcomes: [CounterId; 4],
    opened: CounterId,
    states: [GaugeId; 3],
}

impl BreakerMetrics {
    /// Calls, by `breaker` and `outcome`: success, failure, abandoned, refused.
    pub const CALLS: &'static str = "corelane_breaker_calls_total";
    /// How often it opened, by `breaker`.
    pub const OPENED: &'static str = "corelane_breaker_opened_total";
    /// In how many lanes it has a state, by `breaker` and `state`: closed, open, half-open.
    pub const LANES: &'static str = "corelane_breaker_lanes";

    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder, name: &str) -> BreakerMetrics {
        let calls = |builder: &mut RegistryBuilder, outcome| {
            builder.counter_with_labels(
                BreakerMetrics::CALLS,
                "Calls of a circuit breaker, by outcome.",
                &[("breaker", name), ("outcome", outcome)],
            )
        };
        let outcomes = ["success", "failure", "abandoned", "refused"];
        BreakerMetrics {
            outcomes: outcomes.map(|outcome| calls(builder, outcome)),
            opened: builder.counter_with_labels(
                BreakerMetrics::OPENED,
                "How often a circuit breaker opened.",
                &[("breaker", name)],
            ),
            states: STATES.map(|state| {
                builder.gauge_with_labels(
                    BreakerMetrics::LANES,
                    "Loops whose circuit breaker has this state.",
                    &[("breaker", name), ("state", state.as_str())],
                )
            }),
        }
    }
}

const STATES: [BreakerState; 3] =
    [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];

/// Publishes the changes of one breaker.
pub(super) struct Publisher {
    metrics: BreakerMetrics,
    shard: Rc<Shard>,
    last: BreakerCounts,
}

impl Publisher {
    /// From what it has counted so far: that is not published.
    pub(super) fn new(
        metrics: BreakerMetrics,
        shard: Rc<Shard>,
        last: BreakerCounts,
        state: BreakerState,
    ) -> Publisher {
        let publisher = Publisher { metrics, shard, last };
        publisher.set(state);
        publisher
    }

    /// A lane that died may have left a state behind: all are set.
    fn set(&self, state: BreakerState) {
        for (other, &id) in STATES.into_iter().zip(&self.metrics.states) {
            self.shard.set(id, i64::from(other == state));
        }
    }

    pub(super) fn publish(&mut self, now: BreakerCounts, from: BreakerState, to: BreakerState) {
        let numbers = |counts: &BreakerCounts| {
            [counts.successes, counts.failures, counts.abandoned, counts.refused]
        };
        let pairs = numbers(&now).into_iter().zip(numbers(&self.last));
        for ((now, last), &id) in pairs.zip(&self.metrics.outcomes) {
            if now > last {
                self.shard.add(id, now - last);
            }
        }
        if now.opened > self.last.opened {
            self.shard.add(self.metrics.opened, now.opened - self.last.opened);
        }
        if from != to {
            self.set(to);
        }
        self.last = now;
    }
}
