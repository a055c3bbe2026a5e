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
    /// This turn's number, and when it began.
    turn: u64,
    begun: Nanos,
    /// Steps in this turn, and when the last of them was done.
    steps: u32,
    steps_done: Nanos,
}

struct Traced {
    key: Key,
    trace: Arc<Trace>,
    until: Nanos,
    /// When the turn began in which the lane last came to this connection.
    visited: Nanos,
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
        Tracer {
            desk,
            clock,
            traced,
            turn: 0,
            begun: Nanos::ZERO,
            steps: 0,
            steps_done: Nanos::ZERO,
        }
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

    /// True if a connection is awaited: perhaps the one that has just come.
    #[inline]
    pub(crate) fn awaits(&self) -> bool {
        // Whoever orders a trace hears that it is taken before the client connects.
        self.desk.as_ref().is_some_and(|desk| desk.armed.load(Ordering::Acquire) > 0)
    }

    /// A connection came from this peer, in the turn of this number: traces it if it is awaited.
    #[cold]
    pub(super) fn admitted(
        &mut self,
        key: Key,
        peer: Peer,
        lane: LaneId,
        (now, turn): (Nanos, u64),
        detail: impl FnOnce() -> String,
    ) {
        if let Some(trace) = self.claim(peer, lane, now) {
            if !self.is_on() {
                // This turn was not known to be of interest when it began.
                self.begin_turn(now, turn);
            }
            let until = now + TraceDesk::LENGTH;
            self.traced.push(Traced { key, trace, until, visited: Nanos::MAX, received: 0 });
            self.visited(key);
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

    fn claim(&self, peer: Peer, lane: LaneId, now: Nanos) -> Option<Arc<Trace>> {
        if !self.awaits() {
            return None;
        }
        self.desk.as_ref()?.claim(peer, lane, now)
    }

    /// Whether this connection is traced.
    pub(super) fn traces(&self, key: Key) -> bool {
        self.traced.iter().any(|traced| traced.key == key)
    }

    /// The lane comes to this connection: notes when the turn began, and what came before, if that is new.
    pub(crate) fn visited(&mut self, key: Key) {
        // Steps before its first one in a turn are of others.
        let (begun, turn) = (self.begun, self.turn);
        let (others, others_done) = (self.steps, self.steps_done);
        if let Some(traced) = self.traced.iter_mut().find(|traced| traced.key == key)
            && std::mem::replace(&mut traced.visited, begun) != begun
        {
            let loops = |at, event, detail| Note { at, stage: Stage::Loop, event, detail };
            traced.trace.add(loops(begun, "woke", format!("turn {turn} of this loop")));
            if others > 0 {
                let detail = format!("{others} step{}", if others == 1 { "" } else { "s" });
                traced.trace.add(loops(others_done, "served others", detail));
            }
        }
    }

    /// How much of what this connection has received so far was not asked about before.
    pub(super) fn news(&mut self, key: Key, received: u64) -> u64 {
        let traced = self.traced.iter_mut().find(|traced| traced.key == key);
        traced.map_or(0, |traced| received - std::mem::replace(&mut traced.received, received))
    }

    /// A step is done.
    pub(super) fn step_done(&mut self, now: Nanos) {
        self.steps += 1;
        self.steps_done = self.read_clock(now);
    }

    /// The turn of this number begins.
    #[cold]
    pub(crate) fn begin_turn(&mut self, now: Nanos, turn: u64) {
        self.turn = turn;
        self.begun = now;
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
