//! The question asked before each accept.

use std::io;

use crate::time::Nanos;

/// What is done about the next connection in the listener's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Accept it.
    Take,
    /// Accept and close it at once: the client learns quickly that there is no room.
    Shed,
    /// Leave it in the queue until then; accepting resumes earlier if a connection closes.
    PauseUntil(Nanos),
}

/// Admission: decides about each connection before it is accepted.
///
/// Pure policy: it is told the time and how many connections this lane has open. A `Take` reserves a
/// place, which [`Admit::release`] gives back, or [`Admit::cancel`], exactly once.
pub trait Admit {
    /// Asked before each accept. `open` counts this lane's connections.
    fn admit(&mut self, now: Nanos, open: usize) -> Verdict;

    /// There was nothing to accept after a [`Verdict::Take`], or accepting it failed: as if it had
    /// not been asked for.
    fn cancel(&mut self) {
        self.release();
    }

    /// There was nothing to accept after a [`Verdict::Shed`], or accepting it failed: nobody was turned away.
    fn spare(&mut self) {}

    /// The connection that took a place is closed.
    fn release(&mut self);

    /// A connection has moved to another lane of the process, which releases its place one day.
    fn moved_out(&mut self) {}

    /// A connection has moved here, and its place with it.
    fn moved_in(&mut self) {}

    /// Accepting failed. Says when to try again: at once (`None`), or not before that time.
    fn failed(&mut self, now: Nanos, error: &io::Error) -> Option<Nanos>;
}

/// Admits everything, and waits 50 ms after an error that accepting again at once would repeat.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admit for AdmitAll {
    fn admit(&mut self, _now: Nanos, _open: usize) -> Verdict {
        Verdict::Take
    }

    fn release(&mut self) {}

    fn failed(&mut self, now: Nanos, error: &io::Error) -> Option<Nanos> {
        match error.kind() {
            io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => None,
            _ => Some(now + Nanos::from_millis(50)),
        }
    }
}
