//! A lane's plain counters, published.

use std::sync::Arc;

use corelane_acceptor::AdmissionCounts;
use corelane_eventloop::{Closed, LaneStats, Nanos};
use corelane_mempool::PoolStats;
use corelane_metrics::{CounterId, GaugeId, HistogramId, METERED, RegistryBuilder, Shard, Unit};

use super::admit::{Decisions, PAUSES, Tally};

/// The metrics of lanes, declared once per process.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    counters: [CounterId; COUNTERS.len()],
    refused: [CounterId; REFUSED.len()],
    paused: [CounterId; PAUSES.len()],
    accept_errors: CounterId,
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

/// What grows, and is told as it is.
const COUNTERS: [Definition; 24] = [
    ("corelane_loop_turns_total", "Turns of the loop.", |s| s.turns),
    ("corelane_loop_busy_nanoseconds_total", "Time that turns took.", |s| s.busy),
    ("corelane_loop_events_total", "Readiness events.", |s| s.events),
    ("corelane_bytes_received_total", "Bytes received.", |s| s.bytes_in),
    ("corelane_bytes_sent_total", "Bytes sent.", |s| s.bytes_out),
    ("corelane_receive_calls_total", "Receive calls.", |s| s.receives),
    ("corelane_send_calls_total", "Send calls.", |s| s.sends),
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
    ("corelane_connections_outbound_total", "Outbound connections established.", |s| s.connected),
    ("corelane_output_paused_total", "Times output passed its high watermark.", |s| s.watermarks),
];

/// Why connections were closed at accept. The first three are those of [`Decisions`].
const REFUSED: [&str; 4] = ["connections", "rate", "loop_full", "protocol"];
const LOOP_FULL: usize = 2;
const PROTOCOL: usize = 3;

impl LaneMetrics {
    /// Declares them.
    pub fn declare(builder: &mut RegistryBuilder) -> LaneMetrics {
        LaneMetrics {
            counters: COUNTERS.map(|(name, help, _)| builder.counter(name, help)),
            refused: builder.counter_family(
                "corelane_connections_refused_total",
                "Connections closed at accept, by reason.",
                "reason",
                REFUSED,
            ),
            paused: builder.counter_family(
                "corelane_accept_pauses_total",
                "Times nothing was accepted for a while, by reason.",
                "reason",
                PAUSES,
            ),
            accept_errors: builder.counter("corelane_accept_errors_total", "Failed accepts."),
            turn: builder.histogram(
                "corelane_loop_turn_nanoseconds",
                "Time of one turn, from the end of the poll to the end of its work.",
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

    fn add_pauses(&self, shard: &Shard, news: Decisions) {
        for (&id, pauses) in self.paused.iter().zip(news.paused) {
            add(shard, id, pauses);
        }
    }

    pub(super) fn restarted(&self, shard: &Shard) {
        shard.add(self.restarts, 1);
    }
}

/// Figures are published at most once in this time: a busy lane does not pay for it in each turn.
const PERIOD: Nanos = Nanos::from_millis(10);
/// A lane that has nothing to do publishes what its last turns changed after this time.
const REST: Nanos = Nanos::from_millis(100);

/// What a lane has now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub(super) open: usize,
    pub(super) pool: PoolStats,
    pub(super) mail_waiting: usize,
}

/// Publishes what has changed since the last time; a restarted lane begins at zero again.
pub(super) struct Publisher {
    metrics: LaneMetrics,
    /// What the lane's admission decides.
    tally: Arc<Tally>,
    /// All turns until the last one.
    busy: u64,
    /// From then on it is time to publish.
    due: Nanos,
    /// Whether a turn came since figures were published.
    is_behind: bool,
    /// As published.
    last: LaneStats,
    decided: Decisions,
}

impl Publisher {
    pub(super) fn new(metrics: LaneMetrics, tally: Arc<Tally>) -> Publisher {
        Publisher {
            metrics,
            tally,
            busy: 0,
            due: Nanos::ZERO,
            is_behind: false,
            last: LaneStats::default(),
            decided: Decisions::default(),
        }
    }

    /// Once per turn. True if it is time to publish.
    #[inline]
    pub(super) fn turned(&mut self, shard: &Shard, now: &LaneStats, at: Nanos) -> bool {
        if !METERED {
            return false;
        }
        shard.record(self.metrics.turn, now.busy.wrapping_sub(self.busy));
        self.busy = now.busy;
        self.is_behind = at < self.due;
        if !self.is_behind {
            self.due = at + PERIOD;
        }
        !self.is_behind
    }

    /// How long the lane may sleep that would else sleep for `wait`: it does not take figures to bed.
    #[inline]
    pub(super) fn rest(&self, wait: Option<Nanos>) -> Option<Nanos> {
        match self.is_behind {
            true => Some(wait.map_or(REST, |wait| wait.min(REST))),
            false => wait,
        }
    }

    /// Makes everything visible.
    #[inline(never)]
    pub(super) fn publish(&mut self, shard: &Shard, now: &LaneStats, levels: Levels) {
        if !METERED {
            return;
        }
        shard.set(self.metrics.open, levels.open as i64);
        shard.set(self.metrics.pool_kept, levels.pool.free_bytes as i64);
        shard.set(self.metrics.pool_lent, levels.pool.lent_bytes as i64);
        shard.set(self.metrics.mail_waiting, levels.mail_waiting as i64);
        self.publish_counters(shard, now);
    }

    /// The lane died in the middle of a turn, with so many connections open, which end like this: what it
    /// counted is not lost with it.
    pub(super) fn died(&mut self, shard: &Shard, now: &LaneStats, open: usize, how: Closed) {
        if !METERED {
            return;
        }
        let mut now = *now;
        now.closed[how.index()] += open as u64;
        self.publish_counters(shard, &now);
    }

    fn publish_counters(&mut self, shard: &Shard, now: &LaneStats) {
        let grown = |read: Read| read(now).wrapping_sub(read(&self.last));
        for (&id, (_, _, read)) in self.metrics.counters.iter().zip(&COUNTERS) {
            add(shard, id, grown(*read));
        }
        for (reason, &id) in self.metrics.closed.iter().enumerate() {
            add(shard, id, now.closed[reason].wrapping_sub(self.last.closed[reason]));
        }
        add(shard, self.metrics.accept_errors, grown(|s| s.accept_errors));
        let decided = self.tally.load();
        let news = decided.since(self.decided);
        for (&id, closed) in self.metrics.refused.iter().zip(news.shed) {
            add(shard, id, closed);
        }
        let full = grown(|s| s.full);
        add(shard, self.metrics.refused[LOOP_FULL], full);
        add(shard, self.metrics.refused[PROTOCOL], grown(|s| s.declined).saturating_sub(full));
        self.metrics.add_pauses(shard, news);
        self.decided = decided;
        self.last = *now;
    }
}

/// Publishes what one acceptor for all lanes has counted.
pub(super) struct AcceptorPublisher {
    metrics: LaneMetrics,
    last: (Decisions, u64, u64),
}

impl AcceptorPublisher {
    pub(super) fn new(metrics: LaneMetrics) -> AcceptorPublisher {
        AcceptorPublisher { metrics, last: Default::default() }
    }

    /// Connections that no lane took were closed like those of a loop that is full.
    pub(super) fn publish(&mut self, shard: &Shard, counts: AdmissionCounts, undeliverable: u64) {
        let now = (Decisions::from(counts), counts.errors, undeliverable);
        if now == self.last {
            return;
        }
        let (decided, errors, untaken) = std::mem::replace(&mut self.last, now);
        let news = now.0.since(decided);
        for (&id, closed) in self.metrics.refused.iter().zip(news.shed) {
            add(shard, id, closed);
        }
        add(shard, self.metrics.refused[LOOP_FULL], undeliverable - untaken);
        add(shard, self.metrics.accept_errors, counts.errors - errors);
        self.metrics.add_pauses(shard, news);
    }
}

fn add(shard: &Shard, id: CounterId, grown: u64) {
    if grown > 0 {
        shard.add(id, grown);
    }
}

#[cfg(test)]
mod tests {
    use corelane_acceptor::ByCause;
    use corelane_metrics::Registry;
    use corelane_metrics::registry::APART;

    use super::*;

    struct Rig {
        registry: Registry,
        shard: Shard,
        metrics: LaneMetrics,
        tally: Arc<Tally>,
    }

    impl Rig {
        fn new() -> Rig {
            let mut builder = Registry::builder();
            let metrics = LaneMetrics::declare(&mut builder);
            let registry = builder.build().unwrap();
            let shard = registry.shard(0).unwrap();
            Rig { registry, shard, metrics, tally: Arc::default() }
        }

        fn publisher(&self) -> Publisher {
            Publisher::new(self.metrics.clone(), self.tally.clone())
        }

        fn total(&self) -> u64 {
            self.registry.snapshot().counters().iter().map(|counter| counter.total()).sum()
        }

        fn by_reason<const N: usize>(&self, ids: [CounterId; N]) -> [u64; N] {
            ids.map(|id| self.registry.counter_total(id))
        }
    }

    /// Every figure there is: one that is added does not compile before it is here.
    fn figures(stats: &mut LaneStats) -> Vec<&mut u64> {
        let LaneStats {
            turns,
            busy,
            events,
            stale_events,
            accepted,
            // Told by the admission, which knows why.
            refused: _,
            declined,
            full,
            accept_errors,
            connected,
            closed,
            moved_in,
            moved_out,
            bytes_in,
            bytes_out,
            receives,
            sends,
            timers,
            mail_in,
            mail_out,
            mail_refused,
            mail_stale,
            mail_forwarded,
            mail_dropped,
            wakes,
            yields,
            watermarks,
            shed,
            panics,
        } = stats;
        let mut all = vec![turns, busy, events, stale_events, accepted, declined, full];
        all.extend([accept_errors, connected, moved_in, moved_out, bytes_in, bytes_out, receives]);
        all.extend([sends, timers, mail_in, mail_out, mail_refused, mail_stale, mail_forwarded]);
        all.extend([mail_dropped, wakes, yields, watermarks, shed, panics]);
        all.extend(closed);
        all
    }

    /// Whatever grows is published once.
    #[test]
    fn every_figure_is_published() {
        let rig = Rig::new();
        let mut publisher = rig.publisher();
        let levels = Levels { open: 3, mail_waiting: 5, ..Levels::default() };
        let mut publish = |now: &LaneStats| publisher.publish(&rig.shard, now, levels);
        let mut now = LaneStats::default();
        let count = figures(&mut now).len();
        for figure in 0..count {
            *figures(&mut now)[figure] += 1;
            publish(&now);
            assert_eq!(rig.total(), figure as u64 + 1, "figure {figure}");
            publish(&now);
            assert_eq!(rig.total(), figure as u64 + 1, "twice is not twice as much");
        }
        let snapshot = rig.registry.snapshot();
        assert_eq!(snapshot.gauge_by_id(rig.metrics.open).unwrap().total(), 3);
        assert_eq!(snapshot.gauge_by_id(rig.metrics.mail_waiting).unwrap().total(), 5);
    }

    /// Every turn is recorded; figures are told now and then, and never left behind.
    #[test]
    fn a_busy_lane_publishes_now_and_then_and_one_that_rests_everything() {
        let rig = Rig::new();
        let mut publisher = rig.publisher();
        let mut busy = 0;
        let mut turned = |micros: u64| {
            busy += 7;
            let now = LaneStats { busy, ..LaneStats::default() };
            let due = publisher.turned(&rig.shard, &now, Nanos(micros * 1_000));
            (due, publisher.rest(None), publisher.rest(Some(Nanos::from_millis(3))))
        };
        let (short, behind) = (Some(Nanos::from_millis(3)), Some(REST));
        assert_eq!(turned(50_000), (true, None, short));
        assert_eq!(turned(50_010), (false, behind, short));
        assert_eq!(turned(59_999), (false, behind, short));
        assert_eq!(turned(60_000), (true, None, short));
        assert_eq!(turned(60_001), (false, behind, short));
        assert_eq!(turned(160_001), (true, None, short));
        let turns = rig.registry.histogram_merged(rig.metrics.turn);
        assert_eq!((turns.count(), turns.min(), turns.max()), (6, 7, 7));
    }

    fn counts(shed: ByCause, paused: ByCause, error_pauses: u64) -> AdmissionCounts {
        AdmissionCounts { shed, paused, error_pauses, ..AdmissionCounts::default() }
    }

    #[test]
    fn refusals_and_pauses_have_their_reasons() {
        let rig = Rig::new();
        let mut publisher = rig.publisher();
        let mut publish = |now: &LaneStats| publisher.publish(&rig.shard, now, Levels::default());
        let none = ByCause::default();
        rig.tally.store(counts(ByCause { rate: 2, ..none }, none, 0));
        publish(&LaneStats { declined: 5, full: 4, ..LaneStats::default() });
        assert_eq!(rig.by_reason(rig.metrics.refused), [0, 2, 4, 1]);
        let shed = ByCause { connections: 3, loop_full: 2, rate: 2 };
        let paused = ByCause { connections: 5, rate: 6, loop_full: 7 };
        rig.tally.store(counts(shed, paused, 8));
        publish(&LaneStats { declined: 5, full: 4, ..LaneStats::default() });
        assert_eq!(rig.by_reason(rig.metrics.refused), [3, 2, 6, 1]);
        assert_eq!(rig.by_reason(rig.metrics.paused), [5, 6, 7, 8]);
    }

    #[test]
    fn what_one_acceptor_counts_has_the_same_names() {
        let rig = Rig::new();
        let shard = rig.registry.shard(APART).unwrap();
        let mut publisher = AcceptorPublisher::new(rig.metrics.clone());
        let cause = ByCause { connections: 1, rate: 2, loop_full: 3 };
        let counts = AdmissionCounts { errors: 9, ..counts(cause, cause, 4) };
        publisher.publish(&shard, counts, 10);
        publisher.publish(&shard, counts, 10);
        assert_eq!(rig.by_reason(rig.metrics.refused), [1, 2, 13, 0]);
        assert_eq!(rig.by_reason(rig.metrics.paused), [1, 2, 3, 4]);
        assert_eq!(rig.by_reason([rig.metrics.accept_errors]), [9]);
    }

    #[test]
    fn a_lane_that_dies_loses_no_count_and_its_successor_goes_on() {
        let rig = Rig::new();
        let mut publisher = rig.publisher();
        let mut now = LaneStats { turns: 1, accepted: 4, bytes_in: 9, ..LaneStats::default() };
        publisher.publish(&rig.shard, &now, Levels::default());
        now.bytes_in += 5;
        now.timers += 1;
        publisher.died(&rig.shard, &now, 4, Closed::Panicked);
        let closed = || rig.by_reason([rig.metrics.closed[Closed::Panicked.index()]]);
        assert_eq!((closed(), rig.total()), ([4], 1 + 4 + 14 + 1 + 4));
        let now = LaneStats { bytes_in: 2, accepted: 1, ..LaneStats::default() };
        rig.publisher().publish(&rig.shard, &now, Levels::default());
        assert_eq!((closed(), rig.total()), ([4], 24 + 3));
    }
}
