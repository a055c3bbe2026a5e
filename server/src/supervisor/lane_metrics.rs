//! A lane's plain counters, published.

use corelane_eventloop::{Closed, LaneStats};
use corelane_mempool::PoolStats;
use corelane_metrics::{CounterId, GaugeId, RegistryBuilder, Shard};

/// The metrics of lanes, declared once per process.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    counters: [CounterId; COUNTERS.len()],
    closed: [CounterId; Closed::NAMES.len()],
    restarts: CounterId,
    open: GaugeId,
    pool_kept: GaugeId,
    pool_lent: GaugeId,
}

/// Name, help, and where the value is.
type Definition = (&'static str, &'static str, fn(&LaneStats) -> u64);

const COUNTERS: [Definition; 24] = [
    ("corelane_loop_turns_total", "Turns of the loop.", |s| s.turns),
    ("corelane_loop_busy_nanoseconds_total", "Time that turns took.", |s| s.busy),
    ("corelane_loop_events_total", "Readiness events.", |s| s.events),
    ("corelane_loop_stale_events_total", "Events for closed connections.", |s| s.stale_events),
    ("corelane_loop_wakes_total", "Wakes sent to other loops.", |s| s.wakes),
    ("corelane_loop_yields_total", "Connections put off to the next turn.", |s| s.yields),
    ("corelane_loop_timers_total", "Deadlines that fired.", |s| s.timers),
    ("corelane_loop_panics_total", "Panics contained to a connection.", |s| s.panics),
    ("corelane_mail_received_total", "Mail delivered.", |s| s.mail_in),
    ("corelane_mail_sent_total", "Mail queued.", |s| s.mail_out),
    ("corelane_mail_refused_total", "Mail refused by a full queue.", |s| s.mail_refused),
    ("corelane_mail_stale_total", "Mail for closed connections.", |s| s.mail_stale),
    ("corelane_mail_forwarded_total", "Mail sent after moved connections.", |s| s.mail_forwarded),
    ("corelane_mail_dropped_total", "Mail for moved connections, dropped.", |s| s.mail_dropped),
    ("corelane_connections_moved_in_total", "Connections from other loops.", |s| s.moved_in),
    ("corelane_connections_moved_out_total", "Connections to other loops.", |s| s.moved_out),
    ("corelane_connections_accepted_total", "Connections accepted.", |s| s.accepted),
    ("corelane_connections_refused_total", "Connections closed at accept.", |s| s.refused),
    ("corelane_connections_shed_total", "Connections shed for want of memory.", |s| s.shed),
    ("corelane_accept_errors_total", "Failed accepts.", |s| s.accept_errors),
    ("corelane_bytes_received_total", "Bytes received.", |s| s.bytes_in),
    ("corelane_bytes_sent_total", "Bytes sent.", |s| s.bytes_out),
    ("corelane_receive_calls_total", "Receive calls.", |s| s.receives),
    ("corelane_send_calls_total", "Send calls.", |s| s.sends),
];

impl LaneMetrics {
    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> LaneMetrics {
        LaneMetrics {
            counters: COUNTERS.map(|(name, help, _)| builder.counter(name, help)),
            closed: builder.counter_family(
                "corelane_connections_closed_total",
                "Connections closed, by reason.",
                "reason",
                Closed::NAMES,
            ),
            restarts: builder
                .counter("corelane_loop_restarts_total", "Loops restarted after a panic."),
            open: builder.gauge("corelane_connections_open", "Open connections."),
            pool_kept: builder
                .gauge("corelane_pool_kept_bytes", "Bytes of buffers kept for reuse."),
            pool_lent: builder.gauge("corelane_pool_lent_bytes", "Bytes of buffers in use."),
        }
    }

    /// Counts connections that were cut.
    pub(super) fn cut(&self) -> CounterId {
        self.closed[Closed::Stopped.index()]
    }

    pub(super) fn restarted(&self, shard: &Shard) {
        shard.add(self.restarts, 1);
    }
}

/// Publishes what has changed since the last time; a restarted lane begins at zero again.
pub(super) struct Publisher {
    metrics: LaneMetrics,
    last: LaneStats,
}

impl Publisher {
    pub(super) fn new(metrics: LaneMetrics) -> Publisher {
        Publisher { metrics, last: LaneStats::default() }
    }

    pub(super) fn publish(&mut self, shard: &Shard, now: &LaneStats, open: usize, pool: PoolStats) {
        for (&id, (_, _, read)) in self.metrics.counters.iter().zip(&COUNTERS) {
            let grown = read(now).wrapping_sub(read(&self.last));
            if grown > 0 {
                shard.add(id, grown);
            }
        }
        if now.closed != self.last.closed {
            for (reason, &id) in self.metrics.closed.iter().enumerate() {
                shard.add(id, now.closed[reason].wrapping_sub(self.last.closed[reason]));
            }
        }
        shard.set(self.metrics.open, open as i64);
        shard.set(self.metrics.pool_kept, pool.free_bytes as i64);
        shard.set(self.metrics.pool_lent, pool.lent_bytes as i64);
        self.last = *now;
    }
}
