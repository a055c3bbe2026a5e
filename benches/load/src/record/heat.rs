//! Response times over time: how many fell where.

use corelane_metrics::Bucket;
use serde::{Deserialize, Serialize};

use super::Second;

/// How many response times fell into which band, column by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// How much time a column covers.
    pub column_ms: u64,
    /// The bands: lowest and highest value in nanoseconds, ascending, without gaps.
    pub rows: Vec<[u64; 2]>,
    /// The columns, oldest first. Columns without anything may be left out.
    pub columns: Vec<Column>,
}

/// A stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// When it began, in milliseconds since measuring began.
    pub at_ms: u64,
    /// Index of a band, and how many fell into it; ascending, bands without any left out.
    pub counts: Vec<(usize, u64)>,
}

/// Bands of a power of two, and its logarithm.
const BANDS: u64 = 8;
const BANDS_LOG: u32 = 3;

impl Heat {
    /// One column for each second, by the time at which responses came. Eight bands for each power of
    /// two, so that every bucket of a histogram of ours falls into one.
    #[must_use]
    pub fn of_seconds(seconds: &[Second]) -> Self {
        let last = seconds.iter().map(|second| second.response_time.max()).max().unwrap_or(0);
        let rows = (0..=band_of(last)).map(band).collect();
        let column = |second: &Second| {
            let mut counts: Vec<(usize, u64)> = Vec::new();
            for Bucket { lowest, count, .. } in second.response_time.buckets() {
                let row = band_of(lowest) as usize;
                match counts.last_mut() {
                    Some((last, total)) if *last == row => *total += count,
                    _ => counts.push((row, count)),
                }
            }
            Column { at_ms: (second.at_seconds * 1e3).round() as u64, counts }
        };
        let column_ms = seconds.iter().map(|second| (second.length_seconds * 1e3).round() as u64);
        Self {
            column_ms: column_ms.max().unwrap_or(0),
            rows,
            columns: seconds.iter().map(column).collect(),
        }
    }
    /// How many response times are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.columns.iter().flat_map(|column| &column.counts);
        counts.map(|(_, count)| count).sum()
    }
}

/// The band of a value: all below 1,024 are in the first.
fn band_of(value: u64) -> u64 {
    let power = 63 - value.max(1_024).leading_zeros();
    let within = (value.max(1_024) >> (power - BANDS_LOG)) - BANDS;
    u64::from(power - 10) * BANDS + within + u64::from(value >= 1_024)
}

/// The lowest and the highest value of a band.
fn band(index: u64) -> [u64; 2] {
    let start = |index: u64| (1_024 << (index / BANDS)) / BANDS * (BANDS + index % BANDS);
    match index.checked_sub(1) {
        None => [0, 1_023],
        Some(index) => [start(index), start(index + 1) - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn bands_lie_side_by_side_and_hold_what_they_say() {
        for index in 0..26 * BANDS {
            let [lowest, highest] = band(index);
            assert_eq!((band_of(lowest), band_of(highest)), (index, index));
            assert_eq!(band(index + 1)[0], highest + 1);
        }
    }

    #[test]
    fn every_response_is_in_its_column_once() {
        let record = sample::stalled();
        let heat = &record.heat;
        assert_eq!((heat.count(), heat.columns.len(), heat.column_ms), (12_000, 12, 1_000));
        for (column, second) in heat.columns.iter().zip(&record.seconds) {
            let (last, _) = column.counts.last().unwrap();
            let [lowest, highest] = heat.rows[*last];
            assert!((lowest..=highest).contains(&second.response_time.max()));
        }
    }
}
