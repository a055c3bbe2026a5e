//! What the `async` handlers of a lane share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corelane_eventloop::{ConnId, Local};

use super::chain::LocalFuture;
use crate::handler::Ticket;

/// The lane that a request is served on, for `async` handlers to hold: its clock and timers, and
/// futures that go on beside a handler. Clones are the same lane.
#[derive(Clone)]
pub struct Lane(pub(crate) Rc<Shared>);

pub(crate) struct Shared {
    local: Local,
    /// Connections whose stream or request body can go on.
    pub(crate) pulls: RefCell<BTreeSet<ConnId>>,
    /// Requests whose client left before their body was whole.
    pub(crate) gone: RefCell<Vec<Ticket>>,
    /// Futures to take in.
    pub(crate) spawns: RefCell<Vec<LocalFuture<()>>>,
    stops: Cell<bool>,
    /// Who waits for that, by a number of his own.
    stoppings: RefCell<BTreeMap<u64, Waker>>,
    stoppings_ever: Cell<u64>,
}

impl Lane {
    pub(crate) fn new(local: Local) -> Lane {
        Lane(Rc::new(Shared {
            local,
            pulls: RefCell::default(),
            gone: RefCell::default(),
            spawns: RefCell::default(),
            stops: Cell::new(false),
            stoppings: RefCell::default(),
            stoppings_ever: Cell::new(0),
        }))
    }

    /// The clock and the timers of this lane.
    pub fn local(&self) -> &Local {
        &self.0.local
    }

    /// Has a future go on by itself: it outlives the request, and ends with the lane at the latest.
    /// Dropped, with a word in the log, if too many run already; a panic of it is logged.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawns.borrow_mut().push(Box::pin(future));
    }

    /// Waits until the server is asked to stop: for answers without an end, which would hold it up.
    pub fn stopping(&self) -> Stopping {
        let ever = &self.0.stoppings_ever;
        ever.set(ever.get() + 1);
        Stopping { lane: self.clone(), number: ever.get() }
    }

    /// The server was asked to stop.
    pub(crate) fn stop(&self) {
        if !self.0.stops.replace(true) {
            for (_, waker) in self.0.stoppings.take() {
                waker.wake();
            }
        }
    }

    /// The stream or the request body of this connection can go on.
    pub(crate) fn pull(&self, conn: ConnId) {
        self.0.pulls.borrow_mut().insert(conn);
    }
}

/// Waits until the server is asked to stop. Made by [`Lane::stopping`].
#[must_use = "nobody waits before it is awaited"]
pub struct Stopping {
    lane: Lane,
    number: u64,
}

impl Future for Stopping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = &self.lane.0;
        if shared.stops.get() {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let former = shared.stoppings.borrow_mut().insert(self.number, waker);
        drop(former);
        Poll::Pending
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let waker = self.lane.0.stoppings.borrow_mut().remove(&self.number);
        drop(waker);
    }
}
