//! Lines and families: the same for both formats, but for a few details.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Format, bounds, push_seconds};
use crate::process::ProcessFigures;
use crate::registry::{Description, Kind, Naming, Unit};
use crate::snapshot::{HistogramSeries, Series};

/// All series of one name.
pub(super) struct Family<'a, S> {
    description: &'a Description,
    series: Vec<&'a S>,
}

/// Puts series of one name together, in the order of the first of each.
pub(super) fn families<'a, S>(
    series: &'a [S],
    description: impl Fn(&'a S) -> &'a Description,
) -> Vec<Family<'a, S>> {
    let mut families: Vec<Family<'a, S>> = Vec::new();
    let mut places = BTreeMap::new();
    for series in series {
        let description = description(series);
        let place = *places.entry(&*description.name).or_insert_with(|| {
            families.push(Family { description, series: Vec::new() });
            families.len() - 1
        });
        families[place].series.push(series);
    }
    families
}

/// Appends families to a text.
pub(super) struct Writer {
    format: Format,
    text: String,
}

/// A number, and how it is written.
#[derive(Clone, Copy)]
enum Number {
    Count(u64),
    Level(i64),
    /// As seconds.
    Nanoseconds(i128),
}

impl Writer {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    pub(super) fn counters(&mut self, family: &Family<'_, Series<u64>>, loops: usize) {
        let naming = Naming::new(Kind::Counter, &family.description.name, Unit::None);
        let number = |count| match naming.nanoseconds {
            true => Number::Nanoseconds(i128::from(count)),
            false => Number::Count(count),
        };
        self.summed(Kind::Counter, family, naming, |series| number(series.total()));
        self.per_loop(Kind::Counter, family, naming, loops, |series, index| {
            number(series.per_loop()[index])
        });
    }

    pub(super) fn gauges(&mut self, family: &Family<'_, Series<i64>>, loops: usize) {
        let naming = Naming::new(Kind::Gauge, &family.description.name, Unit::None);
        let number = |level| match naming.nanoseconds {
            true => Number::Nanoseconds(i128::from(level)),
            false => Number::Level(level),
        };
        self.summed(Kind::Gauge, family, naming, |series| number(series.total()));
        self.per_loop(Kind::Gauge, family, naming, loops, |series, index| {
            number(series.per_loop()[index])
        });
    }

    pub(super) fn histograms(&mut self, family: &Family<'_, HistogramSeries>) {
        let description = family.description;
        let naming = Naming::new(Kind::Histogram, &description.name, description.unit);
        let name = naming.family();
        self.head(Kind::Histogram, &name, naming.unit, &description.help);
        let number = |value: u64| match naming.nanoseconds {
            true => Number::Nanoseconds(i128::from(value)),
            false => Number::Count(value),
        };
        let bounds: Vec<_> =
            bounds(description.unit).map(|bound| (bound, self.bound(number(bound)))).collect();
        for series in &family.series {
            let labels = labels(series.description());
            let merged = series.merged();
            let mut buckets = merged.buckets().peekable();
            let mut cumulative = 0_u64;
            for (bound, le) in &bounds {
                // Every bucket lies on one side of the bound.
                while let Some(bucket) = buckets.next_if(|bucket| bucket.highest <= *bound) {
                    cumulative = cumulative.wrapping_add(bucket.count);
                }
                self.sample(&name, "_bucket", &[&labels, le], Number::Count(cumulative));
            }
            let all = Number::Count(merged.count());
            self.sample(&name, "_bucket", &[&labels, "le=\"+Inf\""], all);
            self.sample(&name, "_sum", &[&labels], number(merged.sum()));
            self.sample(&name, "_count", &[&labels], all);
        }
    }

    /// What the process uses, under the names that client libraries agreed on.
    pub(super) fn process(&mut self, process: &ProcessFigures) {
        use Number::{Count, Nanoseconds};
        let time = |time: std::time::Duration| {
            Nanoseconds(i128::try_from(time.as_nanos()).unwrap_or(i128::MAX))
        };
        let figures = [
            ("cpu_seconds", "Processor time, user and system.", process.cpu().map(time)),
            ("cpu_user_seconds", "Processor time in user mode.", process.cpu_user.map(time)),
            ("cpu_system_seconds", "Processor time in the kernel.", process.cpu_system.map(time)),
            ("resident_memory_bytes", "Resident memory.", process.memory_resident.map(Count)),
            (
                "resident_memory_max_bytes",
                "Highest resident memory so far.",
                process.memory_resident_max.map(Count),
            ),
            ("open_fds", "Open file descriptors.", process.descriptors_open.map(Count)),
            ("max_fds", "Limit of open file descriptors.", process.descriptors_limit.map(Count)),
            ("threads", "Threads.", process.threads.map(Count)),
            (
                "start_time_seconds",
                "When the process started, since the Unix epoch.",
                process.started_since_epoch().map(time),
            ),
        ];
        for (name, help, number) in figures {
            let Some(number) = number else { continue };
            let counter = name.starts_with("cpu_");
            let kind = if counter { Kind::Counter } else { Kind::Gauge };
            let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
            let name = format!("process_{name}");
            self.head(kind, &name, unit.unwrap_or(""), help);
            self.sample(&name, suffix(kind), &[], number);
        }
    }

    fn summed<T>(
        &mut self,
        kind: Kind,
        family: &Family<'_, Series<T>>,
        naming: Naming<'_>,
        total: impl Fn(&Series<T>) -> Number,
    ) {
        let name = naming.family();
        self.head(kind, &name, naming.unit, &family.description.help);
        for series in &family.series {
            let labels = labels(series.description());
            self.sample(&name, suffix(kind), &[&labels], total(series));
        }
    }

    /// The series without labels, if there is one, by loop.
    fn per_loop<T>(
        &mut self,
        kind: Kind,
        family: &Family<'_, Series<T>>,
        naming: Naming<'_>,
        loops: usize,
        value: impl Fn(&Series<T>, usize) -> Number,
    ) {
        let plain = family.series.iter().find(|series| series.description().labels.is_empty());
        // Figures that no loop has were appended.
        let Some(series) = plain.filter(|series| loops > 0 && series.per_loop().len() == loops)
        else {
            return;
        };
        let name = naming.per_loop();
        let help = format!("{} (By loop.)", family.description.help);
        self.head(kind, &name, naming.unit, help.trim_start());
        for index in 0..loops {
            let label = format!("loop=\"{index}\"");
            self.sample(&name, suffix(kind), &[&label], value(series, index));
        }
    }

    fn head(&mut self, kind: Kind, family: &str, unit: &str, help: &str) {
        // In the text format, the family of a counter has the name of its samples.
        let suffix = if self.format == Format::Text { suffix(kind) } else { "" };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.push(format_args!("# HELP {family}{suffix} "));
        // Quotes are escaped in OpenMetrics only.
        push_escaped(&mut self.text, help, self.format == Format::OpenMetrics);
        self.push(format_args!("\n# TYPE {family}{suffix} {kind}\n"));
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            self.push(format_args!("# UNIT {family} {unit}\n"));
        }
    }

    /// One line; `labels` are as they are written, and may be empty.
    fn sample(&mut self, name: &str, suffix: &str, labels: &[&str], number: Number) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for labels in labels.iter().filter(|labels| !labels.is_empty()) {
            self.text.push(separator);
            self.text.push_str(labels);
            separator = ',';
        }
        self.text.push_str(if separator == ',' { "} " } else { " " });
        self.number(number);
        self.text.push('\n');
    }

    /// The label `le`, whose value OpenMetrics wants to look like a fraction.
    fn bound(&self, bound: Number) -> String {
        let mut writer = Self::new(self.format);
        writer.number(bound);
        let whole = self.format == Format::OpenMetrics && !writer.text.contains('.');
        format!("le=\"{}{}\"", writer.text, if whole { ".0" } else { "" })
    }

    fn number(&mut self, number: Number) {
        match number {
            Number::Count(count) => self.push(format_args!("{count}")),
            Number::Level(level) => self.push(format_args!("{level}")),
            Number::Nanoseconds(nanoseconds) => {
                if nanoseconds < 0 {
                    self.text.push('-');
                }
                push_seconds(&mut self.text, nanoseconds.unsigned_abs());
            }
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a String takes all");
    }
}

fn suffix(kind: Kind) -> &'static str {
    if kind == Kind::Counter { "_total" } else { "" }
}

/// The labels of a series as they are written.
fn labels(description: &Description) -> String {
    let mut text = String::new();
    for (key, value) in &description.labels {
        text.push_str(if text.is_empty() { "" } else { "," });
        text.push_str(key);
        text.push_str("=\"");
        push_escaped(&mut text, value, true);
        text.push('"');
    }
    text
}

fn push_escaped(text: &mut String, plain: &str, quotes: bool) {
    let special = |c: char| matches!(c, '\\' | '\n') || (quotes && c == '"');
    let mut rest = plain;
    while let Some(at) = rest.find(special) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push_str(if rest[at..].starts_with('\n') { "n" } else { &rest[at..=at] });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}
