//! What a lane does for every request, beside the usual alternatives.
//!
//! Timers: a binary heap with stale entries, and a sorted set.
//!
//! `refresh` moves the deadline of one of 100,000 connections 30 s ahead, as each request does,
//! with a sweep for expired timers per 64 of them. `expiry` fires 100,000 timers spread over 10 s
//! by sweeping every millisecond; the figure is per timer.
//!
//! Mail: the ring that carries it from lane to lane (`rtrb`) beside other bounded and unbounded
//! queues; `message` pushes 64 messages of 8 bytes and then pops them, in one thread. That is the cost
//! of the queue itself; moving cache lines between cores comes on top, the same for all.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::hint::black_box;
use std::sync::{Arc, mpsc};

use corelane_eventloop::Wheel;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel;
use crossbeam::queue::{ArrayQueue, SegQueue};

const TIMERS: usize = 100_000;
const IDLE: u64 = 30_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// What a server asks of its timers.
trait Timers {
    fn with_room(count: usize) -> Self;
    fn set(&mut self, index: usize, deadline: u64);
    fn pop_expired(&mut self, now: u64) -> Option<usize>;
}

impl Timers for Wheel {
    fn with_room(_: usize) -> Wheel {
        Wheel::new()
    }
    fn set(&mut self, index: usize, deadline: u64) {
        Wheel::set(self, index, deadline);
    }
    fn pop_expired(&mut self, now: u64) -> Option<usize> {
        Wheel::pop_expired(self, now)
    }
}

/// A heap cannot move an entry, so each refresh adds one and the old ones are skipped at the top.
struct Heap {
    entries: BinaryHeap<Reverse<(u64, u32)>>,
    deadlines: Vec<u64>,
}

impl Timers for Heap {
    fn with_room(count: usize) -> Heap {
        Heap { entries: BinaryHeap::new(), deadlines: vec![0; count] }
    }
    fn set(&mut self, index: usize, deadline: u64) {
        self.deadlines[index] = deadline;
        self.entries.push(Reverse((deadline, index as u32)));
    }
    fn pop_expired(&mut self, now: u64) -> Option<usize> {
        while let Some(Reverse((deadline, index))) = self.entries.peek().copied() {
            if deadline > now {
                return None;
            }
            self.entries.pop();
            if self.deadlines[index as usize] == deadline {
                return Some(index as usize);
            }
        }
        None
    }
}

/// A sorted set can: one removal and one insertion.
struct Sorted {
    entries: BTreeSet<(u64, u32)>,
    deadlines: Vec<u64>,
}

impl Timers for Sorted {
    fn with_room(count: usize) -> Sorted {
        Sorted { entries: BTreeSet::new(), deadlines: vec![0; count] }
    }
    fn set(&mut self, index: usize, deadline: u64) {
        let old = std::mem::replace(&mut self.deadlines[index], deadline);
        self.entries.remove(&(old, index as u32));
        self.entries.insert((deadline, index as u32));
    }
    fn pop_expired(&mut self, now: u64) -> Option<usize> {
        let (deadline, index) = *self.entries.first()?;
        (deadline <= now).then(|| {
            self.entries.pop_first();
            index as usize
        })
    }
}

/// Connections in the order of their requests: all of them, scattered. Made beforehand, so that
/// the generator is not measured.
fn scattered() -> Vec<u32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % TIMERS as u64) as u32
    };
    (0..TIMERS).map(|_| next()).collect()
}

/// As when 100,000 connections make 4 million requests a second between them.
fn refresh<T: Timers>(criterion: &mut Criterion, name: &str) {
    let order = scattered();
    let mut timers = T::with_room(TIMERS);
    (0..TIMERS).for_each(|index| timers.set(index, IDLE));
    let (mut now, mut at) = (0, 0);
    let mut group = criterion.benchmark_group("timer refresh");
    group.throughput(Throughput::Elements(64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for index in &order[at..at + 64] {
                now += 250;
                timers.set(*index as usize, now + IDLE);
            }
            at = (at + 64) % (TIMERS - 64);
            while let Some(index) = timers.pop_expired(now) {
                timers.set(black_box(index), now + IDLE);
            }
        });
    });
}

fn expiry<T: Timers>(criterion: &mut Criterion, name: &str) {
    let order = scattered();
    let mut group = criterion.benchmark_group("timer expiry");
    group.throughput(Throughput::Elements(TIMERS as u64)).sample_size(10);
    let full = || {
        let mut timers = T::with_room(TIMERS);
        for (index, random) in order.iter().enumerate() {
            timers.set(index, u64::from(*random) * 100_000);
        }
        timers
    };
    group.bench_function(name, |bencher| {
        bencher.iter_batched_ref(
            full,
            |timers| {
                let mut fired = 0;
                for tick in 0..=10_002 {
                    while let Some(index) = timers.pop_expired(tick * MILLISECOND) {
                        fired += 1;
                        black_box(index);
                    }
                }
                assert_eq!(fired, TIMERS);
            },
            BatchSize::LargeInput,
        );
    });
}

fn message<Q: Queue>(criterion: &mut Criterion, name: &str) {
    let (mut sender, mut receiver) = Q::new();
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for number in 0..BATCH {
                black_box(Q::push(&mut sender, number));
            }
            for _ in 0..BATCH {
                black_box(Q::pop(&mut receiver));
            }
        });
    });
}

const BATCH: u64 = 64;
const CAPACITY: usize = 1024;

/// What mail asks of a queue.
trait Queue {
    type Sender: Send;
    type Receiver;
    fn new() -> (Self::Sender, Self::Receiver);
    fn push(sender: &mut Self::Sender, message: u64) -> bool;
    fn pop(receiver: &mut Self::Receiver) -> Option<u64>;
}

/// Declares a rival: its two ends, how to make them, push and pop.
macro_rules! queue {
    ($name:ident, $sender:ty, $receiver:ty, $new:expr, $push:expr, $pop:expr) => {
        struct $name;
        impl Queue for $name {
            type Sender = $sender;
            type Receiver = $receiver;
            fn new() -> ($sender, $receiver) {
                $new
            }
            fn push(sender: &mut $sender, message: u64) -> bool {
                let push: fn(&mut $sender, u64) -> bool = $push;
                push(sender, message)
            }
            fn pop(receiver: &mut $receiver) -> Option<u64> {
                let pop: fn(&mut $receiver) -> Option<u64> = $pop;
                pop(receiver)
            }
        }
    };
}

/// Two handles of one queue.
fn shared<T>(queue: T) -> (Arc<T>, Arc<T>) {
    let queue = Arc::new(queue);
    (queue.clone(), queue)
}

queue!(
    Ring,
    rtrb::Producer<u64>,
    rtrb::Consumer<u64>,
    rtrb::RingBuffer::new(CAPACITY),
    |sender, message| sender.push(message).is_ok(),
    |receiver| receiver.pop().ok()
);
queue!(
    Array,
    Arc<ArrayQueue<u64>>,
    Arc<ArrayQueue<u64>>,
    shared(ArrayQueue::new(CAPACITY)),
    |sender, message| sender.push(message).is_ok(),
    |receiver| receiver.pop()
);
queue!(
    Segments,
    Arc<SegQueue<u64>>,
    Arc<SegQueue<u64>>,
    shared(SegQueue::new()),
    |sender, message| {
        sender.push(message);
        true
    },
    |receiver| receiver.pop()
);
queue!(
    Channel,
    channel::Sender<u64>,
    channel::Receiver<u64>,
    channel::bounded(CAPACITY),
    |sender, message| sender.try_send(message).is_ok(),
    |receiver| receiver.try_recv().ok()
);
queue!(
    StdChannel,
    mpsc::SyncSender<u64>,
    mpsc::Receiver<u64>,
    mpsc::sync_channel(CAPACITY),
    |sender, message| sender.try_send(message).is_ok(),
    |receiver| receiver.try_recv().ok()
);

fn mail(criterion: &mut Criterion) {
    message::<Ring>(criterion, "corelane (rtrb)");
    message::<Array>(criterion, "crossbeam ArrayQueue");
    message::<Segments>(criterion, "crossbeam SegQueue");
    message::<Channel>(criterion, "crossbeam channel");
    message::<StdChannel>(criterion, "std sync_channel");
}

fn timers(criterion: &mut Criterion) {
    refresh::<Wheel>(criterion, "corelane");
    refresh::<Heap>(criterion, "binary heap");
    refresh::<Sorted>(criterion, "b-tree set");
    expiry::<Wheel>(criterion, "corelane");
    expiry::<Heap>(criterion, "binary heap");
    expiry::<Sorted>(criterion, "b-tree set");
}

criterion_group!(benches, timers, mail);
criterion_main!(benches);
