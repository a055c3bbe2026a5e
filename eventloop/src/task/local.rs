//! What the futures of a lane share: its clock and its timers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corelane_mempool::{Key, Slab};

use crate::time::Nanos;
use crate::wheel::Wheel;

/// The clock and the timers of one [`Tasks`](crate::Tasks), for its futures to hold.
///
/// Time is that of the lane: it stands still during a run, and passes as the simulation decides
/// in a simulated one. Clones are the same clock.
#[derive(Clone)]
pub struct Local(Rc<Shared>);

struct Shared {
    now: Cell<Nanos>,
    /// Counts runs.
    runs: Cell<u64>,
    timers: RefCell<Timers>,
    /// Who waits for the next run.
    yielded: RefCell<Vec<Waker>>,
}

struct Timers {
    /// By the index of the sleeper.
    wheel: Wheel,
    sleepers: Slab<Waker>,
}

impl Local {
    pub(super) fn new() -> Local {
        Local(Rc::new(Shared {
            now: Cell::new(Nanos::ZERO),
            runs: Cell::new(0),
            timers: RefCell::new(Timers { wheel: Wheel::new(), sleepers: Slab::new() }),
            yielded: RefCell::new(Vec::new()),
        }))
    }

    /// The lane's clock, as of the poll or run that is under way.
    pub fn now(&self) -> Nanos {
        self.0.now.get()
    }

    /// Waits for `span` from now on: never shorter, and at most a millisecond and one turn longer.
    pub fn sleep(&self, span: Nanos) -> Sleep {
        self.sleep_until(self.now() + span)
    }

    /// Waits until that time. A time that has come is ready at the first poll; [`Nanos::MAX`] never
    /// comes.
    pub fn sleep_until(&self, until: Nanos) -> Sleep {
        Sleep { local: self.clone(), until, timer: None }
    }

    /// Waits for the lane's next turn, so that it can do other things: for long computations.
    pub fn yield_now(&self) -> YieldNow {
        YieldNow { local: self.clone(), run: None }
    }

    /// Gives `future` so long from now on.
    ///
    /// # Errors
    /// [`Elapsed`] if it takes longer. Like the future itself, it is dropped with what this returns.
    ///
    /// ```
    /// use std::future::pending;
    /// use std::task::Waker;
    /// use corelane_eventloop::{Elapsed, Nanos, Tasks};
    ///
    /// let mut tasks = Tasks::new(1, Waker::noop());
    /// let attempt = tasks.local().timeout(Nanos::from_millis(10), pending::<()>());
    /// assert!(tasks.spawn(attempt).is_ok());
    /// tasks.run(Nanos::ZERO, |_, _| panic!("too early"));
    /// let mut outcome = None;
    /// tasks.run(Nanos::from_millis(12), |_, result| outcome = Some(result));
    /// assert_eq!(outcome, Some(Ok(Err(Elapsed))));
    /// ```
    pub fn timeout<F: Future>(
        &self,
        span: Nanos,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        let mut sleep = self.sleep(span);
        async move {
            let mut future = pin!(future);
            poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed)),
            })
            .await
        }
    }

    /// The clock does not run backwards.
    pub(super) fn advance(&self, now: Nanos) {
        self.0.now.set(self.now().max(now));
    }

    /// A run begins: wakes who yielded, and at most `limit` whose sleep is over.
    pub(super) fn resume(&self, limit: usize) {
        self.0.runs.set(self.0.runs.get() + 1);
        for waker in self.0.yielded.take() {
            waker.wake();
        }
        for _ in 0..limit {
            let Some(sleeper) = self.0.timers.borrow_mut().pop_expired(self.now()) else { return };
            sleeper.wake();
        }
    }

    /// When somebody wants to be resumed.
    pub(super) fn next_wake(&self) -> Nanos {
        if !self.0.yielded.borrow().is_empty() {
            return self.now();
        }
        self.0.timers.borrow().wheel.next_wake(self.now().0).map_or(Nanos::MAX, Nanos)
    }

    /// Has `waker` woken at that time, under the same timer as before if there was one.
    fn arm(&self, timer: Option<Key>, until: Nanos, waker: &Waker) -> Option<Key> {
        let timers = self.0.timers.borrow();
        let known = timer.and_then(|key| timers.sleepers.get(key));
        if known.is_some_and(|known| known.will_wake(waker)) {
            return timer;
        }
        drop(timers);
        // No borrow is held while a waker is cloned, woken or dropped: what it does is not ours to know.
        let waker = waker.clone();
        let mut timers = self.0.timers.borrow_mut();
        if let Some(sleeper) = timer.and_then(|key| timers.sleepers.get_mut(key)) {
            let former = std::mem::replace(sleeper, waker);
            drop(timers);
            drop(former);
            return timer;
        }
        match timers.sleepers.insert(waker) {
            Ok(key) => {
                timers.wheel.set(key.index(), until.0);
                Some(key)
            }
            Err(full) => {
                // Four billion sleepers: this one has to look for itself.
                drop(timers);
                full.0.wake();
                None
            }
        }
    }

    fn disarm(&self, timer: Key) {
        let mut timers = self.0.timers.borrow_mut();
        let sleeper = timers.sleepers.remove(timer);
        if sleeper.is_some() {
            timers.wheel.clear(timer.index());
        }
        drop(timers);
        drop(sleeper);
    }
}

impl Timers {
    fn pop_expired(&mut self, now: Nanos) -> Option<Waker> {
        loop {
            let index = self.wheel.pop_expired(now.0)?;
            let key = self.sleepers.key_at(index);
            if let Some(sleeper) = key.and_then(|key| self.sleepers.remove(key)) {
                return Some(sleeper);
            }
        }
    }
}

/// Waits until a time has come. Made by [`Local::sleep`]; dropping it releases its timer.
#[must_use = "nobody waits before it is awaited"]
pub struct Sleep {
    local: Local,
    until: Nanos,
    /// Set from the first poll on. It names nothing once it has fired.
    timer: Option<Key>,
}

impl Sleep {
    /// When it ends.
    pub fn until(&self) -> Nanos {
        self.until
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.local.now() >= self.until && self.until != Nanos::MAX {
            return Poll::Ready(());
        }
        self.timer = self.local.arm(self.timer, self.until, context.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.local.disarm(timer);
        }
    }
}

/// Waits for the next run. Made by [`Local::yield_now`].
#[must_use = "nobody waits before it is awaited"]
pub struct YieldNow {
    local: Local,
    /// The run in which it was polled first.
    run: Option<u64>,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let now = self.local.0.runs.get();
        if *self.run.get_or_insert(now) != now {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        self.local.0.yielded.borrow_mut().push(waker);
        Poll::Pending
    }
}

/// The time given to a future with [`Local::timeout`] is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time given is over")
    }
}

impl std::error::Error for Elapsed {}
