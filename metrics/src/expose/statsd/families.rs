//! A report of all series of a registry, without a list of lines: see
//! [`super::StatsdReport::with_families`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::encoder::NAME_MAX;
use super::{LINES_MAX, StatsdEncoder, StatsdName};
use crate::process::ProcessFigures;
use crate::registry::{Description, Registry};
use crate::snapshot::Snapshot;

/// The highest length of one label value in a line, in bytes; the rest is cut off.
const VALUE_MAX: usize = 96;

/// The highest length of a name with its labels, in bytes; the rest is cut off. It leaves room for `.p99_9`
/// and for the number of a series that is called like another.
const OWN_NAME_MAX: usize = NAME_MAX - ".p99_9".len() - "_99999".len();

/// How labels are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsdFlavour {
    /// As parts of the name: `http_responses.class.4xx`. Every StatsD server understands it.
    #[default]
    Plain,
    /// As DogStatsD tags: `http_responses:1|c|#class:4xx`.
    Dog,
}

/// Writes lines about all series of a registry, and of the process.
#[derive(Clone, Debug)]
pub(super) struct Families {
    flavour: StatsdFlavour,
    lines_max: usize,
    of_process: Option<OfProcess>,
    last: Snapshot,
}

/// Figures of the process, which no loop has.
#[derive(Clone)]
struct OfProcess(Arc<dyn Fn() -> Snapshot + Send + Sync>);

impl fmt::Debug for OfProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfProcess(..)")
    }
}

impl Families {
    pub(super) fn new(registry: &Registry, flavour: StatsdFlavour, lines_max: usize) -> Self {
        let (lines_max, last) = (lines_max.min(LINES_MAX), registry.snapshot());
        Self { flavour, lines_max, of_process: None, last }
    }

    /// Counters of the process count from their values now on, too.
    pub(super) fn with_process(
        mut self,
        registry: &Registry,
        read: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Self {
        self.of_process = Some(OfProcess(Arc::new(read)));
        self.last = self.read(registry);
        self
    }

    fn read(&self, registry: &Registry) -> Snapshot {
        let mut now = registry.snapshot();
        if let Some(OfProcess(read)) = &self.of_process {
            now.append(&read());
            now.append_process(&ProcessFigures::read());
        }
        now
    }

    /// Writes what happened since the last call; returns how many series were left out, because the
    /// report is full or their lines are too long.
    pub(super) fn render(&mut self, registry: &Registry, encoder: &mut StatsdEncoder) -> usize {
        let now = self.read(registry);
        let delta = now.delta(&self.last);
        self.last = now;
        let mut lines = Lines {
            flavour: self.flavour,
            room: self.lines_max,
            omitted: 0,
            seen: BTreeSet::new(),
            encoder,
        };
        for series in delta.counters() {
            let (total, description) = (series.total(), series.description());
            lines.series(description, 1, total > 0, |encoder, name| {
                name("").is_some_and(|name| encoder.counter(&name, total))
            });
        }
        for series in delta.gauges() {
            lines.series(series.description(), 1, true, |encoder, name| {
                name("").is_some_and(|name| encoder.gauge(&name, series.total()))
            });
        }
        for series in delta.histograms() {
            let values = series.merged();
            let levels = [
                (".p50", values.quantile(0.5)),
                (".p90", values.quantile(0.9)),
                (".p99", values.quantile(0.99)),
                (".p99_9", values.quantile(0.999)),
                (".max", values.max()),
            ];
            let wanted = !values.is_empty();
            lines.series(series.description(), 1 + levels.len(), wanted, |encoder, name| {
                // All of them or none: no name is longer than the first, and tags are the same.
                name(".count").is_some_and(|name| encoder.counter(&name, values.count()))
                    && levels.iter().all(|(suffix, level)| {
                        let level = i64::try_from(*level).unwrap_or(i64::MAX);
                        name(suffix).is_some_and(|name| encoder.gauge(&name, level))
                    })
            });
        }
        lines.omitted
    }
}

/// The lines of one report.
struct Lines<'a> {
    flavour: StatsdFlavour,
    room: usize,
    omitted: usize,
    /// Names with tags that are taken.
    seen: BTreeSet<(String, String)>,
    encoder: &'a mut StatsdEncoder,
}

impl Lines<'_> {
    /// Names a series, and has its lines written if there is room and if they are `wanted`.
    fn series(
        &mut self,
        description: &Description,
        lines: usize,
        wanted: bool,
        write: impl FnOnce(&mut StatsdEncoder, &dyn Fn(&str) -> Option<StatsdName>) -> bool,
    ) {
        // Named in any case: the numbers of those that share a name must not change.
        let (name, tags) = self.name(description);
        if !wanted {
            return;
        }
        let named = |suffix: &str| StatsdName::with_tags(&format!("{name}{suffix}"), &tags);
        if self.room >= lines && write(self.encoder, &named) {
            self.room -= lines;
        } else {
            self.omitted += 1;
        }
    }

    fn name(&mut self, description: &Description) -> (String, String) {
        let own = description.name.strip_suffix("_total").unwrap_or(&description.name);
        let prefix = self.encoder.prefix();
        let own = own.strip_prefix(prefix).and_then(|own| own.strip_prefix('_')).unwrap_or(own);
        let (mut name, mut tags) = (own.replace(':', "_"), String::new());
        for (key, value) in &description.labels {
            let value = shortened(value);
            match self.flavour {
                StatsdFlavour::Plain => {
                    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                    name.push_str(&format!(".{key}.{}", replaced(value, plain)));
                }
                StatsdFlavour::Dog => {
                    let comma = if tags.is_empty() { "" } else { "," };
                    tags.push_str(&format!("{comma}{key}:{}", replaced(value, fits_tag)));
                }
            }
        }
        name.truncate(name.floor_char_boundary(OWN_NAME_MAX));
        let mut number = 1;
        let mut numbered = name.clone();
        while !self.seen.insert((numbered.clone(), tags.clone())) {
            number += 1;
            numbered = format!("{name}_{number}");
        }
        (numbered, tags)
    }
}

/// Whether a tag may hold it.
pub(super) fn fits_tag(c: char) -> bool {
    !(matches!(c, '|' | ',' | '#') || c.is_whitespace() || c.is_control())
}

fn shortened(value: &str) -> &str {
    let mut end = value.len().min(VALUE_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// With `_` for what does not fit, and for nothing at all.
fn replaced(value: &str, fits: impl Fn(char) -> bool) -> Cow<'_, str> {
    match value {
        "" => "_".into(),
        value if value.chars().all(&fits) => value.into(),
        value => value.chars().map(|c| if fits(c) { c } else { '_' }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Unit;

    fn said(families: &mut Families, registry: &Registry, tags: &[(String, String)]) -> String {
        let mut encoder = StatsdEncoder::new("corelane", tags).unwrap();
        families.render(registry, &mut encoder);
        let datagrams: Vec<_> = encoder.datagrams().collect();
        datagrams.iter().for_each(|datagram| assert!(datagram.len() <= super::super::DATAGRAM_MAX));
        String::from_utf8(datagrams.join(&b'\n')).unwrap()
    }

    #[test]
    fn both_flavours_say_what_happened_since_the_last_report() {
        let mut builder = Registry::builder();
        let requests = builder.counter("corelane_http_requests_total", "");
        let classes =
            builder.counter_family("corelane_responses_total", "", "class", ["2xx", "4xx"]);
        let open = builder.gauge("other:open", "");
        let routes = builder.histogram_family_with_capacity("h", "", Unit::Nanoseconds, "route", 9);
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        shard.add(requests, 1_000);
        let mut plain = Families::new(&registry, StatsdFlavour::Plain, LINES_MAX);
        let mut dog = Families::new(&registry, StatsdFlavour::Dog, LINES_MAX);

        shard.add(requests, 5);
        shard.add(classes[1], 2);
        shard.set(open, -3);
        shard.record_n(routes.member("/a|b c"), 100, 4);
        assert_eq!(
            said(&mut plain, &registry, &[]),
            "corelane.http_requests:5|c\ncorelane.responses.class.4xx:2|c\n\
             corelane.other_open:0|g\ncorelane.other_open:-3|g\n\
             corelane.h.route._a_b_c.count:4|c\ncorelane.h.route._a_b_c.p50:100|g\n\
             corelane.h.route._a_b_c.p90:100|g\ncorelane.h.route._a_b_c.p99:100|g\n\
             corelane.h.route._a_b_c.p99_9:100|g\ncorelane.h.route._a_b_c.max:100|g"
        );
        assert_eq!(
            said(&mut plain, &registry, &[]),
            "corelane.other_open:0|g\ncorelane.other_open:-3|g"
        );
        let text = said(&mut dog, &registry, &[("env".to_owned(), "x".to_owned())]);
        assert!(text.starts_with("corelane.http_requests:5|c|#env:x\n"), "{text}");
        assert!(text.contains("\ncorelane.responses:2|c|#env:x,class:4xx\n"), "{text}");
        assert!(text.contains("\ncorelane.h.p99:100|g|#env:x,route:/a_b_c\n"), "{text}");
        // The interval's own: the earlier values count no more.
        shard.record(routes.member("/a|b c"), 9_000);
        let text = said(&mut dog, &registry, &[]);
        assert!(text.contains("corelane.h.count:1|c|#route:/a_b_c\n"), "{text}");
        assert!(text.contains("corelane.h.p50:90"), "{text}");
    }

    #[test]
    fn series_that_look_the_same_are_numbered_for_good() {
        let mut builder = Registry::builder();
        let routes = builder.counter_family_with_capacity("r", "", "route", 9);
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        let [_, slash, long] = ["a_b", "a/b", &"x".repeat(200)].map(|route| routes.member(route));
        let mut families = Families::new(&registry, StatsdFlavour::Plain, LINES_MAX);
        shard.add(slash, 1);
        shard.add(long, 1);
        let cut = format!("corelane.r.route.{}:1|c", "x".repeat(VALUE_MAX));
        let text = said(&mut families, &registry, &[]);
        assert_eq!(text, format!("corelane.r.route.a_b_2:1|c\n{cut}"));
        assert_eq!(shortened(&"é".repeat(200)).len(), VALUE_MAX);
        assert_eq!(replaced("", fits_tag), "_");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut builder = Registry::builder();
        let ids: Vec<_> = (0..5).map(|n| builder.counter(&format!("c{n}"), "")).collect();
        let latency = builder.histogram("h", "", Unit::Nanoseconds);
        let values = ["v".repeat(90), "v".repeat(90)];
        let long = [("a", &*values[0]), ("b", &values[1]), ("c", &values[0]), ("d", &values[1])];
        let gauge = builder.gauge_with_labels("g", "", &long);
        let name = builder.counter(&"n".repeat(200), "");
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        let render = |lines_max, tags: &[(String, String)]| {
            let mut families = Families::new(&registry, StatsdFlavour::Dog, lines_max);
            ids.iter().for_each(|id| shard.add(*id, 1));
            shard.add(name, 1);
            shard.set(gauge, 1);
            shard.record(latency, 1);
            let mut encoder = StatsdEncoder::new("corelane", tags).unwrap();
            let omitted = families.render(&registry, &mut encoder);
            let lines = encoder.datagrams().flat_map(|d| d.split(|byte| *byte == b'\n')).count();
            (lines, omitted)
        };
        let tags = [("k".to_owned(), "v".repeat(300))];
        // Five counters and one whose name is cut, a gauge, six lines of the histogram.
        assert_eq!(render(usize::MAX, &[]), (13, 0));
        assert_eq!(render(usize::MAX, &tags), (12, 1));
        assert_eq!(render(8, &[]), (7, 1));
        assert_eq!(render(2, &[]), (2, 6));
    }

    /// Long names of routes are cut, never left out, and stay apart.
    #[test]
    fn names_of_any_length_are_reported() {
        let mut builder = Registry::builder();
        let name = "corelane_http_route_latency_nanoseconds";
        let routes = builder.histogram_family_with_capacity(name, "", Unit::None, "route", 300);
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        for flavour in [StatsdFlavour::Plain, StatsdFlavour::Dog] {
            let mut families = Families::new(&registry, flavour, LINES_MAX);
            for length in [70, 85, 86, 96, 97, 200, 5_000] {
                shard.record(routes.member(&"x".repeat(length)), 1);
            }
            let mut encoder = StatsdEncoder::new("corelane", &[]).unwrap();
            assert_eq!(families.render(&registry, &mut encoder), 0);
            let mut names: Vec<_> =
                encoder.datagrams().flat_map(|datagram| datagram.split(|b| *b == b'\n')).collect();
            let lines = names.len();
            names.sort_unstable();
            names.dedup();
            // Values of tags are cut at 96 bytes, and then numbered in the name.
            assert_eq!((lines, names.len()), (7 * 6, 7 * 6), "{flavour:?}");
        }
    }

    #[test]
    fn figures_of_the_process_are_reported_too() {
        let registry = Registry::builder().build().unwrap();
        let reloads = Arc::new(std::sync::atomic::AtomicU64::new(7));
        let told = reloads.clone();
        let read = move || {
            let mut builder = Registry::builder();
            let count = told.load(std::sync::atomic::Ordering::Relaxed);
            // It comes once there is something else before it: their numbers change.
            let labels = [("log", "access")];
            let log =
                (count > 7).then(|| builder.counter_with_labels("c_lines_total", "", &labels));
            let reloads = builder.counter("corelane_reloads_total", "");
            let limit = builder.gauge("corelane_limit", "");
            let figures = builder.build().unwrap();
            let shard = figures.shard(0).unwrap();
            shard.add(reloads, count);
            shard.set(limit, 9);
            log.into_iter().for_each(|log| shard.add(log, 100));
            figures.snapshot()
        };
        let families = Families::new(&registry, StatsdFlavour::Dog, LINES_MAX);
        let mut families = families.with_process(&registry, read);
        let text = said(&mut families, &registry, &[]);
        assert!(text.contains("corelane.limit:9|g\n") && !text.contains("reloads"), "{text}");
        for figure in ["resident_memory_bytes", "open_fds", "threads"] {
            let told = text.contains(&format!("corelane.process_{figure}:"));
            assert_eq!(told, cfg!(target_os = "linux"), "{figure}: {text}");
        }
        reloads.store(10, std::sync::atomic::Ordering::Relaxed);
        let text = said(&mut families, &registry, &[]);
        assert!(text.contains("corelane.reloads:3|c\n"), "{text}");
        assert!(text.contains("corelane.c_lines:100|c|#log:access\n"), "{text}");
    }
}
