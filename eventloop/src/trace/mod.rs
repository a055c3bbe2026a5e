//! Tracing of single connections: what became of their requests, step by step, with the time of each.
//!
//! Theory: whoever wants to see a request's journey says at a [`TraceDesk`] from which address it will
//! come. The lane that accepts a connection from there keeps a [`Trace`] for it, into which the engine
//! and the protocol write [`Note`]s. A lane that traces nothing, which is nearly always, asks one
//! well-predicted question per place where something could be noted: whether its list of traced
//! connections is empty. Only a lane that traces looks up whether it is this connection, reads the
//! driver's clock, takes the trace's lock and keeps a line. So a note says when, by a clock, and its text
//! is made only for a trace.
//!
//! A note stands at the *end* of what it tells of: the time from the note before to this one is what the
//! step took, or how long it waited.
//!
//! Everything has a bound: [`TraceDesk::TRACED`] connections at once, [`TraceDesk::KEPT`] traces,
//! [`Trace::NOTES`] notes of [`Trace::DETAIL_BYTES`] bytes in each; what is left out is counted. An order
//! is void after [`TraceDesk::PATIENCE`], and a trace ends after [`TraceDesk::LENGTH`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::{LaneId, Peer};
use crate::time::Nanos;

mod noted;
mod tracer;

pub use self::tracer::Tracer;

/// Who a note is by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// Takes connections in.
    Acceptor,
    /// Turns: polls, steps, waits.
    Loop,
    /// Cuts bytes into requests.
    Parser,
    /// Finds out what a request is for.
    Router,
    /// Stands between the protocol and the handler.
    Middleware,
    /// Answers.
    Handler,
    /// Queues what is to be sent.
    Output,
    /// Receives and sends.
    Kernel,
}

impl Stage {
    /// The name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Acceptor => "acceptor",
            Stage::Loop => "loop",
            Stage::Parser => "parser",
            Stage::Router => "router",
            Stage::Middleware => "middleware",
            Stage::Handler => "handler",
            Stage::Output => "output",
            Stage::Kernel => "kernel",
        }
    }
}

/// One step of a journey, noted when it was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// When, by the lane's clock.
    pub at: Nanos,
    /// Who did it.
    pub stage: Stage,
    /// What was done, in a word or two that stay the same.
    pub event: &'static str,
    /// What there is to say of it: sizes, counts, names of routes. Never a value of a field, or a body.
    pub detail: String,
}

/// What has become of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceState {
    /// Its connection has not come yet.
    Armed,
    /// Its connection is open.
    Running,
    /// Its connection is closed.
    Closed,
    /// It ended though its connection goes on: it took too long, or moved to another lane.
    CutShort,
    /// Its connection did not come in time.
    Expired,
}

impl TraceState {
    /// The name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            TraceState::Armed => "armed",
            TraceState::Running => "running",
            TraceState::Closed => "closed",
            TraceState::CutShort => "cut short",
            TraceState::Expired => "expired",
        }
    }

    /// True if nothing more will be noted.
    pub const fn is_over(self) -> bool {
        !matches!(self, TraceState::Armed | TraceState::Running)
    }
}

/// A trace as it is at the moment.
#[derive(Clone, Debug)]
pub struct TraceReport {
    /// Its number, at its desk.
    pub id: u64,
    /// The address whose connection it is of.
    pub peer: SocketAddr,
    /// What has become of it.
    pub state: TraceState,
    /// The lane that has the connection.
    pub lane: Option<LaneId>,
    /// What was noted, in order.
    pub notes: Vec<Note>,
    /// How many notes found no room.
    pub left_out: u64,
}

/// Why a trace is not to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArmError {
    /// So many connections are traced, or awaited, already: [`TraceDesk::TRACED`].
    Full,
    /// A connection from that address is awaited already.
    Awaited,
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArmError::Full => {
                write!(f, "{} connections are traced already; try again", TraceDesk::TRACED)
            }
            ArmError::Awaited => f.write_str("a connection from this address is awaited already"),
        }
    }
}

impl std::error::Error for ArmError {}

/// Where traces are asked for and fetched, from any thread. The lanes of a process share one
/// ([`Lane::with_traces`](crate::Lane::with_traces)).
///
/// ```
/// use corelane_eventloop::{Nanos, TraceDesk, TraceState};
///
/// let desk = TraceDesk::default();
/// let id = desk.arm("127.0.0.1:40000".parse()?, Nanos::ZERO)?;
/// // ... a client connects from there, asks, and leaves; then:
/// let report = desk.report(id, Nanos::from_secs(11)).expect("it is kept for a while");
/// assert_eq!(report.state, TraceState::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct TraceDesk {
    /// How many connections are awaited: what lanes look at when they accept.
    armed: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    last: u64,
    /// Oldest first.
    traces: Vec<Arc<Trace>>,
}

/// What is noted of one connection.
pub(crate) struct Trace {
    id: u64,
    peer: SocketAddr,
    record: Mutex<Record>,
}

struct Record {
    state: TraceState,
    /// When the order is void, or the trace ends.
    until: Nanos,
    lane: Option<LaneId>,
    notes: Vec<Note>,
    left_out: u64,
}

/// What was written before a panic is still true.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trace {
    /// So many notes are kept of one connection.
    pub(crate) const NOTES: usize = 256;
    /// So many bytes of a note's text.
    pub(crate) const DETAIL_BYTES: usize = 256;

    fn state(&self) -> TraceState {
        locked(&self.record).state
    }

    /// Ends what its time has passed for: an order that nobody came for, or a trace whose lane did not
    /// turn since. True if it was such an order.
    fn expire(&self, now: Nanos) -> bool {
        let mut record = locked(&self.record);
        if record.until > now {
            return false;
        }
        match record.state {
            TraceState::Armed => record.state = TraceState::Expired,
            TraceState::Running => record.state = TraceState::CutShort,
            _ => return false,
        }
        record.state == TraceState::Expired
    }

    fn add(&self, mut note: Note) {
        let mut record = locked(&self.record);
        if record.state.is_over() {
            return;
        }
        if record.notes.len() >= Trace::NOTES {
            record.left_out += 1;
            return;
        }
        note.detail.truncate(note.detail.floor_char_boundary(Trace::DETAIL_BYTES));
        record.notes.push(note);
    }

    fn end(&self, state: TraceState) {
        let mut record = locked(&self.record);
        if !record.state.is_over() {
            record.state = state;
        }
    }
}

impl TraceDesk {
    /// So many connections are awaited and traced at once.
    pub const TRACED: usize = 8;
    /// So many traces are kept, the newest ones.
    pub const KEPT: usize = 32;
    /// So long a connection is awaited.
    pub const PATIENCE: Nanos = Nanos::from_secs(10);
    /// So long a connection is traced.
    pub const LENGTH: Nanos = Nanos::from_secs(60);

    /// Has the next connection from this address traced; the number of its trace. IPv4 addresses that
    /// are mapped into IPv6 are the same as bare ones. `now` is of the clock of the process's lanes.
    ///
    /// # Errors
    /// If too many are traced, or that one is awaited already.
    pub fn arm(&self, peer: SocketAddr, now: Nanos) -> Result<u64, ArmError> {
        let peer = canonical(peer);
        let mut book = locked(&self.book);
        self.expire(&book, now);
        let live = || book.traces.iter().filter(|trace| !trace.state().is_over());
        if live().any(|trace| trace.peer == peer && trace.state() == TraceState::Armed) {
            return Err(ArmError::Awaited);
        }
        if live().count() >= TraceDesk::TRACED {
            return Err(ArmError::Full);
        }
        if book.traces.len() >= TraceDesk::KEPT
            && let Some(oldest) = book.traces.iter().position(|trace| trace.state().is_over())
        {
            book.traces.remove(oldest);
        }
        book.last += 1;
        let id = book.last;
        let record = Record {
            state: TraceState::Armed,
            until: now + TraceDesk::PATIENCE,
            lane: None,
            notes: Vec::new(),
            left_out: 0,
        };
        book.traces.push(Arc::new(Trace { id, peer, record: Mutex::new(record) }));
        self.armed.fetch_add(1, Ordering::Release);
        Ok(id)
    }

    /// The trace with this number as it is now; `None` if there was none, or it is kept no more.
    pub fn report(&self, id: u64, now: Nanos) -> Option<TraceReport> {
        let book = locked(&self.book);
        self.expire(&book, now);
        let trace = book.traces.iter().find(|trace| trace.id == id)?;
        let record = locked(&trace.record);
        Some(TraceReport {
            id,
            peer: trace.peer,
            state: record.state,
            lane: record.lane,
            notes: record.notes.clone(),
            left_out: record.left_out,
        })
    }

    /// Ends orders and traces whose time has passed.
    fn expire(&self, book: &Book, now: Nanos) {
        let void = book.traces.iter().filter(|trace| trace.expire(now)).count();
        self.armed.fetch_sub(void, Ordering::Release);
    }

    /// The trace that awaits a connection from there, which has come to this lane.
    #[cold]
    fn claim(&self, peer: Peer, lane: LaneId, now: Nanos) -> Option<Arc<Trace>> {
        let Peer::Ip(peer) = peer else { return None };
        let peer = canonical(peer);
        let book = locked(&self.book);
        self.expire(&book, now);
        let trace = book
            .traces
            .iter()
            .find(|trace| trace.peer == peer && locked(&trace.record).state == TraceState::Armed)?;
        self.armed.fetch_sub(1, Ordering::Release);
        let mut record = locked(&trace.record);
        record.state = TraceState::Running;
        record.until = now + TraceDesk::LENGTH;
        record.lane = Some(lane);
        drop(record);
        Some(trace.clone())
    }
}

impl fmt::Debug for TraceDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traces = locked(&self.book).traces.len();
        f.debug_struct("TraceDesk").field("armed", &self.armed).field("traces", &traces).finish()
    }
}

/// Address and port alone: a server that listens on `[::]` sees IPv4 clients as mapped ones.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_desk_takes_so_many_orders_and_voids_them_in_time() {
        let desk = TraceDesk::default();
        let first = desk.arm(peer(1), Nanos::ZERO).unwrap();
        assert_eq!(desk.arm(peer(1), Nanos::ZERO), Err(ArmError::Awaited));
        for port in 2..=TraceDesk::TRACED as u16 {
            desk.arm(peer(port), Nanos::ZERO).unwrap();
        }
        assert_eq!(desk.arm(peer(99), Nanos::ZERO), Err(ArmError::Full));
        assert_eq!(desk.report(first, Nanos::ZERO).unwrap().state, TraceState::Armed);
        assert_eq!(desk.report(first, TraceDesk::PATIENCE).unwrap().state, TraceState::Expired);
        assert_eq!(desk.armed.load(Ordering::Relaxed), 0);
        assert!(desk.claim(Peer::Ip(peer(1)), 0, Nanos::ZERO).is_none());
        // They are kept for a while, the newest ones.
        let mut now = TraceDesk::PATIENCE;
        for _ in 0..TraceDesk::KEPT {
            desk.arm(peer(1), now).unwrap();
            now += TraceDesk::PATIENCE;
        }
        assert!(desk.report(first, now).is_none());
        assert!(desk.report(first + TraceDesk::KEPT as u64, now).is_some());
        assert_eq!(locked(&desk.book).traces.len(), TraceDesk::KEPT);
    }

    #[test]
    fn a_trace_ends_in_time_though_its_lane_sleeps() {
        let desk = TraceDesk::default();
        let mut traces = Vec::new();
        for port in 0..TraceDesk::TRACED as u16 {
            let id = desk.arm(peer(port + 1), Nanos::ZERO).unwrap();
            traces.push((id, desk.claim(Peer::Ip(peer(port + 1)), 0, Nanos(5)).unwrap()));
        }
        let end = Nanos(5) + TraceDesk::LENGTH;
        assert_eq!(desk.arm(peer(99), Nanos(end.0 - 1)), Err(ArmError::Full));
        let next = desk.arm(peer(99), end).unwrap();
        for (id, trace) in traces {
            let detail = String::new();
            trace.add(Note { at: end, stage: Stage::Parser, event: "too late", detail });
            trace.end(TraceState::Closed);
            let report = desk.report(id, end).unwrap();
            assert_eq!((report.state, report.notes.len()), (TraceState::CutShort, 0));
        }
        assert_eq!(desk.report(next, end).unwrap().state, TraceState::Armed);
        assert_eq!(desk.armed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_connection_answers_one_order() {
        let desk = TraceDesk::default();
        let id = desk.arm("[::ffff:127.0.0.1]:5".parse().unwrap(), Nanos::ZERO).unwrap();
        assert!(desk.claim(Peer::Unix, 0, Nanos::ZERO).is_none());
        assert!(desk.claim(Peer::Ip(peer(6)), 0, Nanos::ZERO).is_none());
        let trace = desk.claim(Peer::Ip(peer(5)), 3, Nanos::ZERO).unwrap();
        assert!(desk.claim(Peer::Ip(peer(5)), 3, Nanos::ZERO).is_none());
        let detail = "ä".repeat(Trace::DETAIL_BYTES);
        trace.add(Note { at: Nanos(7), stage: Stage::Parser, event: "head", detail });
        let report = desk.report(id, TraceDesk::PATIENCE).unwrap();
        assert_eq!((report.state, report.lane), (TraceState::Running, Some(3)));
        assert_eq!(report.notes[0].detail.len(), Trace::DETAIL_BYTES);
        trace.end(TraceState::Closed);
        trace.end(TraceState::CutShort);
        assert_eq!(trace.state(), TraceState::Closed);
    }
}
