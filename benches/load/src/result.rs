//! What the workers have, put together.

use std::time::Duration;

use corelane_metrics::heat::HeatMap;

use crate::ledger::Ledger;
use crate::outcome::{Outcome, RequestOutcome, Watched};
use crate::plan::{Pace, Plan, Stop};
use crate::progress::Monitor;

/// Columns of a heat map.
const COLUMNS: usize = 600;
/// Widths of its columns, in milliseconds: the first that is wide enough for the run.
const WIDTHS: [u64; 10] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 150_000];

/// What one worker has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'run> {
    pub(crate) ledger: &'run Ledger,
    pub(crate) elapsed: Duration,
    pub(crate) interrupted: bool,
    pub(crate) cpu: Duration,
    pub(crate) busy: f64,
}

/// An empty heat map for a run of this plan. Of a run whose length is not known, it keeps the last ten
/// minutes.
pub(crate) fn heat_map(plan: &Plan) -> HeatMap {
    let length = match (plan.stop, plan.pace) {
        (Stop::After(duration), _) => duration,
        (Stop::Requests(count), Pace::Open { rate, .. }) => {
            Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX)
        }
        (Stop::Requests(_), Pace::Closed) => Duration::from_secs(COLUMNS as u64),
    };
    let fits = |width: &&u64| length <= Duration::from_millis(**width) * COLUMNS as u32;
    let width = WIDTHS.iter().find(fits).unwrap_or(&WIDTHS[WIDTHS.len() - 1]);
    // These widths and this number are within its bounds.
    HeatMap::new(Duration::from_millis(*width), COLUMNS).unwrap_or_default()
}

pub(crate) fn outcome(
    plan: &Plan,
    monitor: Monitor,
    parts: &[Part<'_>],
    server: Option<Watched>,
) -> Outcome {
    let late = monitor.late();
    let now = monitor.now;
    let interrupted = parts.iter().any(|part| part.interrupted);
    let lost = now.sent.saturating_sub(now.answered);
    let mut heat = heat_map(plan);
    let mut statuses = [0; 600];
    for part in parts {
        // All have the same width, which is all that could be wrong.
        let _ = heat.merge(&part.ledger.heat);
        for (whole, count) in statuses.iter_mut().zip(part.ledger.statuses.iter()) {
            *whole += count;
        }
    }
    let counted = |(status, count): (usize, &u64)| (*count > 0).then_some((status as u16, *count));
    let mut requests: Vec<_> = (0..plan.requests.len()).map(|at| share(plan, parts, at)).collect();
    if let [only] = requests.as_mut_slice() {
        only.response_time = now.response_time.clone();
    }
    Outcome {
        began_at: monitor.began_at,
        elapsed: parts.iter().map(|part| part.elapsed).max().unwrap_or_default(),
        interrupted,
        warm_up_sent: now.warm_up_sent,
        intended: now.intended,
        sent: now.sent,
        answered: now.answered,
        // What was in flight when a run was interrupted is lost, too.
        lost,
        cut_off: if interrupted { lost.saturating_sub(now.lost) } else { 0 },
        faults: now.faults,
        late,
        response_time: now.response_time,
        service_time: now.service_time,
        heat,
        intervals: monitor.intervals,
        statuses: statuses.iter().enumerate().filter_map(counted).collect(),
        requests,
        connections_opened: now.opened,
        bytes_received: now.bytes_received,
        bytes_sent: now.bytes_sent,
        threads: plan.threads,
        client_cpu: parts.iter().map(|part| part.cpu).sum(),
        busy: parts.iter().map(|part| part.busy).fold(0.0, f64::max).min(1.0),
        server,
    }
}

/// What one of the plan's requests had at all workers.
fn share(plan: &Plan, parts: &[Part<'_>], at: usize) -> RequestOutcome {
    let mut whole = RequestOutcome {
        name: plan.requests[at].name.clone(),
        sent: 0,
        answered: 0,
        wrong: 0,
        response_time: Default::default(),
    };
    for share in parts.iter().map(|part| &part.ledger.shares[at]) {
        whole.sent += share.sent;
        whole.answered += share.answered;
        whole.wrong += share.wrong;
        whole.response_time.merge(&share.response_time);
    }
    whole
}
