//! The set of metrics of a process, and each loop's own cells in it.
//!
//! 1. [`RegistryBuilder`]: at the start, metrics are declared; each gets an id.
//! 2. [`Registry::shard`]: each loop takes its [`Shard`], the handle through which it counts. Its
//!    counters and gauges are allocated here, on cache lines that no other loop writes to; each
//!    histogram at its first value. Nothing else allocates, and nothing locks.
//! 3. [`Registry::snapshot`]: anyone reads, at any time, without stopping a loop.
//!
//! When a loop dies, its shard is dropped but its cells stay, so that totals never go down; the
//! loop that replaces it takes them over and counts on. Members of a [`CounterFamily`] or
//! [`HistogramFamily`] may come at any time: their cells are reserved at the declaration.

use std::cell::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam::utils::CachePadded;

use crate::counter::{SingleWriter, add_as_owner};
use crate::histogram::{HistogramCells, HistogramSnapshot};
use crate::snapshot::Snapshot;

mod builder;
mod family;
mod naming;

pub(crate) use builder::Schema;
pub use builder::{DeclareError, Description, RegistryBuilder, SERIES_MAX, Unit};
pub use family::{CounterFamily, HistogramFamily, OTHER};
pub(crate) use naming::{Kind, Naming};

/// The highest number of shards, which bounds what a mistaken loop index could allocate.
pub const SHARDS_MAX: usize = 4_096;

/// The index of the shard of what is no loop: a thread that accepts for all loops, say. What is counted
/// there is in every total, and not among the values per loop.
pub const APART: usize = usize::MAX;

const CELLS_PER_LINE: usize = 16;

/// Counters or gauges of one shard, by 128 bytes: x86-64 fetches cache lines in pairs.
type Line = CachePadded<[AtomicU64; CELLS_PER_LINE]>;

/// Names a counter of the registry that declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterId(u32);

impl CounterId {
    /// The index of its cell among those of counters, in order of declaration.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names a gauge of the registry that declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GaugeId(u32);

impl GaugeId {
    /// The index of its cell among those of gauges, in order of declaration.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names a histogram of the registry that declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistogramId(u32);

impl HistogramId {
    /// The index of its cell among those of histograms, in order of declaration.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All metrics of a process. Share it by `Arc`; declare it by [`Registry::builder`].
///
/// ```
/// use corelane_metrics::{Registry, Unit};
///
/// let mut builder = Registry::builder();
/// let requests = builder.counter("corelane_requests_total", "Requests answered.");
/// let latency = builder.histogram("corelane_latency_ns", "Time to answer.", Unit::Nanoseconds);
/// let registry = builder.build()?;
///
/// let shard = registry.shard(0)?;
/// std::thread::spawn(move || {
///     shard.add(requests, 1);
///     shard.record(latency, 18_000);
/// })
/// .join()
/// .expect("the loop ends");
///
/// let snapshot = registry.snapshot();
/// assert_eq!(snapshot.counter("corelane_requests_total", &[]).map(|c| c.total()), Some(1));
/// assert_eq!(registry.counter_total(requests), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registry {
    schema: Schema,
    /// Locked to add a shard and to read them all, never to count.
    shards: Mutex<Shards>,
}

/// The shards that were ever taken.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    /// By loop index.
    pub(crate) loops: Vec<Option<ShardCells>>,
    /// That of [`APART`].
    pub(crate) apart: Option<ShardCells>,
}

impl Shards {
    fn all(&self) -> impl Iterator<Item = &ShardCells> {
        self.loops.iter().flatten().chain(&self.apart)
    }
}

impl Registry {
    /// Starts the declaration of a registry.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, shards: Mutex::default() }
    }

    /// The handle through which loop `index` counts, or what is no loop, for [`APART`]; until it is
    /// dropped. Taken again after that, by a restarted loop for instance, it counts on from where the
    /// last owner stopped.
    ///
    /// Allocates the cells when the index is used for the first time: 8 bytes per counter and
    /// gauge, rounded up to 128, and 24 bytes per histogram. The 18.6 KiB of a histogram are
    /// allocated when its first value is recorded.
    ///
    /// # Errors
    ///
    /// [`ShardError::InUse`] while another handle for `index` exists, [`ShardError::TooMany`] from
    /// [`SHARDS_MAX`] on.
    pub fn shard(&self, index: usize) -> Result<Shard, ShardError> {
        let mut shards = self.lock();
        let place = match index {
            APART => &mut shards.apart,
            SHARDS_MAX.. => return Err(ShardError::TooMany { index }),
            _ => {
                if shards.loops.len() <= index {
                    shards.loops.resize_with(index + 1, || None);
                }
                &mut shards.loops[index]
            }
        };
        let cells = place.get_or_insert_with(|| ShardCells::new(&self.schema));
        // Acquire pairs with the release in `Shard::drop`: the new owner continues from the last
        // stores of the old one, whichever threads they are on.
        if cells.taken.swap(true, Ordering::Acquire) {
            return Err(ShardError::InUse { index });
        }
        let histograms = cells.histograms.iter().map(|_| OnceCell::new()).collect();
        Ok(Shard { index, cells: cells.clone(), histograms, writer: SingleWriter::default() })
    }

    /// All values now, per loop and together, without stopping a loop.
    ///
    /// Cells are read one after the other while loops count on, so two of them may disagree by
    /// what happened in between; successive snapshots never go down. Takes about two microseconds per
    /// loop and histogram that has values.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::read(&self.schema, &self.lock())
    }

    /// The total of one counter over all loops: what [`Self::snapshot`] would say, cheaper.
    ///
    /// # Panics
    ///
    /// If another registry declared `id`.
    pub fn counter_total(&self, id: CounterId) -> u64 {
        let shards = self.lock();
        assert!(id.index() < self.schema.counters.cells(), "another registry declared {id:?}");
        shards.all().fold(0, |sum, cells| sum.wrapping_add(cells.counter(id.index())))
    }

    /// The sum of one gauge over all loops.
    ///
    /// # Panics
    ///
    /// If another registry declared `id`.
    pub fn gauge_total(&self, id: GaugeId) -> i64 {
        let shards = self.lock();
        assert!(id.index() < self.schema.gauges.cells(), "another registry declared {id:?}");
        shards.all().fold(0, |sum, cells| sum.wrapping_add(cells.gauge(id.index())))
    }

    /// One histogram, merged over all loops.
    ///
    /// # Panics
    ///
    /// If another registry declared `id`.
    pub fn histogram_merged(&self, id: HistogramId) -> HistogramSnapshot {
        let shards = self.lock();
        assert!(id.index() < self.schema.histograms.cells(), "another registry declared {id:?}");
        let mut merged = HistogramSnapshot::default();
        shards.all().for_each(|cells| merged.merge(&cells.histogram(id.index())));
        merged
    }

    fn lock(&self) -> MutexGuard<'_, Shards> {
        // They are consistent between any two statements: a panic elsewhere does not spoil it.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One loop's cells, as the registry and the owner both hold them.
#[derive(Clone, Debug)]
pub(crate) struct ShardCells {
    counters: Arc<[Line]>,
    gauges: Arc<[Line]>,
    /// Each made by the owner at its first value.
    histograms: Arc<[OnceLock<Arc<CachePadded<HistogramCells>>>]>,
    taken: Arc<AtomicBool>,
}

impl ShardCells {
    fn new(schema: &Schema) -> Self {
        Self {
            counters: lines(schema.counters.cells()),
            gauges: lines(schema.gauges.cells()),
            histograms: (0..schema.histograms.cells()).map(|_| OnceLock::new()).collect(),
            taken: Arc::default(),
        }
    }

    pub(crate) fn counter(&self, index: usize) -> u64 {
        cell(&self.counters, index).load(Ordering::Relaxed)
    }

    /// Gauges are kept as the bits of an `i64`.
    pub(crate) fn gauge(&self, index: usize) -> i64 {
        cell(&self.gauges, index).load(Ordering::Relaxed) as i64
    }

    /// Empty while it has no value.
    pub(crate) fn histogram(&self, index: usize) -> HistogramSnapshot {
        self.histograms[index].get().map(|cells| cells.snapshot()).unwrap_or_default()
    }
}

fn lines(cells: usize) -> Arc<[Line]> {
    (0..cells.div_ceil(CELLS_PER_LINE)).map(|_| Line::default()).collect()
}

#[inline(always)]
fn cell(lines: &[Line], index: usize) -> &AtomicU64 {
    &lines[index / CELLS_PER_LINE][index % CELLS_PER_LINE]
}

/// One loop's handle to its own cells: it can move to the loop's thread, and only one exists.
///
/// Its methods panic when the id comes from another registry and lies outside this one's; an id
/// that happens to lie inside counts for the wrong metric, but never touches another loop's cells.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    cells: ShardCells,
    /// Those of `cells` that this owner has recorded in: found by one load and a test, where what
    /// may be made by any thread takes two of each.
    histograms: Box<[OnceCell<Arc<CachePadded<HistogramCells>>>]>,
    writer: SingleWriter,
}

impl Shard {
    /// The index of the loop it was taken for.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Adds to a counter. Wraps at 2⁶⁴.
    #[inline]
    pub fn add(&self, id: CounterId, count: u64) {
        add_as_owner(cell(&self.cells.counters, id.index()), count);
    }

    /// Sets this loop's level of a gauge.
    #[inline]
    pub fn set(&self, id: GaugeId, level: i64) {
        cell(&self.cells.gauges, id.index()).store(level as u64, Ordering::Relaxed);
    }

    /// Sets this loop's level of every gauge to 0: for the successor of a loop that died, whose levels
    /// are of things that are no more. Totals of counters and histograms stay.
    pub fn clear_gauges(&self) {
        for cell in self.cells.gauges.iter().flat_map(|line| line.iter()) {
            cell.store(0, Ordering::Relaxed);
        }
    }

    /// Moves this loop's level of a gauge up, or down when `change` is negative.
    #[inline]
    pub fn shift(&self, id: GaugeId, change: i64) {
        // Two's complement: adding the bits is adding the numbers.
        add_as_owner(cell(&self.cells.gauges, id.index()), change as u64);
    }

    /// Records one value, in the histogram's unit.
    #[inline]
    pub fn record(&self, id: HistogramId, value: u64) {
        self.record_n(id, value, 1);
    }

    /// Records `count` times the same value, at the cost of one: all replies of one flush, say.
    ///
    /// The first call for a histogram allocates its 18.6 KiB.
    #[inline]
    pub fn record_n(&self, id: HistogramId, value: u64, count: u64) {
        match self.histograms[id.index()].get() {
            Some(cells) => cells.record_as_owner(value, count),
            None => self.record_first(id, value, count),
        }
    }

    #[cold]
    fn record_first(&self, id: HistogramId, value: u64, count: u64) {
        let made = || Arc::clone(self.cells.histograms[id.index()].get_or_init(Arc::default));
        self.histograms[id.index()].get_or_init(made).record_as_owner(value, count);
    }

    /// This loop's own value of a counter.
    #[inline]
    pub fn counter(&self, id: CounterId) -> u64 {
        self.cells.counter(id.index())
    }

    /// How many values this loop itself has recorded in a histogram. Reads all its buckets: about two
    /// microseconds.
    pub fn histogram_count(&self, id: HistogramId) -> u64 {
        self.cells.histogram(id.index()).count()
    }

    /// This loop's own level of a gauge.
    #[inline]
    pub fn gauge(&self, id: GaugeId) -> i64 {
        self.cells.gauge(id.index())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.cells.taken.store(false, Ordering::Release);
    }
}

/// Why a loop did not get its shard. Always a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardError {
    /// The loop's previous handle still exists.
    InUse {
        /// The loop's index.
        index: usize,
    },
    /// The index is not below [`SHARDS_MAX`].
    TooMany {
        /// The loop's index.
        index: usize,
    },
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { index } => write!(
                f,
                "metrics shard {index} is in use: drop the handle of the loop that had it first"
            ),
            Self::TooMany { index } => write!(
                f,
                "metrics shard {index} is out of range: number loops from 0 to {}",
                SHARDS_MAX - 1
            ),
        }
    }
}

impl std::error::Error for ShardError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn send<T: Send>(_: &T) {}

    #[test]
    fn a_shard_has_one_owner_at_a_time_and_keeps_its_counts() {
        let mut builder = Registry::builder();
        let requests = builder.counter("requests", "");
        let open = builder.gauge("open", "");
        let registry = builder.build().unwrap();

        let shard = registry.shard(1).unwrap();
        send(&shard);
        assert_eq!(shard.index(), 1);
        assert_eq!(registry.shard(1).unwrap_err(), ShardError::InUse { index: 1 });
        let died = std::thread::spawn(move || {
            shard.add(requests, 5);
            shard.shift(open, -2);
            panic!("the loop dies");
        });
        assert!(died.join().is_err());
        assert_eq!(registry.counter_total(requests), 5);

        let restarted = registry.shard(1).unwrap();
        restarted.add(requests, 1);
        restarted.shift(open, 1);
        assert_eq!((restarted.counter(requests), restarted.gauge(open)), (6, -1));
        assert_eq!((registry.counter_total(requests), registry.gauge_total(open)), (6, -1));
    }

    #[test]
    fn a_histogram_is_made_at_its_first_value_and_goes_to_the_next_owner() {
        let mut builder = Registry::builder();
        let [used, unused] = builder.histogram_family("h", "", Unit::None, "kind", ["a", "b"]);
        let registry = builder.build().unwrap();
        let made = |index: usize, id: HistogramId| {
            registry.lock().loops[index].as_ref().unwrap().histograms[id.index()].get().is_some()
        };
        let _idle = registry.shard(0).unwrap();
        for count in 1..=2 {
            let shard = registry.shard(1).unwrap();
            assert_eq!(made(1, used), count == 2);
            shard.record(used, 10);
            shard.record_n(used, 20, 2);
            assert_eq!(registry.histogram_merged(used).count(), 3 * count);
            assert_eq!(
                (shard.histogram_count(used), shard.histogram_count(unused)),
                (3 * count, 0)
            );
        }
        assert_eq!([made(0, used), made(0, unused), made(1, unused)], [false; 3]);
        assert!(registry.histogram_merged(unused).is_empty());
        let per_loop = registry.snapshot().histogram_by_id(used).unwrap().count_per_loop().to_vec();
        assert_eq!(per_loop, [0, 6]);
    }

    #[test]
    fn what_is_no_loop_counts_into_totals_only() {
        let mut builder = Registry::builder();
        let refused = builder.counter("refused", "");
        let waiting = builder.gauge("waiting", "");
        let time = builder.histogram("time", "", Unit::None);
        let registry = builder.build().unwrap();
        let (lane, apart) = (registry.shard(0).unwrap(), registry.shard(APART).unwrap());
        assert_eq!(registry.shard(APART).unwrap_err(), ShardError::InUse { index: APART });
        let before = registry.snapshot();
        for shard in [&lane, &apart, &apart] {
            shard.add(refused, 1);
            shard.shift(waiting, 1);
            shard.record(time, 7);
        }
        assert_eq!((registry.counter_total(refused), registry.gauge_total(waiting)), (3, 3));
        assert_eq!(registry.histogram_merged(time).count(), 3);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.loops(), 1);
        for snapshot in [snapshot.delta(&before), snapshot] {
            let counter = snapshot.counter_by_id(refused).unwrap();
            assert_eq!((counter.total(), counter.per_loop()), (3, &[1][..]));
            let gauge = snapshot.gauge_by_id(waiting).unwrap();
            assert_eq!((gauge.total(), gauge.per_loop()), (3, &[1][..]));
            let histogram = snapshot.histogram_by_id(time).unwrap();
            assert_eq!((histogram.merged().count(), histogram.count_per_loop()), (3, &[1][..]));
        }
    }

    #[test]
    fn the_levels_of_a_loop_that_died_can_be_cleared() {
        let mut builder = Registry::builder();
        let open: Vec<_> = (0..40).map(|n| builder.gauge(&format!("g{n}"), "")).collect();
        let requests = builder.counter("requests", "");
        let registry = builder.build().unwrap();
        let (died, other) = (registry.shard(0).unwrap(), registry.shard(1).unwrap());
        for shard in [&died, &other] {
            open.iter().for_each(|id| shard.set(*id, 3));
            shard.add(requests, 1);
        }
        died.clear_gauges();
        assert!(open.iter().all(|id| registry.gauge_total(*id) == 3), "the other's stay");
        assert_eq!(registry.counter_total(requests), 2);
    }

    #[test]
    fn the_number_of_shards_is_limited() {
        let registry = Registry::builder().build().unwrap();
        assert!(registry.shard(SHARDS_MAX - 1).is_ok());
        let error = registry.shard(SHARDS_MAX).unwrap_err();
        assert_eq!(error, ShardError::TooMany { index: SHARDS_MAX });
        assert!(error.to_string().contains("number loops from 0 to 4095"));
    }

    #[test]
    fn every_id_has_its_own_cell() {
        let mut builder = Registry::builder();
        let ids: Vec<_> = (0..40).map(|n| builder.counter(&format!("c{n}"), "")).collect();
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        ids.iter().zip(1..).for_each(|(id, count)| shard.add(*id, count));
        for (id, count) in ids.iter().zip(1..) {
            assert_eq!(registry.counter_total(*id), count);
        }
    }

    #[test]
    #[should_panic(expected = "another registry")]
    fn an_id_of_another_registry_is_noticed() {
        let mut builder = Registry::builder();
        let id = builder.counter("requests", "");
        builder.build().unwrap();
        Registry::builder().build().unwrap().counter_total(id);
    }
}
