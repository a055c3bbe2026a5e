//! Counting and recording, beside the usual ways to do it.
//!
//! `counter, 2 threads` is the cost of one addition on the measured thread while a second thread
//! adds all the time; the other groups run on one thread alone.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelane_metrics::{Counter, Histogram, HistogramSnapshot, ProcessFigures, Registry, Unit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::utils::CachePadded;
use prometheus_client::metrics::counter::Counter as PrometheusCounter;
use prometheus_client::metrics::histogram::Histogram as PrometheusHistogram;
use prometheus_client::metrics::histogram::exponential_buckets;

/// Values recorded per sample: as many as keep the loop's own cost and the clock's out of sight.
const VALUES: usize = 4_096;

/// Latencies as a server sees them: most near 20 µs, a long tail to some milliseconds.
fn latencies() -> Vec<u64> {
    // A linear congruential generator (Knuth's MMIX constants): the same values in every run.
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..VALUES)
        .map(|_| match next() % 100 {
            0 => 1_000_000 + next() % 4_000_000,
            1..=9 => 50_000 + next() % 200_000,
            _ => 15_000 + next() % 10_000,
        })
        .collect()
}

fn counter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("counter");
    let ours = Counter::new();
    group.bench_function("corelane", |bencher| bencher.iter(|| black_box(&ours).add(1)));
    let mut builder = Registry::builder();
    let [.., id] = std::array::from_fn::<_, 20, _>(|n| builder.counter(&format!("c{n}"), ""));
    let registry = builder.build().expect("the names are valid");
    let shard = registry.shard(0).expect("the shard is free");
    group.bench_function("corelane shard", |bencher| {
        bencher.iter(|| black_box(&shard).add(black_box(id), 1));
    });
    let atomic = AtomicU64::new(0);
    group.bench_function("fetch_add", |bencher| {
        bencher.iter(|| black_box(&atomic).fetch_add(1, Ordering::Relaxed));
    });
    let theirs: PrometheusCounter = PrometheusCounter::default();
    group.bench_function("prometheus-client", |bencher| bencher.iter(|| black_box(&theirs).inc()));
    group.finish();
}

fn counter_two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("counter, 2 threads");
    group.bench_function("corelane", |bencher| {
        bencher.iter_custom(|rounds| {
            let (mine, other) = (Counter::new(), Counter::new());
            beside(rounds, || black_box(&mine).add(1), move || black_box(&other).add(1))
        });
    });
    group.bench_function("fetch_add padded", |bencher| {
        let cells = [(); 2].map(|()| CachePadded::new(AtomicU64::new(0)));
        let add = |cell: &AtomicU64| _ = black_box(cell).fetch_add(1, Ordering::Relaxed);
        bencher.iter_custom(|rounds| beside(rounds, || add(&cells[0]), || add(&cells[1])));
    });
    group.bench_function("fetch_add shared", |bencher| {
        let cell = CachePadded::new(AtomicU64::new(0));
        let add = || _ = black_box(&cell).fetch_add(1, Ordering::Relaxed);
        bencher.iter_custom(|rounds| beside(rounds, add, add));
    });
    group.finish();
}

/// The time `rounds` calls of `measured` take while another thread calls `other` all the time.
fn beside(rounds: u64, measured: impl Fn(), other: impl Fn() + Send) -> Duration {
    let (running, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (running, done) = (&running, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                (0..64).for_each(|_| other());
                running.store(true, Ordering::Relaxed);
            }
        });
        while !running.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        for _ in 0..rounds {
            measured();
        }
        let elapsed = start.elapsed();
        done.store(true, Ordering::Relaxed);
        elapsed
    })
}

fn histogram_record(criterion: &mut Criterion) {
    let values = latencies();
    let mut group = criterion.benchmark_group("histogram record");
    group.throughput(Throughput::Elements(VALUES as u64));
    let ours = Histogram::new();
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| values.iter().for_each(|value| black_box(&ours).record(*value)));
    });
    let mut builder = Registry::builder();
    let id = builder.histogram("latency", "", Unit::Nanoseconds);
    let registry = builder.build().expect("the name is valid");
    let shard = registry.shard(0).expect("the shard is free");
    group.bench_function("corelane shard", |bencher| {
        bencher.iter(|| values.iter().for_each(|value| black_box(&shard).record(id, *value)));
    });
    let mut theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2)
        .expect("the bounds are valid");
    group.bench_function("hdrhistogram", |bencher| {
        bencher.iter(|| {
            values.iter().for_each(|value| black_box(&mut theirs).saturating_record(*value));
        });
    });
    // Twelve buckets that double from 10 µs on: the usual choice, far coarser than the others.
    let prometheus = PrometheusHistogram::new(exponential_buckets(1e-5, 2.0, 12));
    group.bench_function("prometheus-client", |bencher| {
        bencher.iter(|| {
            values.iter().for_each(|value| black_box(&prometheus).observe(*value as f64 * 1e-9));
        });
    });
    group.finish();
}

fn histogram_merge(criterion: &mut Criterion) {
    let mut ours = HistogramSnapshot::default();
    let mut theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2)
        .expect("the bounds are valid");
    for value in latencies() {
        ours.record_n(value, 1);
        theirs.saturating_record(value);
    }
    let mut group = criterion.benchmark_group("histogram merge");
    group.bench_function("corelane", |bencher| {
        let into = || ours.clone();
        bencher.iter_batched_ref(into, |into| into.merge(black_box(&ours)), BatchSize::SmallInput);
    });
    group.bench_function("hdrhistogram", |bencher| {
        bencher.iter_batched_ref(
            || theirs.clone(),
            |into| into.add(black_box(&theirs)).expect("the bounds are the same"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn snapshot(criterion: &mut Criterion) {
    let mut builder = Registry::builder();
    let requests = builder.counter("requests", "");
    let latency = builder.histogram("latency", "", Unit::Nanoseconds);
    let registry = builder.build().expect("the names are valid");
    let mut group = criterion.benchmark_group("snapshot of 4 loops");
    for index in 0..4 {
        let shard = registry.shard(index).expect("the shard is free");
        shard.add(requests, 1);
        latencies().iter().for_each(|value| shard.record(latency, *value));
    }
    group.bench_function("corelane", |bencher| bencher.iter(|| registry.snapshot()));
    group.bench_function("corelane one total", |bencher| {
        bencher.iter(|| registry.counter_total(requests));
    });
    group.finish();
}

fn process(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("process figures");
    group.bench_function("corelane", |bencher| bencher.iter(ProcessFigures::read));
    group.finish();
}

criterion_group!(
    benches,
    counter,
    counter_two_threads,
    histogram_record,
    histogram_merge,
    snapshot,
    process
);
criterion_main!(benches);
