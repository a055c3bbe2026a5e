//! The peers that output waits for, and whether they take it fast enough.
//!
//! A token bucket in time, after the *virtual scheduling* form of the generic cell rate algorithm (ITU-T
//! I.371, annex A): each peer has a moment at which its patience ends. Every byte it takes moves that
//! moment on by what a byte may cost at the lowest rate allowed, but never further ahead than the
//! credit. So one number per peer keeps a rate over every window there is, and a peer that reads in
//! bursts is judged like one that reads evenly.
//!
//! Peers get on the list when the kernel takes no more of their output, and are looked at about once a
//! second, in pieces that a turn can bear. They leave it when twice in a row nothing waits for them:
//! between two stretches of a long answer that happens once, and what they saved up stays theirs.
//! Output that leaves at once costs nothing here.

use corelane_mempool::Key;

use crate::config::LaneConfig;
use crate::time::Nanos;

/// How often a peer is looked at, if its grace is not shorter.
const ROUND: Nanos = Nanos::from_secs(1);

/// Peers looked at in one turn at most: each costs a system call.
const SHARE: usize = 256;

/// One peer that output waits for.
#[derive(Clone, Copy, Debug)]
struct Reader {
    key: Key,
    /// The most bytes it was seen to have taken.
    taken: i64,
    /// When its patience ends, if it takes nothing until then.
    until: Nanos,
    /// Nothing waited for it the last time.
    served: bool,
}

/// What becomes of a peer that was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It stays on the list.
    Stays,
    /// Nothing waits for it any more: it is off the list.
    Leaves,
    /// It was too slow: it is off the list, and its connection is to be closed.
    TooSlow,
}

/// The list of a lane, and how far the present round of looking at it has come.
#[derive(Debug)]
pub(crate) struct Readers {
    list: Vec<Reader>,
    /// Those from here on have been looked at in this round.
    cursor: usize,
    /// When to go on with the round, or begin the next one; never if the list is empty.
    next: Nanos,
}

impl Readers {
    pub(crate) fn new() -> Readers {
        Readers { list: Vec::new(), cursor: 0, next: Nanos::MAX }
    }

    /// Peers on the list.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// When [`Readers::begin`] has something to say.
    #[inline]
    pub(crate) fn wake(&self) -> Nanos {
        self.next
    }

    /// Output begins to wait for this peer, which has taken so many bytes until now, and may take none
    /// until then.
    pub(crate) fn add(
        &mut self,
        key: Key,
        taken: i64,
        until: Nanos,
        now: Nanos,
        limits: &LaneConfig,
    ) {
        self.list.push(Reader { key, taken, until, served: false });
        self.next = self.next.min(now + round(limits));
    }

    /// Begins a round, if it is time and none is going on, and says how many peers are to be looked at in this turn.
    pub(crate) fn begin(&mut self, now: Nanos, limits: &LaneConfig) -> usize {
        if now < self.next {
            return 0;
        }
        if self.cursor == 0 {
            self.cursor = self.list.len();
        }
        // What this turn leaves is for the next one, which comes at once.
        self.next = if self.cursor > SHARE { now } else { now + round(limits) };
        self.cursor.min(SHARE)
    }

    /// The next peer to look at, to be followed by [`Readers::judge`], or [`Readers::remove`] if it is gone.
    pub(crate) fn take(&mut self) -> Key {
        self.cursor -= 1;
        self.list[self.cursor].key
    }

    /// Judges the peer just named, for which output waits or not, and which has taken so many bytes
    /// until now.
    pub(crate) fn judge(
        &mut self,
        waits: bool,
        taken: i64,
        now: Nanos,
        limits: &LaneConfig,
    ) -> Outcome {
        let reader = &mut self.list[self.cursor];
        let bytes = (taken - reader.taken).max(0).unsigned_abs();
        reader.taken = reader.taken.max(taken);
        let earned = Nanos(bytes.saturating_mul(1_000_000_000) / limits.read_rate.max(1));
        reader.until = (reader.until + earned).min(now + limits.credit());
        let served = std::mem::replace(&mut reader.served, !waits);
        let outcome = match waits {
            false if served => Outcome::Leaves,
            true if reader.until <= now => Outcome::TooSlow,
            _ => return Outcome::Stays,
        };
        self.remove();
        outcome
    }

    /// Takes the peer just named off the list.
    pub(crate) fn remove(&mut self) {
        // The one that takes its place was looked at, or has only just come.
        self.list.swap_remove(self.cursor);
        if self.list.is_empty() {
            self.next = Nanos::MAX;
        }
    }
}

fn round(limits: &LaneConfig) -> Nanos {
    ROUND.min(Nanos(limits.read_grace.0 / 4)).max(Nanos::from_millis(1))
}

#[cfg(test)]
mod tests {
    use corelane_mempool::Slab;
    use proptest::prelude::*;

    use super::*;

    fn limits() -> LaneConfig {
        LaneConfig {
            read_rate: 100,
            read_grace: Nanos::from_secs(5),
            read_credit: Nanos::from_secs(30),
            ..LaneConfig::default()
        }
    }

    /// Looks at the only peer once a second, of which `taken` says how much it has taken by then; the
    /// second in which it is found too slow.
    fn judged(seconds: u64, taken: impl Fn(u64) -> i64) -> Option<u64> {
        let (mut readers, limits) = (Readers::new(), limits());
        let key = Slab::new().insert(()).ok()?;
        readers.add(key, taken(0), limits.read_grace, Nanos::ZERO, &limits);
        (1..=seconds).find(|&second| {
            let now = Nanos::from_secs(second);
            assert_eq!(readers.begin(now, &limits), 1);
            assert_eq!(readers.take(), key);
            readers.judge(true, taken(second), now, &limits) == Outcome::TooSlow
        })
    }

    #[test]
    fn a_peer_that_takes_nothing_has_its_grace() {
        assert_eq!(judged(100, |_| 7), Some(5));
    }

    #[test]
    fn a_rate_just_kept_is_kept_for_ever_and_one_just_missed_is_found_out() {
        assert_eq!(judged(100_000, |second| second as i64 * 100), None);
        assert_eq!(judged(100_000, |second| second as i64 * 99), Some(500));
    }

    #[test]
    fn a_burst_earns_no_more_than_the_credit() {
        let burst = |second| if second < 10 { second as i64 * 10_000 } else { 90_000 };
        assert_eq!(judged(1_000, burst), Some(9 + 30));
        // A second less than the credit at a time.
        assert_eq!(judged(100_000, |second| (second / 29) as i64 * 2_900 + 2_500), Some(5));
        assert_eq!(judged(100_000, |second| (second.div_ceil(29)) as i64 * 2_900), None);
    }

    #[test]
    fn bytes_that_seem_to_come_back_do_not_count_twice() {
        assert_eq!(judged(1_000, |second| (second % 2) as i64 * 100_000), Some(1 + 30));
    }

    #[test]
    fn who_is_served_leaves_and_one_look_between_two_stretches_costs_nothing() {
        let (mut readers, limits) = (Readers::new(), limits());
        let key = Slab::new().insert(()).unwrap();
        readers.add(key, 0, limits.read_grace, Nanos::ZERO, &limits);
        let mut look = |second: u64, waits, taken| {
            assert_eq!(readers.begin(Nanos::from_secs(second), &limits), 1);
            readers.take();
            readers.judge(waits, taken, Nanos::from_secs(second), &limits)
        };
        assert_eq!(look(1, true, 9_000), Outcome::Stays);
        assert_eq!(look(2, false, 9_000), Outcome::Stays);
        for second in 3..31 {
            assert_eq!(look(second, true, 9_000), Outcome::Stays, "the credit is still there");
        }
        assert_eq!(look(31, false, 9_000), Outcome::Stays);
        assert_eq!(look(32, false, 9_000), Outcome::Leaves);
        assert_eq!(readers.wake(), Nanos::MAX);
    }

    #[test]
    fn the_list_is_looked_at_in_pieces_and_sleeps_when_empty() {
        let (mut readers, limits, mut slab) = (Readers::new(), limits(), Slab::new());
        let keys: Vec<Key> = (0..600).map(|n| slab.insert(n).unwrap()).collect();
        for &key in &keys {
            readers.add(key, 0, limits.read_grace, Nanos::ZERO, &limits);
        }
        let now = readers.wake();
        assert_eq!(now, Nanos::from_secs(1));
        let mut seen = Vec::new();
        for (turn, share) in [256, 256, 88, 0].into_iter().enumerate() {
            assert_eq!(readers.begin(now, &limits), share, "turn {turn}");
            for _ in 0..share {
                seen.push(readers.take());
                readers.remove();
            }
        }
        seen.sort_unstable();
        assert_eq!((seen, readers.wake()), (keys, Nanos::MAX));
    }

    proptest! {
        /// The promise of [`LaneConfig::read_rate`], against a plain sum over every window.
        #[test]
        fn in_every_window_the_rate_is_kept(seconds in prop::collection::vec(0_i64..250, 1..200)) {
            let total = |second: u64| seconds[..second as usize].iter().sum::<i64>();
            let end = judged(seconds.len() as u64, total).map_or(seconds.len() as u64, |end| end - 1);
            for from in 0..=end {
                for to in from..=end {
                    let least = (to - from).saturating_sub(30) * 100;
                    prop_assert!(total(to) - total(from) >= least as i64);
                }
            }
        }
    }
}
