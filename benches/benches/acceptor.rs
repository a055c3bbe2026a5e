//! Placement and admission. Each group is one operation; the rivals of `corelane` in a group are the
//! other known ways to hash consistently, in their plainest form, over the same keyed hash of the
//! same peers. Admission has no rival: its group shows what each limit adds.
//!
//! `cargo bench -p corelane-benches --bench acceptor`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use corelane_acceptor::{Admission, AdmissionConfig, HashBy, Open, Placement, Placer, Rate};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Enough that no branch predictor learns them, few enough to stay in the first-level cache.
const PEERS: usize = 512;

fn peers() -> Vec<SocketAddr> {
    let ip = |n: usize| IpAddr::V4((mix(n as u64) as u32).into());
    (0..PEERS).map(|n| SocketAddr::new(ip(n), 1_024 + n as u16)).collect()
}

/// The finalizer of MurmurHash3: what the rivals hash with. Cheaper than the keyed hash of
/// `corelane`, so the comparison favours them.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

fn key(peer: &SocketAddr) -> u64 {
    match peer.ip() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => mix((ip.to_bits() >> 64) as u64),
    }
}

/// Highest random weight: Thaler and Ravishankar, 1998.
fn rendezvous(key: u64, targets: usize) -> usize {
    (0..targets).max_by_key(|&target| mix(key ^ mix(target as u64 + 1))).unwrap_or(0)
}

/// Jump consistent hash: Lamping and Veach, arXiv:1406.2294.
fn jump(mut key: u64, targets: usize) -> usize {
    let (mut last, mut next) = (0, 0_i64);
    while next < targets as i64 {
        last = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let scale = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((last + 1) as f64 * scale) as i64;
    }
    last as usize
}

/// A ring with 100 points per target, searched by halves: Karger et al., 1997.
struct Ring(Vec<(u64, usize)>);

impl Ring {
    fn new(targets: usize) -> Ring {
        let points = (0..targets * 100).map(|n| (mix(n as u64 + 1), n % targets));
        Ring(points.collect::<BTreeMap<_, _>>().into_iter().collect())
    }

    fn target(&self, key: u64) -> usize {
        let index = self.0.partition_point(|&(point, _)| point < key);
        self.0[if index == self.0.len() { 0 } else { index }].1
    }
}

/// Calls `place` with the next peer, round and round.
fn cycle(bencher: &mut criterion::Bencher<'_>, mut place: impl FnMut(&SocketAddr) -> usize) {
    let peers = peers();
    let mut index = 0;
    bencher.iter(|| {
        index = (index + 1) % PEERS;
        place(black_box(&peers[index]))
    });
}

fn placement_hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("placement_hash");
    for targets in [8, 64] {
        let id = |name| BenchmarkId::new(name, targets);
        let by_ip = Placement::Hash { by: HashBy::IpOnly };
        let mut placer = Placer::new(by_ip, targets, [1, 2]);
        let ring = Ring::new(targets);
        group.bench_function(id("corelane"), |b| {
            cycle(b, |peer| placer.place(Some(peer), |_| 0).unwrap_or(0));
        });
        group.bench_function(id("rendezvous"), |b| cycle(b, |p| rendezvous(key(p), targets)));
        group.bench_function(id("jump"), |b| cycle(b, |p| jump(key(p), targets)));
        group.bench_function(id("ring"), |b| cycle(b, |p| ring.target(key(p))));
    }
    group.finish();
}

fn placement_other(c: &mut Criterion) {
    let mut group = c.benchmark_group("placement_other");
    let loads: Vec<usize> = (0..64).map(|n| mix(n) as usize % 1_000).collect();
    for (name, placement) in
        [("round_robin", Placement::RoundRobin), ("least", Placement::LeastConnections)]
    {
        for targets in [8, 64] {
            let mut placer = Placer::new(placement, targets, [1, 2]);
            group.bench_function(BenchmarkId::new(name, targets), |b| {
                cycle(b, |peer| placer.place(Some(peer), |n| loads[n]).unwrap_or(0));
            });
        }
    }
    group.finish();
}

fn admission(c: &mut Criterion) {
    let mut group = c.benchmark_group("admit_and_release");
    let fast = NonZeroU32::new(1_000_000).map(|fast| Rate::per_second(fast, fast));
    for (name, accept_rate) in [("limit", None), ("limit_and_rate", fast)] {
        let config = AdmissionConfig { accept_rate, ..AdmissionConfig::default() };
        let mut admission = Admission::new(config, Arc::new(Open::new(1_000)));
        let mut now = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                // Slower than the rate, so that it never refuses.
                now += 2_000;
                let verdict = admission.admit(black_box(now), 0);
                admission.release();
                verdict
            });
        });
    }
    group.finish();
}

criterion_group!(benches, placement_hash, placement_other, admission);
criterion_main!(benches);
