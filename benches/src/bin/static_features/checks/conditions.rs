//! Validators and conditional requests.

use super::{Feature, of};
use crate::cell::Cell;
use crate::probe::Probe;
use crate::tree::MODIFIED;

const TARGET: &str = "/text.txt";
const BEFORE: &str = "Sat, 03 Feb 2001 04:05:05 GMT";
const AFTER: &str = "Sat, 03 Feb 2001 04:05:07 GMT";

pub(super) const FEATURES: &[Feature] = &[
    of("strong ETag", strong),
    of("each encoding has a tag of its own, or a weak one", tags),
    of("Last-Modified", modified),
    of("If-None-Match: 304 with the tag, for a list, weakly, for \\*", none_match),
    of("If-Match: 412 if no tag matches", matches),
    of("If-Modified-Since", modified_since),
    of("If-Unmodified-Since: 412", unmodified_since),
    of("If-None-Match before If-Modified-Since", order),
    of("If-Match before If-None-Match", order_of_tags),
];

/// Conditions, the status that they must have, and what they are.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

/// Sends conditions and expects statuses; what came instead.
fn statuses(probe: &Probe<'_>, cases: &[Case<'_>]) -> anyhow::Result<Cell> {
    let mut missed = Vec::new();
    for (fields, status, what) in cases {
        let answer = probe.ask("GET", TARGET, fields)?;
        if answer.status != *status {
            missed.push(format!("{what} ({})", answer.seen()));
        }
    }
    Ok(Cell::tally(&missed, cases.len()))
}

fn strong(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    Ok(match probe.get(TARGET)?.field("ETag") {
        None => Cell::no("none"),
        Some(tag) => Cell::check(tag.starts_with('"') && tag.ends_with('"'), "weak"),
    })
}

fn tags(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let target = "/pre/file.txt";
    let identity = probe.get(target)?;
    let gzip = probe.get_with(target, "Accept-Encoding", "gzip")?;
    if gzip.field("Content-Encoding").is_none() {
        return Ok(Cell::no("no encodings"));
    }
    Ok(match (identity.field("ETag"), gzip.field("ETag")) {
        (None, None) => Cell::no("no tags"),
        (identity, gzip) => {
            let weak = gzip.is_none_or(|tag| tag.starts_with("W/"));
            Cell::check(weak || identity != gzip, "the same strong tag")
        }
    })
}

fn modified(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let value = probe.validator(TARGET, "Last-Modified")?;
    Ok(Cell::check(value == MODIFIED, value))
}

fn none_match(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let Ok(tag) = probe.validator(TARGET, "ETag") else { return Ok(Cell::no("no tag")) };
    let opaque = tag.trim_start_matches("W/");
    let (list, weak) = (format!("\"other\", {tag}"), format!("W/{opaque}"));
    statuses(
        probe,
        &[
            (&[("If-None-Match", &tag)], 304, "the tag"),
            (&[("If-None-Match", &list)], 304, "a list"),
            (&[("If-None-Match", &weak)], 304, "weakly"),
            (&[("If-None-Match", "*")], 304, "*"),
            (&[("If-None-Match", "\"other\"")], 200, "another tag"),
        ],
    )
}

fn matches(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let tag = probe.validator(TARGET, "ETag").unwrap_or_default();
    let mut cases: Vec<Case<'_>> =
        vec![(&[("If-Match", "\"other\"")], 412, "another tag"), (&[("If-Match", "*")], 200, "*")];
    let own = [("If-Match", &*tag)];
    if tag.starts_with('"') {
        cases.push((&own, 200, "the tag"));
    }
    statuses(probe, &cases)
}

fn modified_since(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    statuses(
        probe,
        &[
            (&[("If-Modified-Since", MODIFIED)], 304, "the same second"),
            (&[("If-Modified-Since", AFTER)], 304, "a later one"),
            (&[("If-Modified-Since", BEFORE)], 200, "an earlier one"),
            (&[("If-Modified-Since", "yesterday")], 200, "no date"),
        ],
    )
}

fn unmodified_since(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    statuses(
        probe,
        &[
            (&[("If-Unmodified-Since", BEFORE)], 412, "an earlier second"),
            (&[("If-Unmodified-Since", MODIFIED)], 200, "the same second"),
        ],
    )
}

fn order(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let both = [("If-None-Match", "\"other\""), ("If-Modified-Since", MODIFIED)];
    let answer = probe.ask("GET", TARGET, &both)?;
    Ok(Cell::check(answer.status == 200, answer.seen()))
}

fn order_of_tags(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let Ok(tag) = probe.validator(TARGET, "ETag") else { return Ok(Cell::no("no tag")) };
    let both = [("If-None-Match", &*tag), ("If-Match", "\"other\"")];
    let answer = probe.ask("GET", TARGET, &both)?;
    Ok(Cell::check(answer.status == 412, answer.seen()))
}
