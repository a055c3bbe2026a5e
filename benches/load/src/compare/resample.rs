//! Rank test and bootstrap over blocks of seconds.

use std::collections::BTreeMap;

use super::BLOCKS_MAX;
use crate::record::{Record, per};

/// A result in blocks of whole seconds.
pub(super) struct Blocks {
    blocks: Vec<Block>,
}

/// A few seconds of a result.
#[derive(Default)]
struct Block {
    seconds: f64,
    answered: u64,
    /// Highest value and count of each bucket.
    counts: BTreeMap<u64, u64>,
}

impl Blocks {
    /// Neighbours are put together until no more than [`BLOCKS_MAX`] are left. The last second is
    /// left out if it is a part of one only: it would weigh as much as a whole one.
    pub(super) fn of(record: &Record) -> Self {
        let mut lengths: Vec<_> =
            record.seconds.iter().map(|second| second.length_seconds).collect();
        lengths.sort_by(f64::total_cmp);
        // Whoever closes a second can be late, which makes it a longer one.
        let usual = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
        let partial = |second: &&crate::record::Second| second.length_seconds < usual * 0.9;
        let last =
            record.seconds.len() - usize::from(record.seconds.last().is_some_and(|s| partial(&s)));
        let seconds: Vec<_> = record.seconds[..last].iter().collect();
        let size = seconds.len().div_ceil(BLOCKS_MAX).max(1);
        let block = |seconds: &[&crate::record::Second]| {
            let mut block = Block::default();
            for second in seconds {
                block.seconds += second.length_seconds;
                block.answered += second.answered;
                for bucket in second.response_time.buckets() {
                    *block.counts.entry(bucket.highest).or_default() += bucket.count;
                }
            }
            block
        };
        Self { blocks: seconds.chunks_exact(size).map(block).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }
}

/// What was found for one figure.
pub(super) struct Found {
    pub(super) values: [f64; 2],
    pub(super) ratio: f64,
    pub(super) interval: [f64; 2],
    pub(super) chance: f64,
}

/// Compares the rate and then each of the quantiles.
pub(super) fn compare(samples: &[Blocks; 2], quantiles: &[f64], rounds: usize) -> Vec<Found> {
    let pool = Pool::of(samples);
    let sizes = samples.each_ref().map(Blocks::len);
    let total = sizes[0] + sizes[1];
    let mut order: Vec<usize> = (0..total).collect();
    let as_it_is =
        [&order[..sizes[0]], &order[sizes[0]..]].map(|part| pool.figures(part, quantiles));
    let ratios = |figures: &[Vec<f64>; 2]| -> Vec<f64> {
        figures[0].iter().zip(&figures[1]).map(|(first, second)| per(*second, *first)).collect()
    };
    let seen = ratios(&as_it_is);
    let mut random = Random(1);
    let ranked: Vec<Vec<f64>> = {
        let blocks: Vec<_> = (0..total).map(|block| pool.figures(&[block], quantiles)).collect();
        (0..seen.len()).map(|figure| ranks(blocks.iter().map(|block| block[figure]))).collect()
    };
    // How far the ranks of the first result are from what they would add up to if it were like the other.
    let far = |ranks: &[f64], first: &[usize]| {
        let sum: f64 = first.iter().map(|block| ranks[*block]).sum();
        (sum - (total + 1) as f64 * first.len() as f64 / 2.0).abs()
    };
    let found: Vec<f64> = ranked.iter().map(|ranks| far(ranks, &order[..sizes[0]])).collect();
    // How often a deal is as far from equal as what was seen, which counts as one of the deals.
    let mut as_far = vec![1_usize; seen.len()];
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for ((count, ranks), found) in as_far.iter_mut().zip(&ranked).zip(&found) {
            *count += usize::from(far(ranks, &order[..sizes[0]]) >= found - 1e-9);
        }
    }
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); seen.len()];
    for _ in 0..rounds {
        let mut draw = |first: usize, size: usize| -> Vec<usize> {
            (0..size).map(|_| first + random.below(size)).collect()
        };
        let both = [draw(0, sizes[0]), draw(sizes[0], sizes[1])];
        let found = ratios(&both.map(|part| pool.figures(&part, quantiles)));
        drawn.iter_mut().zip(found).for_each(|(all, ratio)| all.push(ratio));
    }
    seen.into_iter()
        .enumerate()
        .map(|(index, ratio)| {
            drawn[index].sort_by(f64::total_cmp);
            let at = |share: f64| drawn[index][(share * (rounds - 1) as f64).round() as usize];
            Found {
                values: [as_it_is[0][index], as_it_is[1][index]],
                ratio,
                interval: [at(0.005), at(0.995)],
                chance: as_far[index] as f64 / (rounds + 1) as f64,
            }
        })
        .collect()
}

/// The place of each value in their order, from 1; equal ones share the mean of theirs.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut ordered: Vec<(f64, usize)> =
        values.enumerate().map(|(place, value)| (value, place)).collect();
    ordered.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut ranks = vec![0.0; ordered.len()];
    let mut before = 0;
    for equal in ordered.chunk_by(|one, other| one.0 == other.0) {
        for (_, place) in equal {
            ranks[*place] = before as f64 + (equal.len() + 1) as f64 / 2.0;
        }
        before += equal.len();
    }
    ranks
}

/// The blocks of both results over the same buckets.
struct Pool {
    /// The highest value of each bucket, ascending.
    values: Vec<u64>,
    seconds: Vec<f64>,
    answered: Vec<u64>,
    /// Counts, block after block.
    counts: Vec<Vec<(u32, u64)>>,
}

impl Pool {
    fn of(samples: &[Blocks; 2]) -> Self {
        let blocks = || samples.iter().flat_map(|sample| &sample.blocks);
        let mut values: Vec<u64> =
            blocks().flat_map(|block| block.counts.keys().copied()).collect();
        values.sort_unstable();
        values.dedup();
        let places = |block: &Block| {
            let place = |(value, count): (&u64, &u64)| {
                (values.partition_point(|other| other < value) as u32, *count)
            };
            block.counts.iter().map(place).collect()
        };
        Self {
            seconds: blocks().map(|block| block.seconds).collect(),
            answered: blocks().map(|block| block.answered).collect(),
            counts: blocks().map(places).collect(),
            values,
        }
    }

    /// The rate and the quantiles of these blocks together.
    fn figures(&self, blocks: &[usize], quantiles: &[f64]) -> Vec<f64> {
        let mut counts = vec![0_u64; self.values.len()];
        for block in blocks {
            for (place, count) in &self.counts[*block] {
                counts[*place as usize] += count;
            }
        }
        let seconds: f64 = blocks.iter().map(|block| self.seconds[*block]).sum();
        let answered: u64 = blocks.iter().map(|block| self.answered[*block]).sum();
        let total: u64 = counts.iter().sum();
        let mut figures = vec![per(answered as f64, seconds)];
        let (mut place, mut seen) = (0, counts.first().copied().unwrap_or(0));
        // Quantiles ascend, so one pass finds all of them.
        for quantile in quantiles {
            let rank = ((quantile * total as f64).ceil() as u64).max(1);
            while seen < rank && place + 1 < counts.len() {
                place += 1;
                seen += counts[place];
            }
            figures.push(self.values.get(place).copied().unwrap_or(0) as f64);
        }
        figures
    }
}

/// The same numbers in each run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The upper half of the product is below the bound, and as good as evenly spread.
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks([30.0, 10.0, 20.0, 20.0].into_iter()), [4.0, 1.0, 2.5, 2.5]);
        assert_eq!(ranks([].into_iter()), [0.0; 0]);
    }
}
