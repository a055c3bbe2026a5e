//! All values of a registry at one time, as plain data.

use std::sync::Arc;

use crate::histogram::HistogramSnapshot;
use crate::process::ProcessFigures;
use crate::registry::{CounterId, Description, GaugeId, HistogramId, Schema, ShardCells, Shards};

/// All values of a [`crate::Registry`] at one time.
///
/// Values per loop are indexed by loop, 0 for a loop that never took its shard; totals have besides what
/// was counted [apart](crate::registry::APART) from loops. Series are in the
/// order of their declaration, members of a family with a capacity in the order they came, and
/// those that have not come yet are absent.
///
/// ```
/// use corelane_metrics::Registry;
///
/// let mut builder = Registry::builder();
/// let requests = builder.counter("requests_total", "Requests answered.");
/// let registry = builder.build()?;
/// let (first, second) = (registry.shard(0)?, registry.shard(1)?);
/// first.add(requests, 10);
/// let before = registry.snapshot();
/// first.add(requests, 1);
/// second.add(requests, 4);
///
/// let grown = registry.snapshot().delta(&before);
/// let requests = grown.counter("requests_total", &[]).expect("it is declared above");
/// assert_eq!(requests.per_loop(), [1, 4]);
/// assert_eq!(requests.total(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    loops: usize,
    counters: Vec<Series<u64>>,
    gauges: Vec<Series<i64>>,
    histograms: Vec<HistogramSeries>,
}

impl Snapshot {
    pub(crate) fn read(schema: &Schema, shards: &Shards) -> Self {
        let counter = |(cell, description): (u32, Arc<Description>)| {
            Series::read(shards, cell, description, |cells| cells.counter(cell as usize))
        };
        let gauge = |(cell, description): (u32, Arc<Description>)| {
            Series::read(shards, cell, description, |cells| cells.gauge(cell as usize))
        };
        let histogram = |(cell, description): (u32, Arc<Description>)| {
            let value = |cells: &ShardCells| cells.histogram(cell as usize);
            let of = |shard: &Option<ShardCells>| shard.as_ref().map(value).unwrap_or_default();
            let apart = of(&shards.apart);
            HistogramSeries::new(cell, description, shards.loops.iter().map(of), apart)
        };
        Self {
            loops: shards.loops.len(),
            counters: schema.counters.present().into_iter().map(counter).collect(),
            gauges: schema.gauges.present().into_iter().map(gauge).collect(),
            histograms: schema.histograms.present().into_iter().map(histogram).collect(),
        }
    }

    /// Puts the counters and gauges of another registry behind these: figures of the process, which no
    /// loop has. Their totals stay; they have no values per loop, and no ids here.
    ///
    /// ```
    /// use corelane_metrics::Registry;
    ///
    /// let mut builder = Registry::builder();
    /// let reloads = builder.counter("reloads_total", "Reloads.");
    /// let of_process = builder.build()?;
    /// of_process.shard(0)?.add(reloads, 3);
    ///
    /// let mut snapshot = Registry::builder().build()?.snapshot();
    /// snapshot.append(&of_process.snapshot());
    /// let reloads = snapshot.counter("reloads_total", &[]).expect("it was appended");
    /// assert_eq!((reloads.total(), reloads.per_loop()), (3, &[][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&mut self, other: &Self) {
        self.counters.extend(other.counters.iter().map(|series| series.apart(series.total())));
        self.gauges.extend(other.gauges.iter().map(|series| series.apart(series.total())));
    }

    /// Puts what the process uses behind these, as far as it is known: gauges under the names that
    /// Prometheus has for them, and processor time as a counter of whole milliseconds.
    pub(crate) fn append_process(&mut self, process: &ProcessFigures) {
        let describe = |name: &str| Arc::new(Description::alone(name));
        let gauges = [
            ("process_resident_memory_bytes", process.memory_resident),
            ("process_resident_memory_max_bytes", process.memory_resident_max),
            ("process_open_fds", process.descriptors_open),
            ("process_max_fds", process.descriptors_limit),
            ("process_threads", process.threads),
        ];
        for (name, value) in gauges {
            let Some(value) = value else { continue };
            let apart = i64::try_from(value).unwrap_or(i64::MAX);
            let (cell, per_loop, description) = (APPENDED, Vec::new(), describe(name));
            self.gauges.push(Series { cell, description, per_loop, apart });
        }
        for (name, time) in [
            ("process_cpu_user_milliseconds_total", process.cpu_user),
            ("process_cpu_system_milliseconds_total", process.cpu_system),
        ] {
            let Some(time) = time else { continue };
            let apart = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let (cell, per_loop, description) = (APPENDED, Vec::new(), describe(name));
            self.counters.push(Series { cell, description, per_loop, apart });
        }
    }

    /// The number of loops: one more than the highest index whose shard was ever taken.
    pub fn loops(&self) -> usize {
        self.loops
    }

    /// All counters.
    pub fn counters(&self) -> &[Series<u64>] {
        &self.counters
    }

    /// All gauges.
    pub fn gauges(&self) -> &[Series<i64>] {
        &self.gauges
    }

    /// All histograms.
    pub fn histograms(&self) -> &[HistogramSeries] {
        &self.histograms
    }

    /// The counter of that name with exactly those labels.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Series<u64>> {
        self.counters.iter().find(|series| series.description.is(name, labels))
    }

    /// The gauge of that name with exactly those labels.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Series<i64>> {
        self.gauges.iter().find(|series| series.description.is(name, labels))
    }

    /// The histogram of that name with exactly those labels.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Option<&HistogramSeries> {
        self.histograms.iter().find(|series| series.description.is(name, labels))
    }

    /// The counter of that id; `None` if another registry declared it, or it is a member of a family
    /// that came after the snapshot.
    pub fn counter_by_id(&self, id: CounterId) -> Option<&Series<u64>> {
        self.counters.get(place(&self.counters, id.index(), |series| series.cell)?)
    }

    /// The gauge of that id; `None` as for [`Self::counter_by_id`].
    pub fn gauge_by_id(&self, id: GaugeId) -> Option<&Series<i64>> {
        self.gauges.get(place(&self.gauges, id.index(), |series| series.cell)?)
    }

    /// The histogram of that id; `None` as for [`Self::counter_by_id`].
    pub fn histogram_by_id(&self, id: HistogramId) -> Option<&HistogramSeries> {
        self.histograms.get(place(&self.histograms, id.index(), |series| series.cell)?)
    }

    /// What happened between an earlier snapshot of the same registry and this one: counters and
    /// histograms grow by the difference, gauges keep the level of this one.
    #[must_use]
    pub fn delta(&self, earlier: &Self) -> Self {
        let counters = self.counters.iter().map(|series| series.since(earlier.before(series)));
        let histograms = self.histograms.iter().map(|series| {
            match place(&earlier.histograms, series.cell as usize, |series| series.cell) {
                Some(before) => series.since(&earlier.histograms[before]),
                None => series.clone(),
            }
        });
        Self {
            loops: self.loops,
            counters: counters.collect(),
            gauges: self.gauges.clone(),
            histograms: histograms.collect(),
        }
    }
}

impl Snapshot {
    /// The same counter in this earlier snapshot.
    fn before(&self, series: &Series<u64>) -> Option<&Series<u64>> {
        if series.cell < APPENDED {
            return self
                .counters
                .get(place(&self.counters, series.cell as usize, |series| series.cell)?);
        }
        // Appended ones are not declared once and for all: their numbers may differ from time to time.
        let same = |other: &&Series<u64>| {
            other.cell >= APPENDED && other.description == series.description
        };
        self.counters.iter().find(same)
    }
}

/// Where among `series`, which are in the order of their cells, the one of that cell is.
fn place<S>(series: &[S], cell: usize, cell_of: impl Fn(&S) -> u32) -> Option<usize> {
    series.binary_search_by_key(&cell, |series| cell_of(series) as usize).ok()
}

/// The values of one counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series<T> {
    /// Its index among the cells of its kind.
    cell: u32,
    description: Arc<Description>,
    per_loop: Vec<T>,
    /// What no loop has.
    apart: T,
}

/// The first cell of series that were appended: no cell of a registry is so high.
const APPENDED: u32 = 1 << 31;

impl<T: Default> Series<T> {
    fn read(
        shards: &Shards,
        cell: u32,
        description: Arc<Description>,
        value: impl Fn(&ShardCells) -> T,
    ) -> Self {
        let of = |shard: &Option<ShardCells>| shard.as_ref().map(&value).unwrap_or_default();
        let per_loop = shards.loops.iter().map(of).collect();
        Self { cell, description, per_loop, apart: of(&shards.apart) }
    }
}

impl<T> Series<T> {
    /// Name, labels, help and unit.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The value of each loop; none, of a figure that no loop has.
    pub fn per_loop(&self) -> &[T] {
        &self.per_loop
    }

    /// The same with this value, which no loop has.
    fn apart(&self, apart: T) -> Self {
        let cell = self.cell | APPENDED;
        Self { cell, description: Arc::clone(&self.description), per_loop: Vec::new(), apart }
    }
}

impl Series<u64> {
    /// The sum over all loops, and over what is no loop.
    pub fn total(&self) -> u64 {
        self.per_loop.iter().fold(self.apart, |total, value| total.wrapping_add(*value))
    }

    fn since(&self, before: Option<&Self>) -> Self {
        let then = before.into_iter().flat_map(|before| before.per_loop.iter().copied());
        let pairs = self.per_loop.iter().zip(then.chain(std::iter::repeat(0)));
        Self {
            cell: self.cell,
            description: Arc::clone(&self.description),
            per_loop: pairs.map(|(now, then)| now.saturating_sub(then)).collect(),
            apart: self.apart.saturating_sub(before.map_or(0, |before| before.apart)),
        }
    }
}

impl Series<i64> {
    /// The sum over all loops, and over what is no loop.
    pub fn total(&self) -> i64 {
        self.per_loop.iter().fold(self.apart, |total, value| total.wrapping_add(*value))
    }
}

/// The values of one histogram, merged over all loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSeries {
    /// Its index among the cells of histograms.
    cell: u32,
    description: Arc<Description>,
    merged: HistogramSnapshot,
    counts: Vec<u64>,
}

impl HistogramSeries {
    fn new(
        cell: u32,
        description: Arc<Description>,
        per_loop: impl Iterator<Item = HistogramSnapshot>,
        apart: HistogramSnapshot,
    ) -> Self {
        let mut merged = apart;
        let counts = per_loop
            .map(|snapshot| {
                merged.merge(&snapshot);
                snapshot.count()
            })
            .collect();
        Self { cell, description, merged, counts }
    }

    /// Name, labels, help and unit.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// All loops together.
    pub fn merged(&self) -> &HistogramSnapshot {
        &self.merged
    }

    /// How many values each loop recorded.
    pub fn count_per_loop(&self) -> &[u64] {
        &self.counts
    }

    fn since(&self, before: &Self) -> Self {
        let then = before.counts.iter().copied().chain(std::iter::repeat(0));
        Self {
            cell: self.cell,
            description: Arc::clone(&self.description),
            merged: self.merged.delta(&before.merged),
            counts: self.counts.iter().zip(then).map(|(now, t)| now.saturating_sub(t)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::histogram::HistogramSnapshot;
    use crate::registry::{Registry, Unit};

    #[test]
    fn shards_add_up_and_untaken_loops_are_zero() {
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "Requests.");
        let open = builder.gauge("open", "Open connections.");
        let latency = builder.histogram("latency", "Latency.", Unit::Nanoseconds);
        let registry = builder.build().unwrap();
        let mut expected = HistogramSnapshot::default();
        for (index, value) in [(0, 10), (2, 3_000)] {
            let shard = registry.shard(index).unwrap();
            shard.add(requests, value);
            shard.set(open, value as i64 - 20);
            shard.record_n(latency, value, 5);
            expected.record_n(value, 5);
        }

        let snapshot = registry.snapshot();
        assert_eq!(snapshot.loops(), 3);
        assert_eq!(snapshot.counter_by_id(requests).unwrap().per_loop(), [10, 0, 3_000]);
        assert_eq!(snapshot.counter_by_id(requests).unwrap().total(), 3_010);
        assert_eq!(snapshot.gauge("open", &[]).unwrap().per_loop(), [-10, 0, 2_980]);
        assert_eq!(snapshot.gauge_by_id(open).unwrap().total(), 2_970);
        let latency = snapshot.histogram_by_id(latency).unwrap();
        assert_eq!(latency.merged(), &expected);
        assert_eq!(latency.count_per_loop(), [5, 0, 5]);
        assert_eq!(latency.description().unit, Unit::Nanoseconds);
        assert_eq!(snapshot.histogram("latency", &[("x", "y")]), None);
        assert_eq!(snapshot.counters().len(), 1);
    }

    #[test]
    fn a_delta_counts_loops_that_came_later() {
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let latency = builder.histogram("latency", "", Unit::Nanoseconds);
        let registry = builder.build().unwrap();
        let first = registry.shard(0).unwrap();
        first.add(requests, 7);
        first.record(latency, 100);
        let before = registry.snapshot();
        let second = registry.shard(1).unwrap();
        second.add(requests, 2);
        second.record(latency, 200);

        let delta = registry.snapshot().delta(&before);
        assert_eq!(delta.counter("requests", &[]).unwrap().per_loop(), [0, 2]);
        let latency = delta.histogram("latency", &[]).unwrap();
        assert_eq!(latency.count_per_loop(), [0, 1]);
        assert_eq!((latency.merged().count(), latency.merged().sum()), (1, 200));
    }

    #[test]
    fn snapshots_while_loops_count_are_monotonic_and_the_last_is_exact() {
        const TURNS: u64 = 50_000;
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let latency = builder.histogram("latency", "", Unit::Nanoseconds);
        let registry = builder.build().unwrap();
        let mut last = registry.snapshot();
        std::thread::scope(|scope| {
            let loops: Vec<_> = (0..2)
                .map(|index| {
                    let shard = registry.shard(index).unwrap();
                    scope.spawn(move || {
                        for turn in 0..TURNS {
                            shard.add(requests, 1);
                            shard.record(latency, turn);
                        }
                    })
                })
                .collect();
            while !loops.iter().all(|thread| thread.is_finished()) {
                let now = registry.snapshot();
                let total = |s: &super::Snapshot| s.counter_by_id(requests).unwrap().total();
                assert!(total(&now) >= total(&last));
                let count =
                    |s: &super::Snapshot| s.histogram_by_id(latency).unwrap().merged().count();
                assert!(count(&now) >= count(&last));
                last = now;
            }
        });
        let done = registry.snapshot();
        assert_eq!(done.counter_by_id(requests).unwrap().per_loop(), [TURNS, TURNS]);
        let merged = done.histogram_by_id(latency).unwrap().merged();
        assert_eq!((merged.count(), merged.sum()), (2 * TURNS, TURNS * (TURNS - 1)));
    }
}
