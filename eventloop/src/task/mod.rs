//! Tasks: futures that belong to one lane, polled by the protocol that owns them.
//!
//! A lane knows connections, not tasks. A protocol that answers some of its requests with futures owns
//! one [`Tasks`], spawns in a step and runs what is ready in [`Protocol::turn`](crate::Protocol::turn);
//! whatever a task waits for wakes it by its [`Waker`], and the waker gets the lane to take a turn.
//!
//! # Theory of operation
//! Each task has a flag that says whether it is queued. A wake sets it; who found it unset queues the
//! task's key, so a task that is woken many times is queued once. A poll clears the flag before it
//! begins, so a wake during the poll queues the task again. A key whose task is gone is skipped.
//!
//! There are three queues:
//!
//! 1. The *inbox* is lock-free and takes wakes from any thread; after the push the lane is woken
//!    ([`LaneHandle::waker`]), which is a system call only if it sleeps. Each run begins with moving
//!    what is in it to the second queue.
//! 2. A plain queue takes the wakes that happen within a run, on the lane's own thread: a task that
//!    sends something to another one costs a swap and a push. A thread-local says which run is under
//!    way.
//! 3. New tasks, which nobody else can know yet, stand in a plain queue until their first poll.
//!
//! Tasks woken on the lane's thread are polled in the order of their wakes, so a simulated run is the
//! same each time.
//!
//! [`LaneHandle::waker`]: crate::LaneHandle::waker

mod local;
mod panicked;
mod signal;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corelane_mempool::{Key, Slab};

use self::signal::{Inbox, Signal, Woken};
use crate::mail::Full;
use crate::step::contained;
use crate::time::Nanos;

pub use self::local::{Elapsed, Local, Sleep, YieldNow};
pub use self::panicked::Panicked;

/// Polls in one [`Tasks::run`], unless set otherwise.
const BUDGET: usize = 256;

/// The most tasks there can be, whatever limit is asked for.
const TASKS_MAX: usize = 1 << 31;

/// Names one task of one [`Tasks`], for ever: once it is done or cancelled, its id names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(Key);

/// Futures of one lane, which need not be `Send`, and their results of type `T`.
///
/// Owned by a protocol, one per lane. It spawns in a step, and may poll a new task at once; it runs
/// the others once per turn, and asks for the next turn:
///
/// ```
/// use std::task::Waker;
/// use corelane_eventloop::{Nanos, Tasks};
///
/// // In a protocol the waker is that of its lane: io.waker() or turn.waker().
/// let mut tasks = Tasks::new(100, Waker::noop());
/// let local = tasks.local().clone();
/// let id = tasks
///     .spawn(async move {
///         local.sleep(Nanos::from_secs(1)).await;
///         local.now()
///     })
///     .map_err(|_| "100 tasks are running")?;
/// assert_eq!(tasks.poll(id, Nanos::ZERO), None, "not done at once");
///
/// // Each turn: tasks.run(turn.now(), …), then turn.wake_at(tasks.next_wake()).
/// let mut results = Vec::new();
/// while results.is_empty() {
///     let now = tasks.next_wake();
///     tasks.run(now, |id, result| results.push((id, result)));
/// }
/// assert!(matches!(results[..], [(done, Ok(at))] if done == id && at >= Nanos::from_secs(1)));
/// # Ok::<(), &str>(())
/// ```
///
/// | operation | cost |
/// |---|---|
/// | [`spawn`](Tasks::spawn) | two allocations: the future, and what its wakers share |
/// | a wake by a task of the same lane, in a run | an atomic swap and a push |
/// | any other wake | two atomic swaps and a push on a lock-free queue; a system call if the lane sleeps |
/// | [`run`](Tasks::run) | constant per task that was woken; nothing per task that waits |
///
/// Dropping it drops every future; a panic of one of those is swallowed.
///
/// # In a protocol
/// A task's result reaches its connection by mail, and a connection that closes cancels its tasks:
///
/// ```
/// use corelane_eventloop::{Closed, ConnId, Event, Flow, Io, Nanos, Protocol, TaskId, Tasks, Turn};
///
/// /// Answers whatever comes, one second later.
/// #[derive(Default)]
/// struct Later {
///     /// Made in the first step, which has the lane's waker.
///     tasks: Option<Tasks<ConnId>>,
/// }
///
/// impl Protocol for Later {
///     type Conn = Vec<TaskId>;
///     type Mail = TaskId;
///
///     fn open(&mut self, _: &mut Io<'_, TaskId>) -> Option<Vec<TaskId>> {
///         Some(Vec::new())
///     }
///
///     fn step(
///         &mut self,
///         running: &mut Vec<TaskId>,
///         event: Event<TaskId>,
///         io: &mut Io<'_, TaskId>,
///     ) -> Flow {
///         match event {
///             Event::Bytes => {
///                 io.consume(io.input().len());
///                 let tasks = self.tasks.get_or_insert_with(|| Tasks::new(1000, io.waker()));
///                 let (local, conn) = (tasks.local().clone(), io.id());
///                 let spawned = tasks.spawn(async move {
///                     local.sleep(Nanos::from_secs(1)).await;
///                     conn
///                 });
///                 match spawned {
///                     Ok(id) => running.push(id),
///                     Err(_) => io.out().put(b"too busy\n"),
///                 }
///                 Flow::Read
///             }
///             Event::Mail(done) => {
///                 running.retain(|id| *id != done);
///                 io.out().put(b"done\n");
///                 Flow::Read
///             }
///             Event::Eof | Event::Stopping => Flow::Finish,
///             _ => Flow::Read,
///         }
///     }
///
///     fn turn(&mut self, turn: &mut Turn<'_, TaskId>) {
///         let Some(tasks) = &mut self.tasks else { return };
///         tasks.run(turn.now(), |id, result| match result {
///             // With room for as much mail as there are tasks, none is refused.
///             Ok(conn) => drop(turn.post(conn, id)),
///             Err(panicked) => eprintln!("a task {panicked}"),
///         });
///         turn.wake_at(tasks.next_wake());
///     }
///
///     fn close(&mut self, running: Vec<TaskId>, _: Closed, _: &mut Io<'_, TaskId>) {
///         for id in running {
///             let _ = self.tasks.as_mut().map(|tasks| tasks.cancel(id));
///         }
///     }
/// }
/// # use corelane_eventloop::{Driver, Faults, Lane, LaneConfig, Post, World};
/// # let world = World::new(1, Faults::NONE);
/// # let mut driver = world.driver();
/// # driver.listen(0, Default::default());
/// # let mut lane = Lane::new(Later::default(), LaneConfig::default(), Post::mesh(1, 16).remove(0));
/// # let client = world.connect(&driver, 0);
/// # world.send(client, b"hello");
/// # let began = world.now();
/// # while world.received_len(client) == 0 {
/// #     driver.turn(&mut lane, None)?;
/// # }
/// # assert_eq!(world.received(client), b"done\n");
/// # assert!((1000..1100).contains(&world.now().since(began).as_millis()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Tasks<T> {
    tasks: Slab<Task<T>>,
    /// Those that were not polled yet, and some that were.
    fresh: VecDeque<Key>,
    woken: Rc<Woken>,
    inbox: Arc<Inbox>,
    local: Local,
    budget: usize,
    /// Whose turn it is: that of those that were woken, or of those that are new.
    woken_next: bool,
}

struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    signal: Arc<Signal>,
    /// Made of `signal`, once for all polls.
    waker: Waker,
    fresh: bool,
}

impl<T> Tasks<T> {
    /// Room for `limit` tasks (of at most 2^31). `lane` is woken when one of them is: see
    /// [`LaneHandle::waker`](crate::LaneHandle::waker).
    pub fn new(limit: usize, lane: &Waker) -> Tasks<T> {
        let inbox = Arc::new(Inbox::new(lane.clone()));
        Tasks {
            tasks: Slab::with_limit(limit.min(TASKS_MAX)),
            fresh: VecDeque::new(),
            woken: Woken::new(inbox.clone()),
            inbox,
            local: Local::new(),
            budget: BUDGET,
            woken_next: true,
        }
    }

    /// Polls at most so many tasks in one [`run`](Tasks::run), instead of 256; at least one.
    pub fn with_budget(mut self, polls: usize) -> Tasks<T> {
        self.budget = polls.max(1);
        self
    }

    /// The clock and the timers that these tasks use.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Says what time it is, for futures that are made outside of a poll and call
    /// [`Local::sleep`] then; [`poll`](Tasks::poll) and [`run`](Tasks::run) do the same.
    pub fn advance(&mut self, now: Nanos) {
        self.local.advance(now);
    }

    /// Takes in a future, to be polled in the next [`run`](Tasks::run), or before with
    /// [`poll`](Tasks::poll).
    ///
    /// # Errors
    /// [`Full`] with the future, at the limit.
    pub fn spawn<F>(&mut self, future: F) -> Result<TaskId, Full<F>>
    where
        F: Future<Output = T> + 'static,
    {
        if self.tasks.len() >= self.tasks.limit() {
            return Err(Full(future));
        }
        let future = Box::pin(future);
        let make = |key| {
            let signal = Arc::new(Signal::new(key, self.inbox.clone()));
            Task { future, waker: signal.clone().into(), signal, fresh: true }
        };
        let key = self.tasks.insert_with(make).expect("a place is free below the limit");
        self.fresh.push_back(key);
        self.inbox.wake_lane();
        Ok(TaskId(key))
    }

    /// Polls one task at once, be it new, woken or neither; one that was woken is polled again in the
    /// next run. `None`: it is not done, or long gone. The lane is woken, as a [`run`](Tasks::run) has
    /// to follow: the task may have begun to sleep.
    pub fn poll(&mut self, id: TaskId, now: Nanos) -> Option<Result<T, Panicked>> {
        self.local.advance(now);
        self.tasks.get_mut(id.0)?.fresh = false;
        let done = self.poll_task(id.0);
        if done.is_none() {
            self.inbox.wake_lane();
        }
        done
    }

    /// Polls the tasks that were woken, in the order of their wakes, and between them those that are
    /// new; in all as many as the budget allows. Calls `done` for each that has finished or panicked. Ask [`next_wake`](Tasks::next_wake) afterwards.
    pub fn run(&mut self, now: Nanos, mut done: impl FnMut(TaskId, Result<T, Panicked>)) {
        self.local.advance(now);
        let _run = self.woken.begin_run();
        self.local.resume(self.budget);
        let mut polls = 0;
        while polls < self.budget
            && let Some(key) = self.next_ready(self.woken_next)
        {
            polls += 1;
            self.woken_next = !self.woken_next;
            if let Some(result) = self.poll_task(key) {
                done(TaskId(key), result);
            }
        }
    }

    /// Drops a task's future. False if it is gone already, for instance because it was done in this turn
    /// and its result is on its way to a connection that closes.
    ///
    /// # Errors
    /// [`Panicked`] if dropping it did. The task is gone then, too.
    pub fn cancel(&mut self, id: TaskId) -> Result<bool, Panicked> {
        self.remove(id.0)
    }

    /// When to [`run`](Tasks::run) next, as of the last run: at that time if work is left over, when a
    /// task may want to end its sleep, or never ([`Nanos::MAX`]). For
    /// [`Turn::wake_at`](crate::Turn::wake_at); other wakes reach the lane by themselves.
    pub fn next_wake(&self) -> Nanos {
        let ready = !self.fresh.is_empty() || !self.woken.is_empty();
        if ready { self.local.now() } else { self.local.next_wake() }
    }

    /// Tasks that are not done.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// True if there is no task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many tasks there may be.
    pub fn limit(&self) -> usize {
        self.tasks.limit()
    }

    /// A task to poll, if possible one of those that were woken, or else of those that are new.
    fn next_ready(&mut self, woken_first: bool) -> Option<Key> {
        if woken_first {
            self.next_woken().or_else(|| self.next_fresh())
        } else {
            self.next_fresh().or_else(|| self.next_woken())
        }
    }

    fn next_woken(&mut self) -> Option<Key> {
        loop {
            let key = self.woken.pop()?;
            if let Some(task) = self.tasks.get(key) {
                task.signal.take();
                return Some(key);
            }
        }
    }

    fn next_fresh(&mut self) -> Option<Key> {
        loop {
            let key = self.fresh.pop_front()?;
            if self.tasks.get_mut(key).is_some_and(|task| std::mem::take(&mut task.fresh)) {
                return Some(key);
            }
        }
    }

    fn poll_task(&mut self, key: Key) -> Option<Result<T, Panicked>> {
        let Task { future, waker, .. } = self.tasks.get_mut(key)?;
        let mut context = Context::from_waker(waker);
        let result = match contained(|| future.as_mut().poll(&mut context)) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(panic) => Err(Panicked::new(panic)),
        };
        let removed = self.remove(key);
        Some(result.and_then(|value| removed.map(|_| value)))
    }

    fn remove(&mut self, key: Key) -> Result<bool, Panicked> {
        let Some(task) = self.tasks.remove(key) else { return Ok(false) };
        task.signal.mute();
        contained(|| drop(task)).map(|()| true).map_err(Panicked::new)
    }
}

impl<T> Drop for Tasks<T> {
    fn drop(&mut self) {
        let keys: Vec<Key> = self.tasks.keys().collect();
        for key in keys {
            // Nobody is left to be told of a panic.
            let _ = self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
