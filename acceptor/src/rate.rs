//! A token bucket in two numbers.
//!
//! Kept as the *generic cell rate algorithm* (ITU-T I.371, Annex A, "virtual scheduling"): instead of a
//! level that must be refilled, one instant is kept, at which the bucket will be full again. Taking
//! a token moves it one interval into the future; it may not lie further ahead than the whole
//! bucket takes to fill. Integer arithmetic, hence no drift.

use std::num::NonZeroU32;

/// How many connections may be accepted per second, and how many at once after a quiet time.
///
/// ```
/// use std::num::NonZeroU32;
/// use corelane_acceptor::Rate;
/// let rate = Rate::per_second(NonZeroU32::new(10_000).unwrap(), NonZeroU32::new(500).unwrap());
/// // Four loops that each accept for themselves: a quarter each.
/// assert_eq!(rate.share(NonZeroU32::new(4).unwrap()).interval_ns(), 400_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds it takes to earn one token.
    interval: u64,
    /// Tokens in a full bucket.
    burst: NonZeroU32,
}

impl Rate {
    /// So many per second in the long run, and up to `burst` at once.
    ///
    /// The interval is rounded up to whole nanoseconds, so the rate is never exceeded; it stays
    /// below the wish by at most 0.1 % up to a million per second.
    pub const fn per_second(count: NonZeroU32, burst: NonZeroU32) -> Rate {
        Rate { interval: 1_000_000_000_u64.div_ceil(count.get() as u64), burst }
    }

    /// The part of one loop, where `loops` of them accept at this rate together.
    ///
    /// Each keeps a bucket of its own, so that no cache line is shared. The burst is divided too, but
    /// never below one.
    pub fn share(self, loops: NonZeroU32) -> Rate {
        let burst = NonZeroU32::new(self.burst.get() / loops.get()).unwrap_or(NonZeroU32::MIN);
        Rate { interval: self.interval * u64::from(loops.get()), burst }
    }

    /// Nanoseconds from one connection to the next in the long run.
    pub const fn interval_ns(self) -> u64 {
        self.interval
    }

    /// Connections that may come at once.
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }
}

/// A token bucket that starts full. Time is passed in, and must not run backwards.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    interval: u64,
    /// How far `full_at` may lie ahead and still leave one token: all but one of them spent.
    tolerance: u64,
    /// When the bucket is full again, if nothing more is taken.
    full_at: u64,
}

impl TokenBucket {
    pub(crate) fn new(rate: Rate) -> TokenBucket {
        let tolerance = rate.interval.saturating_mul(u64::from(rate.burst.get()) - 1);
        TokenBucket { interval: rate.interval, tolerance, full_at: 0 }
    }

    /// Takes a token, or tells when there will be one.
    pub(crate) fn take(&mut self, now: u64) -> Result<(), u64> {
        let ready_at = self.full_at.saturating_sub(self.tolerance);
        if now < ready_at {
            return Err(ready_at);
        }
        self.full_at = self.full_at.max(now).saturating_add(self.interval);
        Ok(())
    }

    /// Puts the last token back.
    pub(crate) fn put_back(&mut self) {
        self.full_at = self.full_at.saturating_sub(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    /// The textbook bucket: a level that time fills, in nanoseconds' worth of tokens.
    struct NaiveBucket {
        level: u128,
        last: u64,
        rate: Rate,
    }

    impl NaiveBucket {
        fn new(rate: Rate) -> NaiveBucket {
            NaiveBucket { level: capacity(rate), last: 0, rate }
        }

        fn take(&mut self, now: u64) -> Result<(), u64> {
            let level = self.level + u128::from(now - self.last);
            (self.level, self.last) = (level.min(capacity(self.rate)), now);
            let price = u128::from(self.rate.interval_ns());
            match self.level.checked_sub(price) {
                Some(rest) => {
                    self.level = rest;
                    Ok(())
                }
                None => Err(now + u64::try_from(price - self.level).unwrap()),
            }
        }

        fn put_back(&mut self) {
            self.level += u128::from(self.rate.interval_ns());
        }
    }

    fn capacity(rate: Rate) -> u128 {
        u128::from(rate.interval_ns()) * u128::from(rate.burst())
    }

    proptest! {
        #[test]
        fn agrees_with_a_level_that_fills(
            per_second in 1_u32..2_000_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u64..3_000_000_000, 1_u32..20, any::<bool>()), 1..60),
        ) {
            let rate = rate(per_second, burst);
            let (mut bucket, mut naive) = (TokenBucket::new(rate), NaiveBucket::new(rate));
            let mut now = 0;
            for (wait, takes, undo) in steps {
                // Waits of many magnitudes, because intervals have many.
                now += wait >> (wait % 31);
                for _ in 0..takes {
                    let taken = bucket.take(now);
                    prop_assert_eq!(taken, naive.take(now));
                    if undo && taken.is_ok() {
                        bucket.put_back();
                        naive.put_back();
                    }
                }
            }
        }

        #[test]
        fn never_more_than_burst_plus_rate(
            per_second in 1_u32..100_000,
            burst in 1_u32..100,
            waits in prop::collection::vec(0_u64..10_000_000, 1..300),
        ) {
            let rate = rate(per_second, burst);
            let mut bucket = TokenBucket::new(rate);
            let (mut now, mut taken) = (0, 0_u64);
            for wait in waits {
                now += wait;
                taken += u64::from(bucket.take(now).is_ok());
            }
            prop_assert!(taken <= u64::from(burst) + now / rate.interval_ns());
        }

        #[test]
        fn the_instant_named_is_the_first_that_works(per_second in 1_u32..1_000_000, burst in 1_u32..9) {
            let mut bucket = TokenBucket::new(rate(per_second, burst));
            for _ in 0..burst {
                prop_assert_eq!(bucket.take(5), Ok(()));
            }
            let at = bucket.take(5).unwrap_err();
            prop_assert_eq!(bucket.clone().take(at - 1), Err(at));
            prop_assert_eq!(bucket.take(at), Ok(()));
        }
    }

    #[test]
    fn shares_add_up_to_no_more_than_the_whole() {
        let whole = rate(1_000, 10);
        let share = whole.share(NonZeroU32::new(4).unwrap());
        assert_eq!((share.interval_ns(), share.burst()), (4_000_000, 2));
        assert_eq!(whole.share(NonZeroU32::new(64).unwrap()).burst(), 1);
    }

    #[test]
    fn far_ends_of_time_do_not_overflow() {
        let mut bucket = TokenBucket::new(rate(1, u32::MAX));
        assert_eq!(bucket.take(u64::MAX), Ok(()));
        assert_eq!(bucket.take(u64::MAX), Ok(()));
        bucket.put_back();
    }
}
