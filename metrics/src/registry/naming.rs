//! What a series is called where units are base units: the custom of Prometheus and OpenMetrics.
//!
//! It is decided here rather than where it is written, so that a registry in which two series would
//! get the same name cannot be built.

use super::builder::Unit;

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A name taken apart: what comes before the unit, and the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Naming<'a> {
    stem: &'a str,
    /// The base unit, or empty.
    pub(crate) unit: &'static str,
    /// The numbers are nanoseconds, to be written as seconds.
    pub(crate) nanoseconds: bool,
}

impl<'a> Naming<'a> {
    /// The unit is that of the numbers where one is declared, and else what the name ends in.
    pub(crate) fn new(kind: Kind, name: &'a str, unit: Unit) -> Self {
        let name = match kind {
            Kind::Counter => before(name, "_total").unwrap_or(name),
            Kind::Gauge | Kind::Histogram => name,
        };
        let nanoseconds = before(name, "_nanoseconds").or_else(|| before(name, "_ns"));
        let (seconds, bytes) = (before(name, "_seconds"), before(name, "_bytes"));
        let naming = |stem: Option<&'a str>, unit, nanoseconds| Self {
            stem: stem.unwrap_or(name),
            unit,
            nanoseconds,
        };
        match unit {
            Unit::Nanoseconds => naming(nanoseconds.or(seconds), "seconds", true),
            Unit::Bytes => naming(bytes, "bytes", false),
            Unit::None if nanoseconds.is_some() => naming(nanoseconds, "seconds", true),
            Unit::None if seconds.is_some() => naming(seconds, "seconds", false),
            Unit::None if bytes.is_some() => naming(bytes, "bytes", false),
            Unit::None => naming(None, "", false),
        }
    }

    /// The name of the family, without the `_total` of counters.
    pub(crate) fn family(&self) -> String {
        self.with("")
    }

    /// The name of the family of the same values by loop.
    pub(crate) fn per_loop(&self) -> String {
        self.with("_per_loop")
    }

    fn with(&self, part: &str) -> String {
        let separator = if self.unit.is_empty() { "" } else { "_" };
        format!("{}{part}{separator}{}", self.stem, self.unit)
    }

    /// All names that such a metric takes for itself.
    pub(crate) fn taken(&self, kind: Kind) -> Vec<String> {
        let suffixes: &[&str] = match kind {
            Kind::Counter => &["", "_total", "_created"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
        };
        let families = match kind {
            Kind::Counter | Kind::Gauge => vec![self.family(), self.per_loop()],
            Kind::Histogram => vec![self.family()],
        };
        families
            .iter()
            .flat_map(|family| suffixes.iter().map(move |suffix| format!("{family}{suffix}")))
            .collect()
    }
}

/// What is before `suffix`, if there is anything.
fn before<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    name.strip_suffix(suffix).filter(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_base_units() {
        use Kind::{Counter, Gauge, Histogram};
        use Unit::{Bytes, Nanoseconds, None};
        for (kind, name, unit, family, per_loop) in [
            (Counter, "a_total", None, "a", "a_per_loop"),
            (Counter, "a", None, "a", "a_per_loop"),
            (Counter, "a_nanoseconds_total", None, "a_seconds", "a_per_loop_seconds"),
            (Counter, "a_bytes_total", None, "a_bytes", "a_per_loop_bytes"),
            (Gauge, "a_total", None, "a_total", "a_total_per_loop"),
            (Gauge, "a_seconds", None, "a_seconds", "a_per_loop_seconds"),
            (Histogram, "a_ns", Nanoseconds, "a_seconds", "a_per_loop_seconds"),
            (Histogram, "a_seconds", Nanoseconds, "a_seconds", "a_per_loop_seconds"),
            (Histogram, "a", Nanoseconds, "a_seconds", "a_per_loop_seconds"),
            (Histogram, "a_size", Bytes, "a_size_bytes", "a_size_per_loop_bytes"),
            (Gauge, "_ns", None, "_ns", "_ns_per_loop"),
        ] {
            let naming = Naming::new(kind, name, unit);
            assert_eq!((naming.family(), naming.per_loop()), (family.into(), per_loop.into()));
        }
        assert!(Naming::new(Histogram, "a_seconds", Nanoseconds).nanoseconds);
        assert!(!Naming::new(Gauge, "a_seconds", None).nanoseconds);
    }
}
