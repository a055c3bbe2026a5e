//! One worker's books: every request is entered once when it is sent, and once when it has ended.

use std::time::Duration;

use corelane_metrics::heat::HeatMap;
use corelane_metrics::{HistogramSnapshot, Shard};

use crate::check::Wrong;
use crate::meters::Ids;
use crate::outcome::LATE;
use crate::plan::Plan;
use crate::response::Response;
use crate::tally::Fault;

/// The highest status and one.
const STATUSES: usize = 600;

/// A request that has been sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// When it was to be sent, by the lane's clock.
    pub(crate) intended: u64,
    /// When it was.
    pub(crate) at: u64,
    /// Which of the plan's requests it is.
    pub(crate) request: u32,
}

/// What one of the plan's requests had at this worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) wrong: u64,
    /// Left empty where the plan has one request, since it would be that of the run.
    pub(crate) response_time: HistogramSnapshot,
}

/// The books of one worker. What a watcher needs is in cells, the rest is plain.
#[derive(Debug)]
pub(crate) struct Ledger {
    shard: Shard,
    ids: Ids,
    /// When measuring began: what was intended before counts as warm-up.
    opens: u64,
    pub(crate) statuses: Box<[u64; STATUSES]>,
    pub(crate) shares: Vec<Share>,
    pub(crate) heat: HeatMap,
    /// Sends of this turn, and those of them that count as late already.
    sends: u64,
    late_sends: u64,
    late_worst: u64,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan, shard: Shard, ids: Ids, heat: HeatMap) -> Self {
        Self {
            shard,
            ids,
            opens: u64::MAX,
            statuses: Box::new([0; STATUSES]),
            shares: vec![Share::default(); plan.requests.len()],
            heat,
            sends: 0,
            late_sends: 0,
            late_worst: 0,
        }
    }

    /// Measuring begins at this time.
    pub(crate) fn opens_at(&mut self, opens: u64) {
        self.opens = opens;
    }

    /// Whether what was to be sent, or happened, at this time counts.
    #[inline]
    pub(crate) fn measures(&self, at: u64) -> bool {
        at >= self.opens
    }

    /// The time of so many requests has come.
    pub(crate) fn intended(&self, count: u64) {
        self.shard.add(self.ids.intended, count);
    }

    /// A request leaves, so much later than it could have left.
    #[inline]
    pub(crate) fn sent(&mut self, sent: Sent, bytes: usize, late: u64) {
        if !self.measures(sent.intended) {
            return self.shard.add(self.ids.warm_up_sent, 1);
        }
        self.shard.add(self.ids.sent, 1);
        self.shard.add(self.ids.bytes_sent, bytes as u64);
        self.shares[sent.request as usize].sent += 1;
        self.sends += 1;
        if late > 0 {
            self.shard.add(self.ids.late_nanos, late);
            if late > LATE.as_nanos() as u64 {
                self.late_sends += 1;
                self.shard.add(self.ids.late, 1);
            }
            self.latest(late);
        }
    }

    /// The turn is over, so long after its clock was read: its sends have left by now.
    #[inline]
    pub(crate) fn turned(&mut self, spent: u64) {
        let (sends, late) = (std::mem::take(&mut self.sends), std::mem::take(&mut self.late_sends));
        if sends > 0 {
            self.shard.add(self.ids.late_nanos, sends * spent);
            if spent > LATE.as_nanos() as u64 {
                self.shard.add(self.ids.late, sends - late);
            }
            self.latest(spent);
        }
    }

    fn latest(&mut self, late: u64) {
        if late > self.late_worst {
            self.late_worst = late;
            self.shard.set(self.ids.late_worst, i64::try_from(late).unwrap_or(i64::MAX));
        }
    }

    /// A response has come whole.
    #[inline]
    pub(crate) fn answered(&mut self, sent: Sent, response: Response, now: u64) {
        if !self.measures(sent.intended) {
            return;
        }
        let time = now.saturating_sub(sent.intended);
        self.shard.add(self.ids.answered, 1);
        self.shard.record(self.ids.response_time, time);
        self.shard.record(self.ids.service_time, now.saturating_sub(sent.at));
        self.heat.record_n(Duration::from_nanos(sent.intended - self.opens), time, 1);
        if let Some(count) = self.statuses.get_mut(usize::from(response.status)) {
            *count += 1;
        }
        let several = self.shares.len() > 1;
        let share = &mut self.shares[sent.request as usize];
        share.answered += 1;
        if several {
            share.response_time.record_n(time, 1);
        }
        if let Some(wrong) = response.wrong {
            share.wrong += 1;
            let fault = match wrong {
                Wrong::Status => Fault::WrongStatus,
                Wrong::Field => Fault::WrongField,
                Wrong::Body => Fault::WrongBody,
            };
            self.shard.add(self.ids.faults[fault as usize], 1);
        }
    }

    /// A request will have no response.
    pub(crate) fn lost(&self, sent: Sent) {
        if self.measures(sent.intended) {
            self.shard.add(self.ids.lost, 1);
        }
    }

    /// A request was sent when the server had already said that it would read no more. When it is sent
    /// again, a closed loop intends it anew.
    pub(crate) fn withdrawn(&mut self, sent: Sent, is_open: bool) {
        if self.measures(sent.intended) {
            self.shard.add(self.ids.withdrawn, 1);
            self.shard.add(self.ids.unintended, u64::from(!is_open));
            self.shares[sent.request as usize].sent -= 1;
        }
    }

    /// Something went wrong at this time.
    pub(crate) fn fault(&self, fault: Fault, now: u64) {
        if self.measures(now) {
            self.shard.add(self.ids.faults[fault as usize], 1);
        }
    }

    /// So many requests were never sent.
    pub(crate) fn unsent(&self, count: u64) {
        self.shard.add(self.ids.faults[Fault::Unsent as usize], count);
    }

    pub(crate) fn opened(&self, now: u64) {
        if self.measures(now) {
            self.shard.add(self.ids.opened, 1);
        }
    }

    #[inline]
    pub(crate) fn received(&self, bytes: u64, now: u64) {
        if self.measures(now) {
            self.shard.add(self.ids.bytes_received, bytes);
        }
    }

    /// How things stand, for who watches.
    #[inline]
    pub(crate) fn stands(&self, in_flight: u64, backlog: u64, connections: usize) {
        self.shard.set(self.ids.in_flight, in_flight as i64);
        self.shard.set(self.ids.backlog, backlog as i64);
        self.shard.set(self.ids.connections, connections as i64);
    }
}
