//! What a task costs its lane, beside other executors of futures that are not `Send`, and what a job
//! costs that goes to a pool of threads and comes back.
//!
//! `task ready` spawns 64 futures that are ready at their first poll, and runs them to their end; the
//! figure is per task. `at once` polls each as it is spawned, as a server does with a handler that need
//! not wait.
//!
//! `task wake` has two tasks wake each other in turn, 1,024 times; the figure is per wake, with the poll
//! that it leads to.
//!
//! `task sleep` has 64 tasks sleep for 1 to 64 ms, in time that is passed by hand; per task.
//!
//! `job round trip` hands one trivial job to a thread that sleeps and waits for its result in a thread
//! that sleeps, too: mostly the two wakes by the kernel.
//!
//! `job queue` pushes 64 boxed jobs and pops them in one thread: the queue itself, as a bounded channel
//! and as the injector of work-stealing deques, which has no bound.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::rc::Rc;
use std::task::{Poll, Waker};

use corelane_eventloop::{Nanos, Tasks, ThreadPool};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam::channel;
use crossbeam::deque::{Injector, Steal};
use futures_executor::{LocalPool, LocalSpawner, block_on};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

const BATCH: u64 = 64;
const WAKES: u32 = 1024;

/// An executor of futures that stay in one thread.
trait Executor {
    fn new() -> Self;
    /// Takes in as many futures as `make` makes, and runs them to their end.
    fn run<F: Future<Output = ()> + 'static>(&mut self, count: u64, make: impl Fn(u64) -> F);
}

impl Executor for Tasks<()> {
    fn new() -> Tasks<()> {
        Tasks::new(1000, Waker::noop())
    }
    fn run<F: Future<Output = ()> + 'static>(&mut self, count: u64, make: impl Fn(u64) -> F) {
        for number in 0..count {
            assert!(self.spawn(make(number)).is_ok());
        }
        while !self.is_empty() {
            Tasks::run(self, self.local().now(), |_, result| assert!(result.is_ok()));
        }
    }
}

/// Ours, polled as they are spawned.
struct AtOnce(Tasks<()>);

impl Executor for AtOnce {
    fn new() -> AtOnce {
        AtOnce(Executor::new())
    }
    fn run<F: Future<Output = ()> + 'static>(&mut self, count: u64, make: impl Fn(u64) -> F) {
        for number in 0..count {
            let id = self.0.spawn(make(number)).ok().expect("room");
            assert_eq!(self.0.poll(id, Nanos::ZERO), Some(Ok(())));
        }
        self.0.run(Nanos::ZERO, |_, _| ());
    }
}

impl Executor for (LocalPool, LocalSpawner) {
    fn new() -> (LocalPool, LocalSpawner) {
        let pool = LocalPool::new();
        let spawner = pool.spawner();
        (pool, spawner)
    }
    fn run<F: Future<Output = ()> + 'static>(&mut self, count: u64, make: impl Fn(u64) -> F) {
        use futures_task::LocalSpawn;
        for number in 0..count {
            let future = Box::pin(make(number));
            assert!(self.1.spawn_local_obj(future.into()).is_ok());
        }
        self.0.run();
    }
}

impl Executor for (Runtime, LocalSet) {
    fn new() -> (Runtime, LocalSet) {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        (runtime, LocalSet::new())
    }
    fn run<F: Future<Output = ()> + 'static>(&mut self, count: u64, make: impl Fn(u64) -> F) {
        for number in 0..count {
            self.1.spawn_local(make(number));
        }
        // It is ready when all of its tasks are.
        self.0.block_on(&mut self.1);
    }
}

fn ready_tasks<E: Executor>(criterion: &mut Criterion, name: &str) {
    let mut executor = E::new();
    let mut group = criterion.benchmark_group("task ready");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function(name, |bencher| {
        bencher.iter(|| executor.run(BATCH, |_| ready(())));
    });
}

/// Whose turn it is, and the wakers of both.
#[derive(Default)]
struct Table {
    turn: Cell<u32>,
    wakers: [RefCell<Option<Waker>>; 2],
}

/// Waits for its turn, passes it on, until all turns are over.
async fn play(table: Rc<Table>, seat: u32) {
    poll_fn(|context| {
        let turn = table.turn.get();
        if turn % 2 == seat {
            table.turn.set(turn + 1);
            if let Some(other) = &*table.wakers[1 - seat as usize].borrow() {
                other.wake_by_ref();
            }
        }
        if table.turn.get() >= WAKES {
            return Poll::Ready(());
        }
        let mut own = table.wakers[seat as usize].borrow_mut();
        if !own.as_ref().is_some_and(|own| own.will_wake(context.waker())) {
            *own = Some(context.waker().clone());
        }
        Poll::Pending
    })
    .await;
}

fn wakes<E: Executor>(criterion: &mut Criterion, name: &str) {
    let mut executor = E::new();
    let mut group = criterion.benchmark_group("task wake");
    group.throughput(Throughput::Elements(u64::from(WAKES)));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let table = Rc::<Table>::default();
            executor.run(2, |seat| play(table.clone(), seat as u32));
            assert!(table.turn.get() >= WAKES);
        });
    });
}

fn sleeps(criterion: &mut Criterion) {
    let mut tasks = Tasks::<()>::new(1000, Waker::noop());
    let local = tasks.local().clone();
    let mut group = criterion.benchmark_group("task sleep");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| {
            for number in 1..=BATCH {
                let local = local.clone();
                let sleeps = async move { local.sleep(Nanos::from_millis(number)).await };
                assert!(tasks.spawn(sleeps).is_ok());
            }
            while !tasks.is_empty() {
                let now = tasks.next_wake();
                tasks.run(now, |_, result| assert!(result.is_ok()));
            }
        });
    });
}

fn round_trips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("job round trip");
    let pool = ThreadPool::new("bench", 1, 16).expect("a thread");
    group.bench_function("corelane", |bencher| {
        bencher.iter(|| block_on(pool.run(|| black_box(7))).expect("an idle pool"));
    });
    let runtime = Builder::new_current_thread().max_blocking_threads(1).build().expect("a runtime");
    group.bench_function("tokio spawn_blocking", |bencher| {
        bencher.iter(|| {
            let job = runtime.spawn_blocking(|| black_box(7));
            block_on(job).expect("an idle pool")
        });
    });
    group.bench_function("a thread per job", |bencher| {
        bencher.iter(|| std::thread::spawn(|| black_box(7)).join().expect("it returns"));
    });
}

type Work = Box<dyn FnOnce() -> u64 + Send>;

fn queues(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("job queue");
    group.throughput(Throughput::Elements(BATCH));
    let (sender, receiver) = channel::bounded::<Work>(1024);
    group.bench_function("channel", |bencher| {
        bencher.iter(|| {
            for number in 0..BATCH {
                assert!(sender.try_send(Box::new(move || number)).is_ok());
            }
            receiver.try_iter().map(|work| work()).sum::<u64>()
        });
    });
    let injector = Injector::<Work>::new();
    group.bench_function("injector", |bencher| {
        bencher.iter(|| {
            for number in 0..BATCH {
                injector.push(Box::new(move || number));
            }
            let mut sum = 0;
            loop {
                match injector.steal() {
                    Steal::Success(work) => sum += work(),
                    Steal::Retry => {}
                    Steal::Empty => break sum,
                }
            }
        });
    });
}

fn tasks(criterion: &mut Criterion) {
    ready_tasks::<AtOnce>(criterion, "corelane at once");
    ready_tasks::<Tasks<()>>(criterion, "corelane");
    ready_tasks::<(LocalPool, LocalSpawner)>(criterion, "futures LocalPool");
    ready_tasks::<(Runtime, LocalSet)>(criterion, "tokio LocalSet");
    wakes::<Tasks<()>>(criterion, "corelane");
    wakes::<(LocalPool, LocalSpawner)>(criterion, "futures LocalPool");
    wakes::<(Runtime, LocalSet)>(criterion, "tokio LocalSet");
    sleeps(criterion);
    round_trips(criterion);
    queues(criterion);
}

criterion_group!(benches, tasks);
criterion_main!(benches);
