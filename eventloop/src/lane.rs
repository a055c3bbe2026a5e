//! A lane: one protocol engine and its connections, on one core.
//!
//! The lane decides what is stepped, when, and what a [`Flow`] means. It does no I/O: a driver feeds
//! it ([`received`](Lane::received), [`ended`](Lane::ended), …) and sends what it has queued.

use std::any::Any;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};

use corelane_mempool::{Buf, Key, Pool, PoolConfig, Slab};

use crate::admit::{Admit, AdmitAll};
use crate::config::LaneConfig;
use crate::files::Files;
use crate::id::{Origin, Peer, Target};
use crate::io::{Io, Turn};
use crate::link::{Link, LinkState, Phase};
use crate::mail::{LaneHandle, Post, Recipient};
use crate::out::{Front, GATHER, OutQueue};
use crate::protocol::{Closed, Event, Flow, Protocol};
use crate::services::Services;
use crate::stats::LaneStats;
use crate::time::Nanos;

/// A protocol engine with its connections, to be turned by a [`Driver`](crate::Driver).
///
/// See [`Mio`](crate::Mio) for a complete server of thirty lines.
pub struct Lane<P: Protocol> {
    protocol: P,
    links: Slab<Link<P::Conn>>,
    services: Services<P::Mail>,
    admit: Box<dyn Admit + Send>,
    drain_until: Nanos,
}

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
        Lane {
            protocol,
            links: Slab::with_limit(config.connections),
            services: Services::new(config, pool, post, Box::new(NoFiles)),
            admit: Box::new(AdmitAll),
            drain_until: Nanos::MAX,
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

    /// Reaches this lane from other threads.
    pub fn handle(&self) -> LaneHandle {
        self.services.post.handle()
    }

    /// What the lane has done so far.
    pub fn stats(&self) -> &LaneStats {
        &self.services.stats
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

    /// True once the lane was asked to stop and its last connection is closed.
    pub fn is_finished(&self) -> bool {
        self.services.stopping && self.links.is_empty()
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

    /// Ends the lane and gives back its end of the mail system, for a successor. Meant for a lane
    /// whose engine panicked: connections are dropped without [`Protocol::close`], only their places
    /// are released.
    pub fn into_post(mut self) -> Post<P::Mail> {
        for (_, link) in self.links.iter() {
            if matches!(link.state.origin, Origin::Accepted(_)) {
                self.admit.release();
            }
        }
        self.services.post
    }

    /// Makes room for `connections` of them, so that taking them in does not allocate.
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
        timer.min(s.wake_at).min(self.drain_until)
    }
}

/// What drivers do with a lane.
impl<P: Protocol> Lane<P> {
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
        let link = Link {
            conn: None,
            tail: None,
            out: OutQueue::new(),
            state: LinkState::new(peer, origin, phase),
        };
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
            link.state.discarded = link.state.discarded.saturating_add(fresh.len() as u32);
            if link.state.discarded > self.services.limits.linger_bytes {
                close(&mut link.state, &mut self.services, key, Closed::Finished);
            }
            return;
        }
        self.step(key, Event::Bytes, fresh);
    }

    /// `n` bytes were received into the tail.
    pub(crate) fn received_in_tail(&mut self, key: Key, n: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.state.received += n as u64;
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
                _ => self.fail(key, Closed::TimedOut),
            }
        }
    }

    /// Delivers the mail that waited when this stage began, within the turn's share.
    pub(crate) fn run_mail(&mut self) {
        for source in 0..self.services.post.sources() {
            let share = self.services.post.waiting(source).min(self.services.limits.turn_mail);
            for _ in 0..share {
                let Some(envelope) = self.services.post.take(source) else { break };
                self.services.stats.mail_in += 1;
                match envelope.to {
                    Recipient::Lane => {
                        let mut turn = Turn { services: &mut self.services };
                        self.protocol.mail(envelope.mail, &mut turn);
                    }
                    Recipient::Conn(key) if self.phase(key) == Some(Phase::Open) => {
                        self.step(key, Event::Mail(envelope.mail), &[]);
                    }
                    Recipient::Conn(_) => self.services.stats.mail_stale += 1,
                }
            }
        }
    }

    /// The protocol's own stage of the turn.
    pub(crate) fn run_turn(&mut self) {
        self.services.stats.turns += 1;
        if self.services.now >= self.services.wake_at {
            self.services.wake_at = Nanos::MAX;
        }
        self.protocol.turn(&mut Turn { services: &mut self.services });
        if std::mem::take(&mut self.services.gates_moved) {
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

    /// Begins the end: every connection is told, and what is left at the deadline is cut.
    pub(crate) fn begin_stop(&mut self, drain: Nanos) {
        self.drain_until = self.drain_until.min(self.services.now + drain);
        if std::mem::replace(&mut self.services.stopping, true) {
            return;
        }
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
        let keys: Vec<Key> = self.links.keys().collect();
        for key in keys {
            self.fail(key, Closed::Stopped);
        }
    }
}

/// Sending, and what follows from it.
impl<P: Protocol> Lane<P> {
    /// What stands at the front of a connection's output.
    #[inline]
    pub(crate) fn front<'a>(&'a self, key: Key, slices: &mut [IoSlice<'a>; GATHER]) -> Front<'a> {
        match self.links.get(key) {
            Some(link) => link.out.front(self.services.gates_open, slices),
            None => Front::Empty,
        }
    }

    /// The driver is about to flush this connection.
    pub(crate) fn begin_flush(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            link.state.dirty = false;
        }
    }

    /// `n` bytes of the front were handed to the kernel.
    #[inline]
    pub(crate) fn sent(&mut self, key: Key, n: usize) {
        let Lane { links, services, .. } = self;
        if let Some(link) = links.get_mut(key) {
            services.stats.bytes_out += n as u64;
            let open = services.gates_open;
            link.out.advance(n as u64, open, &mut services.pool, &mut services.stash);
        }
    }

    /// The kernel takes output again.
    pub(crate) fn writable(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            let waits = matches!(link.state.phase, Phase::Finishing | Phase::Lingering);
            if waits || !link.out.is_empty() {
                make_dirty(&mut link.state, &mut self.services, key);
            }
        }
    }

    /// Have this connection flushed again next turn: it had its share of this one.
    pub(crate) fn flush_later(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key) {
            make_dirty(&mut link.state, &mut self.services, key);
        }
    }

    /// Output stands at a shut gate: flush again when gates open.
    pub(crate) fn wait_at_gate(&mut self, key: Key) {
        if let Some(link) = self.links.get_mut(key)
            && !std::mem::replace(&mut link.state.gated, true)
        {
            self.services.gated.push(key);
        }
    }

    /// All output has left. True if the driver must shut down writing, because the connection lingers.
    pub(crate) fn flushed(&mut self, key: Key) -> bool {
        let Lane { links, services, .. } = self;
        let Some(link) = links.get_mut(key) else { return false };
        match link.state.phase {
            Phase::Finishing => {
                close(&mut link.state, services, key, Closed::Finished);
                false
            }
            Phase::Lingering if link.state.eof => {
                close(&mut link.state, services, key, Closed::Finished);
                false
            }
            Phase::Lingering => {
                link.state.phase = Phase::Discarding;
                services.wheel.set(key.index(), (services.now + services.limits.linger_time).0);
                revisit(&mut link.state, services, key);
                true
            }
            _ => false,
        }
    }

    /// Tells a flushed connection what it waits to hear: marks reached, output drained.
    #[inline]
    pub(crate) fn after_flush(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        let whole = !matches!(link.state.phase, Phase::Closing(why) if why != Closed::Finished);
        if whole
            && link.out.has_mark()
            && let Some(mark) = link.out.reached()
        {
            self.step(key, Event::Sent(mark), &[]);
        }
        let Some(link) = self.links.get_mut(key) else { return };
        if link.state.full && link.out.pending() <= self.services.limits.low {
            link.state.full = false;
            revisit(&mut link.state, &mut self.services, key);
            if link.state.phase == Phase::Open {
                self.step(key, Event::Drained, &[]);
            }
        }
    }

    /// Removes a closing connection and tells the protocol. True if it must be reset, not just closed.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let Some(mut link) = self.links.remove(key) else { return false };
        let Lane { protocol, services, .. } = self;
        let Phase::Closing(why) = link.state.phase else { return false };
        services.wheel.clear(key.index());
        services.stats.closed[why.index()] += 1;
        if let Some(conn) = link.conn.take() {
            let mut io = window(&[], &mut link.out, &mut link.state, services, key);
            if contained(|| protocol.close(conn, why, &mut io)).is_err() {
                services.stats.panics += 1;
            }
            // A deadline set by `close` would fire for the next tenant.
            services.wheel.clear(key.index());
        }
        if let Some(tail) = link.tail.take() {
            services.pool.deallocate(tail);
        }
        let unsent = link.out.pending() > 0;
        link.out.clear(&mut services.pool, &mut services.stash);
        if matches!(link.state.origin, Origin::Accepted(_)) {
            self.admit.release();
        }
        why == Closed::Aborted || (unsent && why != Closed::Finished)
    }
}

/// The heart: one step and what its flow means.
impl<P: Protocol> Lane<P> {
    /// Steps a connection with one event, and again while it consumes input and wants more.
    /// `fresh` is input in the shared page; it is used only if the connection has no tail.
    #[inline]
    fn step(&mut self, key: Key, event: Event<P::Mail>, mut fresh: &[u8]) {
        let Lane { protocol, links, services, .. } = self;
        let Some(link) = links.get_mut(key) else { return };
        let mut event = event;
        loop {
            let Link { conn: Some(conn), tail, out, state } = link else { return };
            let input = tail.as_ref().map_or(fresh, |tail| tail.as_slice());
            let before = input.len();
            let reads = matches!(event, Event::Bytes);
            let mut io = window(input, out, state, services, key);
            let flow = contained(|| protocol.step(conn, event, &mut io));
            let consumed = io.consumed;
            match tail {
                Some(buf) => {
                    buf.consume(consumed);
                    if buf.is_empty() {
                        drop_tail(tail, services);
                    }
                }
                None => fresh = &fresh[consumed..],
            }
            if reads {
                state.unread = false;
            }
            let left = before - consumed;
            let again = match flow {
                Ok(flow) => settle(state, out, services, key, flow, consumed > 0, left > 0),
                Err(_) => {
                    services.stats.panics += 1;
                    close(state, services, key, Closed::Panicked);
                    false
                }
            };
            if !again {
                break;
            }
            event = Event::Bytes;
        }
        if !fresh.is_empty() || link.state.phase != Phase::Open {
            keep(link, services, key, fresh);
        }
    }
}

/// Acts on a flow. True if the connection is to be stepped again at once, with the input it left.
#[inline]
fn settle<M>(
    state: &mut LinkState,
    out: &mut OutQueue,
    services: &mut Services<M>,
    key: Key,
    flow: Flow,
    consumed: bool,
    left: bool,
) -> bool {
    // A mark behind which everything has left is reported by the flush, too.
    if !out.is_empty() || out.has_mark() {
        make_dirty(state, services, key);
    }
    if let Some(why) = out.broken() {
        close(state, services, key, why);
    }
    if state.phase != Phase::Open {
        return false;
    }
    if out.pending() > services.limits.high && !state.full {
        state.full = true;
        services.stats.watermarks += 1;
    }
    match flow {
        Flow::Read => {
            if std::mem::take(&mut state.paused) {
                revisit(state, services, key);
            }
            state.unread |= consumed && left;
            return state.unread && !state.full;
        }
        Flow::Pause => {
            state.paused = true;
            state.unread |= left;
        }
        Flow::Yield => {
            state.paused = false;
            state.unread = true;
            services.stats.yields += 1;
            revisit(state, services, key);
        }
        Flow::Finish | Flow::Linger => {
            let finish = flow == Flow::Finish;
            state.phase = if finish { Phase::Finishing } else { Phase::Lingering };
            services.wheel.set(key.index(), (services.now + services.limits.flush_time).0);
            make_dirty(state, services, key);
        }
        Flow::Abort => close(state, services, key, Closed::Aborted),
    }
    false
}

/// Keeps what the connection left of the page, or drops its input if it takes no more.
fn keep<C, M>(link: &mut Link<C>, services: &mut Services<M>, key: Key, fresh: &[u8]) {
    if link.state.phase != Phase::Open {
        drop_tail(&mut link.tail, services);
        return;
    }
    if fresh.len() > services.limits.input {
        return close(&mut link.state, services, key, Closed::InputOverflow);
    }
    match services.pool.allocate(fresh.len()) {
        Ok(mut tail) => {
            tail.extend(fresh);
            link.tail = Some(tail);
        }
        Err(_) => close(&mut link.state, services, key, Closed::OutOfMemory),
    }
}

/// Gives the tail room for more, or closes the connection if it may not have it.
fn grow_tail<C, M>(link: &mut Link<C>, services: &mut Services<M>, key: Key) {
    let Some(tail) = &mut link.tail else { return };
    // Receiving into a sliver would cost a system call for a few bytes.
    if tail.spare_len() * 4 >= tail.capacity() {
        return;
    }
    tail.compact();
    if tail.spare_len() * 4 >= tail.capacity() {
        return;
    }
    let limit = services.limits.input;
    if tail.len() >= limit {
        return close(&mut link.state, services, key, Closed::InputOverflow);
    }
    let wanted = (tail.capacity() * 2).min(limit.max(tail.len() + 1));
    let Some(tail) = link.tail.take() else { return };
    match services.pool.resize(tail, wanted) {
        Ok(tail) => link.tail = Some(tail),
        Err((tail, _)) => {
            let stuck = tail.spare_len() == 0;
            link.tail = Some(tail);
            if stuck {
                close(&mut link.state, services, key, Closed::OutOfMemory);
            }
        }
    }
}

fn drop_tail<M>(tail: &mut Option<Buf>, services: &mut Services<M>) {
    if let Some(buf) = tail.take() {
        services.pool.deallocate(buf);
    }
}

fn close<M>(state: &mut LinkState, services: &mut Services<M>, key: Key, why: Closed) {
    if !matches!(state.phase, Phase::Closing(_)) {
        state.phase = Phase::Closing(why);
        services.closing.push(key);
    }
}

#[inline]
fn make_dirty<M>(state: &mut LinkState, services: &mut Services<M>, key: Key) {
    if !std::mem::replace(&mut state.dirty, true) {
        services.dirty.push(key);
    }
}

fn revisit<M>(state: &mut LinkState, services: &mut Services<M>, key: Key) {
    if !std::mem::replace(&mut state.revisit, true) {
        services.revisit.push(key);
    }
}

#[inline]
fn window<'a, M>(
    input: &'a [u8],
    out: &'a mut OutQueue,
    state: &'a mut LinkState,
    services: &'a mut Services<M>,
    key: Key,
) -> Io<'a, M> {
    Io { input, consumed: 0, out, state, services, key }
}

/// Runs a protocol's callback and catches its panic. The engine's shared state is then whatever the
/// callback left; the connection that panicked is closed, the others go on.
#[inline]
fn contained<T>(callback: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(callback))
}

/// Stands in where no files were given.
struct NoFiles;

impl Files for NoFiles {
    fn open(
        &mut self,
        _root: u16,
        _path: &std::path::Path,
    ) -> io::Result<(crate::files::File, crate::files::Meta)> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn stat(&mut self, _root: u16, _path: &std::path::Path) -> io::Result<crate::files::Meta> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(
        &mut self,
        _root: u16,
        _path: &std::path::Path,
        _limit: usize,
    ) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read(
        &mut self,
        _file: &crate::files::File,
        _offset: u64,
        _into: &mut [u8],
    ) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl<P: Protocol> Lane<P> {
    /// Takes the outbound connections asked for since the last time.
    pub(crate) fn take_connects(&mut self) -> Vec<(Target, u64)> {
        std::mem::take(&mut self.services.connects)
    }
}
