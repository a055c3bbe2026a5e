//! Consistent hashing by a table: one lookup per connection, whatever the number of targets.
//!
//! D. E. Eisenbud et al., *Maglev: A Fast and Reliable Software Network Load Balancer*, NSDI 2016,
//! section 3.4. Each target has a random permutation of the slots; the targets take turns, each
//! claiming the first slot of its permutation that is still free, until all are taken. So every
//! target owns nearly equally many slots, and with one target more or less most slots keep their
//! owner.
//!
//! Two departures from the paper:
//!
//! 1. The table has 6,421 slots for up to 64 targets (12.5 KiB, which a first-level cache holds), and
//!    the paper's 65,537 or more only beyond. That is at least 100 slots per target, which the paper
//!    asks for an imbalance of at most 1 %.
//! 2. A target that is down does not change the permutations. Its slots fall to others by rendezvous
//!    hashing (the up target with the highest hash of slot and target), so that exactly its own slots
//!    move, and come back with it. The paper's rebuild would move about 1 % of the others as well.

use crate::siphash::siphash13;

/// Table sizes, all prime: the first that has 100 slots per target is taken. Few sizes, because one
/// target more or less moves few slots only as long as the size stays the same.
const SIZES: [usize; 3] = [6_421, 65_537, 409_609];
const SLOTS_PER_TARGET: usize = 100;

/// A table from hash to target.
#[derive(Clone, Debug)]
pub(crate) struct Maglev {
    /// The owner of each slot while all targets are up.
    owners: Vec<u16>,
    /// The target of each slot: its owner, or a substitute while that one is down. Empty while all
    /// are down, or if there are none.
    slots: Vec<u16>,
    seed: [u64; 2],
}

impl Maglev {
    /// A table over `targets` targets; at most 4,096, which the caller checks.
    pub(crate) fn new(targets: usize, seed: [u64; 2]) -> Maglev {
        let owners = populate(targets, seed);
        Maglev { slots: owners.clone(), owners, seed }
    }

    /// The target that `hash` belongs to; `None` while all are down.
    #[inline]
    pub(crate) fn target(&self, hash: u64) -> Option<usize> {
        // The high half times the length, over 2^32: even, and without a division. An empty table
        // gives slot 0, which is not there.
        let slot = ((hash >> 32) * self.slots.len() as u64) >> 32;
        self.slots.get(slot as usize).map(|&target| usize::from(target))
    }

    /// Fills the table for these targets being up; `up` has one entry per target.
    pub(crate) fn set_up(&mut self, up: &[bool]) {
        let rest: Vec<u16> = (0..up.len()).filter(|&i| up[i]).map(|i| i as u16).collect();
        let seed = self.seed;
        self.slots.clear();
        if rest.is_empty() {
            return;
        }
        self.slots.extend(self.owners.iter().enumerate().map(|(slot, &owner)| {
            if up[usize::from(owner)] {
                return owner;
            }
            let weight = |target: &u16| siphash13::<0>(seed, &[u64::from(*target), slot as u64], 0);
            rest.iter().copied().max_by_key(weight).unwrap_or(owner)
        }));
    }
}

/// The population of the paper's Pseudocode 1: who owns which slot.
fn populate(targets: usize, seed: [u64; 2]) -> Vec<u16> {
    const FREE: u16 = u16::MAX;
    if targets == 0 {
        return Vec::new();
    }
    let size = table_size(targets);
    // A permutation is an offset and a stride: since the size is prime, every stride reaches every
    // slot. Only the next position of each is kept.
    let mut walks: Vec<(usize, usize)> = (0..targets as u64)
        .map(|target| {
            let offset = siphash13::<0>(seed, &[target], 0) % size as u64;
            let stride = siphash13::<0>(seed, &[!target], 0) % (size as u64 - 1) + 1;
            (offset as usize, stride as usize)
        })
        .collect();
    let mut owners = vec![FREE; size];
    let mut left = size;
    while left > 0 {
        for (target, (position, stride)) in walks.iter_mut().enumerate().take(left) {
            while owners[*position] != FREE {
                *position = (*position + *stride) % size;
            }
            owners[*position] = target as u16;
        }
        left = left.saturating_sub(targets);
    }
    owners
}

fn table_size(targets: usize) -> usize {
    let least = targets * SLOTS_PER_TARGET;
    SIZES.into_iter().find(|&size| size >= least).unwrap_or(SIZES[SIZES.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u64; 2] = [11, 12];

    fn slots_of(table: &[u16], targets: usize) -> Vec<usize> {
        let mut counts = vec![0; targets];
        table.iter().for_each(|&target| counts[usize::from(target)] += 1);
        counts
    }

    #[test]
    fn every_target_owns_equally_many_slots() {
        for targets in [1, 2, 3, 8, 64, 257] {
            let counts = slots_of(&populate(targets, SEED), targets);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least >= SLOTS_PER_TARGET && most - least <= 1, "{targets}: {counts:?}");
        }
    }

    #[test]
    fn a_target_down_moves_its_own_slots_only() {
        let mut table = Maglev::new(8, SEED);
        let before = table.slots.clone();
        let up: Vec<bool> = (0..8).map(|target| target != 3).collect();
        table.set_up(&up);
        for (&was, &is) in before.iter().zip(&table.slots) {
            assert!(if was == 3 { is != 3 } else { is == was });
        }
        // 803 orphans spread over seven: about 115 each, give or take four times their root.
        let was = slots_of(&before, 8);
        for (target, is) in slots_of(&table.slots, 8).into_iter().enumerate() {
            assert!(if target == 3 { is == 0 } else { (72..=158).contains(&(is - was[target])) });
        }
        table.set_up(&[true; 8]);
        assert_eq!(table.slots, before);
    }

    #[test]
    fn the_way_there_does_not_matter() {
        let (mut direct, mut detour) = (Maglev::new(5, SEED), Maglev::new(5, SEED));
        direct.set_up(&[true, false, true, false, true]);
        detour.set_up(&[false, true, true, false, true]);
        detour.set_up(&[false; 5]);
        detour.set_up(&[true, false, true, false, true]);
        assert_eq!(direct.slots, detour.slots);
    }

    #[test]
    fn one_target_more_moves_its_share_and_little_else() {
        for targets in [3, 8, 63, 300] {
            let (old, new) = (populate(targets, SEED), populate(targets + 1, SEED));
            let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
            let share = moved as f64 / old.len() as f64;
            let least = 1.0 / (targets + 1) as f64;
            assert!(share > 0.99 * least && share < least + 0.06, "{targets}: {share} of {least}");
        }
    }

    #[test]
    fn sizes_are_prime_and_large_enough() {
        for size in SIZES {
            assert!((2..).take_while(|d| d * d <= size).all(|d| !size.is_multiple_of(d)));
        }
        let sizes = [1, 64, 65, 655, 656, 4_096].map(table_size);
        assert_eq!(sizes, [6_421, 6_421, 65_537, 65_537, 409_609, 409_609]);
    }

    #[test]
    fn no_targets_no_answer() {
        assert_eq!(Maglev::new(0, SEED).target(u64::MAX), None);
        let mut table = Maglev::new(2, SEED);
        table.set_up(&[false, false]);
        assert_eq!(table.target(0), None);
    }
}
