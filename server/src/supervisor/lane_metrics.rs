//! A lane's plain counters, published.

use corelane_eventloop::{Closed, LaneStats};
use corelane_mempool::PoolStats;
use corelane_metrics::{CounterId, GaugeId, HistogramId, RegistryBuilder, Shard, Unit};

/// The metrics of lanes, declared once per process.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    busy: [CounterId; BUSY.len()],
    rare: [CounterId; RARE.len()],
    refused: [CounterId; REFUSED.len()],
    closed: [CounterId; Closed::NAMES.len()],
    restarts: CounterId,
    turn: HistogramId,
    open: GaugeId,
    mail_waiting: GaugeId,
    pool_kept: GaugeId,
    pool_lent: GaugeId,
}

/// Where a value is.
type Read = fn(&LaneStats) -> u64;

/// Name, help, and where the value is.
type Definition = (&'static str, &'static str, Read);

/// What nearly every turn changes.
const BUSY: [Definition; 7] = [
    ("corelane_loop_turns_total", "Turns of the loop.", |s| s.turns),
    ("corelane_loop_busy_nanoseconds_total", "Time that turns took.", |s| s.busy),
    ("corelane_loop_events_total", "Readiness events.", |s| s.events),
    ("corelane_bytes_received_total", "Bytes received.", |s| s.bytes_in),
    ("corelane_bytes_sent_total", "Bytes sent.", |s| s.bytes_out),
    ("corelane_receive_calls_total", "Receive calls.", |s| s.receives),
    ("corelane_send_calls_total", "Send calls.", |s| s.sends),
];

/// What most turns leave alone: see [`rare_sum`].
const RARE: [Definition; 17] = [
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
    ("corelane_connections_shed_total", "Connections shed for want of memory.", |s| s.shed),
    ("corelane_accept_errors_total", "Failed accepts.", |s| s.accept_errors),
    ("corelane_output_paused_total", "Times output passed its high watermark.", |s| s.watermarks),
];

/// Why connections were closed at accept.
const REFUSED: [(&str, Read); 2] = [("limit", |s| s.refused), ("protocol", |s| s.declined)];

/// Grows with each of the rare ones: as long as it is the same, they are. Every one of them only grows.
#[inline]
fn rare_sum(s: &LaneStats) -> u64 {
    [
        s.stale_events,
        s.wakes,
        s.yields,
        s.timers,
        s.panics,
        s.mail_in,
        s.mail_out,
        s.mail_refused,
        s.mail_stale,
        s.mail_forwarded,
        s.mail_dropped,
        s.moved_in,
        s.moved_out,
        s.accepted,
        s.shed,
        s.accept_errors,
        s.watermarks,
        s.refused,
        s.declined,
        s.closed_total(),
    ]
    .into_iter()
    .fold(0, u64::wrapping_add)
}

impl LaneMetrics {
    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> LaneMetrics {
        LaneMetrics {
            busy: BUSY.map(|(name, help, _)| builder.counter(name, help)),
            rare: RARE.map(|(name, help, _)| builder.counter(name, help)),
            refused: builder.counter_family(
                "corelane_connections_refused_total",
                "Connections closed at accept, by reason.",
                "reason",
                REFUSED.map(|(reason, _)| reason),
            ),
            turn: builder.histogram(
                "corelane_loop_turn_nanoseconds",
                "Time of one turn, from the end of the poll to the end of the flush.",
                Unit::Nanoseconds,
            ),
            mail_waiting: builder.gauge(
                "corelane_mail_waiting",
                "Mail that the loop has not taken yet, when it last took some.",
            ),
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

/// False in builds that measure what metrics cost: `RUSTFLAGS="--cfg corelane_unmetered"`.
const METERED: bool = !cfg!(corelane_unmetered);

/// Publishes what has changed since the last time; a restarted lane begins at zero again.
pub(super) struct Publisher {
    metrics: LaneMetrics,
    /// As of the last turn.
    busy: [u64; BUSY.len()],
    /// As of the last turn that changed something rare.
    last: LaneStats,
    rare_sum: u64,
}

impl Publisher {
    pub(super) fn new(metrics: LaneMetrics) -> Publisher {
        Publisher { metrics, busy: [0; BUSY.len()], last: LaneStats::default(), rare_sum: 0 }
    }

    /// Once per turn. `mail_waiting` is asked for only if some came.
    #[inline]
    pub(super) fn publish(
        &mut self,
        shard: &Shard,
        now: &LaneStats,
        open: usize,
        pool: PoolStats,
        mail_waiting: impl Fn() -> usize,
    ) {
        if !METERED {
            return;
        }
        let busy = BUSY.map(|(_, _, read)| read(now));
        for ((&id, now), last) in self.metrics.busy.iter().zip(busy).zip(self.busy) {
            shard.add(id, now.wrapping_sub(last));
        }
        // The second of them is the time that turns took.
        shard.record(self.metrics.turn, busy[1].wrapping_sub(self.busy[1]));
        self.busy = busy;
        shard.set(self.metrics.open, open as i64);
        shard.set(self.metrics.pool_kept, pool.free_bytes as i64);
        shard.set(self.metrics.pool_lent, pool.lent_bytes as i64);
        let rare_sum = rare_sum(now);
        if rare_sum != self.rare_sum {
            self.rare_sum = rare_sum;
            shard.set(self.metrics.mail_waiting, mail_waiting() as i64);
            self.publish_rare(shard, now);
            self.last = *now;
        }
    }

    #[inline(never)]
    fn publish_rare(&self, shard: &Shard, now: &LaneStats) {
        let add = |id: CounterId, read: Read| {
            let grown = read(now).wrapping_sub(read(&self.last));
            if grown > 0 {
                shard.add(id, grown);
            }
        };
        for (&id, (_, _, read)) in self.metrics.rare.iter().zip(&RARE) {
            add(id, *read);
        }
        for (&id, (_, read)) in self.metrics.refused.iter().zip(&REFUSED) {
            add(id, *read);
        }
        for (reason, &id) in self.metrics.closed.iter().enumerate() {
            shard.add(id, now.closed[reason].wrapping_sub(self.last.closed[reason]));
        }
    }
}

#[cfg(test)]
mod tests {
    use corelane_metrics::Registry;

    use super::*;

    /// Whatever grows is published, at once and once: also what is rare.
    #[test]
    fn every_figure_is_published() {
        let mut builder = Registry::builder();
        let metrics = LaneMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        let mut publisher = Publisher::new(metrics.clone());
        let mut publish = |now: &LaneStats, mail| {
            publisher.publish(&shard, now, 3, PoolStats::default(), || mail);
        };
        let mut now = LaneStats::default();
        let steps: [fn(&mut LaneStats); 27] = [
            |s| s.turns += 1,
            |s| s.busy += 1,
            |s| s.events += 1,
            |s| s.stale_events += 1,
            |s| s.accepted += 1,
            |s| s.refused += 1,
            |s| s.declined += 1,
            |s| s.accept_errors += 1,
            |s| s.closed[4] += 1,
            |s| s.moved_in += 1,
            |s| s.moved_out += 1,
            |s| s.bytes_in += 1,
            |s| s.bytes_out += 1,
            |s| s.receives += 1,
            |s| s.sends += 1,
            |s| s.timers += 1,
            |s| s.mail_in += 1,
            |s| s.mail_out += 1,
            |s| s.mail_refused += 1,
            |s| s.mail_stale += 1,
            |s| s.mail_forwarded += 1,
            |s| s.mail_dropped += 1,
            |s| s.wakes += 1,
            |s| s.yields += 1,
            |s| s.watermarks += 1,
            |s| s.shed += 1,
            |s| s.panics += 1,
        ];
        let total = || registry.snapshot().counters().iter().map(|c| c.total()).sum::<u64>();
        for (count, step) in (1..).zip(steps) {
            step(&mut now);
            publish(&now, 5);
            assert_eq!(total(), count);
            publish(&now, 0);
            assert_eq!(total(), count, "twice is not twice as much");
        }
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.gauge_by_id(metrics.open).unwrap().total(), 3);
        assert_eq!(snapshot.gauge_by_id(metrics.mail_waiting).unwrap().total(), 5);
        let turns = snapshot.histogram_by_id(metrics.turn).unwrap().merged().clone();
        assert_eq!((turns.count(), turns.max()), (54, 1));
    }
}
