//! Connections that move from one lane to another, and the mail that follows them.
//!
//! # Theory of operation
//! A connection goes through the ring between the two lanes, like mail. So whatever the old lane
//! forwards afterwards comes behind it, and needs no acknowledgement: a lane that finds mail for a key
//! in its `forwards` sends it on, addressed by the old id, and the new lane looks that up in its
//! `arrivals`. If the connection moves again, the same happens there. Each stretch of its way has an
//! address of its own, which is never used again; so mail neither loops nor overtakes, even when a
//! connection comes back to where it was.
//!
//! Mail that the connection itself has sent is in order, too, because it moves only when all of that
//! was taken. Nobody counts this by connection: the lane divides its sending into epochs, each of which
//! ends when the mail of those before was taken, and a connection knows in which it sent last.
//!
//! The connection holds a token, and every entry that leads to it refers to that weakly: however it
//! ends (also when its lane dies), the entries of the lanes it came through are dead from then on, and
//! are swept in proportion to their number.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use corelane_mempool::Key;

use crate::id::{ConnId, LaneId, Origin, Peer};
use crate::io::Turn;
use crate::lane::Lane;
use crate::link::{Link, LinkState, Phase};
use crate::mail::{Envelope, Full, Recipient};
use crate::out::OutQueue;
use crate::protocol::{Closed, Event, Protocol};
use crate::step::{close, contained, make_dirty, window};
use crate::time::Nanos;

/// What a protocol makes of a connection that moves: see [`Protocol::depart`].
pub type Luggage = Box<dyn Any + Send>;

/// Moves of one connection at most: each makes the way of mail to its first id longer by one lane.
const MOVES: usize = 8;

/// Connections that leave in one turn at most.
const TURN_MOVES: usize = 16;

/// Active connections kept at most until they can be looked at.
const ACTIVE: usize = 256;

/// Connections told apart at most while some of them are picked to move.
const SEEN: usize = 4096;

/// How often mail that found no room is tried again, and how long before it is dropped.
const RETRY: Nanos = Nanos::from_millis(1);
const PATIENCE: Nanos = Nanos::from_secs(1);

/// Forwarding entries before those of closed connections are looked for.
const SWEEP: usize = 64;

/// A connection on its way to another lane. Holds no buffer of the lane it came from.
pub(crate) struct Parcel {
    luggage: Luggage,
    /// The driver's socket. Put in by the driver.
    socket: Option<Box<dyn Any + Send>>,
    peer: Peer,
    origin: Origin,
    received: u64,
    /// Empty: it counts what was sent.
    out: OutQueue,
    deadline: Option<u64>,
    from: ConnId,
    token: Arc<()>,
    /// The lanes that forward to it.
    path: Vec<LaneId>,
}

/// A connection that has come from elsewhere.
struct Guest {
    from: ConnId,
    token: Arc<()>,
    path: Vec<LaneId>,
}

/// A connection that was here.
struct Forward {
    to: LaneId,
    /// Where it had come from, if this was not its first lane.
    came_from: Option<ConnId>,
    token: Weak<()>,
}

/// Which connections are to move.
struct Offload {
    to: LaneId,
    /// How many in a thousand of those seen, and what is left over of that.
    per_mille: u32,
    credit: u32,
    most: usize,
    seen: BTreeSet<Key>,
    /// Those that were active and have not been looked at since.
    active: Vec<Key>,
}

/// A lane's part in connections that move.
pub(crate) struct Moves<M> {
    offload: Option<Offload>,
    forwards: BTreeMap<Key, Forward>,
    /// Where the connections that came from there are, or were until they went on.
    arrivals: BTreeMap<ConnId, Key>,
    guests: BTreeMap<Key, Guest>,
    sweep_at: usize,
    /// Sockets that came in this turn, for the driver to seat.
    pub(crate) sockets: Vec<(Key, Box<dyn Any + Send>)>,
    /// Mail that found no room in the ring to its lane.
    held: VecDeque<(LaneId, ConnId, M)>,
    /// When the first of those is dropped.
    held_until: Nanos,
}

impl<M> Default for Moves<M> {
    fn default() -> Moves<M> {
        Moves {
            offload: None,
            forwards: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            guests: BTreeMap::new(),
            sweep_at: SWEEP,
            sockets: Vec::new(),
            held: VecDeque::new(),
            held_until: Nanos::MAX,
        }
    }
}

impl<M> Moves<M> {
    /// When mail that waits is to be tried again.
    pub(crate) fn wake(&self, now: Nanos) -> Nanos {
        if self.held.is_empty() { Nanos::MAX } else { now + RETRY }
    }

    /// True if mail may still have to be sent after a connection that has left.
    pub(crate) fn forwards_any(&self) -> bool {
        self.forwards.values().any(Forward::is_live)
    }

    /// Forgets where connections went.
    pub(crate) fn forget(&mut self) {
        self.forwards.clear();
        self.held.clear();
    }

    /// A connection is gone from this lane for good. Returns the lanes that forwarded to it.
    #[inline]
    pub(crate) fn closed(&mut self, key: Key) -> Vec<LaneId> {
        if self.guests.is_empty() {
            return Vec::new();
        }
        let Some(Guest { from, path, .. }) = self.guests.remove(&key) else { return Vec::new() };
        self.arrivals.remove(&from);
        path
    }

    /// Remembers where a connection went.
    fn left(&mut self, key: Key, forward: Forward) {
        if self.forwards.len() >= self.sweep_at {
            let arrivals = &mut self.arrivals;
            self.forwards.retain(|_, forward| {
                if let (false, Some(from)) = (forward.is_live(), &forward.came_from) {
                    arrivals.remove(from);
                }
                forward.is_live()
            });
            self.sweep_at = self.forwards.len() * 2 + SWEEP;
        }
        self.forwards.insert(key, forward);
    }

    /// Whether a connection that was active in this turn is to move, and where.
    fn pick(&mut self, key: Key) -> Option<LaneId> {
        let order = self.offload.as_mut()?;
        if order.seen.len() >= SEEN || !order.seen.insert(key) {
            return None;
        }
        order.credit += order.per_mille;
        (order.credit >= 1000).then(|| {
            order.credit -= 1000;
            order.to
        })
    }

    /// It was to move and does not: perhaps another time.
    fn unpick(&mut self, key: Key) {
        if let Some(order) = &mut self.offload {
            order.seen.remove(&key);
            order.credit += 1000 - order.per_mille;
        }
    }
}

impl Forward {
    fn is_live(&self) -> bool {
        self.token.strong_count() > 0
    }
}

impl<P: Protocol> Lane<P> {
    /// Has connections move to lane `to`: of those that are active from now on, `per_mille` of a
    /// thousand, as soon as they are idle at the end of a turn, and `most` altogether. Replaces what
    /// was asked for before; `most` of 0 takes it back.
    ///
    /// Connections that are never active do not move, since that would move no load. Only accepted
    /// connections do, each at most eight times, at most sixteen in a turn, none while mail
    /// that it has sent is still to be taken, and none that the protocol does not give away
    /// ([`Protocol::depart`]). A lane that stops neither gives nor takes any.
    pub fn offload(&mut self, to: LaneId, per_mille: u32, most: usize) {
        let (seen, active) = (BTreeSet::new(), Vec::new());
        let per_mille = per_mille.min(1000);
        let offload = Offload { to, per_mille, credit: 0, most, seen, active };
        let elsewhere = to != self.services().post.lane();
        self.services().moves.offload = (most > 0 && elsewhere).then_some(offload);
    }

    /// True if connections are to leave.
    #[inline]
    pub(crate) fn parts_with_some(&mut self) -> bool {
        self.services().moves.offload.is_some()
    }

    /// This connection was active.
    pub(crate) fn was_active(&mut self, key: Key) {
        if let Some(order) = &mut self.services().moves.offload
            && order.active.len() < ACTIVE
        {
            order.active.push(key);
        }
    }

    /// How many connections may leave at the end of this turn.
    pub(crate) fn may_leave(&mut self) -> usize {
        let services = self.services();
        let Some(order) = &services.moves.offload else { return 0 };
        services.post.settle();
        if services.stopping { 0 } else { order.most.min(TURN_MOVES) }
    }

    /// The connections that were active and may be idle now.
    pub(crate) fn take_active(&mut self) -> Vec<Key> {
        let order = self.services().moves.offload.as_mut();
        order.map(|order| std::mem::take(&mut order.active)).unwrap_or_default()
    }

    /// Packs up a connection that was active in this turn, if it is idle now and to move.
    pub(crate) fn pack(&mut self, key: Key) -> Option<(LaneId, Box<Parcel>)> {
        let (protocol, links, services) = self.parts();
        let link = links.get_mut(key)?;
        let moved = services.moves.guests.get(&key).map_or(0, |guest| guest.path.len());
        if !is_idle(link) || services.skips.of(key) > 0 || moved >= MOVES {
            return None;
        }
        if !services.post.is_settled(link.state.mailed) {
            self.was_active(key);
            return None;
        }
        let to = services.moves.pick(key)?;
        if !services.post.announce(to) {
            return None;
        }
        let from = ConnId { lane: services.post.lane(), key };
        let conn = link.conn.take()?;
        let luggage = match contained(|| protocol.depart(conn, from)) {
            Ok(Ok(luggage)) => luggage,
            Ok(Err(conn)) => {
                link.conn = Some(conn);
                services.post.unannounce(to);
                services.moves.unpick(key);
                return None;
            }
            Err(_) => {
                services.stats.panics += 1;
                services.post.unannounce(to);
                close(&mut link.state, services, key, Closed::Panicked);
                return None;
            }
        };
        let link = links.remove(key)?;
        let deadline = services.wheel.deadline(key.index());
        services.wheel.clear(key.index());
        let moves = &mut services.moves;
        let guest = moves.guests.remove(&key);
        let came_from = guest.as_ref().map(|guest| guest.from);
        let (token, mut path) =
            guest.map_or_else(Default::default, |guest| (guest.token, guest.path));
        path.push(from.lane);
        moves.left(key, Forward { to, came_from, token: Arc::downgrade(&token) });
        moves.offload.take_if(|order| {
            order.most -= 1;
            order.most == 0
        });
        services.stats.moved_out += 1;
        let LinkState { peer, origin, received, .. } = link.state;
        let out = link.out;
        self.admit().moved_out();
        self.note_end(key, None, received, out.sent());
        Some((
            to,
            Box::new(Parcel {
                luggage,
                socket: None,
                peer,
                origin,
                received,
                out,
                deadline,
                from,
                token,
                path,
            }),
        ))
    }

    /// Sends a packed connection off.
    pub(crate) fn ship(
        &mut self,
        to: LaneId,
        mut parcel: Box<Parcel>,
        socket: Box<dyn Any + Send>,
    ) {
        parcel.socket = Some(socket);
        if self.services().post.ship(to, parcel).is_err() {
            // There was room when it was announced, and nobody else uses that ring.
            debug_assert!(false, "no room for a connection that was announced");
            self.services().stats.closed[Closed::Aborted.index()] += 1;
            self.admit().release();
        }
    }

    /// Takes in a connection from another lane.
    fn unpack(&mut self, parcel: Parcel) {
        let (protocol, links, services) = self.parts();
        services.post.landed();
        services.stats.moved_in += 1;
        services.born = services.born.wrapping_add(1);
        let Parcel { luggage, socket, peer, origin, received, out, deadline, .. } = parcel;
        let state = LinkState::new(peer, origin, Phase::Open, services.born);
        let link = Link { conn: None, tail: None, out, state: LinkState { received, ..state } };
        let Ok(key) = links.insert(link) else {
            // Four billion connections: its socket closes here.
            return self.admit().release();
        };
        let Some(link) = links.get_mut(key) else { return };
        services.moves.arrivals.insert(parcel.from, key);
        let guest = Guest { from: parcel.from, token: parcel.token, path: parcel.path };
        services.moves.guests.insert(key, guest);
        services.moves.sockets.extend(socket.map(|socket| (key, socket)));
        if let Some(deadline) = deadline {
            services.wheel.set(key.index(), deadline);
        }
        let mut io = window(&[], &mut link.out, &mut link.state, services, key);
        match contained(|| protocol.arrive(luggage, &mut io)) {
            Ok(Some(conn)) => link.conn = Some(conn),
            Ok(None) => close(&mut link.state, services, key, Closed::Aborted),
            Err(_) => {
                services.stats.panics += 1;
                close(&mut link.state, services, key, Closed::Panicked);
            }
        }
        if !link.out.is_empty() || link.out.has_mark() {
            make_dirty(&mut link.state, services, key);
        }
        if let Some(why) = link.out.broken() {
            close(&mut link.state, services, key, why);
        }
        let stopping = services.stopping;
        self.admit().moved_in();
        if self.was_cut() {
            self.fail(key, Closed::Stopped);
        } else if stopping && self.phase(key) == Some(Phase::Open) {
            self.step(key, Event::Stopping, &[]);
        }
    }

    /// Delivers the mail that waited when this stage began, within the turn's share.
    pub(crate) fn run_mail(&mut self) {
        self.send_held();
        for source in 0..self.services().post.sources() {
            let share = {
                let services = self.services();
                services.post.waiting(source).min(services.limits.turn_mail)
            };
            for _ in 0..share {
                // Whoever sends more than can be sent on is told so by a full queue.
                if self.services().moves.held.len() > self.services().post.capacity() {
                    return;
                }
                match self.services().post.take(source) {
                    Some(Envelope::Mail { to, mail }) => self.deliver(to, mail),
                    Some(Envelope::Parcel(parcel)) => self.unpack(*parcel),
                    None => break,
                }
            }
        }
    }

    fn deliver(&mut self, to: Recipient, mail: P::Mail) {
        let key = match to {
            Recipient::Lane => {
                let (protocol, _, services) = self.parts();
                services.stats.mail_in += 1;
                return protocol.mail(mail, &mut Turn { services });
            }
            Recipient::Conn(key) => Some(key),
            Recipient::Moved(from) => self.services().moves.arrivals.get(&from).copied(),
        };
        if let Some(key) = key {
            if self.phase(key) == Some(Phase::Open) {
                self.services().stats.mail_in += 1;
                return self.step(key, Event::Mail(mail), &[]);
            }
            let live = self.services().moves.forwards.get(&key).filter(|went| went.is_live());
            if let Some(&Forward { to, .. }) = live {
                let from = ConnId { lane: self.services().post.lane(), key };
                return self.forward(to, from, mail);
            }
        }
        self.services().stats.mail_in += 1;
        self.services().stats.mail_stale += 1;
    }

    /// Sends mail after a connection, behind what waits to be sent.
    fn forward(&mut self, to: LaneId, from: ConnId, mail: P::Mail) {
        let services = self.services();
        let mail = match services.moves.held.is_empty() {
            true => services.post.forward(to, from, mail),
            false => Err(Full(mail)),
        };
        match mail {
            Ok(()) => services.stats.mail_forwarded += 1,
            Err(Full(mail)) => {
                if services.moves.held.is_empty() {
                    services.moves.held_until = services.now + PATIENCE;
                }
                services.moves.held.push_back((to, from, mail));
            }
        }
    }

    /// Tries again to send on what found no room. Two lanes may wait for each other here, so the time
    /// is limited.
    fn send_held(&mut self) {
        let services = self.services();
        let now = services.now;
        let expired = now >= services.moves.held_until;
        while let Some((to, from, mail)) = services.moves.held.pop_front() {
            if !services.moves.forwards.get(&from.key).is_some_and(Forward::is_live) {
                services.stats.mail_stale += 1;
                continue;
            }
            match services.post.forward(to, from, mail) {
                Ok(()) => {
                    services.stats.mail_forwarded += 1;
                    services.moves.held_until = now + PATIENCE;
                }
                Err(Full(_)) if expired => services.stats.mail_dropped += 1,
                Err(Full(mail)) => return services.moves.held.push_front((to, from, mail)),
            }
        }
    }
}

/// True if nothing of a connection is under way that the lane knows of.
fn is_idle<C>(link: &Link<C>) -> bool {
    let s = &link.state;
    let busy = s.paused || s.yielded || s.full || s.stuck || s.unread || s.eof || s.shed;
    let listed = s.dirty || s.revisit || s.gated || s.judged;
    link.conn.is_some()
        && s.phase == Phase::Open
        && matches!(s.origin, Origin::Accepted(_))
        && !busy
        && !listed
        && link.tail.is_none()
        && link.out.is_empty()
        && !link.out.has_mark()
        && link.out.broken().is_none()
}
