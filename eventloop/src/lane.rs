//! A lane: one protocol engine and its connections, on one core.
//!
//! The lane decides what is stepped, when, and what a [`Flow`](crate::Flow) means. It does no I/O: a driver feeds
//! it ([`received`](Lane::received), [`ended`](Lane::ended), …) and sends what it has queued.

use std::io;
use std::sync::Arc;

use corelane_mempool::{Key, Pool, PoolConfig, Slab};

use crate::admit::{Admit, AdmitAll};
use crate::config::LaneConfig;
use crate::files::{Files, NoFiles};
use crate::id::{Origin, Peer, Target};
use crate::io::Turn;
use crate::link::{Link, LinkState, Phase};
use crate::mail::{LaneHandle, Post};
use crate::out::OutQueue;
use crate::protocol::{Closed, Event, Protocol};
use crate::services::Services;
use crate::stats::LaneStats;
use crate::step::{close, contained, grow_tail, make_dirty, revisit, window};
use crate::time::Nanos;
use crate::trace::TraceDesk;

/// A protocol engine with its connections, to be turned by a [`Driver`](crate::Driver).
///
/// See [`Mio`](crate::Mio) for a complete server of thirty lines.
pub struct Lane<P: Protocol> {
    protocol: P,
    links: Slab<Link<P::Conn>>,
    services: Services<P::Mail>,
    admit: Box<dyn Admit + Send>,
    drain_until: Nanos,
    /// It was cut after it was asked to stop.
    was_cut: bool,
}

/// A lane's successor begins so far from it in the generations of its keys, so that the id of a
/// connection that died with the lane does not name one of the successor's. With 256 successors it
/// begins again.
const GENERATIONS_PER_LANE: u32 = 1 << 24;

/// A lane's engine, its connections, and what they share.
pub(crate) type Parts<'a, P> =
    (&'a mut P, &'a mut Slab<Link<<P as Protocol>::Conn>>, &'a mut Services<<P as Protocol>::Mail>);

/// One connection, and what it shares with the others.
pub(crate) type Attached<'a, P> =
    (&'a mut Link<<P as Protocol>::Conn>, &'a mut Services<<P as Protocol>::Mail>);

/// Where the driver puts what it receives for a connection.
pub(crate) enum Room<'a> {
    /// Into the lane's shared page.
    Page,
    /// Behind what the connection has not consumed yet.
    Tail(&'a mut [u8]),
    /// Nowhere: the connection is being closed.
    None,
}

impl<P: Protocol> Lane<P> {
    /// A lane with this engine, these limits and its end of the mail system ([`Post::mesh`]).
    pub fn new(protocol: P, config: LaneConfig, post: Post<P::Mail>) -> Lane<P> {
        let pool = Pool::new(PoolConfig::default());
        let first = post.predecessors.wrapping_mul(GENERATIONS_PER_LANE).wrapping_add(1);
        post.set_landing(true);
        Lane {
            protocol,
            links: Slab::new().with_first_generation(first),
            services: Services::new(config, pool, post, Box::new(NoFiles)),
            admit: Box::new(AdmitAll),
            drain_until: Nanos::MAX,
            was_cut: false,
        }
    }

    /// Uses this pool, for instance one that shares a budget with other lanes.
    pub fn with_pool(mut self, pool: Pool) -> Lane<P> {
        self.services.pool = pool;
        self
    }

    /// Uses this admission policy instead of admitting everything.
    pub fn with_admit(mut self, admit: Box<dyn Admit + Send>) -> Lane<P> {
        self.admit = admit;
        self
    }

    /// Gives protocols access to files, instead of none.
    pub fn with_files(mut self, files: Box<dyn Files + Send>) -> Lane<P> {
        self.services.files = files;
        self
    }

    /// Traces connections that are asked for at this desk.
    pub fn with_traces(mut self, desk: Arc<TraceDesk>) -> Lane<P> {
        self.services.tracer.attend(desk);
        self
    }

    /// Reaches this lane from other threads.
    pub fn handle(&self) -> LaneHandle {
        self.services.post.handle()
    }

    /// What the lane has done so far.
    pub fn stats(&self) -> &LaneStats {
        &self.services.stats
    }

    /// Mail for the lane that it has not taken yet.
    pub fn mail_waiting(&self) -> usize {
        let post = &self.services.post;
        (0..post.sources()).map(|source| post.waiting(source)).sum()
    }

    /// The pool that the lane's buffers come from.
    pub fn pool(&self) -> &Pool {
        &self.services.pool
    }

    /// Open connections, including those that are being closed.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// True if there is no connection.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// True once the lane was asked to stop and its last connection is closed: also of those that moved
    /// to other lanes, since mail for them may still come.
    pub fn is_finished(&self) -> bool {
        self.services.stopping
            && self.links.is_empty()
            && !self.services.post.expects()
            && !self.services.moves.forwards_any()
    }

    /// The lane's clock, as of the last turn.
    pub fn now(&self) -> Nanos {
        self.services.now
    }

    /// The protocol engine.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The protocol engine, to be changed between turns.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.protocol
    }

    /// Ends the lane and gives back its end of the mail system, for a successor, in which ids of this
    /// lane's connections name nothing. Meant for a lane
    /// whose engine panicked: connections are dropped without [`Protocol::close`], only their places
    /// are released.
    pub fn into_post(mut self) -> Post<P::Mail> {
        self.services.post.set_landing(false);
        for (_, link) in self.links.iter() {
            if matches!(link.state.origin, Origin::Accepted(_)) {
                self.admit.release();
            }
        }
        let mut post = self.services.post;
        post.predecessors = post.predecessors.wrapping_add(1);
        post
    }

    /// Makes room for `connections` of them in the lane's table, so that taking them in need not grow
    /// it.
    pub fn reserve(&mut self, connections: usize) {
        self.links.reserve(connections);
    }

    /// When the lane has something to do without being told: now, at a time, or never.
    pub(crate) fn next_wake(&self) -> Nanos {
        let s = &self.services;
        let busy = !s.dirty.is_empty()
            || !s.revisit.is_empty()
            || !s.closing.is_empty()
            || !s.connects.is_empty();
        if busy {
            return Nanos::ZERO;
        }
        let timer = s.wheel.next_wake(s.now.0).map_or(Nanos::MAX, Nanos);
        let timer = timer.min(s.moves.wake(s.now));
        timer.min(s.wake_at).min(self.drain_until).min(s.readers.wake()).min(s.relief.wake())
    }
}

/// What drivers do with a lane.
impl<P: Protocol> Lane<P> {
    /// The engine, its connections and what they share, to be used side by side.
    pub(crate) fn parts(&mut self) -> Parts<'_, P> {
        (&mut self.protocol, &mut self.links, &mut self.services)
    }

    /// A connection and what it shares with the others.
    #[inline]
    pub(crate) fn link(&mut self, key: Key) -> Option<Attached<'_, P>> {
        Some((self.links.get_mut(key)?, &mut self.services))
    }

    pub(crate) fn services(&mut self) -> &mut Services<P::Mail> {
        &mut self.services
    }

    pub(crate) fn admit(&mut self) -> &mut (dyn Admit + Send) {
        &mut *self.admit
    }

    pub(crate) fn phase(&self, key: Key) -> Option<Phase> {
        self.links.get(key).map(|link| link.state.phase)
    }

    /// Makes a connection and asks the protocol whether it wants it.
    pub(crate) fn open(&mut self, peer: Peer, origin: Origin) -> Option<Key> {
        let phase = match origin {
            Origin::Accepted(_) => Phase::Open,
            Origin::Connected(_) => Phase::Connecting,
        };
        self.services.born = self.services.born.wrapping_add(1);
        let link = Link {
            conn: None,
            tail: None,
            out: OutQueue::new(),
            state: LinkState::new(peer, origin, phase, self.services.born),
        };
        if self.links.len() >= self.services.limits.connections {
            self.services.stats.full += u64::from(phase == Phase::Open);
            return None;
        }
        let key = self.links.insert(link).ok()?;
        let Lane { protocol, links, services, .. } = self;
        let link = links.get_mut(key)?;
        let mut io = window(&[], &mut link.out, &mut link.state, services, key);
        link.conn = contained(|| protocol.open(&mut io)).unwrap_or_else(|_| {
            services.stats.panics += 1;
            None
        });
        if link.conn.is_none() {
            link.out.clear(&mut services.pool, &mut services.stash);
            services.wheel.clear(key.index());
            links.remove(key);
            return None;
        }
        if phase == Phase::Connecting {
            services.wheel.set(key.index(), (services.now + services.limits.connect_time).0);
        }
        Some(key)
    }

    /// The connection is established: it gets its first event.
    pub(crate) fn opened(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        if link.state.phase == Phase::Connecting {
            link.state.phase = Phase::Open;
            self.services.wheel.clear(key.index());
            self.services.stats.connected += 1;
        }
        self.step(key, Event::Opened, &[]);
        if self.services.stopping && self.phase(key) == Some(Phase::Open) {
            self.step(key, Event::Stopping, &[]);
        }
    }

    /// True if the driver should receive for this connection.
    #[inline]
    pub(crate) fn wants_input(&self, key: Key) -> bool {
        self.links.get(key).is_some_and(|link| {
            let s = &link.state;
            match s.phase {
                Phase::Open => !s.paused && !s.full && !s.unread && !s.eof,
                Phase::Discarding => true,
                _ => false,
            }
        })
    }

    /// Where to receive the next bytes of this connection.
    #[inline]
    pub(crate) fn room(&mut self, key: Key) -> Room<'_> {
        let Some(link) = self.links.get_mut(key) else { return Room::None };
        if link.tail.is_none() || link.state.phase == Phase::Discarding {
            return Room::Page;
        }
        grow_tail(link, &mut self.services, key);
        match &mut link.tail {
            Some(tail) if tail.spare_len() > 0 => Room::Tail(tail.spare_mut()),
            _ => Room::None,
        }
    }

    /// `fresh` was received into the page.
    #[inline]
    pub(crate) fn received(&mut self, key: Key, fresh: &[u8]) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.state.received += fresh.len() as u64;
        self.services.stats.bytes_in += fresh.len() as u64;
        if link.state.phase == Phase::Discarding {
            link.state.tally = link.state.tally.saturating_add(fresh.len() as u32);
            if link.state.tally > self.services.limits.linger_bytes {
                close(&mut link.state, &mut self.services, key, Closed::Finished);
            }
            return;
        }
        link.state.received_at = self.services.polled;
        self.step(key, Event::Bytes, fresh);
    }

    /// `n` bytes were dropped, of those that the connection does not want to see.
    pub(crate) fn skipped(&mut self, key: Key, n: usize) {
        let Some((link, services)) = self.link(key) else { return };
        link.state.received += n as u64;
        services.stats.bytes_in += n as u64;
        if services.skips.pass(key, n as u64) && link.state.phase == Phase::Open {
            self.step(key, Event::Bytes, &[]);
        }
    }

    /// `n` bytes were received into the tail.
    pub(crate) fn received_in_tail(&mut self, key: Key, n: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.state.received += n as u64;
        link.state.received_at = self.services.polled;
        self.services.stats.bytes_in += n as u64;
        if let Some(tail) = &mut link.tail {
            tail.advance(n);
        }
        self.step(key, Event::Bytes, &[]);
    }

    /// The peer has sent its last byte.
    pub(crate) fn ended(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.state.eof = true;
        match link.state.phase {
            Phase::Discarding => {
                close(&mut link.state, &mut self.services, key, Closed::Finished);
            }
            _ => self.step(key, Event::Eof, &[]),
        }
    }

    /// The connection cannot go on.
    pub(crate) fn fail(&mut self, key: Key, why: Closed) {
        if let Some(link) = self.links.get_mut(key) {
            // Whoever lingers has sent everything; how the peer leaves no longer matters.
            let why = if link.state.phase == Phase::Discarding { Closed::Finished } else { why };
            close(&mut link.state, &mut self.services, key, why);
        }
    }

    /// Steps a connection that was put off to this turn.
    pub(crate) fn visit(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        let s = &mut link.state;
        s.revisit = false;
        s.yielded = false;
        if s.phase == Phase::Open && s.unread && !s.paused && !s.full {
            self.step(key, Event::Bytes, &[]);
        }
    }

    /// Has the driver come back to this connection next turn.
    pub(crate) fn put_off(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            self.services.stats.yields += 1;
            revisit(&mut link.state, &mut self.services, key);
        }
    }

    /// Fires the deadlines that have passed.
    pub(crate) fn run_timers(&mut self) {
        for _ in 0..self.services.limits.turn_timers {
            let Some(index) = self.services.wheel.pop_expired(self.services.now.0) else { return };
            let Some(key) = self.links.key_at(index) else { continue };
            self.services.stats.timers += 1;
            match self.phase(key) {
                Some(Phase::Open) => self.step(key, Event::Timer, &[]),
                Some(Phase::Connecting) => {
                    self.fail(key, Closed::ConnectFailed(io::ErrorKind::TimedOut));
                }
                Some(Phase::Finishing | Phase::Lingering) => self.judge_gate(key),
                _ => self.fail(key, Closed::TimedOut),
            }
        }
    }

    /// A finished connection may stand at one gate only so long.
    fn judge_gate(&mut self, key: Key) {
        let Some((link, services)) = self.link(key) else { return };
        let sent = link.out.sent() as u32;
        if link.state.gated && link.state.tally == sent {
            return close(&mut link.state, services, key, Closed::TimedOut);
        }
        link.state.tally = sent;
        services.wheel.set(key.index(), (services.now + services.limits.gate_time).0);
    }

    /// The protocol's own stage of the turn.
    pub(crate) fn run_turn(&mut self) {
        self.services.stats.turns += 1;
        if self.services.now >= self.services.wake_at {
            self.services.wake_at = Nanos::MAX;
        }
        self.services.post.take_wake();
        self.protocol.turn(&mut Turn { services: &mut self.services });
        self.run_nudges();
        if std::mem::take(&mut self.services.gates_moved) {
            self.services.gated_gone = 0;
            for key in std::mem::take(&mut self.services.gated) {
                if let Some(link) = self.links.get_mut(key) {
                    link.state.gated = false;
                    make_dirty(&mut link.state, &mut self.services, key);
                }
            }
        }
        if self.services.now >= self.drain_until {
            self.cut();
        }
    }

    /// Steps the connections that the protocol's stage asked for.
    fn run_nudges(&mut self) {
        if self.services.nudged.is_empty() {
            return;
        }
        let mut nudged = std::mem::take(&mut self.services.nudged);
        for key in nudged.drain(..) {
            if self.phase(key) == Some(Phase::Open) {
                self.step(key, Event::Nudged, &[]);
            }
        }
        // Only the protocol's stage nudges, so nothing was added meanwhile: the memory is kept.
        self.services.nudged = nudged;
    }

    /// Begins the end: every connection is told, and what is left at the deadline is cut.
    pub(crate) fn begin_stop(&mut self, drain: Nanos) {
        self.drain_until = self.drain_until.min(self.services.now + drain);
        if std::mem::replace(&mut self.services.stopping, true) {
            return;
        }
        self.services.post.set_landing(false);
        let keys: Vec<Key> = self.links.keys().collect();
        for key in keys {
            if self.phase(key) == Some(Phase::Open) {
                self.step(key, Event::Stopping, &[]);
            }
        }
    }

    /// Closes every connection with [`Closed::Stopped`].
    pub(crate) fn cut(&mut self) {
        self.drain_until = Nanos::MAX;
        if self.services.stopping {
            self.was_cut = true;
            self.services.moves.forget();
        }
        let keys: Vec<Key> = self.links.keys().collect();
        for key in keys {
            self.fail(key, Closed::Stopped);
        }
    }

    /// True once nothing is to live on here.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// Takes the outbound connections asked for since the last time.
    pub(crate) fn take_connects(&mut self) -> Vec<(Target, u64)> {
        std::mem::take(&mut self.services.connects)
    }
}
