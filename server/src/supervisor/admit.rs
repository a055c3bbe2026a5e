//! The acceptor's policies, as a lane asks for them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corelane_acceptor::{AcceptErrorAction, Admission, AdmissionCounts, Open, Targets, Verdict};
use corelane_eventloop::{self as eventloop, Admit, Nanos};

/// How long nothing more is said about a limit that was reached.
const QUIET: Duration = Duration::from_secs(60);

/// Logs that all connections are open that may be, if it is so, and not again within a minute.
pub(super) fn report_full(open: &Open) {
    /// For the whole process, since the limit is.
    static REPORTED: Mutex<Option<Instant>> = Mutex::new(None);
    if open.count() < open.limit() {
        return;
    }
    // Who finds it locked finds it reported, too.
    let Ok(mut reported) = REPORTED.try_lock() else { return };
    if reported.is_none_or(|at| at.elapsed() >= QUIET) {
        *reported = Some(Instant::now());
        tracing::warn!(
            limit = open.limit(),
            "as many connections as may be are open: others wait, or are turned away"
        );
    }
}

/// Why nothing is accepted for a while. The first three are also why connections are closed at accept.
pub(super) const PAUSES: [&str; 4] = ["connections", "rate", "loop_full", "error"];

/// Verdicts against connections, by [reason](PAUSES).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decisions {
    pub(super) shed: [u64; 3],
    pub(super) paused: [u64; PAUSES.len()],
}

impl From<AdmissionCounts> for Decisions {
    fn from(counts: AdmissionCounts) -> Decisions {
        let AdmissionCounts { shed, paused, error_pauses, .. } = counts;
        Decisions {
            shed: [shed.connections, shed.rate, shed.loop_full],
            paused: [paused.connections, paused.rate, paused.loop_full, error_pauses],
        }
    }
}

impl Decisions {
    /// What came after those earlier ones of the same admission.
    pub(super) fn since(self, earlier: Decisions) -> Decisions {
        let grown = |now: u64, then| now.wrapping_sub(then);
        Decisions {
            shed: std::array::from_fn(|at| grown(self.shed[at], earlier.shed[at])),
            paused: std::array::from_fn(|at| grown(self.paused[at], earlier.paused[at])),
        }
    }
}

/// The decisions of a lane's admission, for the lane's own thread to publish: it does not see them, since
/// the lane owns the admission.
#[derive(Debug, Default)]
pub(super) struct Tally {
    shed: [AtomicU64; 3],
    paused: [AtomicU64; PAUSES.len()],
}

impl Tally {
    pub(super) fn store(&self, counts: AdmissionCounts) {
        let Decisions { shed, paused } = counts.into();
        let cells = self.shed.iter().chain(&self.paused);
        cells.zip(shed.into_iter().chain(paused)).for_each(|(cell, count)| {
            cell.store(count, Ordering::Relaxed);
        });
    }

    pub(super) fn load(&self) -> Decisions {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Decisions {
            shed: std::array::from_fn(|at| read(&self.shed[at])),
            paused: std::array::from_fn(|at| read(&self.paused[at])),
        }
    }
}

/// Admission by each lane for itself.
pub(super) struct LaneAdmission {
    admission: Admission,
    tally: Arc<Tally>,
}

impl LaneAdmission {
    /// The tally begins again.
    pub(super) fn new(admission: Admission, tally: Arc<Tally>) -> LaneAdmission {
        tally.store(admission.counts());
        LaneAdmission { admission, tally }
    }
}

impl Admit for LaneAdmission {
    fn admit(&mut self, now: Nanos, open: usize) -> eventloop::Verdict {
        let verdict = self.admission.admit(now.0, open);
        if verdict != Verdict::Take {
            report_full(self.admission.open());
            self.tally.store(self.admission.counts());
        }
        match verdict {
            Verdict::Take => eventloop::Verdict::Take,
            Verdict::Shed => eventloop::Verdict::Shed,
            Verdict::PauseUntil(at) => eventloop::Verdict::PauseUntil(Nanos(at)),
        }
    }

    fn cancel(&mut self) {
        self.admission.cancel();
    }

    fn spare(&mut self) {
        self.admission.spare();
        self.tally.store(self.admission.counts());
    }

    fn release(&mut self) {
        self.admission.release();
    }

    fn failed(&mut self, now: Nanos, error: &io::Error) -> Option<Nanos> {
        let action = self.admission.on_error(now.0, error);
        self.tally.store(self.admission.counts());
        match action {
            AcceptErrorAction::Ignore => None,
            AcceptErrorAction::PauseUntil(at) => Some(Nanos(at)),
            AcceptErrorAction::Wait => Some(now),
            AcceptErrorAction::Fatal => {
                tracing::error!(%error, "accepting failed; trying again in a second");
                Some(now + Nanos::from_secs(1))
            }
        }
    }
}

/// A lane that is handed its connections: they were admitted before, it only gives places back.
pub(super) struct HandedOver {
    pub(super) open: Arc<Open>,
    pub(super) targets: Arc<Targets>,
    pub(super) lane: usize,
}

impl Admit for HandedOver {
    fn admit(&mut self, _now: Nanos, _open: usize) -> eventloop::Verdict {
        eventloop::Verdict::Take
    }

    fn cancel(&mut self) {}

    fn release(&mut self) {
        self.open.release();
        self.targets.disconnected(self.lane);
    }

    fn moved_out(&mut self) {
        self.targets.disconnected(self.lane);
    }

    fn moved_in(&mut self) {
        self.targets.connected(self.lane);
    }

    fn failed(&mut self, now: Nanos, _error: &io::Error) -> Option<Nanos> {
        Some(now + Nanos::from_secs(1))
    }
}
