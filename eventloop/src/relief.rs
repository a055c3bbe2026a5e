//! What a lane does when memory is short: it gives back what it keeps for reuse, then sheds the
//! connections that hold most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use corelane_mempool::{Budget, Buf, Key, Pool};

use crate::lane::Lane;
use crate::link::{Link, Phase};
use crate::protocol::{Closed, Event, Protocol};
use crate::step::close;
use crate::time::Nanos;

/// How often the budget is looked at, if the lane's pool does not grow: then at once.
const PAUSE: Nanos = Nanos::from_millis(10);
/// The time between two looks at all connections, for each of them: such a look takes about a tenth of
/// it.
const PAUSE_PER_LINK: Nanos = Nanos::from_micros(1);

/// Memory is short when more than 7/8 of a limit is used; connections are shed until 3/4 is.
const EIGHTHS_SHORT: usize = 7;
const EIGHTHS_ENOUGH: usize = 6;

/// Input is kept as long as so many sixteenths of a limit are not used: the rest is for answers, of those
/// too whose requests came whole and hold nothing.
const SIXTEENTHS_INPUT: usize = 15;

/// Connections shed at one time at most.
const SHED_MAX: usize = 1024;

/// When the budget is looked at next.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    at: Nanos,
    /// How often the pool had taken memory from the system at the last look.
    grown: u64,
    /// When all connections may be looked at again.
    scan_at: Nanos,
    /// Memory was short the last time: to be looked at even if nothing else happens.
    short: bool,
}

impl Relief {
    pub(crate) fn wake(&self) -> Nanos {
        if self.short { self.at } else { Nanos::MAX }
    }
}

impl<P: Protocol> Lane<P> {
    /// Makes room if memory is short.
    #[inline]
    pub(crate) fn relieve(&mut self) {
        let services = self.services();
        let relief = &services.relief;
        if services.now >= relief.at || services.pool.allocations() != relief.grown {
            self.relieve_now();
        }
    }

    /// Gives back what connections freed in this turn, if memory is short: other lanes count on it.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        let services = self.services();
        if services.relief.short {
            services.pool.trim();
        }
    }

    #[cold]
    fn relieve_now(&mut self) {
        let (_, links, services) = self.parts();
        services.relief.at = services.now + PAUSE;
        services.relief.grown = services.pool.allocations();
        services.relief.short = false;
        if beyond(services.pool.budget(), EIGHTHS_SHORT) == 0 {
            return;
        }
        services.pool.trim();
        let lent = services.pool.stats().lent_bytes;
        if lent == 0 || beyond(services.pool.budget(), EIGHTHS_SHORT) == 0 {
            return;
        }
        services.relief.short = true;
        if services.now < services.relief.scan_at {
            return;
        }
        let pause = Nanos(PAUSE_PER_LINK.0.saturating_mul(links.len() as u64));
        services.relief.scan_at = services.now + pause;
        // Other lanes do their part: each is to free what is in proportion to what it has lent.
        let (excess, used) = {
            let tightest = services.pool.budget().tightest();
            (beyond(tightest, EIGHTHS_ENOUGH), tightest.used().max(1))
        };
        let share = (excess as u128 * lent as u128).div_ceil(used as u128) as usize;
        let born = services.born;
        let holding = links.iter().filter_map(|(key, link)| {
            let newness = u32::MAX - born.wrapping_sub(link.state.born);
            let bytes = held(link);
            let here = bytes > 0 && !matches!(link.state.phase, Phase::Closing(_));
            here.then_some(Candidate { bytes, newness, key })
        });
        for candidate in costliest(holding, share) {
            self.shed(candidate.key);
        }
    }

    /// Has a connection answer and end. One whose peer takes nothing, or that was told before, is
    /// closed at once: what it holds would not be freed otherwise.
    fn shed(&mut self, key: Key) {
        let Some((link, services)) = self.link(key) else { return };
        let answers = link.state.phase == Phase::Open && !link.state.stuck;
        if !std::mem::replace(&mut link.state.shed, true) {
            services.stats.shed += 1;
        }
        if answers {
            self.step(key, Event::Shed, &[]);
        }
        let Some((link, services)) = self.link(key) else { return };
        if !answers || link.state.phase == Phase::Open {
            close(&mut link.state, services, key, Closed::OutOfMemory);
        }
    }
}

/// Lends a buffer for input that is to be kept, if answers are left their part.
pub(crate) fn lend_for_input(pool: &mut Pool, bytes: usize) -> Option<Buf> {
    leaves_room(pool, bytes).then(|| pool.allocate(bytes).ok())?
}

/// Exchanges a buffer of input for a larger one, if answers are left their part; gives it back as it was
/// if not.
pub(crate) fn enlarge_for_input(pool: &mut Pool, buf: Buf, bytes: usize) -> Result<Buf, Buf> {
    match leaves_room(pool, bytes) {
        true => pool.resize(buf, bytes).map_err(|(buf, _)| buf),
        false => Err(buf),
    }
}

fn leaves_room(pool: &mut Pool, bytes: usize) -> bool {
    let fits = |pool: &Pool| {
        let tightest = pool.budget().tightest();
        tightest.used().saturating_add(bytes) <= tightest.limit() / 16 * SIXTEENTHS_INPUT
    };
    fits(pool) || {
        // What is kept for reuse is counted as used.
        pool.trim();
        fits(pool)
    }
}

/// Bytes in use beyond so many eighths of the limit that is nearest.
fn beyond(budget: &Budget, eighths: usize) -> usize {
    let tightest = budget.tightest();
    tightest.used().saturating_sub(tightest.limit() / 8 * eighths)
}

/// Bytes of the pool that a connection holds.
fn held<C>(link: &Link<C>) -> usize {
    link.tail.as_ref().map_or(0, |tail| tail.capacity()) + link.out.held()
}

/// Who may be shed: in order of the bytes it holds, then of its coming.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Candidate {
    bytes: usize,
    newness: u32,
    key: Key,
}

/// The fewest of the costliest that hold `goal` bytes together, the costliest first.
fn costliest(candidates: impl Iterator<Item = Candidate>, goal: usize) -> Vec<Candidate> {
    let mut chosen = BinaryHeap::new();
    let mut sum = 0;
    for candidate in candidates {
        chosen.push(Reverse(candidate));
        sum += candidate.bytes;
        while let Some(Reverse(least)) = chosen.peek()
            && (sum - least.bytes >= goal || chosen.len() > SHED_MAX)
        {
            sum -= least.bytes;
            chosen.pop();
        }
    }
    chosen.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use corelane_mempool::Slab;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_costliest_are_chosen_and_of_equals_the_newest(
            bytes in prop::collection::vec(1_usize..5, 0..40),
            goal in 1_usize..60,
        ) {
            let mut slab = Slab::new();
            let all: Vec<Candidate> = bytes.iter().enumerate().map(|(n, &bytes)| {
                Candidate { bytes, newness: n as u32, key: slab.insert(()).unwrap() }
            }).collect();
            let chosen = costliest(all.iter().copied(), goal);
            // The obvious way: sort everything, take from the front.
            let mut sorted = all;
            sorted.sort_by_key(|candidate| Reverse((candidate.bytes, candidate.newness)));
            let mut sum = 0;
            let expected: Vec<Candidate> = sorted.into_iter().take_while(|candidate| {
                sum += candidate.bytes;
                sum - candidate.bytes < goal
            }).collect();
            prop_assert_eq!(chosen, expected);
        }
    }

    #[test]
    fn no_more_are_chosen_at_once_than_a_turn_can_bear() {
        let mut slab = Slab::new();
        let all = (0..2 * SHED_MAX).map(|n| Candidate {
            bytes: 1 + n,
            newness: 0,
            key: slab.insert(()).unwrap(),
        });
        let chosen = costliest(all, usize::MAX);
        assert_eq!((chosen.len(), chosen[0].bytes), (SHED_MAX, 2 * SHED_MAX));
        assert_eq!(chosen[SHED_MAX - 1].bytes, SHED_MAX + 1);
    }
}
