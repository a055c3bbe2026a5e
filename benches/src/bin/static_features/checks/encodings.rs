//! Precompressed files, compression, and what caches are told.

use super::{Feature, of};
use crate::cell::Cell;
use crate::peer::{ASSETS_CACHE_CONTROL, Profile};
use crate::probe::Probe;

const PREPARED: &str = "/pre/file.txt";
const PLAIN: &str = "/compressible.txt";
const PLAIN_BYTES: usize = 200_000;
/// Content codings, the extensions of prepared files, and how a compressed stream begins, where
/// that can be told.
const CODINGS: [(&str, &str, &[u8]); 3] =
    [("br", "br", b""), ("zstd", "zst", b"\x28\xb5\x2f\xfd"), ("gzip", "gz", b"\x1f\x8b")];

pub(super) const FEATURES: &[Feature] = &[
    of("precompressed .br, .zst, .gz", precompressed),
    of("Vary with and without", vary),
    of("q=0 refuses a coding", refused),
    of("the coding with the greatest q is sent", preferred),
    of("compression on the fly", compressed).with(Profile::Compress),
    of("Cache-Control by rule", cache_control),
];

fn precompressed(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut missed = Vec::new();
    for (coding, extension, _) in CODINGS {
        let answer = probe.get_with(PREPARED, "Accept-Encoding", coding)?;
        let right = answer.field("Content-Encoding") == Some(coding)
            && answer.text() == format!("as {extension}")
            && answer.field("Content-Type").is_some_and(|value| value.starts_with("text/plain"));
        if !right {
            missed.push(coding);
        }
    }
    Ok(match missed.len() == CODINGS.len() {
        true => Cell::no(""),
        false => Cell::tally(&missed, CODINGS.len()),
    })
}

fn vary(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let plain = probe.get(PREPARED)?;
    let encoded = probe.get_with(PREPARED, "Accept-Encoding", "gzip, br, zstd")?;
    if encoded.field("Content-Encoding").is_none() {
        return Ok(Cell::no("no encodings"));
    }
    let varies = [&plain, &encoded].map(|answer| answer.lists("Vary", "accept-encoding"));
    let missed: Vec<_> = ["without", "with"]
        .into_iter()
        .zip(varies)
        .filter(|pair| !pair.1)
        .map(|pair| pair.0)
        .collect();
    Ok(match missed.len() {
        0 => Cell::yes(),
        2 => Cell::no(""),
        _ => Cell::part(format!("not {}", missed.join(", "))),
    })
}

fn refused(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut offered = false;
    for (coding, ..) in CODINGS {
        let accepted = probe.get_with(PREPARED, "Accept-Encoding", coding)?;
        offered |= accepted.field("Content-Encoding").is_some();
        for value in [
            format!("{coding};q=0"),
            format!("{coding};q=0, *;q=0, identity"),
            format!("{coding}; q=0.000"),
        ] {
            let answer = probe.get_with(PREPARED, "Accept-Encoding", &value)?;
            if answer.field("Content-Encoding") == Some(coding) {
                return Ok(Cell::no(format!("{value} gives {coding}")));
            }
        }
    }
    Ok(Cell::check(offered, "no encodings"))
}

fn preferred(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut has = Vec::new();
    for (coding, ..) in CODINGS {
        let answer = probe.get_with(PREPARED, "Accept-Encoding", coding)?;
        has.extend((answer.field("Content-Encoding") == Some(coding)).then_some(coding));
    }
    if has.len() < 2 {
        return Ok(Cell::no(if has.is_empty() { "no encodings" } else { "one encoding" }));
    }
    for first in &has {
        let weights: Vec<_> = has
            .iter()
            .map(|coding| format!("{coding};q={}", if coding == first { "0.9" } else { "0.2" }))
            .collect();
        let value = weights.join(", ");
        let answer = probe.get_with(PREPARED, "Accept-Encoding", &value)?;
        let given = answer.field("Content-Encoding").unwrap_or("identity");
        if given != *first {
            return Ok(Cell::no(format!("{value} gives {given}")));
        }
    }
    Ok(Cell::yes())
}

fn compressed(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut given = Vec::new();
    for (coding, _, start) in CODINGS {
        let answer = probe.get_with(PLAIN, "Accept-Encoding", coding)?;
        let right = answer.field("Content-Encoding") == Some(coding)
            && answer.body.len() < PLAIN_BYTES / 2
            && answer.body.starts_with(start);
        given.extend(right.then_some(coding));
    }
    Ok(match given.len() {
        0 => Cell::no(""),
        _ => Cell::Yes(given.join(", ")),
    })
}

fn cache_control(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let asset = probe.get("/assets/app.js")?;
    let other = probe.get("/text.txt")?;
    let of_asset = asset.field("Cache-Control");
    if of_asset != Some(ASSETS_CACHE_CONTROL) {
        return Ok(Cell::no(of_asset.unwrap_or("none")));
    }
    Ok(match other.field("Cache-Control") == of_asset {
        true => Cell::part("one for all files"),
        false => Cell::yes(),
    })
}
