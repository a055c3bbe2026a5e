//! Memory: each structure beside its best-known rival.

use std::hint::black_box;

use bumpalo::Bump;
use corelane_mempool::{Arena, Pool, PoolConfig, Shared, Slab};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use typed_arena::Arena as TypedArena;

/// Connections in a slab.
const VALUES: usize = 10_000;

/// A small connection state.
type Value = [u64; 4];

/// Indices in scattered order, made beforehand so that the generator is not measured.
fn scattered() -> Vec<usize> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % VALUES
    };
    (0..VALUES).map(|_| next()).collect()
}

/// Looks up one of 10,000 values in scattered order.
fn slab_get(criterion: &mut Criterion) {
    let mut ours = Slab::with_capacity(VALUES);
    let mut plain = slab::Slab::with_capacity(VALUES);
    let sharded = sharded_slab::Slab::new();
    let keys: Vec<_> = (0..VALUES).map(|n| ours.insert([n as u64; 4]).ok()).collect();
    let plain_keys: Vec<_> = (0..VALUES).map(|n| plain.insert([n as u64; 4])).collect();
    let sharded_keys: Vec<_> = (0..VALUES).map(|n| sharded.insert([n as u64; 4])).collect();
    let order = scattered();
    let keys: Vec<_> = order.iter().filter_map(|at| keys[*at]).collect();
    let plain_keys: Vec<_> = order.iter().map(|at| plain_keys[*at]).collect();
    let sharded_keys: Vec<_> = order.iter().filter_map(|at| sharded_keys[*at]).collect();

    let mut group = criterion.benchmark_group("slab get");
    let mut keys = keys.iter().cycle();
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| keys.next().and_then(|key| ours.get(*key)).map(|value: &Value| value[0]));
    });
    let mut keys = plain_keys.iter().cycle();
    group.bench_function("slab", |bencher| {
        bencher.iter(|| keys.next().and_then(|key| plain.get(*key)).map(|value: &Value| value[0]));
    });
    let mut keys = sharded_keys.iter().cycle();
    group.bench_function("sharded-slab", |bencher| {
        bencher.iter(|| {
            keys.next().and_then(|key| sharded.get(*key)).map(|value| {
                let value: &Value = &value;
                value[0]
            })
        });
    });
}

/// One connection comes and goes, with 10,000 others open.
fn slab_insert_remove(criterion: &mut Criterion) {
    let mut ours = Slab::with_capacity(VALUES + 1);
    let mut plain = slab::Slab::with_capacity(VALUES + 1);
    let sharded = sharded_slab::Slab::new();
    for n in 0..VALUES as u64 {
        black_box(ours.insert([n; 4]).is_ok());
        plain.insert([n; 4]);
        sharded.insert([n; 4]);
    }
    let value = || black_box([7_u64; 4]);
    let mut group = criterion.benchmark_group("slab insert + remove");
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| ours.insert(value()).map(|key| ours.remove(black_box(key))));
    });
    group.bench_function("slab", |bencher| {
        bencher.iter(|| {
            let key = plain.insert(value());
            plain.try_remove(black_box(key))
        });
    });
    group.bench_function("sharded-slab", |bencher| {
        bencher.iter(|| sharded.insert(value()).and_then(|key| sharded.take(black_box(key))));
    });
}

/// Borrows 16 KiB and returns them.
fn buffer(criterion: &mut Criterion) {
    const SIZE: usize = 16 << 10;
    let mut pool = Pool::new(PoolConfig::default());
    let mut group = criterion.benchmark_group("16 KiB take + give");
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| {
            if let Ok(mut buf) = pool.allocate(black_box(SIZE)) {
                black_box(buf.spare_mut());
                pool.deallocate(buf);
            }
        });
    });
    group.bench_function("Vec::with_capacity", |bencher| {
        bencher.iter(|| {
            black_box(Vec::<u8>::with_capacity(black_box(SIZE)).spare_capacity_mut());
        });
    });
    group.bench_function("vec![0; n]", |bencher| {
        bencher.iter(|| {
            black_box(&mut vec![0_u8; black_box(SIZE)][..]);
        });
    });
}

/// A request that makes 1,000 objects of 16 bytes and forgets them all; the figure is per object.
fn arena(criterion: &mut Criterion) {
    const OBJECTS: u64 = 1_000;
    let mut group = criterion.benchmark_group("arena object");
    group.throughput(Throughput::Elements(OBJECTS));
    let mut ours = Arena::new(1 << 20, 64 << 10);
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| {
            for n in 0..OBJECTS {
                black_box(ours.alloc([n; 2]).is_ok());
            }
            ours.reset();
        });
    });
    let mut bump = Bump::new();
    group.bench_function("bumpalo", |bencher| {
        bencher.iter(|| {
            for n in 0..OBJECTS {
                black_box(bump.alloc([n; 2]));
            }
            bump.reset();
        });
    });
    group.bench_function("typed-arena", |bencher| {
        bencher.iter_batched_ref(
            || TypedArena::with_capacity(OBJECTS as usize),
            |arena| {
                for n in 0..OBJECTS {
                    black_box(arena.alloc([n; 2]));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("Box", |bencher| {
        bencher.iter(|| {
            for n in 0..OBJECTS {
                black_box(Box::new([n; 2]));
            }
        });
    });
}

/// Another holder of the same 16 KiB, beside a copy of them.
fn shared(criterion: &mut Criterion) {
    let bytes = vec![7_u8; 16 << 10];
    let page = Shared::from(bytes.clone());
    let mut group = criterion.benchmark_group("share 16 KiB");
    group.bench_function("corelane", |bencher| bencher.iter(|| black_box(page.slice(100..)).len()));
    group.bench_function("Vec::to_vec", |bencher| {
        bencher.iter(|| black_box(bytes[100..].to_vec()).len())
    });
}

criterion_group!(benches, slab_get, slab_insert_remove, buffer, arena, shared);
criterion_main!(benches);
