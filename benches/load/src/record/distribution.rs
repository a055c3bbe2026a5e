//! A histogram as plain data that can be written down and read back.

use corelane_metrics::HistogramSnapshot;
use serde::{Deserialize, Serialize};

/// Quantiles that every report names, with their names.
pub const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("p99.999", 0.999_99),
];

/// A histogram of nanoseconds at rest: every bucket that holds something, from low to high.
///
/// Unlike a [`HistogramSnapshot`] it can be read back from a file, whatever the bounds of its buckets.
///
/// # Examples
/// ```
/// use corelane_load::Distribution;
///
/// let times = Distribution::of_buckets([[1_000, 1_015, 98], [5_000, 5_119, 2]], 108_400);
/// assert_eq!((times.count(), times.quantile(0.5), times.max()), (100, 1_015, 5_119));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Distribution {
    /// Lowest value, highest value, count: ascending, without overlap.
    buckets: Vec<[u64; 3]>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Distribution {
    /// From buckets in ascending order (lowest value, highest value, count) and the sum of the values.
    /// Empty buckets are left out.
    #[must_use]
    pub fn of_buckets(buckets: impl IntoIterator<Item = [u64; 3]>, sum: u64) -> Self {
        let buckets: Vec<_> = buckets.into_iter().filter(|bucket| bucket[2] > 0).collect();
        let count = buckets.iter().fold(0, |count: u64, bucket| count.saturating_add(bucket[2]));
        let min = buckets.first().map_or(0, |bucket| bucket[0]);
        let max = buckets.last().map_or(0, |bucket| bucket[1]);
        Self { buckets, count, sum, min, max }
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The arithmetic mean, 0 without values.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The lowest value, 0 without values.
    #[must_use]
    pub fn min(&self) -> u64 {
        self.min
    }

    /// The highest value, 0 without values.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that a share of `quantile` (0 to 1) of all values do not exceed: the highest of the
    /// bucket that holds the exact answer, never above the maximum. 0 without values.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for [_, highest, count] in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return (*highest).min(self.max);
            }
        }
        self.max
    }

    /// The buckets that hold something: lowest value, highest value, count; ascending.
    #[must_use]
    pub fn buckets(&self) -> &[[u64; 3]] {
        &self.buckets
    }

    /// Whether `quantile` has at least ten values beyond it: fewer make it an anecdote.
    #[must_use]
    pub fn supports(&self, quantile: f64) -> bool {
        (1.0 - quantile) * self.count as f64 >= 9.999
    }
}

impl From<&HistogramSnapshot> for Distribution {
    fn from(histogram: &HistogramSnapshot) -> Self {
        let buckets =
            histogram.buckets().map(|bucket| [bucket.lowest, bucket.highest, bucket.count]);
        let (min, max) = (histogram.min(), histogram.max());
        Self { min, max, ..Self::of_buckets(buckets, histogram.sum()) }
    }
}

/// The form on paper. The quantiles are for readers; they are not read back.
#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    #[serde(default)]
    mean: f64,
    #[serde(default, skip_deserializing)]
    quantiles: std::collections::BTreeMap<&'static str, u64>,
    buckets: Vec<[u64; 3]>,
}

impl From<Distribution> for Written {
    fn from(from: Distribution) -> Self {
        let quantiles = QUANTILES.map(|(name, quantile)| (name, from.quantile(quantile))).into();
        let mean = from.mean();
        let Distribution { buckets, count, sum, min, max } = from;
        Self { count, sum, min, max, mean, quantiles, buckets }
    }
}

impl TryFrom<Written> for Distribution {
    type Error = String;

    fn try_from(from: Written) -> Result<Self, String> {
        let ascending = from.buckets.windows(2).all(|pair| pair[0][1] < pair[1][0]);
        if !ascending || from.buckets.iter().any(|[lowest, highest, _]| lowest > highest) {
            return Err("the buckets of a histogram are not in ascending order".to_owned());
        }
        let whole = Self::of_buckets(from.buckets, from.sum);
        if whole.count != from.count {
            let Self { count, .. } = whole;
            return Err(format!("a histogram's buckets hold {count}, not {} values", from.count));
        }
        if from.min > from.max || from.max > whole.max || from.min < whole.min {
            return Err("the extremes of a histogram are outside of its buckets".to_owned());
        }
        Ok(Self { min: from.min, max: from.max, ..whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HistogramSnapshot {
        let mut histogram = HistogramSnapshot::default();
        for (value, count) in [(90, 3), (1_000, 500), (70_001, 40), (1_000_000_007, 1)] {
            histogram.record_n(value, count);
        }
        histogram
    }

    #[test]
    fn it_answers_as_the_snapshot_does() {
        let (snapshot, whole) = (sample(), Distribution::from(&sample()));
        assert_eq!((whole.count(), whole.min(), whole.max()), (544, 90, 1_000_000_007));
        assert!((whole.mean() - snapshot.mean()).abs() < 1e-9);
        for quantile in [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(whole.quantile(quantile), snapshot.quantile(quantile), "{quantile}");
        }
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }

    #[test]
    fn it_is_read_back_as_it_was_written_and_only_when_it_holds_together() {
        let whole = Distribution::from(&sample());
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), whole);
        for (from, to) in [
            ("\"count\":544", "\"count\":545"),
            ("\"min\":90", "\"min\":9"),
            ("\"max\":1000000007", "\"max\":99000000007"),
            ("[90,", "[90000,"),
        ] {
            assert!(text.contains(from), "{from} in {text}");
            let broken = text.replacen(from, to, 1);
            assert!(serde_json::from_str::<Distribution>(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_quantile_needs_ten_values_beyond_it() {
        let thousand = Distribution::of_buckets([[1, 1, 1_000]], 1_000);
        assert!(thousand.supports(0.99) && !thousand.supports(0.999));
    }
}
