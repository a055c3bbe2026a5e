//! Heat maps: latency over time. Each column is a span of time, each row a span of latency, and
//! each cell counts the values in both. What a quantile per second hides shows: two populations, a
//! stall and what queued up behind it, a slow tail that comes every minute.
//!
//! Memory is fixed: a ring of columns, in which a new one takes the place of the oldest. Nothing
//! here reads a clock; times are spans since whatever epoch the owner chose, the same for all maps
//! that are merged.
//!
//! # Rows
//!
//! Values are nanoseconds. Every power of two from 2¹⁰ (1 µs) to 2³⁶ (69 s) is cut into four rows
//! of equal width; one more row takes what is below, and one what is above. Each bucket of a
//! [`crate::Histogram`] lies within one row, so a map made from histograms is the same as one made
//! from the values themselves.

use std::fmt;
use std::time::Duration;

use crate::histogram::{HIGHEST, HistogramSnapshot};

mod sampler;

pub use sampler::HeatSampler;

/// The binary logarithm of the lowest value that is told apart from those below.
const LOWEST_BITS: u32 = 10;
/// The binary logarithm of the lowest value that is not told apart from those above.
const HIGHEST_BITS: u32 = 36;
/// The binary logarithm of the number of rows per power of two.
const PRECISION_BITS: u32 = 2;

/// The number of rows of every map.
pub const ROWS: usize = (((HIGHEST_BITS - LOWEST_BITS) << PRECISION_BITS) + 2) as usize;

/// The narrowest column.
pub const WIDTH_MIN: Duration = Duration::from_millis(1);
/// The widest column.
pub const WIDTH_MAX: Duration = Duration::from_secs(3_600);
/// The highest number of columns, which take 3.3 MiB.
pub const COLUMNS_MAX: usize = 4_096;

/// The row of a value in nanoseconds: from 0, the fastest, to `ROWS - 1`.
#[inline]
pub const fn row_of(value: u64) -> usize {
    if value < 1 << LOWEST_BITS {
        return 0;
    }
    let octave = value.ilog2();
    if octave >= HIGHEST_BITS {
        return ROWS - 1;
    }
    let within = (value >> (octave - PRECISION_BITS)) & ((1 << PRECISION_BITS) - 1);
    1 + (((octave - LOWEST_BITS) << PRECISION_BITS) as usize + within as usize)
}

/// The lowest and the highest value of a row, in nanoseconds. What is above the last row's counts
/// as its highest. `None` from [`ROWS`] on.
pub const fn row_bounds(row: usize) -> Option<(u64, u64)> {
    if row >= ROWS {
        return None;
    }
    let lowest = if row == 0 { 0 } else { border(row) };
    let highest = if row == ROWS - 1 { HIGHEST } else { border(row + 1) - 1 };
    Some((lowest, highest))
}

/// The lowest value of a row other than the first.
const fn border(row: usize) -> u64 {
    let (octave, within) = ((row - 1) >> PRECISION_BITS, (row - 1) & ((1 << PRECISION_BITS) - 1));
    (1 << LOWEST_BITS << octave) + ((within as u64) << (LOWEST_BITS - PRECISION_BITS) << octave)
}

/// Counts of values by time and latency, of the newest columns.
///
/// It is plain memory with one owner: each thread fills its own, and they are merged. What a map
/// holds depends only on what was put in, not on the order; so a merge of maps with as many
/// columns equals the map of all their values.
///
/// A map takes 848 bytes per column, all at its creation.
///
/// ```
/// use std::time::Duration;
///
/// use corelane_metrics::heat::HeatMap;
///
/// let mut map = HeatMap::default();
/// let second = Duration::from_secs(1);
/// map.record_n(100 * second, 20_000, 9);
/// map.record_n(100 * second, 3_000_000, 1);
/// map.record_n(102 * second, 21_000, 10);
///
/// let columns: Vec<_> = map.columns().map(|column| (column.at(), column.count())).collect();
/// assert_eq!(columns, [(100 * second, 10), (101 * second, 0), (102 * second, 10)]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HeatMap {
    /// In nanoseconds.
    width: u64,
    columns: usize,
    /// Column after column; number `n` has the place `n % columns`. Those that are not among the
    /// newest `columns` are zero.
    counts: Vec<u64>,
    /// The number of the newest column: how many of them fit between the epoch and its start.
    newest: Option<u64>,
    expired: u64,
}

impl HeatMap {
    /// An empty map of so many columns of a width, which is in whole milliseconds.
    ///
    /// # Errors
    ///
    /// [`HeatError::Width`] and [`HeatError::Columns`].
    pub fn new(width: Duration, columns: usize) -> Result<Self, HeatError> {
        let whole = width.subsec_nanos().is_multiple_of(1_000_000);
        if !(WIDTH_MIN..=WIDTH_MAX).contains(&width) || !whole {
            return Err(HeatError::Width { width });
        }
        if !(1..=COLUMNS_MAX).contains(&columns) {
            return Err(HeatError::Columns { columns });
        }
        Ok(Self {
            width: width.as_nanos() as u64,
            columns,
            counts: vec![0; columns * ROWS],
            newest: None,
            expired: 0,
        })
    }

    /// The width of a column.
    pub fn width(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// How many columns are kept.
    pub fn columns_max(&self) -> usize {
        self.columns
    }

    /// Counts `count` times the latency `value`, in nanoseconds, in the column that holds `at`.
    ///
    /// A time after all others moves the ring on. A time before is as good while its column is
    /// kept; values of columns that are not kept any more are counted by [`Self::expired`].
    #[inline]
    pub fn record_n(&mut self, at: Duration, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let column = self.number_of(at);
        self.advance(column);
        let cell = match self.column_mut(column) {
            Some(column) => &mut column[row_of(value)],
            None => &mut self.expired,
        };
        *cell = cell.wrapping_add(count);
    }

    /// Counts all values of a histogram in the column that holds `at`; moves the ring on also when
    /// it is empty.
    pub fn add(&mut self, at: Duration, values: &HistogramSnapshot) {
        let column = self.number_of(at);
        self.advance(column);
        match self.column_mut(column) {
            Some(rows) => values.buckets().for_each(|bucket| {
                let row = &mut rows[row_of(bucket.lowest)];
                *row = row.wrapping_add(bucket.count);
            }),
            None => self.expired = self.expired.wrapping_add(values.count()),
        }
    }

    /// Adds another map of the same epoch. Where it has more columns, those too old for this one
    /// are counted by [`Self::expired`].
    ///
    /// # Errors
    ///
    /// [`HeatError::Widths`]; then nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), HeatError> {
        if self.width != other.width {
            return Err(HeatError::Widths { ours: self.width(), theirs: other.width() });
        }
        self.expired = self.expired.wrapping_add(other.expired);
        let Some(newest) = other.newest else { return Ok(()) };
        self.advance(newest);
        for (number, theirs) in other.numbered() {
            match self.column_mut(number) {
                Some(ours) => ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| {
                    *ours = ours.wrapping_add(*theirs);
                }),
                None => self.expired = self.expired.wrapping_add(sum(theirs)),
            }
        }
        Ok(())
    }

    /// The columns from the first that holds a value to the newest, with those between that hold
    /// none.
    pub fn columns(&self) -> impl Iterator<Item = HeatColumn<'_>> {
        let filled = self.numbered().skip_while(|(_, counts)| sum(counts) == 0);
        filled.map(|(number, counts)| HeatColumn { at: self.start_of(number), counts })
    }

    /// The count of values in all columns.
    pub fn count(&self) -> u64 {
        sum(&self.counts)
    }

    /// The count of values in no column any more: columns that have left the ring, and values that
    /// came too late for theirs. With [`Self::count`], all that were ever put in.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// How long after `at` the next column begins.
    pub fn until_next(&self, at: Duration) -> Duration {
        let width = u128::from(self.width);
        // Not more than the width, which is an hour at most.
        Duration::from_nanos((width - at.as_nanos() % width) as u64)
    }

    fn number_of(&self, at: Duration) -> u64 {
        let nanoseconds = at.as_nanos();
        match u64::try_from(nanoseconds) {
            Ok(nanoseconds) => nanoseconds / self.width,
            // Five hundred years and more after the epoch.
            Err(_) => (nanoseconds / u128::from(self.width)).try_into().unwrap_or(u64::MAX),
        }
    }

    fn start_of(&self, number: u64) -> Duration {
        const SECOND: u128 = 1_000_000_000;
        let nanoseconds = u128::from(number) * u128::from(self.width);
        // Not after the time that had this number, so both fit.
        Duration::new((nanoseconds / SECOND) as u64, (nanoseconds % SECOND) as u32)
    }

    /// Makes `number` the newest column unless a newer one is there, and empties those in between.
    fn advance(&mut self, number: u64) {
        if let Some(newest) = self.newest {
            if number <= newest {
                return;
            }
            let passed = (number - newest).min(self.columns as u64);
            for number in number - passed + 1..=number {
                let place = self.place(number);
                self.expired = self.expired.wrapping_add(sum(&self.counts[place.clone()]));
                self.counts[place].fill(0);
            }
        }
        self.newest = Some(number);
    }

    /// The column of that number, if it is kept.
    fn column_mut(&mut self, number: u64) -> Option<&mut [u64]> {
        let age = self.newest?.checked_sub(number)?;
        let place = self.place(number);
        (age < self.columns as u64).then(|| &mut self.counts[place])
    }

    /// The columns that are kept, oldest first, with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (u64, &[u64])> {
        let kept =
            self.newest.map(|newest| newest.saturating_sub(self.columns as u64 - 1)..=newest);
        kept.into_iter().flatten().map(|number| (number, &self.counts[self.place(number)]))
    }

    fn place(&self, number: u64) -> std::ops::Range<usize> {
        let place = (number % self.columns as u64) as usize * ROWS;
        place..place + ROWS
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

impl Default for HeatMap {
    /// Five minutes by seconds: 300 columns, 248 KiB.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), 300).expect("the constants are within the limits")
    }
}

impl fmt::Debug for HeatMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeatMap")
            .field("width", &self.width())
            .field("columns", &self.columns)
            .field("count", &self.count())
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}

/// One column of a [`HeatMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatColumn<'a> {
    at: Duration,
    counts: &'a [u64],
}

impl<'a> HeatColumn<'a> {
    /// Its start, since the epoch of the map.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// The count of each of the [`ROWS`] rows, the fastest first.
    pub fn counts(&self) -> &'a [u64] {
        self.counts
    }

    /// The count of all its values.
    pub fn count(&self) -> u64 {
        sum(self.counts)
    }
}

/// Why a map could not be made or merged. Always a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeatError {
    /// The width is not within [`WIDTH_MIN`] to [`WIDTH_MAX`], or not in whole milliseconds.
    Width {
        /// The width as given.
        width: Duration,
    },
    /// The number of columns is not within 1 to [`COLUMNS_MAX`].
    Columns {
        /// The number as given.
        columns: usize,
    },
    /// The maps have columns of different widths.
    Widths {
        /// That of the map that was to take the other.
        ours: Duration,
        /// That of the other.
        theirs: Duration,
    },
}

impl fmt::Display for HeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { width } => write!(
                f,
                "heat map columns of {width:?}: use whole milliseconds, {WIDTH_MIN:?} to \
                 {WIDTH_MAX:?}"
            ),
            Self::Columns { columns } => {
                write!(f, "a heat map of {columns} columns: use 1 to {COLUMNS_MAX}")
            }
            Self::Widths { ours, theirs } => write!(
                f,
                "heat maps with columns of {ours:?} and {theirs:?} cannot be merged: use the same \
                 width"
            ),
        }
    }
}

impl std::error::Error for HeatError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::histogram::Histogram;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn map(columns: usize) -> HeatMap {
        HeatMap::new(10 * MILLISECOND, columns).unwrap()
    }

    /// Times in milliseconds that wander forth and back, and values of every magnitude.
    fn records() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        let at = prop_oneof![4 => 0_u64..150, 1 => 0_u64..2_000];
        let value = (0_u32..44).prop_flat_map(|bits| 0..(1_u64 << bits));
        prop::collection::vec((at, value, 0_u64..5), 0..60)
    }

    fn record(map: &mut HeatMap, records: &[(u64, u64, u64)]) {
        for (at, value, count) in records {
            map.record_n(*at as u32 * MILLISECOND, *value, *count);
        }
    }

    /// Everything in a map that knows no limit; then what a ring keeps of it.
    fn naive(records: &[(u64, u64, u64)], columns: usize) -> (BTreeMap<(u64, usize), u64>, u64) {
        let mut cells = BTreeMap::new();
        for (at, value, count) in records.iter().filter(|(_, _, count)| *count > 0) {
            let row = (0..ROWS).position(|row| *value <= row_bounds(row).unwrap().1);
            *cells.entry((at / 10, row.unwrap_or(ROWS - 1))).or_insert(0) += count;
        }
        let newest = cells.keys().map(|(column, _)| *column).max().unwrap_or(0);
        let total: u64 = cells.values().sum();
        cells.retain(|(column, _), _| newest - column < columns as u64);
        let kept: u64 = cells.values().sum();
        (cells, total - kept)
    }

    fn cells(map: &HeatMap) -> (BTreeMap<(u64, usize), u64>, u64) {
        let mut cells = BTreeMap::new();
        for column in map.columns() {
            let number = column.at().as_millis() as u64 / 10;
            for (row, count) in column.counts().iter().enumerate().filter(|(_, n)| **n > 0) {
                cells.insert((number, row), *count);
            }
        }
        (cells, map.expired())
    }

    proptest! {
        #[test]
        fn a_map_holds_the_newest_columns_and_counts_the_rest(
            records in records(),
            columns in 1_usize..20,
        ) {
            let mut map = map(columns);
            record(&mut map, &records);
            prop_assert_eq!(cells(&map), naive(&records, columns));
            let total: u64 = records.iter().map(|(_, _, count)| count).sum();
            prop_assert_eq!(map.count() + map.expired(), total);
        }

        #[test]
        fn a_merge_of_parts_equals_the_whole(
            parts in prop::collection::vec(records(), 1..4),
            columns in 1_usize..20,
        ) {
            let mut whole = map(columns);
            parts.iter().for_each(|part| record(&mut whole, part));
            let maps = parts.iter().map(|part| {
                let mut map = map(columns);
                record(&mut map, part);
                map
            });
            let maps: Vec<_> = maps.collect();
            let (mut forth, mut back) = (map(columns), map(columns));
            maps.iter().for_each(|map| forth.merge(map).unwrap());
            maps.iter().rev().for_each(|map| back.merge(map).unwrap());
            prop_assert_eq!(&forth, &whole);
            prop_assert_eq!(&back, &whole);
            // Into a shorter ring: as if it had seen the values itself.
            let length = columns.div_ceil(2);
            let (mut shorter, mut expected) = (map(length), map(length));
            shorter.merge(&whole).unwrap();
            parts.iter().for_each(|part| record(&mut expected, part));
            prop_assert_eq!(cells(&shorter), cells(&expected));
        }

        #[test]
        fn adding_a_histogram_equals_recording_its_values(records in records()) {
            let (mut by_value, mut by_histogram) = (map(5), map(5));
            let histogram = Histogram::new();
            for (_, value, count) in &records {
                by_value.record_n(7 * MILLISECOND, *value, *count);
                histogram.record_n(*value, *count);
            }
            by_histogram.add(7 * MILLISECOND, &histogram.reader().snapshot());
            prop_assert_eq!(cells(&by_histogram), cells(&by_value));
        }
    }

    #[test]
    fn rows_are_continuous_and_hold_whole_buckets() {
        assert_eq!((ROWS, row_bounds(ROWS)), (106, None));
        let mut next = 0;
        for row in 0..ROWS {
            let (lowest, highest) = row_bounds(row).unwrap();
            assert_eq!(lowest, next);
            assert_eq!((row_of(lowest), row_of(highest)), (row, row));
            next = highest + 1;
        }
        assert_eq!(next, HIGHEST + 1);
        assert_eq!(row_of(u64::MAX), ROWS - 1);
        assert_eq!(row_bounds(1), Some((1_024, 1_279)));
        for bucket in HistogramSnapshot::every_bucket() {
            assert_eq!(row_of(bucket.0), row_of(bucket.1), "{bucket:?}");
        }
    }

    #[test]
    fn the_ends_of_time_are_as_good_as_any() {
        let mut map = map(2);
        map.record_n(Duration::ZERO, 1, 1);
        map.add(10 * MILLISECOND, &HistogramSnapshot::default());
        assert_eq!(map.columns().map(|column| column.count()).collect::<Vec<_>>(), [1, 0]);
        map.record_n(Duration::MAX, u64::MAX, 1);
        map.record_n(Duration::ZERO, 1, 1);
        assert_eq!((map.count(), map.expired()), (1, 2));
        let column = map.columns().next().unwrap();
        assert_eq!((column.counts()[ROWS - 1], map.columns().count()), (1, 1));
        assert!(column.at() < Duration::MAX);
        assert_eq!(map.until_next(Duration::ZERO), 10 * MILLISECOND);
        assert_eq!(map.until_next(19 * MILLISECOND), MILLISECOND);
    }

    #[test]
    fn sizes_are_limited_and_widths_must_agree() {
        let second = Duration::from_secs(1);
        for width in [Duration::ZERO, Duration::from_nanos(1_000_001), 2 * WIDTH_MAX] {
            assert_eq!(HeatMap::new(width, 1).unwrap_err(), HeatError::Width { width });
        }
        for columns in [0, COLUMNS_MAX + 1, usize::MAX] {
            let error = HeatMap::new(second, columns).unwrap_err();
            assert_eq!(error, HeatError::Columns { columns });
        }
        let mut map = HeatMap::default();
        let error = map.merge(&HeatMap::new(2 * second, 1).unwrap()).unwrap_err();
        assert_eq!(error, HeatError::Widths { ours: second, theirs: 2 * second });
    }
}
