//! What is counted.

use std::rc::Rc;

use corelane_metrics::{CounterId, RegistryBuilder, Shard};

/// The metrics of handlers, declared once per process. Every message to a receiver that does not keep
/// up is in exactly one of them: delivered, dropped, or the reason of a disconnect.
#[derive(Clone, Debug)]
pub struct HandlerMetrics([CounterId; NAMES.len()]);

const NAMES: [(&str, &str); 11] = [
    ("corelane_messages_received_total", "Messages that came in whole."),
    (
        "corelane_messages_refused_total",
        "Connections whose input was no message, or ended within one.",
    ),
    (
        "corelane_messages_unsendable_total",
        "Messages of handlers that their framing does not have.",
    ),
    ("corelane_messages_published_total", "Messages to topics, to all, or to other connections."),
    ("corelane_messages_delivered_total", "Published messages, for each receiver that took them."),
    ("corelane_messages_dropped_total", "Published messages that a slow receiver missed."),
    ("corelane_messages_lost_total", "Published messages that another loop was too slow to take."),
    ("corelane_messages_stale_total", "Messages to one connection that was gone."),
    ("corelane_messages_from_outside_total", "Messages of other threads."),
    ("corelane_slow_disconnects_total", "Receivers disconnected because they were slow."),
    ("corelane_senders_held_total", "Senders not read because a receiver was slow."),
];

#[derive(Clone, Copy)]
pub(super) enum Count {
    Received,
    Refused,
    Unsendable,
    Published,
    Delivered,
    Dropped,
    Lost,
    Stale,
    Outside,
    Disconnected,
    Held,
}

impl HandlerMetrics {
    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> HandlerMetrics {
        HandlerMetrics(NAMES.map(|(name, help)| builder.counter(name, help)))
    }

    /// Messages that came in whole.
    pub fn received(&self) -> CounterId {
        self.0[Count::Received as usize]
    }
}

/// The counters of one lane.
pub struct HandlerCounters {
    metrics: HandlerMetrics,
    shard: Rc<Shard>,
}

impl HandlerCounters {
    /// Counts into this shard.
    pub fn new(metrics: HandlerMetrics, shard: Rc<Shard>) -> HandlerCounters {
        HandlerCounters { metrics, shard }
    }

    pub(super) fn add(&self, what: Count, n: u64) {
        self.shard.add(self.metrics.0[what as usize], n);
    }
}
