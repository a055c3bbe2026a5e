//! The client as a protocol: what a connection does with its events, and what the worker does once in a
//! turn. It knows no socket and no clock, so that it runs in the simulator as on a network.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use corelane_eventloop::{COPY_LIMIT, Chunk, Closed, Event, Flow, Io, Nanos, Protocol, Turn};
use corelane_mempool::{Key, Shared};

use crate::connection::{Conn, Phase};
use crate::ledger::{Ledger, Sent};
use crate::plan::{Plan, Stop};
use crate::response::{Response, Rules};
use crate::schedule::Choice;
use crate::source::Source;
use crate::supply::{Due, Supply};
use crate::tally::Fault;

/// Handshakes under way at once: fewer than any server's backlog, so that none is dropped.
const CONNECTING_COUNT_MAX: usize = 128;
/// A connection that failed is tried again after this.
const RETRY: u64 = 10_000_000;
/// How often the loop looks whether the run is to end early, if nothing else happens.
const LOOK: u64 = 50_000_000;
/// How long a run that ends early waits for what is in flight.
const PATIENCE: u64 = 500_000_000;

/// Where a worker is in its run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    WarmUp,
    Measuring,
    /// Nothing new is sent, what is in flight is waited for.
    Draining,
    Over,
}

/// What a connection does when its response has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Afterwards {
    /// Sends the next request.
    Repeat,
    /// Stays open and silent.
    Hold,
}

/// One worker's client.
pub(crate) struct Engine<'plan> {
    plan: &'plan Plan,
    afterwards: Afterwards,
    /// The run is to end early.
    stop: &'plan AtomicBool,
    pub(crate) ledger: Ledger,
    supply: Supply,
    choice: Choice,
    source: Source,
    /// By request: its bytes, and how its responses are read.
    bytes: Vec<Shared>,
    rules: Vec<Rules>,
    stage: Stage,
    /// The clock at the start of this turn; `None` before the first.
    now: Option<u64>,
    opens: u64,
    closes: u64,
    pub(crate) interrupted: bool,
    /// When what is in flight is given up, once it was interrupted.
    gives_up: u64,
    /// Connections at most, those there are or that rest after a failure, and those on their way.
    most: usize,
    live: usize,
    connecting: usize,
    /// Of a closed loop: how many are to be dialled at once, and when others may be tried again.
    wanted: usize,
    retries: VecDeque<u64>,
    /// Of an open loop: connections that can take a request, those with nothing in flight at the back;
    /// and since when there has been one.
    free: VecDeque<Key>,
    free_since: u64,
    /// Since when there was one when this turn's nudges were given.
    nudged_since: u64,
    in_flight: u64,
    /// Connections that are kept, and owe nothing.
    held: usize,
    /// The last response or opened connection, or the last time that nothing was owed.
    progress: u64,
}

impl<'plan> Engine<'plan> {
    /// Worker `index` of the plan's threads, with its share of connections and requests.
    pub(crate) fn new(
        plan: &'plan Plan,
        index: usize,
        stop: &'plan AtomicBool,
        ledger: Ledger,
    ) -> Self {
        // At most 1,000,000, so it fits.
        let most = plan.share(plan.connections as u64, index) as usize;
        let bytes =
            |weighted: &crate::plan::Weighted| Shared::from(weighted.request.bytes().to_vec());
        let rules = |weighted: &crate::plan::Weighted| {
            Rules::new(weighted.request.head_only(), &weighted.expect)
        };
        let supply = Supply::new(plan, index);
        Self {
            plan,
            afterwards: Afterwards::Repeat,
            stop,
            ledger,
            choice: Choice::new(&plan.requests, plan.seed, index),
            source: Source::new(&plan.targets, index as u64),
            bytes: plan.requests.iter().map(bytes).collect(),
            rules: plan.requests.iter().map(rules).collect(),
            stage: Stage::WarmUp,
            now: None,
            opens: u64::MAX,
            closes: u64::MAX,
            interrupted: false,
            gives_up: u64::MAX,
            most,
            live: 0,
            connecting: 0,
            wanted: if supply.is_open() { 0 } else { most },
            retries: VecDeque::new(),
            free: VecDeque::new(),
            free_since: 0,
            nudged_since: 0,
            in_flight: 0,
            held: 0,
            progress: 0,
            supply,
        }
    }

    /// Connections with one request each, kept afterwards.
    pub(crate) fn hold(plan: &'plan Plan, stop: &'plan AtomicBool, ledger: Ledger) -> Self {
        let mut engine = Self::new(plan, 0, stop, ledger);
        engine.afterwards = Afterwards::Hold;
        engine.most = plan.connections;
        engine.wanted = plan.connections;
        engine.supply = Supply::of(plan.connections as u64);
        engine
    }

    /// Connections that are kept, and owe nothing.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// How long measuring took, by the lane's clock.
    pub(crate) fn measured(&self) -> u64 {
        let end = match self.plan.stop {
            Stop::After(_) => self.closes.max(self.progress),
            Stop::Requests(_) => self.progress,
        };
        end.saturating_sub(self.opens)
    }

    /// Whether bodies are dropped unread, so that little is to be read at once.
    pub(crate) fn skips(&self) -> bool {
        self.rules.iter().any(Rules::skips)
    }

    /// A turn is over, at this time.
    pub(crate) fn turned(&mut self, at: Nanos) {
        if let (true, Some(begun)) = (self.supply.is_open(), self.now) {
            self.ledger.turned(at.0.saturating_sub(begun));
        }
    }

    /// There is something to do that the lane does not know of: the next turn is to come at once.
    pub(crate) fn is_eager(&self) -> bool {
        if self.now.is_none() {
            return true;
        }
        let sendable = self.sends() && self.supply.waiting() > 0 && !self.free.is_empty();
        let ends = self.stage == Stage::Draining && self.in_flight == 0;
        sendable || ends || self.wants_dial()
    }

    fn sends(&self) -> bool {
        matches!(self.stage, Stage::WarmUp | Stage::Measuring)
    }

    fn wants_dial(&self) -> bool {
        if !self.sends() || self.connecting >= CONNECTING_COUNT_MAX || self.live >= self.most {
            return false;
        }
        if !self.supply.is_open() {
            // No connection is opened for which there will be no request.
            return self.wanted > 0 && self.supply.has_more_than(self.connecting as u64);
        }
        self.free.is_empty() && self.supply.waiting() > self.connecting as u64
    }
}

impl Protocol for Engine<'_> {
    type Conn = Conn;
    type Mail = ();

    fn open(&mut self, io: &mut Io<'_, ()>) -> Option<Conn> {
        Some(Conn::new(io.now().0))
    }

    fn step(&mut self, conn: &mut Conn, event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        let flow = match event {
            Event::Opened => self.opened(conn, io),
            Event::Bytes => self.receive(conn, io),
            Event::Eof => self.ended(conn, io),
            Event::Timer => {
                let closing = conn.phase == Phase::Closing;
                let fault = if closing { Fault::KeptOpen } else { Fault::Timeout };
                self.fail(conn, fault, io.now().0)
            }
            Event::Nudged => {
                conn.free = false;
                let since = self.nudged_since;
                self.refill(conn, io, 1, Some(since));
                Flow::Read
            }
            _ => Flow::Read,
        };
        if flow == Flow::Read {
            self.arm(conn, io);
        }
        flow
    }

    fn close(&mut self, conn: Conn, why: Closed, io: &mut Io<'_, ()>) {
        let now = io.now().0;
        if conn.phase == Phase::Dialling {
            self.connecting -= 1;
        }
        let mut conn = conn;
        if let Some(fault) = self.fault_of(&conn, why) {
            self.fail(&mut conn, fault, now);
        }
        for sent in &conn.sent {
            self.in_flight -= 1;
            self.ledger.lost(*sent);
        }
        if conn.free {
            let key = io.id().key;
            self.free.retain(|free| *free != key);
        }
        self.held -= usize::from(conn.held);
        if conn.failed {
            // Its place stays taken until then.
            self.retries.push_back(now + RETRY);
        } else {
            self.vacate();
        }
    }

    fn turn(&mut self, turn: &mut Turn<'_, ()>) {
        let now = turn.now().0;
        if self.now.replace(now).is_none() {
            self.begin(now);
        }
        self.advance(now);
        let before = self.closes.min(now.saturating_add(1));
        let intended = self.supply.arrive(before, self.opens);
        self.ledger.intended(intended);
        if self.sends() && now >= self.closes {
            // What waits goes if there is a connection for it now; else it is too late.
            self.supply.close();
            self.stage = Stage::Draining;
        }
        self.nudged_since = self.free_since;
        for _ in 0..self.supply.waiting().min(self.free.len() as u64) {
            if self.stage != Stage::Over
                && let Some(key) = self.free.pop_back()
            {
                turn.nudge(key);
            }
        }
        while self.retries.front().is_some_and(|&at| at <= now) {
            self.retries.pop_front();
            self.vacate();
        }
        while self.wants_dial() {
            let target = self.source.next();
            if turn.connect(target, 0).is_err() {
                break;
            }
            self.wanted = self.wanted.saturating_sub(1);
            self.connecting += 1;
            self.live += 1;
        }
        self.ledger.stands(self.in_flight, self.supply.waiting(), self.live);
        turn.wake_at(Nanos(self.wake(now)));
    }
}

impl Engine<'_> {
    fn begin(&mut self, now: u64) {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.supply.begin(now);
        self.progress = now;
        self.opens = now;
        if let Stop::After(time) = self.plan.stop
            && self.afterwards == Afterwards::Repeat
        {
            self.opens = now.saturating_add(nanos(self.plan.warm_up));
            self.closes = self.opens.saturating_add(nanos(time));
        }
        self.ledger.opens_at(self.opens);
    }

    /// Goes on to the next stage if it is time.
    fn advance(&mut self, now: u64) {
        if self.stage == Stage::WarmUp && now >= self.opens {
            self.stage = Stage::Measuring;
        }
        if !self.interrupted && self.stage != Stage::Over && self.stop.load(Ordering::Relaxed) {
            self.interrupted = true;
            self.gives_up = now.saturating_add(PATIENCE);
            if self.sends() {
                self.opens = self.opens.min(now);
                self.closes = now;
            }
        }
        let owes = self.supply.waiting() > 0 || self.in_flight > 0;
        if !owes && self.supply.is_open() && self.closes == u64::MAX {
            self.progress = self.progress.max(now.min(self.supply.next_at()));
        }
        let done = match self.stage {
            Stage::WarmUp => false,
            Stage::Measuring => {
                let timeout = self.plan.timeouts.response.max(self.plan.timeouts.connect);
                let patience = 2 * timeout.as_nanos() as u64;
                let answered = self.in_flight == 0 && !self.supply.has_more();
                let limited = self.closes == u64::MAX;
                limited && (answered || now > self.progress.saturating_add(patience))
            }
            Stage::Draining => self.in_flight == 0 || now > self.gives_up,
            Stage::Over => false,
        };
        if done {
            let unsent = self.supply.end(self.opens);
            if self.supply.is_open() || !self.interrupted {
                self.ledger.unsent(unsent);
            }
            if !self.supply.is_open() {
                self.ledger.intended(if self.interrupted { 0 } else { unsent });
            }
            self.stage = Stage::Over;
        }
    }

    /// When the next turn is to come, if nothing happens before.
    fn wake(&self, now: u64) -> u64 {
        let stage = if self.stage == Stage::WarmUp { self.opens } else { self.closes };
        let retry = self.retries.front().copied().unwrap_or(u64::MAX);
        // Times that have passed would have the lane turn without a pause.
        let ahead = |at: u64| if at > now { at } else { u64::MAX };
        (now + LOOK).min(ahead(stage)).min(ahead(retry)).min(ahead(self.supply.next_at()))
    }

    /// There is a place for another connection, which a closed loop takes at once.
    fn vacate(&mut self) {
        self.live -= 1;
        self.wanted += usize::from(!self.supply.is_open());
    }

    fn opened(&mut self, conn: &mut Conn, io: &mut Io<'_, ()>) -> Flow {
        let now = io.now().0;
        self.connecting -= 1;
        self.progress = now;
        self.ledger.opened(now);
        conn.phase = Phase::Open;
        let most = match self.afterwards {
            Afterwards::Repeat => self.plan.pipeline,
            Afterwards::Hold => 1,
        };
        if self.sends() {
            self.refill(conn, io, most, None);
        } else {
            self.park(conn, io);
        }
        Flow::Read
    }

    /// Sends up to so many requests; `free_since` is given if it could have taken them since then.
    fn refill(
        &mut self,
        conn: &mut Conn,
        io: &mut Io<'_, ()>,
        most: usize,
        free_since: Option<u64>,
    ) {
        let now = io.now().0;
        let room = self.plan.pipeline.saturating_sub(conn.sent.len());
        for _ in 0..most.min(room) {
            if conn.phase != Phase::Open || conn.last {
                break;
            }
            let Some(due) = self.supply.take(now) else { break };
            self.send(conn, io, due, free_since);
        }
        self.park(conn, io);
    }

    fn send(&mut self, conn: &mut Conn, io: &mut Io<'_, ()>, due: Due, free_since: Option<u64>) {
        let now = io.now().0;
        let index = self.choice.draw();
        let bytes = &self.bytes[index];
        if bytes.len() < COPY_LIMIT {
            io.out().put(bytes);
        } else {
            io.out().push(Chunk::Shared(bytes.clone()));
        }
        conn.last = self.plan.requests[index].request.closes();
        // A closed loop's request with a connection of its own begins with the handshake.
        let closed = !self.supply.is_open();
        let intended = if closed && conn.last { conn.since } else { due.intended };
        let late = free_since.map_or(0, |since| now.saturating_sub(since.max(due.since)));
        let sent = Sent { intended, at: now, request: index as u32 };
        if closed && self.ledger.measures(intended) {
            self.ledger.intended(1);
        }
        self.ledger.sent(sent, bytes.len(), late);
        conn.sent.push_back(sent);
        self.in_flight += 1;
    }

    /// Lists a connection of an open loop that can take a request.
    fn park(&mut self, conn: &mut Conn, io: &mut Io<'_, ()>) {
        let room = conn.sent.len() < self.plan.pipeline;
        let takes = conn.phase == Phase::Open && !conn.last && room && !conn.free;
        if !self.supply.is_open() || !takes {
            return;
        }
        if self.free.is_empty() {
            self.free_since = io.now().0;
        }
        conn.free = true;
        let key = io.id().key;
        if conn.sent.is_empty() {
            self.free.push_back(key);
        } else {
            self.free.push_front(key);
        }
    }

    fn receive(&mut self, conn: &mut Conn, io: &mut Io<'_, ()>) -> Flow {
        let now = io.now().0;
        self.ledger.received(io.received() - conn.received, now);
        conn.received = io.received();
        let mut answered = 0;
        if let Some(sent) = conn.sent.front()
            && let Some(response) = conn.reader.skipped(&self.rules[sent.request as usize])
        {
            self.answered(conn, response, now);
            answered += 1;
        }
        while !io.input().is_empty() {
            let Some(sent) = conn.sent.front().filter(|_| conn.phase == Phase::Open) else {
                // Unasked, or behind the last response.
                return self.fail(conn, Fault::Malformed, now);
            };
            let rules = &mut self.rules[sent.request as usize];
            match conn.reader.read(io.input(), rules) {
                Err(_) => return self.fail(conn, Fault::Malformed, now),
                // A head that is not whole.
                Ok((0, _)) => break,
                Ok((used, response)) => {
                    io.consume(used);
                    if let Some(response) = response {
                        self.answered(conn, response, now);
                        answered += 1;
                    }
                }
            }
        }
        if let Some(sent) = conn.sent.front()
            && let Some(length) = conn.reader.skip(&self.rules[sent.request as usize])
        {
            io.skip(length);
        }
        if answered > 0 && conn.phase == Phase::Open && self.afterwards == Afterwards::Repeat {
            let most = if self.supply.is_open() { self.plan.pipeline } else { answered };
            self.refill(conn, io, if self.sends() { most } else { 0 }, None);
        }
        Flow::Read
    }

    /// The oldest request has its response.
    fn answered(&mut self, conn: &mut Conn, response: Response, now: u64) {
        let Some(sent) = conn.sent.pop_front() else { return };
        self.in_flight -= 1;
        self.progress = now;
        self.ledger.answered(sent, response, now);
        if response.keeps_alive && !self.plan.requests[sent.request as usize].request.closes() {
            conn.held = self.afterwards == Afterwards::Hold;
            self.held += usize::from(conn.held);
            return;
        }
        conn.phase = Phase::Closing;
        conn.since = now;
        // The server said in time that it would not answer these: they go elsewhere.
        for sent in conn.sent.drain(..) {
            self.in_flight -= 1;
            self.ledger.withdrawn(sent, self.supply.is_open());
            self.supply.put_back(sent.intended, now);
        }
    }

    /// The peer has closed.
    fn ended(&mut self, conn: &mut Conn, io: &mut Io<'_, ()>) -> Flow {
        let now = io.now().0;
        if conn.phase == Phase::Closing {
            return Flow::Finish;
        }
        let rules = conn.sent.front().map(|sent| &self.rules[sent.request as usize]);
        match conn.reader.end(io.input().len(), rules) {
            Ok(Some(response)) => {
                self.answered(conn, response, now);
                Flow::Finish
            }
            // An idle connection may be closed at any time.
            Ok(None) if conn.sent.is_empty() => Flow::Finish,
            _ => self.fail(conn, Fault::ClosedEarly, now),
        }
    }

    fn fail(&mut self, conn: &mut Conn, fault: Fault, now: u64) -> Flow {
        conn.failed = true;
        self.ledger.fault(fault, now);
        Flow::Abort
    }

    /// What went wrong when a connection ended otherwise than by its own doing.
    fn fault_of(&mut self, conn: &Conn, why: Closed) -> Option<Fault> {
        let expected = conn.failed || conn.phase == Phase::Closing;
        match why {
            Closed::ConnectFailed(ErrorKind::TimedOut) => Some(Fault::ConnectTimeout),
            Closed::ConnectFailed(kind) => {
                if matches!(kind, ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) {
                    self.source.exhausted();
                }
                Some(Fault::Connect)
            }
            Closed::Lost(_) | Closed::Panicked if !expected => Some(Fault::Reset),
            // A head longer than what may be kept of it.
            Closed::InputOverflow | Closed::OutOfMemory if !expected => Some(Fault::Malformed),
            _ => None,
        }
    }

    /// Sets the deadline of what the connection waits for.
    #[inline]
    fn arm(&mut self, conn: &Conn, io: &mut Io<'_, ()>) {
        let timeouts = &self.plan.timeouts;
        let (since, time) = match (conn.phase, conn.sent.front()) {
            (Phase::Closing, _) => (conn.since, timeouts.close),
            (_, Some(oldest)) => (oldest.at, timeouts.response),
            (_, None) => return io.no_deadline(),
        };
        io.deadline(Nanos(since) + time.into());
    }
}
