//! Response times over time: how many fell where.

use std::time::Duration;

use corelane_metrics::heat::{HeatColumn, HeatMap, row_bounds};
use serde::{Deserialize, Serialize};

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

impl Heat {
    /// A map whose times are since measuring began.
    #[must_use]
    pub fn new(map: &HeatMap) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let column = |column: HeatColumn<'_>| {
            let counts = column.counts().iter().copied().enumerate();
            let counts = counts.filter(|(_, count)| *count > 0).collect();
            Column { at_ms: millis(column.at()), counts }
        };
        Self {
            column_ms: millis(map.width()),
            rows: (0..).map_while(row_bounds).map(|(lowest, highest)| [lowest, highest]).collect(),
            columns: map.columns().map(column).collect(),
        }
    }

    /// How many response times are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.columns.iter().flat_map(|column| &column.counts);
        counts.map(|(_, count)| count).sum()
    }

    /// Adds the columns of a map that began so much later.
    pub(super) fn append(&mut self, later: Self, offset_ms: u64) {
        // Bands are the same in all maps of ours.
        self.column_ms = self.column_ms.max(later.column_ms);
        self.columns.extend(later.columns.into_iter().map(|mut column| {
            column.at_ms += offset_ms;
            column
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_column_and_its_band() {
        let mut map = HeatMap::new(Duration::from_millis(250), 100).unwrap();
        for (at_ms, nanos) in [(10, 20_000), (240, 20_001), (250, 3), (1_100, u64::MAX)] {
            map.record_n(Duration::from_millis(at_ms), nanos, 2);
        }
        let heat = Heat::new(&map);
        assert_eq!((heat.count(), heat.column_ms), (8, 250));
        let columns: Vec<_> = heat
            .columns
            .iter()
            .flat_map(|column| {
                column.counts.iter().map(|(row, count)| (column.at_ms, *row, *count))
            })
            .collect();
        let last = heat.rows.len() - 1;
        assert_eq!(
            columns.iter().map(|(at, _, count)| (*at, *count)).collect::<Vec<_>>(),
            [(0, 4), (250, 2), (1_000, 2)]
        );
        let [lowest, highest] = heat.rows[columns[0].1];
        assert!(lowest <= 20_000 && 20_001 <= highest);
        assert_eq!((columns[1].1, columns[2].1), (0, last));
    }
}
