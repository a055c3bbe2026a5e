//! What a lane's connections say to others, and how it reaches them.
//!
//! Theory of operation:
//!
//! 1. Whatever is said in a turn, to whomever, is written once into the lane's [`Log`].
//! 2. At the end of the turn the log becomes a [`Batch`], which goes to the other lanes as one piece of
//!    mail each, and whose runs go into the inboxes of this lane's receivers.
//! 3. Each receiver with something in its inbox is nudged: one step, in which it takes all it may. So
//!    it gets one gathered write per turn, however many spoke.
//!
//! Batches pass from lane to lane in order, and a batch is in the order of speaking. So everyone hears
//! what one connection says in the order in which it says it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use corelane_eventloop::{ConnId, Full, LaneId, Nanos, Turn};
use corelane_mempool::Key;

use super::batch::{Batch, Log, TURN_BYTES};
use super::counters::{Count, HandlerCounters};
use super::exchange::{Exchange, Place, Presence};
use super::framing::Framing;
use super::handle::SendError;
use super::members::Members;
use super::topic::{Payload, Slow, To};

/// How long [`Slow::Hold`](super::Slow::Hold) keeps a sender from being read, and how long it keeps what
/// is beyond a receiver's watermark from being dropped.
pub const HOLD_TIME: Nanos = Nanos::from_secs(1);

/// Words of other threads taken in one turn.
const TURN_PARCELS: usize = 256;
/// Bytes on their way to another lane, from which on connections that speak are no longer read.
const UNDER_WAY: usize = 8 << 20;
/// For how long. Then what is for that lane is lost until it takes something.
const PATIENCE: Nanos = Nanos::from_secs(1);
/// How soon it is tried again if nothing else happens: a lane that takes its mail says so to nobody.
const TRY_AGAIN: Nanos = Nanos::from_millis(1);

/// Mail between the lanes of handlers.
pub struct HandlerMail(pub(super) Letter);

pub(super) enum Letter {
    /// What was said on another lane.
    Batch(Parted),
    /// A receiver is slow: do not read.
    Hold,
    /// It has caught up.
    Release,
}

/// A batch on its way to a lane. Says when it has arrived, however it ends.
pub(super) struct Parted {
    batch: Arc<Batch>,
    exchange: Arc<Exchange>,
    to: LaneId,
}

impl Drop for Parted {
    fn drop(&mut self) {
        if let Some(place) = self.exchange.lane(self.to) {
            place.under_way.fetch_sub(self.batch.bytes(), Ordering::Relaxed);
        }
    }
}

pub(super) struct Hub {
    pub(super) framing: Framing,
    pub(super) lane: LaneId,
    pub(super) counters: HandlerCounters,
    pub(super) exchange: Arc<Exchange>,
    pub(super) members: Members,
    log: Log,
    /// How much may be said in a turn, in bytes.
    turn_bytes: usize,
    /// What this turn delivers, and how many connections have yet to take some of it.
    batches: Vec<Arc<Batch>>,
    takers: usize,
    /// They have been told.
    delivered: bool,
    /// What could not be sent to another lane yet, and since when.
    backlog: Vec<Backlog>,
    /// Senders that are held, in the order of their deadlines.
    held: VecDeque<(Nanos, Key)>,
    /// Connections that are not read until no lane is waited for.
    stalled: Vec<Key>,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<Arc<Batch>>,
    /// Since when the lane takes nothing.
    since: Option<Nanos>,
    /// For so long that nobody waits for it any more.
    given_up: bool,
}

impl Backlog {
    fn is_awaited(&self) -> bool {
        self.since.is_some() && !self.given_up
    }
}

impl Hub {
    pub(super) fn new(
        framing: Framing,
        lane: LaneId,
        counters: HandlerCounters,
        exchange: Arc<Exchange>,
    ) -> Hub {
        if let Some(place) = exchange.lane(lane) {
            place.begin();
        }
        let backlog = (0..exchange.lanes()).map(|_| Backlog::default()).collect();
        Hub {
            framing,
            lane,
            counters,
            exchange,
            members: Members::default(),
            log: Log::default(),
            turn_bytes: TURN_BYTES,
            batches: Vec::new(),
            takers: 0,
            delivered: false,
            backlog,
            held: VecDeque::new(),
            stalled: Vec::new(),
        }
    }

    fn place(&self) -> Option<&Place> {
        self.exchange.lane(self.lane)
    }

    pub(super) fn present(&self, key: Key, presence: Presence) {
        if let Some(place) = self.place() {
            place.presences.set(key, presence);
        }
    }

    /// So much may wait for a receiver: no more should come at once.
    pub(super) fn watermark(&mut self, high: u64) {
        // One message may always be said.
        self.turn_bytes = usize::try_from(high).unwrap_or(TURN_BYTES).clamp(1, TURN_BYTES);
    }

    /// Connections that speak should wait for the next turn.
    pub(super) fn is_full(&self) -> bool {
        self.log.is_full(self.turn_bytes) || self.is_stuck()
    }

    /// Another lane is waited for: which takes longer than a turn.
    pub(super) fn is_stuck(&self) -> bool {
        self.backlog.iter().any(Backlog::is_awaited)
    }

    /// Nudges a connection once no lane is waited for.
    pub(super) fn stall(&mut self, key: Key) {
        self.stalled.push(key);
    }

    /// Whether something is said that no end of turn has seen.
    pub(super) fn has_said(&self) -> bool {
        !self.log.is_empty()
    }

    /// Says something.
    pub(super) fn say(
        &mut self,
        to: To,
        from: Option<ConnId>,
        payload: Payload<'_>,
        slow: Slow,
    ) -> Result<(), SendError> {
        if let To::Conn(conn) = to
            && self.exchange.presence(conn) == Presence::Gone
        {
            self.counters.add(Count::Stale, 1);
            return Err(SendError::Gone);
        }
        match self.log.add(self.framing, to, from, payload, slow) {
            Ok(()) => self.counters.add(Count::Published, 1),
            Err(error) => self.unsendable(error),
        }
        Ok(())
    }

    /// A message that the framing does not have: a mistake of the handler.
    pub(super) fn unsendable(&self, error: super::FrameError) {
        self.counters.add(Count::Unsendable, 1);
        tracing::error!(lane = self.lane, %error, framing = ?self.framing, "a handler's message is not sent");
    }

    /// Keeps a sender from being read for a while.
    pub(super) fn hold(&mut self, key: Key, until: Nanos) {
        self.counters.add(Count::Held, 1);
        self.held.push_back((until, key));
    }

    /// Takes what another lane has sent.
    pub(super) fn arrived(&mut self, parted: &Parted) {
        self.forget();
        self.batches.push(parted.batch.clone());
    }

    pub(super) fn batch(&self, index: u32) -> Option<Arc<Batch>> {
        self.batches.get(index as usize).cloned()
    }

    /// The end of a turn: what was said goes to those who hear it.
    pub(super) fn turn(&mut self, turn: &mut Turn<'_, HandlerMail>) {
        self.forget();
        self.members.begin_turn();
        self.takers = 0;
        self.take_parcels(turn);
        if !self.log.is_empty() {
            let batch = self.log.finish();
            self.part(&batch, turn);
            self.batches.push(batch);
        } else if self.is_full() {
            self.send_backlog(turn);
        }
        for index in 0..self.batches.len() {
            self.deliver(index, turn);
        }
        self.delivered = true;
        if !self.is_stuck() {
            self.stalled.drain(..).for_each(|key| turn.nudge(key));
            if self.place().is_some_and(|place| !place.is_empty()) {
                turn.wake_at(turn.now());
            }
        }
        while self.held.front().is_some_and(|(until, _)| *until <= turn.now()) {
            if let Some((_, key)) = self.held.pop_front() {
                turn.nudge(key);
            }
        }
        if let Some((until, _)) = self.held.front() {
            turn.wake_at(*until);
        }
    }

    /// Forgets what an earlier turn has delivered: nobody takes any of it after its turn.
    fn forget(&mut self) {
        if std::mem::take(&mut self.delivered) {
            self.batches.clear();
        }
    }

    /// A connection has taken what it was to hear.
    pub(super) fn heard(&mut self) {
        self.takers = self.takers.saturating_sub(1);
        if self.takers == 0 {
            self.forget();
        }
    }

    fn take_parcels(&mut self, turn: &mut Turn<'_, HandlerMail>) {
        let exchange = self.exchange.clone();
        let Some(place) = exchange.lane(self.lane) else { return };
        place.woken_by(turn.waker());
        for _ in 0..TURN_PARCELS {
            if self.is_full() {
                break;
            }
            let Some(parcel) = place.take() else { return };
            self.counters.add(Count::Outside, 1);
            let _ = self.say(parcel.to, None, parcel.words.into(), parcel.slow);
        }
    }

    /// Sends a batch to the lanes that it concerns.
    fn part(&mut self, batch: &Arc<Batch>, turn: &mut Turn<'_, HandlerMail>) {
        for lane in 0..self.exchange.lanes() as LaneId {
            let concerned = |to: To| match to {
                To::Conn(conn) => conn.lane == lane,
                To::All | To::Topic(_) => true,
            };
            if lane != self.lane && batch.runs().iter().any(|run| concerned(run.to)) {
                self.backlog[usize::from(lane)].waiting.push_back(batch.clone());
            }
        }
        self.send_backlog(turn);
    }

    fn send_backlog(&mut self, turn: &mut Turn<'_, HandlerMail>) {
        for lane in 0..self.backlog.len() as LaneId {
            let backlog = &mut self.backlog[usize::from(lane)];
            while let Some(batch) = backlog.waiting.pop_front() {
                if let Err(batch) = dispatch(&self.exchange, lane, batch, turn) {
                    backlog.waiting.push_front(batch);
                    break;
                }
                (backlog.since, backlog.given_up) = (None, false);
            }
            if backlog.waiting.is_empty() {
                continue;
            }
            let since = *backlog.since.get_or_insert(turn.now());
            backlog.given_up |= turn.now().since(since) >= PATIENCE;
            if backlog.given_up {
                let runs = backlog.waiting.iter().flat_map(|batch| batch.runs());
                self.counters.add(Count::Lost, runs.map(|run| run.count() as u64).sum());
                backlog.waiting.clear();
            } else {
                turn.wake_at(turn.now() + TRY_AGAIN);
            }
        }
    }

    fn deliver(&mut self, index: usize, turn: &mut Turn<'_, HandlerMail>) {
        let Hub { batches, members, counters, lane, takers, .. } = self;
        let mut tell = |key| {
            *takers += 1;
            turn.nudge(key);
        };
        for (nth, run) in batches[index].runs().iter().enumerate() {
            let what = (index as u32, nth as u32);
            match run.to {
                To::All => members.deliver(None, what, &mut tell),
                To::Topic(topic) => members.deliver(Some(topic), what, &mut tell),
                To::Conn(conn) if conn.lane != *lane => {}
                To::Conn(conn) => {
                    if !members.deliver_one(conn.key, what, &mut tell) {
                        counters.add(Count::Stale, run.count() as u64);
                    }
                }
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(place) = self.place() {
            place.end();
        }
    }
}

fn dispatch(
    exchange: &Arc<Exchange>,
    to: LaneId,
    batch: Arc<Batch>,
    turn: &mut Turn<'_, HandlerMail>,
) -> Result<(), Arc<Batch>> {
    // Nobody is on a lane that has ended; its successor, if there is one, has others.
    let Some(place) = exchange.lane(to).filter(|place| !place.has_ended()) else { return Ok(()) };
    if place.under_way.load(Ordering::Relaxed) >= UNDER_WAY {
        return Err(batch);
    }
    place.under_way.fetch_add(batch.bytes(), Ordering::Relaxed);
    let parted = Parted { batch, exchange: exchange.clone(), to };
    match turn.send(to, HandlerMail(Letter::Batch(parted))) {
        Ok(()) => Ok(()),
        Err(Full(HandlerMail(Letter::Batch(parted)))) => Err(parted.batch.clone()),
        Err(Full(_)) => Ok(()),
    }
}
