#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod counter;
pub mod expose;
pub mod heat;
pub mod histogram;
pub mod process;
pub mod registry;
pub mod snapshot;

pub use counter::{Counter, CounterReader, Gauge, GaugeReader};
pub use heat::{HeatMap, HeatSampler};
pub use histogram::{Bucket, BucketsError, Histogram, HistogramReader, HistogramSnapshot};
pub use process::ProcessFigures;
pub use registry::{
    CounterFamily, CounterId, DeclareError, Description, GaugeId, HistogramFamily, HistogramId,
    Registry, RegistryBuilder, Shard, ShardError, Unit,
};
pub use snapshot::{HistogramSeries, Series, Snapshot};

/// False in builds that measure what metrics cost (`RUSTFLAGS="--cfg corelane_unmetered"`), in which
/// whoever counts each request or turn leaves that out.
pub const METERED: bool = !cfg!(corelane_unmetered);
