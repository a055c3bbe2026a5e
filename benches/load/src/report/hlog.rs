//! A result as an HdrHistogram log: intervals of compressed histograms, as the tools of HdrHistogram
//! read them.
//!
//! The form: <https://github.com/HdrHistogram/HdrHistogram/blob/master/src/main/java/org/HdrHistogram/HistogramLogWriter.java>
//! (log, version 1.3) and `AbstractHistogram.java` there (encoding V2: a head of 40 bytes, then ZigZag
//! LEB128 numbers, negative ones a run of empty cells). The `hdrhistogram` crate can write it, too, but
//! brings a parser and a second base64 for that.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corelane_metrics::{Bucket, HistogramSnapshot};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::record::Record;

/// Two digits: 128 cells for each power of two, twice as many as ours, so that no two buckets of ours
/// fall together.
const DIGITS: u32 = 2;
/// Cells of a power of two, and their logarithm.
const HALF_CELLS: u64 = 128;
const HALF_CELLS_LOG: u32 = 7;
/// The highest value that readers must be able to hold: an hour. Higher ones raise it.
const HIGHEST: u64 = 3_600_000_000_000;
const COOKIE: u32 = 0x1c84_9303 | 0x10;
const COOKIE_COMPRESSED: u32 = 0x1c84_9304 | 0x10;
/// Maxima are written in milliseconds, as the tools expect.
const NANOS_PER_UNIT: f64 = 1e6;

/// Whether a tag fits into a log: one word, without comma.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    !text.is_empty() && !text.contains([',', ' ', '\r', '\n'])
}

/// Writes one interval for each second, of response times in nanoseconds. With `tag`, the intervals
/// carry it, so that several logs can be joined.
///
/// # Errors
/// Those of `out`. A tag with a comma, space or line break is [`io::ErrorKind::InvalidInput`].
pub fn hlog(record: &Record, tag: Option<&str>, mut out: impl Write) -> io::Result<()> {
    let tag = match tag {
        Some(tag) if !is_tag(tag) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a tag is one word, without comma",
            ));
        }
        Some(tag) => format!("Tag={tag},"),
        None => String::new(),
    };
    let start = record.began_unix_ms as f64 / 1e3;
    writeln!(out, "#[Written by {}, response times in nanoseconds]", record.generator)?;
    writeln!(out, "#[Histogram log format version 1.3]")?;
    // Starts of intervals are relative to this.
    writeln!(out, "#[StartTime: {start:.3} (seconds since epoch)]")?;
    writeln!(out, "#[BaseTime: {start:.3} (seconds since epoch)]")?;
    writeln!(
        out,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    )?;
    for second in &record.seconds {
        let times = &second.response_time;
        writeln!(
            out,
            "{tag}{:.3},{:.3},{:.3},{}",
            second.at_seconds,
            second.length_seconds,
            times.max() as f64 / NANOS_PER_UNIT,
            STANDARD.encode(compress(&encode(times))?),
        )?;
    }
    Ok(())
}

/// Encoding V2 of a histogram of nanoseconds with two digits.
fn encode(times: &HistogramSnapshot) -> Vec<u8> {
    let cells = cells(times);
    let mut counts = Vec::new();
    let mut next = 0;
    for (cell, count) in cells {
        if cell > next {
            zigzag(-((cell - next) as i64), &mut counts);
        }
        zigzag(count.min(i64::MAX as u64) as i64, &mut counts);
        next = cell + 1;
    }
    let mut bytes = Vec::with_capacity(40 + counts.len());
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend((counts.len() as u32).to_be_bytes());
    // No normalizing offset.
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(DIGITS.to_be_bytes());
    bytes.extend(1_u64.to_be_bytes());
    bytes.extend(times.max().max(HIGHEST).to_be_bytes());
    bytes.extend(1.0_f64.to_be_bytes());
    bytes.extend(counts);
    bytes
}

/// The cells that hold something and their counts, ascending. A bucket goes where its highest value
/// belongs, so that quantiles stay what they are.
fn cells(times: &HistogramSnapshot) -> Vec<(u64, u64)> {
    let mut cells: Vec<(u64, u64)> = Vec::new();
    for Bucket { highest, count, .. } in times.buckets() {
        let cell = cell_of(highest.min(times.max()));
        match cells.last_mut() {
            Some((last, total)) if *last == cell => *total += count,
            _ => cells.push((cell, count)),
        }
    }
    cells
}

/// The index of the cell of a value: linear up to 255, then 128 cells for each power of two.
fn cell_of(value: u64) -> u64 {
    // The power of two that 255 times it just reaches the value.
    let magnitude = (64 - (value | (2 * HALF_CELLS - 1)).leading_zeros()) - (HALF_CELLS_LOG + 1);
    (u64::from(magnitude) << HALF_CELLS_LOG) + (value >> magnitude)
}

/// A signed number as LEB128 of its ZigZag form; a ninth byte holds eight bits.
fn zigzag(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..8 {
        if rest < 0x80 {
            out.push(rest as u8);
            return;
        }
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn compress(encoded: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(encoded)?;
    let packed = packer.finish()?;
    let mut bytes = Vec::with_capacity(8 + packed.len());
    bytes.extend(COOKIE_COMPRESSED.to_be_bytes());
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::record::sample;

    #[test]
    fn the_official_reader_finds_every_value_again() {
        let record = sample::stalled();
        let mut log = Vec::new();
        hlog(&record, Some("run"), &mut log).unwrap();
        let mut seconds = record.seconds.iter();
        let mut started = false;
        for entry in IntervalLogIterator::new(&log) {
            let interval = match entry.unwrap() {
                LogEntry::Interval(interval) => interval,
                LogEntry::StartTime(at) => {
                    started = at.as_secs() == record.began_unix_ms / 1_000;
                    continue;
                }
                LogEntry::BaseTime(_) => continue,
            };
            let second = seconds.next().unwrap();
            assert_eq!(interval.tag().map(|tag| tag.as_str()), Some("run"));
            assert_eq!(interval.start_timestamp().as_secs_f64(), second.at_seconds);
            assert_eq!(interval.duration().as_secs_f64(), second.length_seconds);
            assert!((interval.max() - second.response_time.max() as f64 / 1e6).abs() < 1e-3);
            let packed = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let read = Deserializer::new().deserialize::<u64, _>(&mut &packed[..]).unwrap();
            assert_eq!(read.len(), second.response_time.count());
            for Bucket { lowest, highest, count } in second.response_time.buckets() {
                assert_eq!(read.count_between(lowest, highest), count, "{lowest} to {highest}");
            }
            for quantile in [0.5, 0.99, 1.0] {
                let (ours, theirs) =
                    (second.response_time.quantile(quantile), read.value_at_quantile(quantile));
                assert!(read.equivalent(ours, theirs), "{quantile}: {ours}, {theirs}");
            }
        }
        assert!(started && seconds.next().is_none());
        assert!(hlog(&record, Some("a,b"), &mut log).is_err());
    }

    #[test]
    fn any_count_and_any_value_arrives() {
        let values = [(0, 1), (255, 1 << 20), (256, 300), ((1 << 41) + 9, u64::MAX >> 2)];
        let mut times = HistogramSnapshot::default();
        values.iter().for_each(|(value, count)| times.record_n(*value, *count));
        let packed = compress(&encode(&times)).unwrap();
        let read = Deserializer::new().deserialize::<u64, _>(&mut &packed[..]).unwrap();
        for Bucket { lowest, highest, count } in times.buckets() {
            assert_eq!(read.count_between(lowest, highest), count, "{lowest}");
        }
    }
}
