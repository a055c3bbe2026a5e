//! What a lane knows of the connections that it traces.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use corelane_mempool::Key;

use super::{Note, Stage, Trace, TraceDesk, TraceState};
use crate::id::{LaneId, Peer};
use crate::time::Nanos;

/// The connections of a lane that are traced. Shared access is enough to note something.
pub struct Tracer {
    desk: Option<Arc<TraceDesk>>,
    /// Reads the driver's clock; the simulated one stands still within a turn.
    clock: Option<Box<dyn Fn() -> Nanos + Send>>,
    traced: Vec<Traced>,
    /// Steps in this turn, and when the last of them was done.
    steps: u32,
    steps_done: Nanos,
}

struct Traced {
    key: Key,
    trace: Arc<Trace>,
    until: Nanos,
    /// The turn in which the lane last came to this connection.
    turn: u64,
    /// How much of what it received was noted.
    received: u64,
}

impl Drop for Traced {
    /// Whatever ends it, also the end of a lane; does nothing if the end was noted.
    fn drop(&mut self) {
        self.trace.end(TraceState::CutShort);
    }
}

impl Tracer {
    pub(crate) fn new() -> Tracer {
        let (desk, clock, traced) = (None, None, Vec::new());
        Tracer { desk, clock, traced, steps: 0, steps_done: Nanos::ZERO }
    }

    pub(crate) fn attend(&mut self, desk: Arc<TraceDesk>) {
        self.desk = Some(desk);
    }

    pub(crate) fn set_clock(&mut self, clock: Option<Box<dyn Fn() -> Nanos + Send>>) {
        self.clock = clock;
    }

    /// True if a connection of this lane is traced, whichever.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        !self.traced.is_empty()
    }

    /// Adds a note to the trace of this connection, if it is traced. `now` is the lane's clock, for
    /// drivers that have no finer one.
    #[inline]
    pub fn note(
        &self,
        key: Key,
        now: Nanos,
        stage: Stage,
        event: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if self.is_on() {
            self.note_if_traced(key, now, stage, event, detail);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_if_traced(
        &self,
        key: Key,
        now: Nanos,
        stage: Stage,
        event: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if let Some(traced) = self.traced.iter().find(|traced| traced.key == key) {
            // To make the text takes time, too, and that is not the step's.
            let at = self.read_clock(now);
            traced.trace.add(Note { at, stage, event, detail: detail() });
        }
    }

    fn read_clock(&self, now: Nanos) -> Nanos {
        self.clock.as_ref().map_or(now, |clock| clock())
    }

    /// A connection came from this peer: traces it if it is awaited.
    #[inline]
    pub(crate) fn admitted(
        &mut self,
        key: Key,
        peer: Peer,
        lane: LaneId,
        now: Nanos,
        detail: impl FnOnce() -> String,
    ) {
        if let Some(trace) = self.claim(peer, lane, now) {
            let until = now + TraceDesk::LENGTH;
            self.traced.push(Traced { key, trace, until, turn: u64::MAX, received: 0 });
            self.note(key, now, Stage::Acceptor, "accepted", detail);
        }
    }

    /// A connection from this peer was turned away: says so if it is awaited.
    #[cold]
    pub(crate) fn refused(&self, peer: Peer, lane: LaneId, now: Nanos, why: &'static str) {
        if let Some(trace) = self.claim(peer, lane, now) {
            let (at, stage) = (self.read_clock(now), Stage::Acceptor);
            trace.add(Note { at, stage, event: "refused", detail: why.into() });
            trace.end(TraceState::Closed);
        }
    }

    #[inline]
    fn claim(&self, peer: Peer, lane: LaneId, now: Nanos) -> Option<Arc<Trace>> {
        let desk = self.desk.as_ref()?;
        // Whoever orders a trace hears of that before the client connects.
        if desk.armed.load(Ordering::Acquire) == 0 {
            return None;
        }
        desk.claim(peer, lane, now)
    }

    /// Whether this connection is traced.
    pub(super) fn traces(&self, key: Key) -> bool {
        self.traced.iter().any(|traced| traced.key == key)
    }

    /// The lane comes to this connection in the turn of this number, which began at `begun`: notes that,
    /// and what came before it. `received` is what the connection has received so far; returns how much
    /// of that is new.
    pub(super) fn visited(&mut self, key: Key, turn: u64, begun: Nanos, received: u64) -> u64 {
        // Those before its first one are of others.
        let (others, others_done) = (self.steps, self.steps_done);
        let Some(traced) = self.traced.iter_mut().find(|traced| traced.key == key) else {
            return 0;
        };
        if std::mem::replace(&mut traced.turn, turn) != turn {
            let loops = |at, event, detail| Note { at, stage: Stage::Loop, event, detail };
            traced.trace.add(loops(begun, "woke", format!("turn {turn} of this loop")));
            if others > 0 {
                let detail = format!("{others} step{}", if others == 1 { "" } else { "s" });
                traced.trace.add(loops(others_done, "served others", detail));
            }
        }
        received - std::mem::replace(&mut traced.received, received)
    }

    /// A step is done.
    pub(super) fn step_done(&mut self, now: Nanos) {
        self.steps += 1;
        self.steps_done = self.read_clock(now);
    }

    /// A turn begins.
    #[cold]
    pub(crate) fn turn(&mut self, now: Nanos) {
        self.steps = 0;
        self.traced.retain(|traced| traced.until > now);
    }

    /// This connection is traced no more.
    pub(crate) fn end(&mut self, key: Key, state: TraceState) {
        if let Some(at) = self.traced.iter().position(|traced| traced.key == key) {
            self.traced.swap_remove(at).trace.end(state);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("traced", &self.traced.len()).finish_non_exhaustive()
    }
}
