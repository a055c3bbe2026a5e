//! What is asked, feature by feature.

mod conditions;
mod encodings;
mod lists;
mod names;
mod operation;
mod ranges;
mod types;

use crate::cell::Cell;
use crate::peer::Profile;
use crate::probe::Probe;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// How the server is set up for it.
    pub(crate) profile: Profile,
    /// How often it is tried, each time with a fresh server: more than once where chance decides.
    pub(crate) rounds: usize,
    pub(crate) check: fn(&mut Probe<'_>) -> anyhow::Result<Cell>,
}

/// A group of lines.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) features: Vec<Feature>,
}

/// A line about a server that is set up to serve files.
const fn of(name: &'static str, check: fn(&mut Probe<'_>) -> anyhow::Result<Cell>) -> Feature {
    Feature { name, profile: Profile::Files, rounds: 1, check }
}

impl Feature {
    const fn with(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    const fn repeated(self) -> Self {
        Self { rounds: 3, ..self }
    }
}

/// All lines, in the table's order.
pub(crate) fn groups() -> Vec<Group> {
    let group = |name, features: &[Feature]| Group { name, features: features.to_vec() };
    vec![
        group("Directories", lists::FEATURES),
        group("Media types", types::FEATURES),
        group("Conditions (RFC 9110, section 13)", conditions::FEATURES),
        group("Ranges (RFC 9110, section 14)", ranges::FEATURES),
        group("Compression and caching", encodings::FEATURES),
        group("What must not be served", names::FEATURES),
        group("Methods, limits, signals", operation::FEATURES),
    ]
}
