//! How histograms are written: with all their buckets, and with quantiles for readers.

use std::collections::BTreeMap;

use corelane_metrics::{Bucket, HistogramSnapshot};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Quantiles that every report names, with their names.
pub const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("p99.999", 0.999_99),
];

/// Whether `quantile` has at least ten values beyond it: fewer make it an anecdote.
pub(crate) fn supports(histogram: &HistogramSnapshot, quantile: f64) -> bool {
    (1.0 - quantile) * histogram.count() as f64 >= 9.999
}

/// Up to `most` the highest of [`QUANTILES`] that both [support](supports), with its name.
pub(crate) fn highest_of_both(
    both: [&HistogramSnapshot; 2],
    most: f64,
) -> Option<(&'static str, f64)> {
    QUANTILES.into_iter().rfind(|(_, quantile)| {
        *quantile <= most && both.iter().all(|histogram| supports(histogram, *quantile))
    })
}

/// The form on paper, in which the server's `/metrics.json` has them, too.
#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    /// Not read back.
    #[serde(default, skip_deserializing)]
    quantiles: BTreeMap<&'static str, u64>,
    /// Lowest value, highest value, count.
    buckets: Vec<[u64; 3]>,
}

pub(super) fn serialize<S: Serializer>(from: &HistogramSnapshot, to: S) -> Result<S::Ok, S::Error> {
    Written {
        count: from.count(),
        sum: from.sum(),
        min: from.min(),
        max: from.max(),
        quantiles: QUANTILES.map(|(name, quantile)| (name, from.quantile(quantile))).into(),
        buckets: from
            .buckets()
            .map(|bucket| [bucket.lowest, bucket.highest, bucket.count])
            .collect(),
    }
    .serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<HistogramSnapshot, D::Error> {
    let Written { count, sum, min, max, buckets, .. } = Written::deserialize(from)?;
    let buckets =
        buckets.into_iter().map(|[lowest, highest, count]| Bucket { lowest, highest, count });
    let whole =
        HistogramSnapshot::from_buckets(buckets, sum, min, max).map_err(D::Error::custom)?;
    if whole.count() != count {
        let message = format!("a histogram's buckets hold {}, not {count} values", whole.count());
        return Err(D::Error::custom(message));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] HistogramSnapshot);

    #[test]
    fn it_is_read_back_as_it_was_written_and_only_when_it_holds_together() {
        let mut held = Held(HistogramSnapshot::default());
        let empty = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Held>(&empty).unwrap(), held);
        for (value, count) in [(90, 3), (1_000, 500), (70_001, 40), (1_000_000_007, 1)] {
            held.0.record_n(value, count);
        }
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        for (from, to) in [
            ("\"count\":544", "\"count\":545"),
            ("\"max\":1000000007", "\"max\":99000000007"),
            ("[90,", "[90000,"),
        ] {
            assert!(text.contains(from), "{from} in {text}");
            let broken = text.replacen(from, to, 1);
            assert!(serde_json::from_str::<Held>(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_quantile_needs_ten_values_beyond_it() {
        let mut thousand = HistogramSnapshot::default();
        thousand.record_n(1, 1_000);
        assert!(supports(&thousand, 0.99) && !supports(&thousand, 0.999));
        let of_both = |count| {
            let mut other = HistogramSnapshot::default();
            other.record_n(1, count);
            highest_of_both([&thousand, &other], 0.99).map(|(name, _)| name)
        };
        let names = [10, 20, 99, 100, 999, 1_000, 100_000].map(of_both);
        let [p50, p90, p99] = ["p50", "p90", "p99"].map(Some);
        assert_eq!(names, [None, p50, p50, p90, p90, p99, p99]);
    }
}
