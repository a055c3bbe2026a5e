//! Counting and recording, beside the usual ways to do it.
//!
//! `counter, 2 threads` is the cost of one addition on the measured thread while a second thread
//! adds all the time; the other groups run on one thread alone.

use std::array;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelane_metrics::expose::prometheus::{Format, render};
use corelane_metrics::expose::statsd::{StatsdEncoder, StatsdFlavour, StatsdReport};
use corelane_metrics::{
    Counter, HeatMap, HeatSampler, Histogram, HistogramSnapshot, ProcessFigures, Registry, Shard,
    Unit,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::utils::CachePadded;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as PrometheusCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram as PrometheusHistogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry as PrometheusRegistry;

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
    let [.., id] = array::from_fn::<_, 20, _>(|n| builder.counter(&format!("c{n}"), ""));
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
    // One of a family, found again by its label each time: what the type suggests. Kept by the
    // caller, it is the counter above.
    let theirs = Family::<[(&str, &str); 1], PrometheusCounter>::default();
    group.bench_function("prometheus-client family", |bencher| {
        bencher.iter(|| black_box(&theirs).get_or_create(&[("route", "/users/{id}")]).inc());
    });
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

/// What an HTTP server counts for one request: in all, by route, method, listener and class of
/// status; the latency in all, by route and by class. Others get as many counters and histograms,
/// which they need not look up.
fn request(criterion: &mut Criterion) {
    const ROUTES: usize = 64;
    let values = latencies();
    let mut group = criterion.benchmark_group("request, 5 counters and 3 histograms");
    group.throughput(Throughput::Elements(VALUES as u64));
    let mut builder = Registry::builder();
    let all = array::from_fn::<_, 4, _>(|n| builder.counter(&format!("c{n}"), ""));
    let routes = builder.counter_family_with_capacity("route", "", "route", ROUTES);
    let whole =
        array::from_fn::<_, 2, _>(|n| builder.histogram(&format!("h{n}"), "", Unit::Nanoseconds));
    let by_route =
        builder.histogram_family_with_capacity("latency", "", Unit::Nanoseconds, "route", ROUTES);
    let registry = builder.build().expect("the names are valid");
    let shard = registry.shard(0).expect("the shard is free");
    let names = array::from_fn::<_, ROUTES, _>(|n| format!("/route/{n}"));
    let routes = names.each_ref().map(|name| (routes.member(name), by_route.member(name)));
    let count = |shard: &Shard, route: usize, value: u64| {
        let (counter, histogram) = routes[route];
        all.into_iter().chain([counter]).for_each(|id| shard.add(id, 1));
        whole.into_iter().chain([histogram]).for_each(|id| shard.record(id, value));
    };
    // All requests take one route, or take turns: then less of it is in the nearest cache.
    for (name, step) in [("corelane, 1 route", 0), ("corelane, 64 routes", 7)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for (n, value) in values.iter().enumerate() {
                    count(black_box(&shard), n * step % ROUTES, *value);
                }
            });
        });
    }
    let counters = array::from_fn::<PrometheusCounter, 5, _>(|_| PrometheusCounter::default());
    let histograms =
        array::from_fn::<_, 3, _>(|_| PrometheusHistogram::new(exponential_buckets(1e-5, 2.0, 12)));
    group.bench_function("prometheus-client, 1 route", |bencher| {
        bencher.iter(|| {
            for value in &values {
                black_box(&counters).iter().for_each(|counter| _ = counter.inc());
                let value = *value as f64 * 1e-9;
                black_box(&histograms).iter().for_each(|histogram| histogram.observe(value));
            }
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

fn heat(criterion: &mut Criterion) {
    let values = latencies();
    let mut group = criterion.benchmark_group("heat map");
    let mut map = HeatMap::default();
    let now = Duration::from_millis(1_700_000_000_250);
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function("corelane record", |bencher| {
        bencher.iter(|| {
            for (n, value) in values.iter().enumerate() {
                black_box(&mut map).record_n(now + Duration::from_micros(n as u64), *value, 1);
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("heat map, whole");
    let mut histogram = HistogramSnapshot::default();
    values.iter().for_each(|value| histogram.record_n(*value, 1));
    let mut sampler = HeatSampler::new(HeatMap::default(), now, HistogramSnapshot::default());
    let mut seconds = 0;
    group.bench_function("corelane sample", |bencher| {
        bencher.iter(|| {
            seconds += 1;
            sampler.sample(now + Duration::from_secs(seconds), black_box(&histogram).clone());
        });
    });
    let mut whole = HeatMap::default();
    (0..300).for_each(|n| whole.add(now + Duration::from_secs(n), &histogram));
    let other = whole.clone();
    group.bench_function("corelane merge", |bencher| {
        bencher.iter(|| black_box(&mut whole).merge(black_box(&other)));
    });
    group.finish();
}

/// 90 counters of a family and 10 histograms, all in use. Ours are of four loops.
fn exposition(criterion: &mut Criterion) {
    let values = latencies();
    let mut group = criterion.benchmark_group("exposition of 100 series");
    let mut builder = Registry::builder();
    let routes = builder.counter_family_with_capacity("requests_total", "Requests.", "route", 90);
    let latencies =
        builder.histogram_family_with_capacity("latency", "Time.", Unit::Nanoseconds, "route", 10);
    let registry = builder.build().expect("the names are valid");
    let (their_routes, mut theirs) = (
        Family::<Vec<(String, String)>, PrometheusCounter>::default(),
        PrometheusRegistry::default(),
    );
    let their_latencies =
        Family::<Vec<(String, String)>, PrometheusHistogram>::new_with_constructor(|| {
            PrometheusHistogram::new(exponential_buckets(1e-6, 2.0, 22))
        });
    theirs.register("requests", "Requests", their_routes.clone());
    theirs.register("latency_seconds", "Time", their_latencies.clone());
    for index in 0..4 {
        let shard = registry.shard(index).expect("the shard is free");
        for n in 0..90 {
            let route = format!("/route/{n}");
            shard.add(routes.member(&route), 1_000_000 + n);
            let label = vec![("route".to_owned(), route.clone())];
            their_routes.get_or_create(&label).inc_by(1_000_000 + n);
            if n < 10 {
                let theirs = their_latencies.get_or_create(&label);
                for value in &values {
                    shard.record(latencies.member(&route), *value);
                    theirs.observe(*value as f64 * 1e-9);
                }
            }
        }
    }
    let nothing = ProcessFigures::default();
    group.bench_function("corelane, snapshot and text", |bencher| {
        bencher.iter(|| render(Format::OpenMetrics, &registry.snapshot(), &nothing));
    });
    let snapshot = registry.snapshot();
    group.bench_function("corelane, text", |bencher| {
        bencher.iter(|| render(Format::OpenMetrics, black_box(&snapshot), &nothing));
    });
    group.bench_function("prometheus-client", |bencher| {
        bencher.iter(|| {
            let mut text = String::new();
            encode(&mut text, black_box(&theirs)).expect("a String takes all");
            text
        });
    });
    let mut now = Instant::now();
    let report = StatsdReport::new(Vec::new(), &registry, now).expect("there are no lines");
    let mut report = report.with_families(&registry, StatsdFlavour::Dog, 1_024);
    let shard = registry.shard(4).expect("the shard is free");
    let mut encoder = StatsdEncoder::new("corelane", &[]).expect("the prefix is valid");
    group.bench_function("corelane, StatsD", |bencher| {
        bencher.iter(|| {
            (0..90).for_each(|n| shard.add(routes.member(&format!("/route/{n}")), 1));
            now += Duration::from_secs(1);
            encoder.clear();
            report.render(&registry, now, &mut encoder);
        });
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
    request,
    histogram_merge,
    snapshot,
    heat,
    exposition,
    process
);
criterion_main!(benches);
