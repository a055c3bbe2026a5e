//! Threads for work that would hold up a lane: computations, and calls that block.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use crossbeam::channel::{self, Receiver, Sender};
use futures_channel::oneshot;

use crate::step::contained;
use crate::task::Panicked;

/// A few threads that run jobs one after the other, shared by all lanes. Clones are the same pool.
///
/// A job is a closure; its result comes back as a future, which wakes the task that awaits it on its
/// own lane. The queue is bounded: a pool that cannot keep up refuses, and the caller decides what to
/// answer. A job that nobody awaits any more when its turn comes is not begun.
///
/// Jobs begin in the order in which they were taken in. A job that has begun cannot be interrupted;
/// one that never ends keeps its thread for ever.
///
/// ```
/// use std::task::Waker;
/// use corelane_eventloop::{Nanos, Tasks, ThreadPool};
///
/// let pool = ThreadPool::new("hashing", 2, 100)?;
/// let mut tasks = Tasks::new(10, Waker::noop());
/// let sum = pool.run(|| (1..=1_000_u64).sum::<u64>());
/// assert!(tasks.spawn(sum).is_ok());
/// let mut result = None;
/// while result.is_none() {
///     // In a protocol: in each turn. The lane sleeps until the job is done.
///     tasks.run(Nanos::ZERO, |_, done| result = done.ok());
/// }
/// assert_eq!(result, Some(Ok(500_500)));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Dropping
/// When the last clone goes, queued jobs are dropped ([`JobError::Stopped`]), and the drop waits for
/// those that run.
#[derive(Clone)]
pub struct ThreadPool(Arc<Threads>);

/// Why there is no result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobError {
    /// The queue was full, and the job was not taken in: later it may be.
    Full,
    /// The job panicked. Its thread goes on.
    Panicked(Panicked),
    /// The pool was dropped before the job began.
    Stopped,
}

/// What a pool has done so far, and what it is doing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ThreadPoolStats {
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that have returned.
    pub done: u64,
    /// Jobs that have panicked.
    pub panicked: u64,
    /// Jobs that were not begun, because nobody awaited them any more.
    pub abandoned: u64,
    /// Jobs that were not taken in, because the queue was full.
    pub refused: u64,
}

/// The result of a job, to be awaited. Made by [`ThreadPool::run`]; dropping it gives the job up, unless
/// that has begun.
#[must_use = "a job that nobody awaits is not begun"]
pub struct Job<R> {
    /// `None`: it was not taken in.
    receiver: Option<oneshot::Receiver<Result<R, Panicked>>>,
}

type Work = Box<dyn FnOnce(&Counters) + Send>;

struct Threads {
    /// `None`: jobs run where they come from. Also at the end, so that the threads end.
    sender: Option<Sender<Work>>,
    handles: Vec<JoinHandle<()>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    stopping: AtomicBool,
    running: AtomicU64,
    done: AtomicU64,
    panicked: AtomicU64,
    abandoned: AtomicU64,
    refused: AtomicU64,
}

impl ThreadPool {
    /// Starts so many threads, named `name-0` and so on, with room for `queue` jobs that wait: at least
    /// one of each. The threads run on the cores that the calling thread may run on: start them before
    /// it is pinned to one.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn new(name: &str, threads: usize, queue: usize) -> io::Result<ThreadPool> {
        let (sender, receiver) = channel::bounded(queue.max(1));
        let counters = Arc::<Counters>::default();
        let mut pool = Threads { sender: Some(sender), handles: Vec::new(), counters };
        for number in 0..threads.max(1) {
            let (receiver, counters) = (receiver.clone(), pool.counters.clone());
            let thread = thread::Builder::new().name(format!("{name}-{number}"));
            pool.handles.push(thread.spawn(move || work(&receiver, &counters))?);
        }
        Ok(ThreadPool(Arc::new(pool)))
    }

    /// A pool without threads, for simulations: a job runs within [`run`](ThreadPool::run), and its
    /// result is there when the future is polled. It never is full.
    ///
    /// ```
    /// use corelane_eventloop::ThreadPool;
    /// let pool = ThreadPool::inline();
    /// drop(pool.run(|| 2 + 2));
    /// assert_eq!(pool.stats().done, 1);
    /// ```
    pub fn inline() -> ThreadPool {
        ThreadPool(Arc::new(Threads {
            sender: None,
            handles: Vec::new(),
            counters: Arc::default(),
        }))
    }

    /// Takes a job in. It is queued at once, not when the future is first polled.
    pub fn run<R, F>(&self, job: F) -> Job<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work = move |counters: &Counters| {
            if sender.is_canceled() {
                counters.abandoned.fetch_add(1, Ordering::Relaxed);
                return;
            }
            counters.running.fetch_add(1, Ordering::Relaxed);
            let result = contained(job);
            counters.running.fetch_sub(1, Ordering::Relaxed);
            let count = if result.is_ok() { &counters.done } else { &counters.panicked };
            count.fetch_add(1, Ordering::Relaxed);
            // Whoever has gone meanwhile does not miss it.
            let _ = sender.send(result.map_err(Panicked::new));
        };
        let taken = match &self.0.sender {
            Some(queue) => queue.try_send(Box::new(work)).is_ok(),
            None => {
                work(&self.0.counters);
                true
            }
        };
        if !taken {
            self.0.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        Job { receiver: taken.then_some(receiver) }
    }

    /// What it has done so far. The figures are read one after the other, while jobs go on.
    pub fn stats(&self) -> ThreadPoolStats {
        let Threads { sender, counters, .. } = &*self.0;
        ThreadPoolStats {
            queued: sender.as_ref().map_or(0, |queue| queue.len() as u64),
            running: counters.running.load(Ordering::Relaxed),
            done: counters.done.load(Ordering::Relaxed),
            panicked: counters.panicked.load(Ordering::Relaxed),
            abandoned: counters.abandoned.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
        }
    }
}

/// What each thread does until nobody can send it anything any more.
fn work(queue: &Receiver<Work>, counters: &Counters) {
    for work in queue {
        // A job contains its own panic; that of a destructor is contained here.
        let _ = contained(|| {
            if !counters.stopping.load(Ordering::Relaxed) {
                work(counters);
            }
        });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.counters.stopping.store(true, Ordering::Relaxed);
        self.sender = None;
        for handle in self.handles.drain(..) {
            // The last clone may have been a job's: its thread cannot wait for itself.
            if handle.thread().id() != thread::current().id() {
                // It contains all panics.
                let _ = handle.join();
            }
        }
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(Err(JobError::Full)) };
        Pin::new(receiver).poll(context).map(|received| match received {
            Ok(result) => result.map_err(JobError::Panicked),
            Err(oneshot::Canceled) => Err(JobError::Stopped),
        })
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Full => f.write_str("the queue of the thread pool is full"),
            JobError::Panicked(panicked) => panicked.fmt(f),
            JobError::Stopped => f.write_str("the thread pool was dropped"),
        }
    }
}

impl std::error::Error for JobError {}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Wake, Waker};
    use std::time::{Duration, Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Waits for a future in this thread.
    #[track_caller]
    fn wait<T>(future: impl Future<Output = T>) -> T {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker: Waker = Arc::new(Unpark(thread::current())).into();
        let mut future = pin!(future);
        let began = Instant::now();
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            assert!(began.elapsed() < PATIENCE, "it was never woken");
            thread::park_timeout(PATIENCE);
        }
    }

    /// Keeps a thread of the pool busy until what this returns is dropped.
    fn occupy(pool: &ThreadPool) -> (mpsc::Sender<()>, Job<bool>) {
        let (begun, begins) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let job = pool.run(move || {
            begun.send(()).is_ok()
                && released.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Disconnected)
        });
        begins.recv_timeout(PATIENCE).expect("it begins");
        (release, job)
    }

    #[test]
    fn results_come_back_and_threads_have_names() {
        let pool = ThreadPool::new("sums", 3, 100).unwrap();
        let jobs: Vec<_> = (0..50_u64).map(|n| pool.run(move || n * n)).collect();
        let squares: Vec<_> = jobs.into_iter().map(|job| wait(job).unwrap()).collect();
        assert_eq!(squares, (0..50).map(|n| n * n).collect::<Vec<_>>());
        let name = wait(pool.run(|| thread::current().name().map(str::to_owned)));
        assert!(name.unwrap().unwrap().starts_with("sums-"));
        assert_eq!(pool.stats(), ThreadPoolStats { done: 51, ..Default::default() });
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let pool = ThreadPool::new("full", 1, 2).unwrap();
        let (release, busy) = occupy(&pool);
        let (first, second) = (pool.run(|| 1), pool.run(|| 2));
        assert_eq!(wait(pool.run(|| 3)), Err(JobError::Full));
        let stats = pool.stats();
        assert_eq!((stats.running, stats.queued, stats.refused), (1, 2, 1));
        drop(release);
        assert_eq!((wait(busy), wait(first), wait(second)), (Ok(true), Ok(1), Ok(2)));
        assert_eq!(wait(pool.run(|| 4)), Ok(4));
    }

    #[test]
    fn a_panic_costs_no_thread() {
        /// Panics when dropped.
        struct Mine;
        impl Drop for Mine {
            fn drop(&mut self) {
                panic!("stepped on");
            }
        }
        for pool in [ThreadPool::new("panics", 1, 9).unwrap(), ThreadPool::inline()] {
            let panicked = wait(pool.run(|| panic!("told to"))).unwrap_err();
            assert_eq!(panicked.to_string(), "panicked: told to");
            assert_eq!(wait(pool.run(|| 1)), Ok(1));
            assert_eq!((pool.stats().panicked, pool.stats().done), (1, 1));
        }
        // A result that nobody takes, and that panics when it is dropped for that.
        let pool = ThreadPool::new("panics", 1, 9).unwrap();
        let (release, busy) = occupy(&pool);
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel::<()>();
        let job = pool.run(move || {
            begun.send(()).unwrap();
            let _ = goes.recv_timeout(PATIENCE);
            Mine
        });
        drop(release);
        assert_eq!(wait(busy), Ok(true));
        begins.recv_timeout(PATIENCE).unwrap();
        drop(job);
        drop(go);
        assert_eq!(wait(pool.run(|| 2)), Ok(2));
    }

    #[test]
    fn what_nobody_awaits_is_not_begun() {
        let pool = ThreadPool::new("given-up", 1, 9).unwrap();
        let (release, busy) = occupy(&pool);
        drop(pool.run(|| panic!("begun")));
        drop(release);
        assert_eq!((wait(busy), wait(pool.run(|| 1))), (Ok(true), Ok(1)));
        let stats = pool.stats();
        assert_eq!((stats.abandoned, stats.panicked, stats.done), (1, 0, 2));
    }

    #[test]
    fn dropping_waits_for_what_runs_and_drops_what_is_queued() {
        let pool = ThreadPool::new("dropped", 1, 9).unwrap();
        let (release, busy) = occupy(&pool);
        let queued = pool.run(|| 1);
        let counters = pool.0.counters.clone();
        let dropper = thread::spawn(move || drop(pool));
        let began = Instant::now();
        while !counters.stopping.load(Ordering::Relaxed) {
            assert!(began.elapsed() < PATIENCE, "the drop never began");
            thread::yield_now();
        }
        assert!(!dropper.is_finished());
        drop(release);
        dropper.join().unwrap();
        assert_eq!((wait(busy), wait(queued)), (Ok(true), Err(JobError::Stopped)));
    }

    #[test]
    fn the_last_clone_may_be_a_jobs() {
        let pool = ThreadPool::new("last", 2, 9).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let own = pool.clone();
        let job = pool.run(move || {
            let _ = released.recv_timeout(PATIENCE);
            drop(own);
            7
        });
        drop(pool);
        drop(release);
        assert_eq!(wait(job), Ok(7));
    }
}
