//! Response times over time: how many fell where.

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
    /// How many response times are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.columns.iter().flat_map(|column| &column.counts);
        counts.map(|(_, count)| count).sum()
    }

    /// First and last band that holds anything, by index.
    #[must_use]
    pub fn bands(&self) -> Option<(usize, usize)> {
        let used = || self.columns.iter().flat_map(|column| &column.counts).map(|(row, _)| *row);
        Some((used().min()?, used().max()?))
    }
}
