//! A result as CSV (RFC 4180): one row for each second.

use std::io;

use crate::record::{Record, Second, per};

/// The columns. Latencies are response times in microseconds.
const HEADER: &str = "at_seconds,length_seconds,intended,sent,answered,answered_per_second,faults,\
    bytes_received,mean_micros,p50_micros,p90_micros,p99_micros,p99_9_micros,max_micros,late";

/// Writes one row for each second of the run, below a row with the names of the columns. Of a second
/// without any answer the latencies are empty, not 0.
///
/// # Errors
/// Those of `out`.
pub fn csv(record: &Record, mut out: impl io::Write) -> io::Result<()> {
    write!(out, "{HEADER}\r\n")?;
    record.seconds.iter().try_for_each(|second| row(second, &mut out))
}

fn row(second: &Second, out: &mut impl io::Write) -> io::Result<()> {
    let Second {
        at_seconds, length_seconds, intended, sent, late, answered, bytes_received, ..
    } = second;
    let rate = per(*answered as f64, *length_seconds);
    let faults = second.fault_count();
    write!(
        out,
        "{at_seconds:.3},{length_seconds:.3},{intended},{sent},{answered},{rate:.1},{faults},\
         {bytes_received}",
    )?;
    let times = &second.response_time;
    if times.is_empty() {
        return write!(out, ",,,,,,,{late}\r\n");
    }
    let quantiles = [0.5, 0.9, 0.99, 0.999].map(|quantile| times.quantile(quantile) as f64);
    let figures = [times.mean()].into_iter().chain(quantiles).chain([times.max() as f64]);
    figures.into_iter().try_for_each(|nanos| write!(out, ",{:.3}", nanos / 1e3))?;
    write!(out, ",{late}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn each_row_has_a_value_for_each_column_and_silence_is_empty() {
        let mut record = sample::stalled();
        record.seconds[3].response_time = Default::default();
        record.seconds[5].late = 7;
        let mut text = Vec::new();
        csv(&record, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<Vec<&str>> =
            text.split_terminator("\r\n").map(|row| row.split(',').collect()).collect();
        assert_eq!(rows.len(), 13);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        assert_eq!(rows[4][8..], ["", "", "", "", "", "", "0"]);
        assert_eq!(
            rows[6][..8],
            ["5.000", "1.000", "1000", "1000", "1000", "1000.0", "3", "140000"]
        );
        assert_eq!((rows[0].last(), rows[6].last()), (Some(&"late"), Some(&"7")));
        let max = rows[6][13].parse::<f64>().unwrap();
        assert!((1_000_000.0..1_002_000.0).contains(&max), "{max}");
    }
}
