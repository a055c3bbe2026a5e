//! Which lane parts with connections, and to whom.
//!
//! Each lane publishes how long its turns took altogether. Ten times a second one that turns compares:
//! if it is the busiest, more than half busy, and the quietest is a quarter of the time less so, three
//! times in a row, then it parts with such a share of its active connections as its load exceeds the
//! mean by, and looks three times again before it goes on. What it did shows in the figures by then; so
//! connections seldom go to and fro. A lane that sleeps has nothing to decide.
//!
//! Time is that of the clock, not of the processor: a lane that shares its core with something else is
//! slow for its clients, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane_eventloop::{Lane, LaneId, Nanos, Protocol};

/// How often a lane compares.
const INTERVAL: Nanos = Nanos::from_millis(100);

/// A lane that is less busy than this has time for all that it has to do.
const BUSY: f64 = 0.5;

/// How much less busy the quietest lane must be.
const GAP: f64 = 0.25;

/// How often in a row.
const TIMES: u32 = 3;

/// Connections that move at one time at most.
const MOST: usize = 64;

/// Nanoseconds that the turns of each lane took.
pub(super) struct Board(Box<[Busy]>);

/// Alone on its cache lines: each lane writes its own.
#[derive(Default)]
#[repr(align(128))]
struct Busy(AtomicU64);

impl Board {
    pub(super) fn new(lanes: usize) -> Arc<Board> {
        Arc::new(Board((0..lanes).map(|_| Busy::default()).collect()))
    }
}

/// The part of one lane, which a successor of the lane begins anew.
pub(super) struct Balancer {
    board: Arc<Board>,
    /// What this lane has published of its own count.
    published: u64,
    /// What all had published when this lane compared last, and when that was.
    before: Vec<u64>,
    compared: Nanos,
    judge: Judge,
}

impl Balancer {
    pub(super) fn new(board: Arc<Board>) -> Balancer {
        let before = vec![0; board.0.len()];
        Balancer { board, published: 0, before, compared: Nanos::ZERO, judge: Judge::default() }
    }

    /// The lane has turned. Costs a store.
    pub(super) fn turned<P: Protocol>(&mut self, id: LaneId, lane: &mut Lane<P>) {
        let busy = lane.stats().busy;
        let own = &self.board.0[usize::from(id)].0;
        // Only this lane writes it.
        own.store(own.load(Ordering::Relaxed) + (busy - self.published), Ordering::Relaxed);
        self.published = busy;
        let span = lane.now().since(self.compared);
        if span < INTERVAL {
            return;
        }
        self.compared = lane.now();
        let shares: Vec<f64> = self
            .board
            .0
            .iter()
            .zip(&mut self.before)
            .map(|(busy, before)| {
                let now = busy.0.load(Ordering::Relaxed);
                let grown = now - std::mem::replace(before, now);
                (grown as f64 / span.0 as f64).min(1.0)
            })
            .collect();
        match self.judge.decide(id.into(), &shares) {
            Some((to, per_mille)) => {
                tracing::debug!(lane = id, to, per_mille, "connections move to a quieter loop");
                lane.offload(to as LaneId, per_mille, MOST);
            }
            None => lane.offload(id, 0, 0),
        }
    }
}

/// The rule, without time or lanes.
#[derive(Default)]
struct Judge {
    /// How often in a row this lane was too busy.
    times: u32,
}

impl Judge {
    /// Where connections of lane `own` are to go, and how many in a thousand of the active ones, if
    /// these are the shares of time in which the lanes were busy.
    fn decide(&mut self, own: usize, shares: &[f64]) -> Option<(usize, u32)> {
        let load = shares[own];
        let (to, least) = shares.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let busiest = shares.iter().all(|share| *share <= load);
        if !busiest || load < BUSY || load - least < GAP {
            self.times = 0;
            return None;
        }
        self.times += 1;
        if self.times < TIMES {
            return None;
        }
        self.times = 0;
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        Some((to, ((load - mean) / load * 1000.0) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a lane decides that sees the same shares so many times.
    fn decisions(times: usize, own: usize, shares: &[f64]) -> Vec<Option<(usize, u32)>> {
        let mut judge = Judge::default();
        (0..times).map(|_| judge.decide(own, shares)).collect()
    }

    #[test]
    fn the_busiest_parts_with_what_it_has_above_the_mean() {
        let order = Some((1, 500));
        let expected = [None, None, order, None, None, order];
        assert_eq!(decisions(6, 0, &[1.0, 0.0]), expected);
        assert_eq!(decisions(3, 2, &[0.5, 0.25, 0.75])[2], Some((1, 333)));
    }

    #[test]
    fn others_keep_theirs() {
        for (own, shares) in [
            (1, &[1.0, 0.9, 0.0][..]), // not the busiest
            (0, &[0.49, 0.0]),         // time enough
            (0, &[0.9, 0.7]),          // nobody is much quieter
            (0, &[1.0]),               // nobody else
            (0, &[1.0, 1.0]),
        ] {
            assert!(decisions(9, own, shares).iter().all(Option::is_none), "{own} {shares:?}");
        }
    }

    #[test]
    fn a_moment_does_not_count() {
        let mut judge = Judge::default();
        for _ in 0..10 {
            assert_eq!(judge.decide(0, &[1.0, 0.0]), None);
            assert_eq!(judge.decide(0, &[1.0, 0.0]), None);
            assert_eq!(judge.decide(0, &[0.6, 0.5]), None);
        }
    }
}
