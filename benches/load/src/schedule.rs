//! The times at which the requests of an open loop are to be sent, and other chances.

use crate::plan::{Arrivals, Weighted};

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): one seed,
/// the same numbers everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// `stream` tells apart the chances of one seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        mixed.draw();
        mixed
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, and at most 1.
    fn unit(&mut self) -> f64 {
        ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Times of arrival in nanoseconds from the start of the run, ascending, without end.
///
/// Nothing is stored for those that wait: two schedules of one seed, one that follows the clock and one
/// that follows the sends, are a queue of any length in constant memory.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The mean time between two arrivals.
    mean: f64,
    /// Of the next arrival.
    next: f64,
    /// How many have come.
    count: u64,
    /// When the first of constant arrivals comes.
    first: f64,
    chance: Option<Chance>,
}

impl Schedule {
    /// The arrivals of worker `index` of `workers`, which together have `rate` per second.
    pub(crate) fn new(
        rate: f64,
        arrivals: Arrivals,
        seed: u64,
        index: usize,
        workers: usize,
    ) -> Self {
        let mean = 1e9 * workers as f64 / rate;
        let first = 1e9 * index as f64 / rate;
        match arrivals {
            Arrivals::Constant => Self { mean, next: first, count: 0, first, chance: None },
            Arrivals::Poisson => {
                let chance = Some(Chance::new(seed, 2 * index as u64));
                let mut schedule = Self { mean, next: 0.0, count: 0, first: 0.0, chance };
                schedule.advance();
                schedule
            }
        }
    }

    /// When the next request is to be sent.
    pub(crate) fn peek(&self) -> u64 {
        // A cast stops at the largest value, which is 584 years.
        self.next as u64
    }

    /// Goes on to the one after it.
    pub(crate) fn advance(&mut self) {
        match &mut self.chance {
            // Multiplied, not added up: no error grows with the length of the run.
            None => {
                self.count += 1;
                self.next = self.first + self.mean * self.count as f64;
            }
            Some(chance) => self.next -= chance.unit().ln() * self.mean,
        }
    }
}

/// Which of a plan's requests comes next.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// For each request but the last, the weights up to and with its own.
    borders: Vec<u64>,
    whole: u64,
    chance: Chance,
}

impl Choice {
    pub(crate) fn new(requests: &[Weighted], seed: u64, worker: usize) -> Self {
        let mut whole = 0;
        let mut borders: Vec<u64> = requests
            .iter()
            .map(|weighted| {
                whole += u64::from(weighted.weight);
                whole
            })
            .collect();
        borders.pop();
        Self { borders, whole, chance: Chance::new(seed, 2 * worker as u64 + 1) }
    }

    /// Its index.
    #[inline]
    pub(crate) fn draw(&mut self) -> usize {
        if self.borders.is_empty() {
            return 0;
        }
        // The weights are 2^34 at most, so what the remainder favours is below 1 in 2^30.
        let point = self.chance.draw() % self.whole;
        self.borders.partition_point(|&border| border <= point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Request;

    fn times(mut schedule: Schedule, count: usize) -> Vec<u64> {
        let take = |schedule: &mut Schedule| {
            let at = schedule.peek();
            schedule.advance();
            at
        };
        (0..count).map(|_| take(&mut schedule)).collect()
    }

    proptest! {
        #[test]
        fn constant_arrivals_are_even_over_all_workers(rate in 0.01..5e6, workers in 1_usize..8) {
            let count = 1_000;
            let of = |index| {
                times(Schedule::new(rate, Arrivals::Constant, 0, index, workers), count)
            };
            let mut all: Vec<u64> = (0..workers).flat_map(of).collect();
            all.sort_unstable();
            for (index, at) in all.iter().enumerate() {
                let exact = 1e9 * index as f64 / rate;
                prop_assert!((*at as f64 - exact).abs() <= 1.0 + exact * 1e-12, "{at} {exact}");
            }
        }

        #[test]
        fn poisson_arrivals_have_the_rate_and_the_scatter(
            rate in 1.0..5e6, seed: u64, workers in 1_usize..4,
        ) {
            let count = 20_000;
            let at = times(Schedule::new(rate, Arrivals::Poisson, seed, 0, workers), count);
            prop_assert!(at.is_sorted());
            let mean = 1e9 * workers as f64 / rate;
            // The sum of n exponential times scatters by mean * sqrt(n): seven times that is never
            // reached by chance.
            let scatter = 7.0 * mean * (count as f64).sqrt();
            prop_assert!((at[count - 1] as f64 - mean * count as f64).abs() < scatter);
            // Of exponential gaps, 1/e are longer than the mean.
            let long = at.windows(2).filter(|pair| (pair[1] - pair[0]) as f64 > mean).count();
            let share = long as f64 / (count - 1) as f64;
            prop_assert!((share - (-1.0_f64).exp()).abs() < 0.03, "{share}");
        }

        #[test]
        fn a_seed_is_a_schedule(seed: u64, other: u64) {
            let of = |seed| times(Schedule::new(1e5, Arrivals::Poisson, seed, 0, 1), 50);
            prop_assert_eq!(of(seed), of(seed));
            prop_assert_eq!(of(seed) == of(other), seed == other);
        }

        #[test]
        fn choices_follow_the_weights(weights in prop::collection::vec(1_u32..100, 1..6), seed: u64) {
            let weighted = |&weight: &u32| Weighted {
                weight,
                ..Weighted::new("", Request::new("GET", "/", "a", &[], b"").unwrap())
            };
            let requests: Vec<_> = weights.iter().map(weighted).collect();
            let mut choice = Choice::new(&requests, seed, 0);
            let mut counts = vec![0_u32; weights.len()];
            let draws = 20_000;
            (0..draws).for_each(|_| counts[choice.draw()] += 1);
            let whole: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(whole);
                let scatter = 7.0 * (share * (1.0 - share) / f64::from(draws)).sqrt();
                prop_assert!((f64::from(*count) / f64::from(draws) - share).abs() <= scatter);
            }
        }
    }
}
