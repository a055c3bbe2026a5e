//! Whether lanes are alive: each counts its turns, and turns when it is asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_eventloop::{LaneHandle, LaneId};

/// What a lane shows that has ended in order.
const ENDED: u64 = u64::MAX;

/// How often a lane is asked again: it may have been about to sleep when it was asked.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Turns of one lane, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Turns(AtomicU64);

/// Tells whether the lanes of a server are alive.
#[derive(Clone)]
pub struct Pulse {
    lanes: Arc<[LaneHandle]>,
    turns: Arc<[Turns]>,
}

impl Pulse {
    pub(super) fn new(lanes: Vec<LaneHandle>) -> Pulse {
        let turns = lanes.iter().map(|_| Turns::default()).collect();
        Pulse { lanes: lanes.into(), turns }
    }

    /// The lane's side.
    pub(super) fn beat(&self, lane: usize) -> Beat {
        Beat { turns: self.turns.clone(), lane }
    }

    /// Has every lane turn once, and waits for that. Returns the lanes that have not turned within this
    /// time: a step of theirs takes that long, or never ends. A lane that has ended in order is alive; one
    /// that cannot be restarted is not.
    ///
    /// Costs a wake for each lane that sleeps.
    pub fn check(&self, within: Duration) -> Vec<LaneId> {
        let deadline = Instant::now() + within;
        let turns = |lane: usize| self.turns[lane].0.load(Ordering::Relaxed);
        let mut missing: Vec<(usize, u64)> =
            (0..self.lanes.len()).map(|lane| (lane, turns(lane))).collect();
        loop {
            missing.retain(|&(lane, before)| turns(lane) == before && before != ENDED);
            if missing.is_empty() || Instant::now() >= deadline {
                return missing.iter().map(|&(lane, _)| self.lanes[lane].lane()).collect();
            }
            missing.iter().for_each(|&(lane, _)| self.lanes[lane].wake());
            thread::sleep(ASK_AGAIN);
        }
    }
}

/// Counts the turns of one lane. Costs a store per turn.
pub(super) struct Beat {
    turns: Arc<[Turns]>,
    lane: usize,
}

impl Beat {
    pub(super) fn turned(&self) {
        // Only this lane writes it.
        let turns = &self.turns[self.lane].0;
        turns.store(turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.turns[self.lane].0.store(ENDED, Ordering::Relaxed);
    }
}
