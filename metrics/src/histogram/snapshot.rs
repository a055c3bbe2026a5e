//! A histogram at rest: plain numbers that can be merged, subtracted and asked.

use std::fmt;

use super::{BUCKETS, HIGHEST, bucket_of, highest_of, lowest_of};

/// The precision, in decimal digits, of [`HistogramSnapshot::to_hdrhistogram`]. Two digits give 128
/// buckets per power of two, twice ours, so that no two of our buckets fall together.
const HDR_DIGITS: u8 = 2;

/// A histogram at rest. It allocates its buckets at the first value, so an empty one is small.
///
/// ```
/// use corelane_metrics::HistogramSnapshot;
///
/// let mut monday = HistogramSnapshot::default();
/// monday.record_n(1_500, 90);
/// let mut tuesday = HistogramSnapshot::default();
/// tuesday.record_n(40_000, 10);
///
/// let mut both = monday.clone();
/// both.merge(&tuesday);
/// assert_eq!(both.count(), 100);
/// assert_eq!(both.mean(), 5_350.0);
/// assert_eq!(both.quantile(0.99), 40_000);
/// assert_eq!(both.delta(&tuesday).count(), 90);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Empty, or [`BUCKETS`] long.
    buckets: Vec<u64>,
    /// Always the sum of the buckets.
    count: u64,
    sum: u64,
    /// `u64::MAX` while there is no value.
    min: u64,
    /// 0 while there is no value.
    max: u64,
}

impl HistogramSnapshot {
    /// Puts together what was read from live cells, whose extremes may be ahead of the buckets.
    pub(super) fn from_parts(buckets: Vec<u64>, sum: u64, min: u64, max: u64) -> Self {
        let count = buckets.iter().fold(0_u64, |count, bucket| count.wrapping_add(*bucket));
        let (Some(first), Some(last)) = (
            buckets.iter().position(|count| *count != 0),
            buckets.iter().rposition(|count| *count != 0),
        ) else {
            return Self::default();
        };
        let min = min.clamp(lowest_of(first), highest_of(first));
        // With one bucket in use, a late maximum may not pass below the minimum.
        let max = max.clamp(lowest_of(last), highest_of(last)).max(min);
        Self { buckets, count, sum, min, max }
    }

    /// Puts a histogram together from what another one told: its [`Self::buckets`], whose empty
    /// ones may be missing, [`Self::sum`], [`Self::min`] and [`Self::max`]. The result is equal to
    /// that one, so it can be merged and subtracted.
    ///
    /// The sum is taken as it is. In a histogram that was read while it was written to, it may be
    /// ahead of the buckets.
    ///
    /// ```
    /// use corelane_metrics::{Bucket, HistogramSnapshot};
    ///
    /// let mut told = HistogramSnapshot::default();
    /// told.record_n(18_000, 12);
    /// told.record_n(75_000, 3);
    /// let buckets: Vec<Bucket> = told.buckets().collect();
    /// let heard = HistogramSnapshot::from_buckets(buckets, told.sum(), told.min(), told.max())?;
    /// assert_eq!(heard, told);
    ///
    /// let foreign = Bucket { lowest: 18_000, highest: 18_001, count: 12 };
    /// assert!(HistogramSnapshot::from_buckets([foreign], 216_000, 18_000, 18_000).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`BucketsError`]. Reads no more buckets than there are, whatever it is given.
    pub fn from_buckets(
        buckets: impl IntoIterator<Item = Bucket>,
        sum: u64,
        min: u64,
        max: u64,
    ) -> Result<Self, BucketsError> {
        let mut counts = vec![0; BUCKETS];
        let (mut count, mut next) = (0_u64, 0);
        for bucket in buckets {
            let place = bucket_of(bucket.lowest.min(HIGHEST));
            if (lowest_of(place), highest_of(place)) != (bucket.lowest, bucket.highest) {
                return Err(BucketsError::Bounds { bucket });
            }
            if place < next {
                return Err(BucketsError::Order { bucket });
            }
            next = place + 1;
            count = count.checked_add(bucket.count).ok_or(BucketsError::Count)?;
            counts[place] = bucket.count;
        }
        let histogram = Self::from_parts(counts, sum, min, max);
        // Extremes that had to be brought into their buckets were wrong.
        let agree = (histogram.min(), histogram.max) == (min, max);
        if !agree || (count == 0 && sum != 0) {
            return Err(BucketsError::Extremes { min, max });
        }
        Ok(histogram)
    }

    /// Records `count` times `value`; above [`HIGHEST`] it counts as `HIGHEST`.
    pub fn record_n(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let value = value.min(HIGHEST);
        self.buckets.resize(BUCKETS, 0);
        let bucket = &mut self.buckets[bucket_of(value)];
        *bucket = bucket.wrapping_add(count);
        self.count = self.count.wrapping_add(count);
        self.sum = self.sum.wrapping_add(value.wrapping_mul(count));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another histogram. The result is exactly the histogram of all values of both, in
    /// whatever order merges are made. Takes about a microsecond.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.buckets.resize(BUCKETS, 0);
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.wrapping_add(*count);
        }
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// What was recorded between an earlier snapshot of the same histogram and this one.
    ///
    /// The extremes of an interval are not known exactly: minimum and maximum are the bounds of
    /// the lowest and highest bucket that grew, narrowed by those of this snapshot. Where `earlier`
    /// is not earlier, buckets stop at zero.
    #[must_use]
    pub fn delta(&self, earlier: &Self) -> Self {
        if earlier.is_empty() {
            return self.clone();
        }
        let mut buckets = self.buckets.clone();
        for (bucket, before) in buckets.iter_mut().zip(&earlier.buckets) {
            *bucket = bucket.saturating_sub(*before);
        }
        Self::from_parts(buckets, self.sum.saturating_sub(earlier.sum), self.min, self.max)
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether no value was recorded.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sum of all values. Exact; wraps at 2⁶⁴ (584 years in nanoseconds).
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The lowest value, or 0 when there is none.
    pub fn min(&self) -> u64 {
        if self.is_empty() { 0 } else { self.min }
    }

    /// The highest value, or 0 when there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The arithmetic mean, or 0 when there is no value.
    pub fn mean(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The value that a share of `quantile` (0 to 1; what is outside is brought in) of all values
    /// do not exceed, or 0 when there is no value.
    ///
    /// It is the highest value of the bucket that holds the exact answer, and never above the
    /// maximum: never too low, and too high by less than 1/64.
    pub fn quantile(&self, quantile: f64) -> u64 {
        // Not a number goes to 0 as well: the cast below sees to it.
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for bucket in self.buckets() {
            seen = seen.wrapping_add(bucket.count);
            if seen >= rank {
                return bucket.highest.min(self.max);
            }
        }
        self.max
    }

    /// The buckets that hold a value, from low to high.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().enumerate().filter(|(_, count)| **count != 0).map(|(bucket, count)| {
            Bucket { lowest: lowest_of(bucket), highest: highest_of(bucket), count: *count }
        })
    }

    /// The same values as an [`hdrhistogram::Histogram`], for its logs and tools.
    ///
    /// Counts are exact and no two buckets fall together; each bucket arrives at its highest value,
    /// so quantiles are the same. Values at the lower end are therefore up to 1/64 high there.
    pub fn to_hdrhistogram(&self) -> hdrhistogram::Histogram<u64> {
        let mut converted = hdrhistogram::Histogram::new_with_bounds(1, HIGHEST, HDR_DIGITS)
            .expect("constant bounds and precision are valid");
        for bucket in self.buckets() {
            // Saturating, and within bounds by the construction of our buckets.
            converted.saturating_record_n(bucket.highest.min(self.max), bucket.count);
        }
        converted
    }
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self { buckets: Vec::new(), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl fmt::Debug for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramSnapshot")
            .field("count", &self.count)
            .field("sum", &self.sum)
            .field("min", &self.min())
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// Why buckets are not those of a histogram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketsError {
    /// No bucket has those bounds.
    Bounds {
        /// The bucket as given.
        bucket: Bucket,
    },
    /// The bucket is not above the one before.
    Order {
        /// The bucket as given.
        bucket: Bucket,
    },
    /// The counts add up to more than 2⁶⁴ − 1.
    Count,
    /// The minimum is not in the first bucket with values or the maximum not in the last, or they
    /// or the sum are not zero where there are no values.
    Extremes {
        /// The minimum as given.
        min: u64,
        /// The maximum as given.
        max: u64,
    },
}

impl fmt::Display for BucketsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds { bucket: Bucket { lowest, highest, .. } } => write!(
                f,
                "no histogram bucket goes from {lowest} to {highest}: it comes from something else"
            ),
            Self::Order { bucket: Bucket { lowest, .. } } => {
                write!(f, "the histogram bucket from {lowest} is not above the one before it")
            }
            Self::Count => write!(f, "the histogram's counts add up to more than 2^64 - 1"),
            Self::Extremes { min, max } => write!(
                f,
                "the histogram's minimum {min} and maximum {max} do not agree with its buckets"
            ),
        }
    }
}

impl std::error::Error for BucketsError {}

/// A bucket and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The lowest value that belongs to it.
    pub lowest: u64,
    /// The highest value that belongs to it.
    pub highest: u64,
    /// How many values were recorded in it.
    pub count: u64,
}

#[cfg(test)]
impl HistogramSnapshot {
    /// The bounds of all buckets.
    pub(crate) fn every_bucket() -> impl Iterator<Item = (u64, u64)> {
        (0..BUCKETS).map(|bucket| (lowest_of(bucket), highest_of(bucket)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of every magnitude, small and large alike.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (0_u32..44).prop_flat_map(|bits| 0..(1_u64 << bits));
        prop::collection::vec(value, 1..200)
    }

    fn histogram_of(values: &[u64]) -> HistogramSnapshot {
        let mut histogram = HistogramSnapshot::default();
        values.iter().for_each(|value| histogram.record_n(*value, 1));
        histogram
    }

    proptest! {
        #[test]
        fn merging_equals_recording_together(left in values(), right in values()) {
            let (a, b) = (histogram_of(&left), histogram_of(&right));
            let (mut merged, mut reversed) = (a.clone(), b.clone());
            merged.merge(&b);
            reversed.merge(&a);
            prop_assert_eq!(&merged, &histogram_of(&[left, right].concat()));
            prop_assert_eq!(merged, reversed);
        }

        #[test]
        fn quantiles_are_never_low_and_high_by_less_than_a_64th(
            mut values in values(),
            quantile in 0.0..=1.0_f64,
        ) {
            let histogram = histogram_of(&values);
            values.sort_unstable();
            let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1].min(HIGHEST);
            let answer = histogram.quantile(quantile);
            prop_assert!(answer >= exact);
            prop_assert!((answer - exact) * 64 <= exact, "{answer} for {exact}");
        }

        #[test]
        fn delta_undoes_merge(first in values(), second in values()) {
            let before = histogram_of(&first);
            let mut after = before.clone();
            after.merge(&histogram_of(&second));
            let delta = after.delta(&before);
            let exact = histogram_of(&second);
            prop_assert_eq!(delta.buckets, exact.buckets);
            prop_assert_eq!(delta.sum, exact.sum);
            prop_assert!(delta.min <= exact.min && delta.max >= exact.max);
            prop_assert!(delta.max.abs_diff(exact.max) * 64 <= exact.max);
            prop_assert!(delta.min.abs_diff(exact.min) * 64 <= exact.min);
        }

        #[test]
        fn what_was_told_is_heard(values in values()) {
            let told = histogram_of(&values);
            let (sum, min, max) = (told.sum(), told.min(), told.max());
            let heard = HistogramSnapshot::from_buckets(told.buckets(), sum, min, max);
            prop_assert_eq!(heard.as_ref(), Ok(&told));
        }

        #[test]
        fn whatever_is_accepted_is_consistent(
            buckets in prop::collection::vec((0_usize..40, any::<u64>(), 0_u64..9), 0..9),
            (min, max) in (0_u64..50, 0_u64..50),
        ) {
            let buckets = buckets.into_iter().map(|(bucket, highest, choice)| Bucket {
                lowest: lowest_of(bucket),
                highest: if choice == 0 { highest } else { highest_of(bucket) },
                count: if choice == 1 { u64::MAX } else { choice },
            });
            let buckets: Vec<_> = buckets.collect();
            if let Ok(heard) = HistogramSnapshot::from_buckets(buckets.clone(), 0, min, max) {
                let full: Vec<_> = buckets.into_iter().filter(|bucket| bucket.count > 0).collect();
                prop_assert_eq!(heard.buckets().collect::<Vec<_>>(), full);
                prop_assert!(heard.quantile(0.0) >= heard.min());
                prop_assert_eq!((heard.min(), heard.max()), (min, max));
                prop_assert_eq!(heard.quantile(1.0), heard.max());
            }
        }

        #[test]
        fn hdrhistogram_agrees(values in values()) {
            let ours = histogram_of(&values);
            let theirs = ours.to_hdrhistogram();
            prop_assert_eq!(theirs.len(), ours.count());
            for bucket in ours.buckets() {
                prop_assert_eq!(theirs.count_between(bucket.lowest, bucket.highest), bucket.count);
            }
            for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let (answer, converted) =
                    (ours.quantile(quantile), theirs.value_at_quantile(quantile));
                prop_assert!(theirs.equivalent(answer, converted), "{answer} {converted}");
            }
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let empty = HistogramSnapshot::default();
        assert_eq!((empty.count(), empty.min(), empty.max(), empty.quantile(0.5)), (0, 0, 0, 0));
        assert_eq!(empty.mean(), 0.0);
        assert_eq!(empty.buckets().count(), 0);
        assert_eq!(empty.to_hdrhistogram().len(), 0);
    }

    #[test]
    fn buckets_that_are_not_ours_are_refused() {
        let bucket = |lowest, highest, count| Bucket { lowest, highest, count };
        let (low, high) = (bucket(7, 7, 2), bucket(128, 129, 1));
        let last = bucket(lowest_of(BUCKETS - 1), HIGHEST, 1);
        let read = |buckets: Vec<Bucket>, sum, min, max| {
            HistogramSnapshot::from_buckets(buckets, sum, min, max)
        };
        assert!(read(vec![low, high], 142, 7, 128).is_ok());
        assert!(read(vec![low, bucket(8, 8, 0), high], 142, 7, 129).is_ok());
        assert_eq!(read(vec![last], 0, HIGHEST, HIGHEST).map(|h| h.max()), Ok(HIGHEST));
        assert_eq!(read(vec![], 0, 0, 0), Ok(HistogramSnapshot::default()));
        for foreign in [bucket(7, 8, 1), bucket(129, 129, 1), bucket(0, u64::MAX, 1)] {
            assert_eq!(read(vec![foreign], 0, 7, 7), Err(BucketsError::Bounds { bucket: foreign }));
        }
        let beyond = bucket(HIGHEST + 1, u64::MAX, 1);
        assert_eq!(read(vec![beyond], 0, 0, 0), Err(BucketsError::Bounds { bucket: beyond }));
        for swapped in [vec![high, low], vec![low, low]] {
            let error = BucketsError::Order { bucket: low };
            assert_eq!(read(swapped, 0, 7, 128), Err(error));
        }
        let full = bucket(128, 129, u64::MAX);
        assert_eq!(read(vec![low, full], 0, 7, 128), Err(BucketsError::Count));
        for (min, max) in [(6, 128), (8, 128), (7, 127), (7, 130)] {
            assert_eq!(
                read(vec![low, high], 0, min, max),
                Err(BucketsError::Extremes { min, max })
            );
        }
        assert_eq!(
            read(vec![high], 0, 129, 128),
            Err(BucketsError::Extremes { min: 129, max: 128 })
        );
        for (sum, min, max) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
            assert_eq!(read(vec![], sum, min, max), Err(BucketsError::Extremes { min, max }));
        }
    }

    #[test]
    fn quantiles_outside_the_range_are_brought_in() {
        let histogram = histogram_of(&[10, 20, 30]);
        assert_eq!(histogram.quantile(-1.0), 10);
        assert_eq!(histogram.quantile(7.0), 30);
        assert_eq!(histogram.quantile(f64::NAN), 10);
    }

    #[test]
    fn a_delta_of_nothing_is_empty() {
        let histogram = histogram_of(&[10, 20, 30]);
        assert_eq!(histogram.delta(&histogram), HistogramSnapshot::default());
        assert_eq!(histogram.delta(&HistogramSnapshot::default()), histogram);
    }

    #[test]
    fn extremes_ahead_of_the_buckets_are_brought_back() {
        let mut buckets = vec![0; BUCKETS];
        buckets[bucket_of(1_000)] = 1;
        let histogram = HistogramSnapshot::from_parts(buckets, 1_000, 3, 900_000);
        assert_eq!((histogram.min(), histogram.max()), (1_000, 1_007));
    }
}
