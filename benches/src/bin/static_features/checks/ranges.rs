//! Parts of files.

use super::{Feature, of};
use crate::cell::Cell;
use crate::client::End;
use crate::probe::Probe;
use crate::tree::{MODIFIED, TEXT_BYTES, text};

const TARGET: &str = "/text.txt";
/// Its length, 200,000 bytes, times the ranges of a bomb would be 200 MB.
const BOMBED: &str = "/compressible.txt";
const BOMBED_BYTES: usize = 200_000;
const BOMB_RANGE_COUNT: usize = 1000;

pub(super) const FEATURES: &[Feature] = &[
    of("one range", single),
    of("suffix and open ranges", ends),
    of("several ranges in one answer", several),
    of("416 with the length", unsatisfiable),
    of("If-Range: whole file unless tag or date match", if_range),
    of("a thousand overlapping ranges are not sent", bomb),
];

/// Whether a range's answer is that part of the file, and says so.
fn part(probe: &Probe<'_>, range: &str, from: usize, until: usize) -> anyhow::Result<Cell> {
    let answer = probe.get_with(TARGET, "Range", range)?;
    let label = format!("bytes {from}-{}/{TEXT_BYTES}", until - 1);
    let right = answer.status == 206
        && answer.field("Content-Range") == Some(&label)
        && answer.body == text(TEXT_BYTES)[from..until];
    Ok(Cell::check(right, format!("{range}: {}", answer.seen())))
}

fn single(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    part(probe, "bytes=10-19", 10, 20)
}

fn ends(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let suffix = part(probe, "bytes=-10", TEXT_BYTES - 10, TEXT_BYTES)?;
    let open = part(probe, "bytes=900-", 900, TEXT_BYTES)?;
    let beyond = part(probe, "bytes=900-99999", 900, TEXT_BYTES)?;
    Ok([suffix, open, beyond].into_iter().find(|cell| *cell != Cell::yes()).unwrap_or(Cell::yes()))
}

fn several(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get_with(TARGET, "Range", "bytes=0-9,500-509")?;
    let kind = answer.field("Content-Type").unwrap_or_default();
    if answer.status != 206 || !kind.starts_with("multipart/byteranges") {
        return Ok(Cell::no(answer.seen()));
    }
    let (body, file) = (answer.text(), text(TEXT_BYTES));
    let whole = [(0, 10), (500, 510)].into_iter().all(|(from, until)| {
        body.contains(&format!("bytes {from}-{}/{TEXT_BYTES}", until - 1))
            && body.contains(&*String::from_utf8_lossy(&file[from..until]))
    });
    Ok(Cell::check(whole, "parts are missing"))
}

fn unsatisfiable(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get_with(TARGET, "Range", "bytes=5000-6000")?;
    let label = format!("bytes */{TEXT_BYTES}");
    Ok(match (answer.status, answer.field("Content-Range")) {
        (416, Some(value)) if value == label => Cell::yes(),
        (416, _) => Cell::part("without the length"),
        _ => Cell::no(answer.seen()),
    })
}

fn if_range(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let tag = probe.validator(TARGET, "ETag").unwrap_or_default();
    let mut cases = vec![
        ("\"other\"", 200, "another tag"),
        (MODIFIED, 206, "the date"),
        ("Sat, 03 Feb 2001 04:05:05 GMT", 200, "another date"),
    ];
    if tag.starts_with('"') {
        cases.push((&tag, 206, "the tag"));
    }
    let mut missed = Vec::new();
    for (value, status, what) in &cases {
        let fields = [("Range", "bytes=0-9"), ("If-Range", *value)];
        let answer = probe.ask("GET", TARGET, &fields)?;
        if answer.status != *status {
            missed.push(format!("{what} ({})", answer.seen()));
        }
    }
    Ok(Cell::tally(&missed, cases.len()))
}

fn bomb(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let range = format!("bytes={}", vec!["0-"; BOMB_RANGE_COUNT].join(","));
    let answer = probe.get_with(BOMBED, "Range", &range)?;
    let sent = answer.body.len();
    let seen = format!("{} MB for a file of 0.2", sent / 1_000_000);
    Ok(match (answer.end, answer.status) {
        (End::Whole, 200..500) if sent <= 2 * BOMBED_BYTES => Cell::Yes(answer.seen()),
        (End::Whole, 200..500) => Cell::no(seen),
        _ => Cell::no(answer.seen()),
    })
}
