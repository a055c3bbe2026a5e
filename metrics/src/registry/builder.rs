//! Declaring metrics: names, labels, units and help, checked once at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::family::{CounterFamily, HistogramFamily, Members};
use super::naming::{Kind, Naming};
use super::{CounterId, GaugeId, HistogramId, Registry};

/// The highest number of series of one kind, which bounds what each shard allocates. Of families
/// with a capacity, the capacity counts, and one for [`super::OTHER`].
pub const SERIES_MAX: usize = 4_096;

/// Declares the metrics of a [`Registry`].
///
/// Declaring cannot fail, so that ids can be kept in plain structs; [`Self::build`] reports the
/// first mistake.
#[derive(Debug, Default)]
pub struct RegistryBuilder {
    schema: Schema,
}

impl RegistryBuilder {
    /// Declares a count that only goes up. By convention its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> CounterId {
        self.counter_with_labels(name, help, &[])
    }

    /// Declares one counter of a family: same name and help, its own constant labels.
    pub fn counter_with_labels(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> CounterId {
        CounterId(self.schema.counters.declare(name, help, labels, Unit::None))
    }

    /// Declares a family of counters that differ in one label, one for each of its values.
    ///
    /// ```
    /// use corelane_metrics::Registry;
    ///
    /// #[derive(Clone, Copy)]
    /// enum Closed { Finished, Reset }
    ///
    /// let mut builder = Registry::builder();
    /// let closed = builder.counter_family(
    ///     "corelane_connections_closed_total",
    ///     "Connections closed, by reason.",
    ///     "reason",
    ///     ["finished", "reset"],
    /// );
    /// let registry = builder.build()?;
    /// let shard = registry.shard(0)?;
    /// shard.add(closed[Closed::Reset as usize], 1);
    ///
    /// let snapshot = registry.snapshot();
    /// let name = "corelane_connections_closed_total";
    /// assert_eq!(snapshot.counter(name, &[("reason", "reset")]).unwrap().total(), 1);
    /// assert_eq!(snapshot.counter(name, &[("reason", "finished")]).unwrap().total(), 0);
    /// # let _ = Closed::Finished;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn counter_family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> [CounterId; N] {
        values.map(|value| self.counter_with_labels(name, help, &[(label, value)]))
    }

    /// Declares a family of counters whose members come while the server runs, at most `capacity`
    /// and one for the rest. Nothing else may have that name. See [`CounterFamily`].
    pub fn counter_family_with_capacity(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        capacity: usize,
    ) -> CounterFamily {
        CounterFamily(self.schema.counters.declare_family(name, help, Unit::None, label, capacity))
    }

    /// Declares a level that goes up and down. Totals over loops are sums.
    pub fn gauge(&mut self, name: &str, help: &str) -> GaugeId {
        self.gauge_with_labels(name, help, &[])
    }

    /// Declares one gauge of a family: same name and help, its own constant labels.
    pub fn gauge_with_labels(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
    ) -> GaugeId {
        GaugeId(self.schema.gauges.declare(name, help, labels, Unit::None))
    }

    /// Declares a histogram of values in `unit`.
    pub fn histogram(&mut self, name: &str, help: &str, unit: Unit) -> HistogramId {
        self.histogram_with_labels(name, help, unit, &[])
    }

    /// Declares one histogram of a family: same name, help and unit, its own constant labels.
    pub fn histogram_with_labels(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        labels: &[(&str, &str)],
    ) -> HistogramId {
        HistogramId(self.schema.histograms.declare(name, help, labels, unit))
    }

    /// Declares a family of histograms that differ in one label, one for each of its values.
    pub fn histogram_family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        label: &str,
        values: [&str; N],
    ) -> [HistogramId; N] {
        values.map(|value| self.histogram_with_labels(name, help, unit, &[(label, value)]))
    }

    /// Declares a family of histograms whose members come while the server runs, at most
    /// `capacity` and one for the rest. Nothing else may have that name.
    ///
    /// A loop allocates a histogram of it at the first value; until then it takes 24 bytes.
    pub fn histogram_family_with_capacity(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        label: &str,
        capacity: usize,
    ) -> HistogramFamily {
        HistogramFamily(self.schema.histograms.declare_family(name, help, unit, label, capacity))
    }

    /// Ends the declaration.
    ///
    /// # Errors
    ///
    /// The first name or label that exporters could not write, the first series declared twice or
    /// under two kinds, or more than [`SERIES_MAX`] series of a kind.
    pub fn build(self) -> Result<Registry, DeclareError> {
        self.schema.check()?;
        Ok(Registry::new(self.schema))
    }
}

/// What the numbers of a histogram are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers.
    #[default]
    None,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Its name in exports; empty for plain numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
        }
    }
}

/// What one series is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name, the same for all series of a family.
    pub name: Box<str>,
    /// One sentence for people.
    pub help: Box<str>,
    /// Constant labels, in the order of declaration.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// What the numbers are.
    pub unit: Unit,
}

impl Description {
    /// Of a series without labels that needs no explanation.
    pub(crate) fn alone(name: &str) -> Description {
        Description { name: name.into(), help: "".into(), labels: [].into(), unit: Unit::None }
    }

    /// Whether this is the series of that name with exactly those labels, in any order.
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        *self.name == *name
            && self.labels.len() == labels.len()
            && self
                .labels
                .iter()
                .all(|(key, value)| labels.iter().any(|(k, v)| **key == **k && **value == **v))
    }

    /// What identifies the series: its name and its labels, sorted.
    fn identity(&self) -> (&str, Vec<(&str, &str)>) {
        let mut labels: Vec<_> = self.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
        labels.sort_unstable();
        (&self.name, labels)
    }
}

/// All that a registry declares, by kind.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) counters: Declared,
    pub(crate) gauges: Declared,
    pub(crate) histograms: Declared,
}

impl Schema {
    fn check(&self) -> Result<(), DeclareError> {
        let kinds = [
            (Kind::Counter, &self.counters),
            (Kind::Gauge, &self.gauges),
            (Kind::Histogram, &self.histograms),
        ];
        if kinds.iter().any(|(_, declared)| declared.cells > SERIES_MAX) {
            return Err(DeclareError::TooMany);
        }
        // Whose each exposed name is.
        let mut taken = BTreeMap::new();
        for (kind, declared) in kinds {
            let mut seen = BTreeSet::new();
            let (mut names, mut families) = (BTreeSet::new(), BTreeSet::new());
            for entry in &declared.entries {
                let description = entry.description();
                check_spelling(kind, description)?;
                let name = &*description.name;
                let alone = match entry {
                    Entry::Series(..) => !families.contains(name),
                    Entry::Family(_) => families.insert(name) && !names.contains(name),
                };
                if !alone || !seen.insert(description.identity()) {
                    return Err(DeclareError::Twice { name: name.into() });
                }
                if names.insert(name) {
                    take(&mut taken, kind, description)?;
                }
            }
        }
        Ok(())
    }
}

/// Claims all names under which a metric is exposed.
fn take<'a>(
    taken: &mut BTreeMap<String, &'a str>,
    kind: Kind,
    description: &'a Description,
) -> Result<(), DeclareError> {
    let name = &*description.name;
    let mut exposed = Naming::new(kind, name, description.unit).taken(kind);
    if !exposed.iter().any(|exposed| exposed == name) {
        // It is its name in JSON.
        exposed.push(name.to_owned());
    }
    for exposed in exposed {
        let other = match exposed.starts_with("process_") {
            true => Some("process_"),
            false => taken.insert(exposed.clone(), name),
        };
        match other {
            None => {}
            Some(other) if other == name => {
                return Err(DeclareError::Twice { name: name.into() });
            }
            Some(other) => {
                let (name, other) = (name.into(), other.into());
                return Err(DeclareError::Clash { name, other, exposed: exposed.into() });
            }
        }
    }
    Ok(())
}

/// What is declared of one kind. Ids are the indices of cells.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    entries: Vec<Entry>,
    cells: usize,
}

/// A series has one cell; a family has one for each member that may come.
#[derive(Debug)]
enum Entry {
    Series(u32, Arc<Description>),
    Family(Arc<Members>),
}

impl Entry {
    fn description(&self) -> &Description {
        match self {
            Self::Series(_, description) => description,
            Self::Family(members) => &members.prototype,
        }
    }
}

impl Declared {
    /// How many cells each shard has.
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// The series there are now, each with its cell, in the order of their cells.
    pub(crate) fn present(&self) -> Vec<(u32, Arc<Description>)> {
        let mut present = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match entry {
                Entry::Series(cell, description) => present.push((*cell, Arc::clone(description))),
                Entry::Family(members) => present.append(&mut members.present()),
            }
        }
        present
    }

    fn declare(&mut self, name: &str, help: &str, labels: &[(&str, &str)], unit: Unit) -> u32 {
        let cell = self.claim(1);
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let description = Description { name: name.into(), help: help.into(), labels, unit };
        self.push(Entry::Series(cell, Arc::new(description)));
        cell
    }

    fn declare_family(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        label: &str,
        capacity: usize,
    ) -> Arc<Members> {
        let first = self.claim(capacity.saturating_add(1));
        let members = Arc::new(Members::new(name, help, unit, label, (first, capacity)));
        self.push(Entry::Family(Arc::clone(&members)));
        members
    }

    /// Takes the next cells. Beyond the limit the number means nothing: `check` will refuse.
    fn claim(&mut self, cells: usize) -> u32 {
        let first = self.cells.min(SERIES_MAX) as u32;
        self.cells = self.cells.saturating_add(cells);
        first
    }

    /// Beyond the limit nothing is kept but the fact, which `check` reports.
    fn push(&mut self, entry: Entry) {
        if self.cells <= SERIES_MAX {
            self.entries.push(entry);
        }
    }
}

/// Names as Prometheus wants them: `[a-zA-Z_:][a-zA-Z0-9_:]*`, label keys without colons and each
/// once, and none that it keeps for itself.
fn check_spelling(kind: Kind, description: &Description) -> Result<(), DeclareError> {
    let valid = |name: &str, colons: bool| {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
        !name.is_empty() && !digit_first && name.chars().all(part)
    };
    if !valid(&description.name, true) {
        return Err(DeclareError::Name { name: description.name.clone() });
    }
    let mut keys = BTreeSet::new();
    for (key, _) in &description.labels {
        let reserved = key.starts_with("__") || (kind == Kind::Histogram && **key == *"le");
        if !valid(key, false) || reserved || !keys.insert(key) {
            return Err(DeclareError::Label { name: description.name.clone(), label: key.clone() });
        }
    }
    Ok(())
}

/// Why a registry could not be built. Always a mistake in the declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclareError {
    /// A name is empty or has other than letters, digits, `_` and `:`.
    Name {
        /// The name as declared.
        name: Box<str>,
    },
    /// A label key is empty, repeated, or has other than letters, digits and `_`; or it begins
    /// with `__`, or is `le` in a histogram, which are reserved.
    Label {
        /// The metric's name.
        name: Box<str>,
        /// The label key as declared.
        label: Box<str>,
    },
    /// A series is declared twice, or a name is used for two kinds or besides a family with a
    /// capacity.
    Twice {
        /// The metric's name.
        name: Box<str>,
    },
    /// Two metrics would have a name in common where they are exposed, such as a counter `a` and a
    /// gauge `a_total`; see [`crate::expose::prometheus`].
    Clash {
        /// The name as declared.
        name: Box<str>,
        /// The other's name, or `process_`, which is for what [`crate::ProcessFigures`] tells.
        other: Box<str>,
        /// The name in common.
        exposed: Box<str>,
    },
    /// There are more than [`SERIES_MAX`] series of one kind.
    TooMany,
}

impl fmt::Display for DeclareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "metric name {name:?} is invalid: use letters, digits, `_` and `:`, no digit first"
            ),
            Self::Label { name, label } => write!(
                f,
                "label {label:?} of metric {name:?} is invalid: use letters, digits and `_`, no \
                 digit or `__` first, not `le` in a histogram, each key once"
            ),
            Self::Twice { name } => write!(
                f,
                "metric {name:?} is declared twice: give each series of a family labels of its \
                 own, and each kind and each family with a capacity a name of its own"
            ),
            Self::Clash { name, other, exposed } => write!(
                f,
                "metrics {name:?} and {other:?} would both be exposed as {exposed:?}: rename one"
            ),
            Self::TooMany => {
                write!(f, "more than {SERIES_MAX} series of one kind: use fewer labels")
            }
        }
    }
}

impl std::error::Error for DeclareError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declare: impl FnOnce(&mut RegistryBuilder)) -> Option<DeclareError> {
        let mut builder = Registry::builder();
        declare(&mut builder);
        builder.build().err()
    }

    #[test]
    fn names_are_checked() {
        for name in ["", "a b", "é", "1st", "a-b", "a\n"] {
            let error = check(|b| _ = b.counter(name, ""));
            assert_eq!(error, Some(DeclareError::Name { name: name.into() }));
        }
        for name in ["a", "_a:b_1"] {
            assert_eq!(check(|b| _ = b.gauge(name, "")), None);
        }
    }

    #[test]
    fn label_keys_are_checked_and_values_are_free() {
        for labels in [&[("a:b", "")][..], &[("", "")], &[("a", "1"), ("a", "2")]] {
            let error = check(|b| _ = b.counter_with_labels("a", "", labels));
            assert!(matches!(error, Some(DeclareError::Label { .. })), "{labels:?}");
        }
        let labels = [("path", "/a b\"\n"), ("method", "")];
        assert_eq!(check(|b| _ = b.counter_with_labels("a", "", &labels)), None);
        let error = check(|b| _ = b.counter_family_with_capacity("a", "", "a b", 1));
        assert!(matches!(error, Some(DeclareError::Label { .. })));
    }

    #[test]
    fn a_series_is_declared_once() {
        let twice = Some(DeclareError::Twice { name: "a".into() });
        let both = |b: &mut RegistryBuilder| {
            b.counter_with_labels("a", "", &[("x", "1"), ("y", "2")]);
            b.counter_with_labels("a", "", &[("y", "2"), ("x", "1")]);
        };
        assert_eq!(check(both), twice);
        let two_kinds = |b: &mut RegistryBuilder| {
            b.counter_with_labels("a", "", &[("x", "1")]);
            b.histogram("a", "", Unit::Bytes);
        };
        assert_eq!(check(two_kinds), twice);
        assert_eq!(check(|b| _ = b.counter_family("a", "", "x", ["1", "2"])), None);
        let family = |b: &mut RegistryBuilder| _ = b.counter_family_with_capacity("a", "", "x", 1);
        let series = |b: &mut RegistryBuilder| _ = b.counter("a", "");
        assert_eq!(check(family), None);
        assert_eq!(check(|b| (family(b), series(b)).1), twice);
        assert_eq!(check(|b| (series(b), family(b)).1), twice);
        assert_eq!(check(|b| (family(b), family(b)).1), twice);
    }

    #[test]
    fn exposed_names_are_each_of_one_metric() {
        type Declare = fn(&mut RegistryBuilder);
        let clashes: [(Declare, Declare, &str); 7] = [
            (|b| _ = b.counter("a", ""), |b| _ = b.counter("a_total", ""), "a"),
            (|b| _ = b.counter("a", ""), |b| _ = b.gauge("a_total", ""), "a_total"),
            (|b| _ = b.counter("a_ns", ""), |b| _ = b.gauge("a_seconds", ""), "a_seconds"),
            (|b| _ = b.gauge("a", ""), |b| _ = b.gauge("a_per_loop", ""), "a_per_loop"),
            (
                |b| _ = b.histogram("a_ns", "", Unit::Nanoseconds),
                |b| _ = b.histogram("a", "", Unit::Nanoseconds),
                "a_seconds",
            ),
            (|b| _ = b.gauge("a_count", ""), |b| _ = b.histogram("a", "", Unit::None), "a_count"),
            (|_| (), |b| _ = b.gauge("process_threads", ""), "process_threads"),
        ];
        for (first, second, common) in clashes {
            let error = check(|b| (first(b), second(b)).1);
            let Some(DeclareError::Clash { exposed, .. }) = &error else {
                panic!("{common}: {error:?}");
            };
            assert_eq!(**exposed, *common);
        }
        for label in ["le", "__name__"] {
            let error = check(|b| _ = b.histogram_with_labels("a", "", Unit::None, &[(label, "")]));
            assert!(matches!(error, Some(DeclareError::Label { .. })));
        }
        assert_eq!(check(|b| _ = b.counter_with_labels("a", "", &[("le", "")])), None);
    }

    #[test]
    fn the_number_of_series_is_limited() {
        let declare = |b: &mut RegistryBuilder, count: usize| {
            (0..count).for_each(|n| _ = b.counter(&format!("c{n}"), ""));
        };
        assert_eq!(check(|b| declare(b, SERIES_MAX)), None);
        assert_eq!(check(|b| declare(b, SERIES_MAX + 1)), Some(DeclareError::TooMany));
        let family = |b: &mut RegistryBuilder, capacity| {
            b.histogram_family_with_capacity("a", "", Unit::None, "x", capacity).member("1");
        };
        assert_eq!(check(|b| family(b, SERIES_MAX - 1)), None);
        for capacity in [SERIES_MAX, usize::MAX] {
            assert_eq!(check(|b| family(b, capacity)), Some(DeclareError::TooMany));
        }
    }
}
