//! What files are said to be.

use super::{Feature, of};
use crate::cell::Cell;
use crate::probe::Probe;
use crate::tree::TYPES;

pub(super) const FEATURES: &[Feature] =
    &[of("fourteen common types", types), of("charset of text", charset)];

fn types(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut missed = Vec::new();
    for (extension, known) in TYPES {
        let answer = probe.get(&format!("/types/file.{extension}"))?;
        let value = answer.field("Content-Type").unwrap_or("none");
        let essence = value.split(';').next().unwrap_or_default().trim();
        if !known.contains(&essence) {
            missed.push(format!("{extension} ({essence})"));
        }
    }
    Ok(Cell::tally(&missed, TYPES.len()))
}

fn charset(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut missed = Vec::new();
    let targets = ["/site/", "/text.txt", "/types/file.css", "/types/file.js"];
    for target in targets {
        let answer = probe.get(target)?;
        let value = answer.field("Content-Type").unwrap_or("none").to_ascii_lowercase();
        if !value.contains("charset=utf-8") {
            missed.push(value);
        }
    }
    Ok(Cell::tally(&missed, targets.len()))
}
