//! What the `async` handlers of a lane share.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

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
}

impl Lane {
    pub(crate) fn new(local: Local) -> Lane {
        Lane(Rc::new(Shared {
            local,
            pulls: RefCell::default(),
            gone: RefCell::default(),
            spawns: RefCell::default(),
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

    /// The stream or the request body of this connection can go on.
    pub(crate) fn pull(&self, conn: ConnId) {
        self.0.pulls.borrow_mut().insert(conn);
    }
}
