//! What is counted while a run goes on: each worker writes cells of its own, and whoever watches reads
//! them all, without a lock between them.

use std::time::Duration;

use corelane_metrics::{
    CounterId, GaugeId, HistogramId, HistogramSnapshot, Registry, RegistryBuilder, Shard, Unit,
};

use crate::error::Error;
use crate::outcome::Late;
use crate::tally::{Faults, KINDS};

/// The cells of a run.
#[derive(Debug)]
pub(crate) struct Meters {
    registry: Registry,
    pub(crate) ids: Ids,
}

/// Names the cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    pub(crate) warm_up_sent: CounterId,
    pub(crate) intended: CounterId,
    pub(crate) sent: CounterId,
    /// Sent on connections that the server closed before it came to them, as it had announced.
    pub(crate) withdrawn: CounterId,
    pub(crate) unintended: CounterId,
    pub(crate) answered: CounterId,
    pub(crate) lost: CounterId,
    pub(crate) opened: CounterId,
    pub(crate) bytes_received: CounterId,
    pub(crate) bytes_sent: CounterId,
    pub(crate) late: CounterId,
    pub(crate) late_nanos: CounterId,
    pub(crate) faults: [CounterId; KINDS],
    pub(crate) late_worst: GaugeId,
    pub(crate) in_flight: GaugeId,
    pub(crate) backlog: GaugeId,
    pub(crate) connections: GaugeId,
    pub(crate) response_time: HistogramId,
    pub(crate) service_time: HistogramId,
}

/// All cells at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) warm_up_sent: u64,
    pub(crate) intended: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) opened: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) late: Late,
    pub(crate) faults: Faults,
    pub(crate) in_flight: u64,
    pub(crate) backlog: u64,
    pub(crate) connections: u64,
    pub(crate) response_time: HistogramSnapshot,
    pub(crate) service_time: HistogramSnapshot,
}

impl Meters {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut cells = Registry::builder();
        let ids = declare(&mut cells);
        let registry = cells.build().map_err(|error| Error::cells(&error))?;
        Ok(Self { registry, ids })
    }

    /// The cells of one worker.
    pub(crate) fn shard(&self, worker: usize) -> Result<Shard, Error> {
        self.registry.shard(worker).map_err(|error| Error::cells(&error))
    }

    pub(crate) fn sample(&self) -> Sample {
        let snapshot = self.registry.snapshot();
        let count = |id| snapshot.counter_by_id(id).map_or(0, |series| series.total());
        let levels = |id| snapshot.gauge_by_id(id).map_or(&[][..], |series| series.per_loop());
        let level = |id| u64::try_from(levels(id).iter().sum::<i64>()).unwrap_or(0);
        let times = |id| {
            snapshot.histogram_by_id(id).map(|series| series.merged().clone()).unwrap_or_default()
        };
        let worst = levels(self.ids.late_worst).iter().max().copied().unwrap_or(0);
        Sample {
            warm_up_sent: count(self.ids.warm_up_sent),
            intended: count(self.ids.intended).saturating_sub(count(self.ids.unintended)),
            sent: count(self.ids.sent).saturating_sub(count(self.ids.withdrawn)),
            answered: count(self.ids.answered),
            lost: count(self.ids.lost),
            opened: count(self.ids.opened),
            bytes_received: count(self.ids.bytes_received),
            bytes_sent: count(self.ids.bytes_sent),
            late: Late {
                count: count(self.ids.late),
                worst: Duration::from_nanos(u64::try_from(worst).unwrap_or(0)),
                total: Duration::from_nanos(count(self.ids.late_nanos)),
            },
            faults: Faults::from_counts(self.ids.faults.map(count)),
            in_flight: level(self.ids.in_flight),
            backlog: level(self.ids.backlog),
            connections: level(self.ids.connections),
            response_time: times(self.ids.response_time),
            service_time: times(self.ids.service_time),
        }
    }
}

fn declare(cells: &mut RegistryBuilder) -> Ids {
    let mut kind = 0;
    let faults = std::array::from_fn(|_| {
        let name = Faults::default().kinds()[kind].0;
        kind += 1;
        cells.counter_with_labels("load_faults_total", "What went wrong.", &[("kind", name)])
    });
    Ids {
        faults,
        warm_up_sent: cells.counter("load_warm_up_sent_total", "Requests sent in the warm-up."),
        intended: cells.counter("load_intended_total", "Requests whose time came."),
        sent: cells.counter("load_sent_total", "Requests sent."),
        withdrawn: cells.counter("load_withdrawn_total", "Requests sent too late to be read."),
        unintended: cells
            .counter("load_unintended_total", "Those of them whose next time is another."),
        answered: cells.counter("load_answered_total", "Whole responses."),
        lost: cells.counter("load_lost_total", "Requests without response."),
        opened: cells.counter("load_opened_total", "Connections opened."),
        bytes_received: cells.counter("load_received_bytes_total", "Bytes received."),
        bytes_sent: cells.counter("load_sent_bytes_total", "Bytes sent."),
        late: cells.counter("load_late_total", "Sends that were late."),
        late_nanos: cells.counter("load_late_nanoseconds_total", "By how much sends were late."),
        late_worst: cells.gauge("load_late_worst_nanoseconds", "The latest send."),
        in_flight: cells.gauge("load_in_flight", "Requests sent and not answered."),
        backlog: cells.gauge("load_backlog", "Requests whose time has come and that wait."),
        connections: cells.gauge("load_connections", "Connections."),
        response_time: cells.histogram(
            "load_response_nanoseconds",
            "From the intended start to the end of the response.",
            Unit::Nanoseconds,
        ),
        service_time: cells.histogram(
            "load_service_nanoseconds",
            "From the send to the end of the response.",
            Unit::Nanoseconds,
        ),
    }
}
