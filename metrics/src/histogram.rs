//! Log-linear histograms with one writer: recorded by plain stores, merged exactly.
//!
//! # Layout
//!
//! Every power of two is cut into 64 buckets of equal width, so a bucket is never wider than 1/64
//! (1.6 %) of the values in it; values below 128 have a bucket each. It is the idea of Gil Tene's
//! HdrHistogram with its parameters fixed at compile time, which turns a record into a handful of
//! instructions:
//!
//! ```text
//! shift  = floor(log2(value | 64)) - 6        0 for values below 128
//! bucket = 64 * shift + (value >> shift)      continuous: 127, 128 (= 128..=129), 129, …
//! ```
//!
//! Values run from 0 to [`HIGHEST`] (2⁴² − 1: 73 minutes in nanoseconds); what is larger counts as
//! `HIGHEST`. There are [`BUCKETS`] = 2,368 buckets of 8 bytes, so a histogram takes 18.6 KiB, of
//! which a server in a steady state touches a few cache lines.
//!
//! # Consistency
//!
//! The owner writes while others read. No bucket is ever torn, and the count of a snapshot is the
//! sum of its buckets, so the two always agree. The sum, minimum and maximum are read after the
//! buckets and may be ahead of them by the few records made meanwhile; minimum and maximum are
//! then brought back into the lowest and highest bucket seen.

use std::array;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use crate::counter::{SingleWriter, add_as_owner};

mod snapshot;

pub use snapshot::{Bucket, BucketsError, HistogramSnapshot};

/// The binary logarithm of the number of buckets per power of two.
const PRECISION_BITS: u32 = 6;
const BUCKETS_PER_OCTAVE: u64 = 1 << PRECISION_BITS;
/// The number of bits of the highest value.
const VALUE_BITS: u32 = 42;

/// The highest value told apart; larger ones count as this. In nanoseconds, 73 minutes.
pub const HIGHEST: u64 = (1 << VALUE_BITS) - 1;

/// The number of buckets of every histogram.
pub const BUCKETS: usize = bucket_of(HIGHEST) + 1;

/// The bucket of a value that is at most [`HIGHEST`].
#[inline(always)]
const fn bucket_of(value: u64) -> usize {
    let shift = (value | BUCKETS_PER_OCTAVE).ilog2() - PRECISION_BITS;
    (BUCKETS_PER_OCTAVE * shift as u64 + (value >> shift)) as usize
}

/// The lowest value of a bucket.
const fn lowest_of(bucket: usize) -> u64 {
    let (sub, shift) = split(bucket);
    sub << shift
}

/// The highest value of a bucket.
const fn highest_of(bucket: usize) -> u64 {
    let (sub, shift) = split(bucket);
    (sub << shift) + ((1 << shift) - 1)
}

/// A bucket number as (leading bits of its values, number of bits that follow): the inverse of
/// [`bucket_of`].
const fn split(bucket: usize) -> (u64, u32) {
    let bucket = bucket as u64;
    // The first two octaves are exact, hence the step back by one.
    let shift = (bucket / BUCKETS_PER_OCTAVE).saturating_sub(1);
    (bucket - shift * BUCKETS_PER_OCTAVE, shift as u32)
}

/// The cells of one histogram: written by its owner alone, read by anyone.
pub(crate) struct HistogramCells {
    sum: AtomicU64,
    /// `u64::MAX` until the first record.
    min: AtomicU64,
    max: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl HistogramCells {
    pub(crate) fn new() -> Self {
        Self {
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Records `count` times `value`. Only the owner may call it (see [`crate::counter`]).
    #[inline(always)]
    pub(crate) fn record_as_owner(&self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let value = value.min(HIGHEST);
        add_as_owner(&self.buckets[bucket_of(value)], count);
        add_as_owner(&self.sum, value.wrapping_mul(count));
        // New extremes are rare: the branches are predicted, the stores hardly ever happen.
        if value < self.min.load(Ordering::Relaxed) {
            self.min.store(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let buckets = self.buckets.iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        HistogramSnapshot::from_parts(
            buckets,
            self.sum.load(Ordering::Relaxed),
            self.min.load(Ordering::Relaxed),
            self.max.load(Ordering::Relaxed),
        )
    }
}

impl Default for HistogramCells {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HistogramCells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramCells").field("sum", &self.sum).finish_non_exhaustive()
    }
}

/// The writing half of a histogram: it can move to another thread, but one thread writes.
///
/// For histograms of all loops together, see [`crate::Registry`]; for counting in plain memory on
/// one thread, [`HistogramSnapshot::record_n`].
///
/// ```
/// use corelane_metrics::Histogram;
///
/// let latency = Histogram::new();
/// for microseconds in 1..=1_000 {
///     latency.record(microseconds * 1_000);
/// }
/// let snapshot = latency.reader().snapshot();
/// assert_eq!(snapshot.count(), 1_000);
/// assert_eq!(snapshot.max(), 1_000_000);
/// let median = snapshot.quantile(0.5);
/// assert!((500_000..=507_812).contains(&median), "{median}");
/// ```
#[derive(Debug)]
pub struct Histogram {
    cells: Arc<CachePadded<HistogramCells>>,
    writer: SingleWriter,
}

impl Histogram {
    /// An empty histogram. Allocates its 18.6 KiB; nothing allocates later.
    pub fn new() -> Self {
        Self {
            cells: Arc::new(CachePadded::new(HistogramCells::new())),
            writer: SingleWriter::default(),
        }
    }

    /// Records one value, in whatever unit the histogram is of; above [`HIGHEST`] it counts as
    /// `HIGHEST`.
    #[inline]
    pub fn record(&self, value: u64) {
        self.cells.record_as_owner(value, 1);
    }

    /// Records `count` times the same value, at the cost of one.
    #[inline]
    pub fn record_n(&self, value: u64, count: u64) {
        self.cells.record_as_owner(value, count);
    }

    /// A reading half, for any thread.
    pub fn reader(&self) -> HistogramReader {
        HistogramReader { cells: Arc::clone(&self.cells) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The reading half of a [`Histogram`]. It keeps what was recorded after the writer is gone.
#[derive(Clone, Debug)]
pub struct HistogramReader {
    cells: Arc<CachePadded<HistogramCells>>,
}

impl HistogramReader {
    /// What has been recorded so far. Allocates 18.5 KiB and takes about two microseconds.
    pub fn snapshot(&self) -> HistogramSnapshot {
        self.cells.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_continuous_and_narrow() {
        assert_eq!(BUCKETS, 2_368);
        assert_eq!(lowest_of(0), 0);
        assert_eq!(highest_of(BUCKETS - 1), HIGHEST);
        for bucket in 0..BUCKETS {
            let (lowest, highest) = (lowest_of(bucket), highest_of(bucket));
            assert_eq!(bucket_of(lowest), bucket);
            assert_eq!(bucket_of(highest), bucket);
            assert!((highest - lowest) * BUCKETS_PER_OCTAVE <= lowest, "{lowest}..={highest}");
            if bucket > 0 {
                assert_eq!(highest_of(bucket - 1) + 1, lowest);
            }
        }
    }

    #[test]
    fn values_beyond_the_range_count_as_the_highest() {
        let histogram = Histogram::new();
        histogram.record(u64::MAX);
        histogram.record(0);
        let snapshot = histogram.reader().snapshot();
        assert_eq!((snapshot.count(), snapshot.min(), snapshot.max()), (2, 0, HIGHEST));
        assert_eq!(snapshot.quantile(1.0), HIGHEST);
    }

    #[test]
    fn recording_no_occurrence_changes_nothing() {
        let histogram = Histogram::new();
        histogram.record_n(7, 0);
        assert_eq!(histogram.reader().snapshot(), HistogramSnapshot::default());
    }

    #[test]
    fn snapshots_taken_while_recording_agree_with_themselves() {
        const RECORDS: u64 = 200_000;
        let histogram = Histogram::new();
        let reader = histogram.reader();
        let writer = std::thread::spawn(move || (0..RECORDS).for_each(|n| histogram.record(n)));
        let mut last = HistogramSnapshot::default();
        while !writer.is_finished() {
            let now = reader.snapshot();
            assert!(now.count() >= last.count());
            assert_eq!(now.count(), now.buckets().map(|bucket| bucket.count).sum::<u64>());
            assert_eq!(now.delta(&last).count(), now.count() - last.count());
            assert!(now.quantile(1.0) == now.max() && now.min() <= now.max());
            last = now;
        }
        writer.join().unwrap();
        let snapshot = reader.snapshot();
        assert_eq!(snapshot.count(), RECORDS);
        assert_eq!(snapshot.sum(), RECORDS * (RECORDS - 1) / 2);
        assert_eq!((snapshot.min(), snapshot.max()), (0, RECORDS - 1));
    }
}
