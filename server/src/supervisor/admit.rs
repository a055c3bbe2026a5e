//! The acceptor's policies, as a lane asks for them.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corelane_acceptor::{AcceptErrorAction, Admission, Open, Targets, Verdict};
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

/// Admission by each lane for itself.
pub(super) struct LaneAdmission(pub(super) Admission);

impl Admit for LaneAdmission {
    fn admit(&mut self, now: Nanos, open: usize) -> eventloop::Verdict {
        let verdict = self.0.admit(now.0, open);
        if verdict != Verdict::Take {
            report_full(self.0.open());
        }
        match verdict {
            Verdict::Take => eventloop::Verdict::Take,
            Verdict::Shed => eventloop::Verdict::Shed,
            Verdict::PauseUntil(at) => eventloop::Verdict::PauseUntil(Nanos(at)),
        }
    }

    fn cancel(&mut self) {
        self.0.cancel();
    }

    fn release(&mut self) {
        self.0.release();
    }

    fn failed(&mut self, now: Nanos, error: &io::Error) -> Option<Nanos> {
        match self.0.on_error(now.0, error) {
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
