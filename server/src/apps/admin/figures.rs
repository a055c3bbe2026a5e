//! Figures of the process, which no loop counts: read where they are kept, when somebody asks.

use std::sync::atomic::Ordering;

use corelane_metrics::{CounterId, GaugeId, RegistryBuilder, Snapshot};

use super::subject::Subject;

/// Counters and gauges with their values.
///
/// ```
/// use corelane::apps::admin::Figures;
///
/// let mut figures = Figures::default();
/// figures.counter("app_orders_total", "Orders.", &[("kind", "express")], 7);
/// figures.gauge("app_stock", "Items there are.", &[], 40);
/// let snapshot = figures.snapshot();
/// assert_eq!(snapshot.gauge("app_stock", &[]).map(|stock| stock.total()), Some(40));
/// ```
#[derive(Debug, Default)]
pub struct Figures {
    builder: RegistryBuilder,
    counters: Vec<(CounterId, u64)>,
    gauges: Vec<(GaugeId, i64)>,
}

/// A label and its value.
type Label<'a> = (&'a str, &'a str);

impl Figures {
    /// A count that only goes up, whose name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: u64) {
        let id = self.builder.counter_with_labels(name, help, labels);
        self.counters.push((id, value));
    }

    /// A level.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: u64) {
        let id = self.builder.gauge_with_labels(name, help, labels);
        self.gauges.push((id, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// All of them as series of one value. None, if a name is no name, or comes twice.
    pub fn snapshot(self) -> Snapshot {
        let registry = match self.builder.build() {
            Ok(registry) => registry,
            Err(error) => {
                tracing::error!(%error, "figures cannot be told");
                return Snapshot::default();
            }
        };
        if let Ok(shard) = registry.shard(0) {
            self.counters.iter().for_each(|&(id, value)| shard.add(id, value));
            self.gauges.iter().for_each(|&(id, value)| shard.set(id, value));
        }
        registry.snapshot()
    }
}

/// All there is to count of a server: by its loops, and of its process.
pub(super) fn all(subject: &Subject) -> Snapshot {
    let mut snapshot = subject.registry.snapshot();
    snapshot.append(&subject.of_process());
    snapshot
}

impl Subject {
    /// What no loop counts: limits, logs, reloads and what else its [figures](Subject::figures) tell. Takes
    /// a few microseconds.
    pub fn of_process(&self) -> Snapshot {
        let mut figures = Figures::default();
        of_process(self, &mut figures);
        for tell in &self.figures {
            tell(&mut figures);
        }
        figures.snapshot()
    }
}

fn of_process(subject: &Subject, figures: &mut Figures) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    figures.gauge("corelane_version", "Always 1; the label says what runs.", &version, 1);
    let limit = subject.open.limit() as u64;
    figures.gauge("corelane_connections_limit", "Connections there may be.", &[], limit);
    let stopping = u64::from(subject.stopping.load(Ordering::Relaxed));
    figures.gauge("corelane_stopping", "1 once the server is stopping.", &[], stopping);
    let used = subject.budget.used() as u64;
    figures.gauge("corelane_budget_used_bytes", "Memory of buffers, kept and in use.", &[], used);
    let limit = subject.budget.limit();
    if limit != usize::MAX {
        let help = "Memory that buffers may take.";
        figures.gauge("corelane_budget_limit_bytes", help, &[], limit as u64);
    }
    let mut lines = |log: &str, outcome: &str, count| {
        let labels = [("log", log), ("outcome", outcome)];
        figures.counter("corelane_log_lines_total", "Lines for logs.", &labels, count);
    };
    if let Some(log) = &subject.log {
        lines("program", "written", log.counts().written);
        lines("program", "dropped", log.counts().dropped);
    }
    if let Some(log) = subject.access_log.counts() {
        lines("access", "written", log.written);
        lines("access", "dropped", log.dropped);
        let help = "Failed writes of the access log.";
        figures.counter("corelane_access_log_errors_total", help, &[], log.errors);
    }
}
