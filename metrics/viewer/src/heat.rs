//! Answers of `/heat.json`, put together: how many requests took how long, by time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::text;

/// The most rows and columns that are kept.
const ROWS_MAX: usize = 1_024;
const COLUMNS_MAX: usize = 3_600;

/// One answer of `/heat.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct HeatAnswer {
    instance: Value,
    column_ms: u64,
    rows: Vec<(u64, u64)>,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Column {
    at_unix_ms: u64,
    counts: Vec<(usize, u64)>,
}

impl HeatAnswer {
    /// Reads the body of an answer.
    ///
    /// # Errors
    /// If it is no JSON, or not of this form.
    pub fn read(body: &[u8]) -> Result<HeatAnswer, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// From when on to ask for columns next: the newest two are asked for again, since they may have
    /// grown. Nothing if there was no column.
    pub fn next_since(&self) -> Option<u64> {
        let newest = self.columns.iter().map(|column| column.at_unix_ms).max()?;
        Some(newest.saturating_sub(self.column_ms.saturating_mul(2)))
    }
}

/// A heat map in time and latency, of the last columns that the server told of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    instance: String,
    column_ms: u64,
    /// The lowest and highest latency of each row, in nanoseconds.
    rows: Vec<(u64, u64)>,
    /// By number of the column since 1970, so that columns nobody told of are gaps.
    columns: BTreeMap<u64, Vec<(usize, u64)>>,
}

impl Heat {
    /// Takes over what is new. Columns that are there already are replaced: the newest may have grown.
    pub fn add(&mut self, answer: HeatAnswer) {
        let instance = match &answer.instance {
            Value::String(name) => text::clean(name),
            other => other.to_string(),
        };
        let same = self.instance == instance
            && self.column_ms == answer.column_ms
            && self.rows == answer.rows;
        if !same {
            let mut rows = answer.rows;
            rows.truncate(ROWS_MAX);
            *self = Heat {
                instance,
                column_ms: answer.column_ms.max(1),
                rows,
                columns: BTreeMap::new(),
            };
        }
        for column in answer.columns {
            let mut counts = column.counts;
            counts.retain(|(row, _)| *row < self.rows.len());
            counts.truncate(ROWS_MAX);
            self.columns.insert(column.at_unix_ms / self.column_ms, counts);
            if self.columns.len() > COLUMNS_MAX {
                self.columns.pop_first();
            }
        }
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.columns.values().all(Vec::is_empty)
    }

    /// The width of a column.
    pub fn column_ms(&self) -> u64 {
        self.column_ms
    }

    /// The lowest and highest latency of each row, in nanoseconds, from low to high.
    pub fn rows(&self) -> &[(u64, u64)] {
        &self.rows
    }

    /// The last `cells` times `per_cell` columns, `per_cell` of them put together in each cell, as counts
    /// by row; and when the first begins and the last ends, in milliseconds since 1970.
    pub fn last(&self, cells: usize, per_cell: u64) -> Option<Window> {
        let (last, _) = self.columns.last_key_value()?;
        let per_cell = per_cell.max(1);
        // Cells begin at multiples of their width, so that what has passed does not flicker.
        let end = (last / per_cell).saturating_add(1).saturating_mul(per_cell);
        let begin = end.saturating_sub((cells as u64).saturating_mul(per_cell));
        let mut counts = vec![vec![0_u64; self.rows.len()]; cells];
        for (number, column) in self.columns.range(begin..end) {
            let Some(cell) = counts.get_mut(((number - begin) / per_cell) as usize) else {
                continue;
            };
            for &(row, count) in column {
                cell[row] = cell[row].saturating_add(count);
            }
        }
        let ms = |number: u64| number.saturating_mul(self.column_ms);
        Some(Window { counts, begin_unix_ms: ms(begin), end_unix_ms: ms(end) })
    }
}

/// A part of a heat map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Cells in time, each with a count for each row.
    pub counts: Vec<Vec<u64>>,
    /// When the first begins.
    pub begin_unix_ms: u64,
    /// When the last ends.
    pub end_unix_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(instance: &str, columns: &[(u64, &[(usize, u64)])]) -> HeatAnswer {
        let columns: Vec<_> = columns
            .iter()
            .map(|(at, counts)| serde_json::json!({"at_unix_ms": at, "counts": counts}))
            .collect();
        let text = serde_json::json!({
            "instance": instance, "unit": "nanoseconds", "column_ms": 1000,
            "rows": [[0, 999], [1000, 1999]], "columns": columns,
        });
        HeatAnswer::read(text.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn columns_grow_leave_gaps_and_end_with_their_server() {
        let mut heat = Heat::default();
        assert_eq!((heat.last(3, 1), answer("a", &[]).next_since()), (None, None));
        let first = answer("a", &[(5_000, &[(0, 1)]), (7_000, &[(1, 2), (9, 9)])]);
        assert_eq!(first.next_since(), Some(5_000));
        heat.add(first);
        // The newest has grown, and a row that does not exist is nobody's.
        heat.add(answer("a", &[(7_000, &[(1, 5)])]));
        let window = heat.last(3, 1).unwrap();
        assert_eq!(window.counts, [[1, 0], [0, 0], [0, 5]]);
        assert_eq!((window.begin_unix_ms, window.end_unix_ms), (5_000, 8_000));
        assert_eq!(heat.last(2, 4).unwrap().counts, [[0, 0], [1, 5]]);
        heat.add(answer("b", &[(9_000, &[(0, 7)])]));
        assert_eq!(heat.last(2, 1).unwrap().counts, [[0, 0], [7, 0]]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut heat = Heat::default();
        for second in 0..2 * COLUMNS_MAX as u64 {
            heat.add(answer("a", &[(second * 1_000, &[(0, 1)])]));
        }
        assert_eq!(heat.columns.len(), COLUMNS_MAX);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let mut heat = Heat::default();
        heat.add(answer("a", &[(u64::MAX, &[(0, u64::MAX), (0, 1)]), (0, &[])]));
        assert_eq!(heat.last(2, u64::MAX).map(|window| window.counts.len()), Some(2));
        assert_eq!(heat.last(0, 1).map(|window| window.counts.len()), Some(0));
    }
}
