//! One turn, over any [`Net`].

use std::io::{self, ErrorKind};
use std::sync::Arc;

use corelane_mempool::Key;

use super::net::{EVENTS, GENERATION_BITS, Net, RESERVED, Ready, listener_token};
use crate::admit::Verdict;
use crate::id::{ListenerId, Origin, Peer};
use crate::lane::{Lane, Room};
use crate::link::Phase;
use crate::mail::{Control, Doorbell};
use crate::protocol::{Closed, Protocol};
use crate::time::Nanos;

/// On Linux a receive that returns less than there was room for has emptied the socket: with
/// edge-triggered epoll no further call is needed, unless the peer has closed its side. Elsewhere
/// readiness comes again only after a receive has found nothing.
const SHORT_RECEIVE_ENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// How often the wall clock is read, to follow its adjustments.
const WALL_REFRESH: Nanos = Nanos::from_secs(1);

/// Connections taken from a listener's queue when it is closed, so that they are not reset.
const LAST_ACCEPTS: usize = 4096;

/// The driver's side of a connection; its index is that of the key.
pub(super) struct Slot<S> {
    pub(super) socket: Option<S>,
    pub(super) generation: u32,
    /// A receive may find something.
    pub(super) readable: bool,
    /// A send may find room.
    pub(super) writable: bool,
    pub(super) read_closed: bool,
    /// The connection is gone; what the peer sent before may still be there.
    pub(super) hung_up: bool,
}

struct Door<L> {
    listener: L,
    id: ListenerId,
    eager: bool,
    /// Something may wait in its queue.
    ready: bool,
    paused_until: Nanos,
}

pub(crate) struct Reactor<N: Net> {
    pub(crate) net: N,
    pub(super) slots: Vec<Slot<N::Socket>>,
    doors: Vec<Door<N::Listener>>,
    pub(super) ready: Vec<Ready>,
    page: Box<[u8]>,
    /// Accepted eagerly this turn: registered only if they are still open at its end.
    newcomers: Vec<Key>,
    revisits: Vec<Key>,
    pub(super) flushing: Vec<Key>,
    wall_read: Option<Nanos>,
    doorbell: Option<Arc<Doorbell>>,
    stop_after_reading: Option<Nanos>,
    /// How long to poll without blocking before blocking.
    pub(crate) busy_poll: Nanos,
    last_event: Nanos,
    /// The lane was finished before a poll.
    ended: bool,
}

impl<N: Net> Reactor<N> {
    pub(crate) fn new(net: N) -> Reactor<N> {
        Reactor {
            net,
            slots: Vec::new(),
            doors: Vec::new(),
            ready: Vec::with_capacity(1024),
            page: Box::default(),
            newcomers: Vec::new(),
            revisits: Vec::new(),
            flushing: Vec::new(),
            wall_read: None,
            doorbell: None,
            stop_after_reading: None,
            busy_poll: Nanos::ZERO,
            last_event: Nanos::ZERO,
            ended: false,
        }
    }

    /// Adds a listener that `register` makes known to the net under the token it is given.
    pub(crate) fn listen(
        &mut self,
        id: ListenerId,
        eager: bool,
        register: impl FnOnce(&mut N, u64) -> io::Result<N::Listener>,
    ) -> io::Result<()> {
        let listener = register(&mut self.net, listener_token(self.doors.len()))?;
        // Connections may have come in before the registration.
        self.doors.push(Door { listener, id, eager, ready: true, paused_until: Nanos::ZERO });
        Ok(())
    }

    /// One turn. Each stage sees what the ones before it did.
    pub(crate) fn turn<P: Protocol>(
        &mut self,
        lane: &mut Lane<P>,
        wait: Option<Nanos>,
    ) -> io::Result<()> {
        self.attach(lane);
        self.poll(lane, wait)?;
        self.clock(lane);
        let begun = lane.services().now;
        // Here, because what the last turn had to say has left: what is held now, is held up.
        lane.relieve();
        self.obey(lane);
        self.accept(lane);
        self.read(lane);
        // What has arrived by now was read first: it deserves an answer. A full poll may have left
        // some of it behind.
        if self.ready.len() < EVENTS
            && let Some(drain) = self.stop_after_reading.take()
        {
            lane.begin_stop(drain);
        }
        lane.run_timers();
        lane.run_mail();
        self.seat_arrivals(lane);
        lane.run_turn();
        self.connect(lane);
        ring_bells(lane);
        self.flush(lane);
        self.judge_readers(lane);
        lane.services().now = self.net.now();
        lane.services().overtime = false;
        self.after_flush(lane);
        self.reap(lane);
        lane.parts().0.settled();
        lane.give_back();
        self.register_newcomers(lane);
        self.send_away(lane);
        ring_bells(lane);
        if lane.services().overtime || !lane.services().dirty.is_empty() {
            lane.services().now = self.net.now();
        }
        let busy = lane.services().now.since(begun);
        lane.services().stats.busy += busy.0;
        Ok(())
    }

    fn attach<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        if self.doorbell.is_none() {
            let doorbell = lane.services().post.doorbell().clone();
            doorbell.install(self.net.bell());
            self.doorbell = Some(doorbell);
            self.page =
                vec![0; lane.services().limits.page.min(lane.services().limits.input)].into();
            lane.services().now = self.net.now();
            lane.services().tracer.set_clock(self.net.clock());
        }
    }

    /// Waits for events, at most until the lane or a paused listener has something to do.
    fn poll<P: Protocol>(&mut self, lane: &mut Lane<P>, wait: Option<Nanos>) -> io::Result<()> {
        self.ready.clear();
        let now = lane.services().now;
        let paused = self.doors.iter().filter(|door| door.ready).map(|door| door.paused_until);
        let wake = paused.fold(lane.next_wake(), Nanos::min);
        let until_wake = (wake != Nanos::MAX).then(|| wake.since(now));
        let mut wait = match (wait, until_wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if self.busy_poll > Nanos::ZERO && wait != Some(Nanos::ZERO) {
            self.net.poll(Some(Nanos::ZERO), &mut self.ready)?;
            if !self.ready.is_empty() {
                return Ok(());
            }
            if self.net.now().since(self.last_event) < self.busy_poll {
                wait = Some(Nanos::ZERO);
            }
        }
        if wait == Some(Nanos::ZERO) {
            return self.net.poll(wait, &mut self.ready);
        }
        lane.services().post.doorbell().going_to_sleep();
        // Other lanes may have ended what this one waited for: whoever turns it is to see that.
        let ends = lane.is_finished() && !std::mem::replace(&mut self.ended, true);
        if ends || !lane.services().post.is_idle() {
            wait = Some(Nanos::ZERO);
        }
        let polled = self.net.poll(wait, &mut self.ready);
        lane.services().post.doorbell().awake();
        polled
    }

    fn clock<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        let now = self.net.now();
        lane.services().now = now;
        lane.services().polled = now;
        if !self.ready.is_empty() {
            self.last_event = now;
        }
        if lane.services().tracer.is_on() {
            let turn = lane.services().stats.turns;
            lane.services().tracer.begin_turn(now, turn);
        }
        if self.wall_read.is_none_or(|last| now.since(last) >= WALL_REFRESH) {
            self.wall_read = Some(now);
            lane.services().wall_base = self.net.wall().since(now);
        }
    }

    /// Takes orders from other threads.
    fn obey<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        while let Some(Control::Adopt { socket, listener, options }) =
            lane.services().post.control()
        {
            match self.net.adopt(socket) {
                Ok((socket, peer)) => self.welcome(lane, socket, peer, listener, options.eager),
                Err(_) => {
                    lane.services().stats.accept_errors += 1;
                    lane.admit().release();
                }
            }
        }
        if let Some(drain) = lane.services().post.take_stop() {
            self.close_doors(lane);
            self.stop_after_reading = Some(drain);
        }
        if lane.services().post.take_cut() {
            lane.cut();
        }
    }

    /// Stops listening. What already waits in the queues is still served.
    fn close_doors<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        for mut door in std::mem::take(&mut self.doors) {
            self.accept_at(lane, &mut door, LAST_ACCEPTS);
            self.net.close_listener(door.listener);
        }
    }

    fn accept<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        for ready in &self.ready {
            if ready.token >= RESERVED
                && let Some(door) = self.doors.get_mut((ready.token - RESERVED) as usize)
            {
                door.ready = true;
                lane.services().stats.events += 1;
            }
        }
        let share = lane.services().limits.turn_accepts;
        for index in 0..self.doors.len() {
            if self.doors[index].ready && self.doors[index].paused_until <= lane.services().now {
                let mut door = self.doors.swap_remove(index);
                self.accept_at(lane, &mut door, share);
                self.doors.push(door);
                let last = self.doors.len() - 1;
                self.doors.swap(index, last);
            }
        }
    }

    fn accept_at<P: Protocol>(
        &mut self,
        lane: &mut Lane<P>,
        door: &mut Door<N::Listener>,
        share: usize,
    ) {
        for _ in 0..share {
            let (now, open) = (lane.services().now, lane.len());
            let verdict = lane.admit().admit(now, open);
            if let Verdict::PauseUntil(at) = verdict {
                door.paused_until = at;
                return;
            }
            match self.net.accept(&mut door.listener) {
                Ok((socket, peer)) if verdict == Verdict::Take => {
                    self.welcome(lane, socket, peer, door.id, door.eager);
                }
                Ok((socket, peer)) => {
                    lane.services().stats.refused += 1;
                    lane.note_refused(peer, "no further connection is let in now");
                    self.net.close(socket, true);
                }
                Err(error) => {
                    match verdict {
                        Verdict::Take => lane.admit().cancel(),
                        _ => lane.admit().spare(),
                    }
                    if error.kind() == ErrorKind::WouldBlock {
                        door.ready = false;
                        return;
                    }
                    lane.services().stats.accept_errors += 1;
                    if let Some(at) = lane.admit().failed(now, &error) {
                        door.paused_until = at;
                        return;
                    }
                }
            }
        }
    }

    /// Takes in a connected socket.
    fn welcome<P: Protocol>(
        &mut self,
        lane: &mut Lane<P>,
        socket: N::Socket,
        peer: Peer,
        listener: ListenerId,
        eager: bool,
    ) {
        let Some(key) = lane.open(peer, Origin::Accepted(listener)) else {
            lane.services().stats.declined += 1;
            lane.note_refused(peer, "by this loop, which is full, or by its protocol");
            lane.admit().release();
            return self.net.close(socket, true);
        };
        lane.services().stats.accepted += 1;
        lane.note_accepted(key);
        self.seat(key, socket);
        if eager {
            return self.serve_at_once(lane, key);
        }
        self.register(lane, key);
        lane.opened(key);
    }

    /// The client speaks first and its bytes are usually there: receives before registering, and sends
    /// what comes of it. A connection that ends with that is closed before the next is accepted, while
    /// all the kernel keeps of it is in the cache; the others are registered at the end of the turn.
    fn serve_at_once<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        lane.opened(key);
        self.slots[key.index()].readable = true;
        self.receive(lane, key);
        if lane.services().dirty.last() == Some(&key) {
            lane.services().dirty.pop();
            self.send_noted(lane, key);
            lane.services().now = self.net.now();
            lane.after_flush(key);
        }
        if lane.services().closing.last() == Some(&key) {
            lane.services().closing.pop();
            self.bury(lane, key);
        } else {
            self.newcomers.push(key);
        }
    }

    pub(super) fn seat(&mut self, key: Key, socket: N::Socket) {
        let slot = Slot {
            socket: Some(socket),
            generation: key.generation(),
            readable: false,
            writable: true,
            read_closed: false,
            hung_up: false,
        };
        if key.index() >= self.slots.len() {
            self.slots.resize_with(key.index() + 1, || Slot {
                socket: None,
                generation: 0,
                readable: false,
                writable: false,
                read_closed: false,
                hung_up: false,
            });
        }
        self.slots[key.index()] = slot;
    }

    pub(super) fn register<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        if let Some(socket) = &mut self.slots[key.index()].socket
            && let Err(error) = self.net.register(socket, key.to_bits())
        {
            lane.fail(key, Closed::Lost(error.kind()));
        }
    }

    fn register_newcomers<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        while let Some(key) = self.newcomers.pop() {
            if lane.phase(key).is_some() {
                self.register(lane, key);
            }
        }
    }

    /// Reads every ready connection and steps it with what came.
    fn read<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        std::mem::swap(&mut self.revisits, &mut lane.services().revisit);
        for index in 0..self.revisits.len() {
            let key = self.revisits[index];
            lane.visit(key);
            self.receive(lane, key);
            self.check_hung_up(lane, key);
        }
        self.revisits.clear();
        for index in 0..self.ready.len() {
            let ready = self.ready[index];
            if ready.token >= RESERVED {
                continue;
            }
            let Some(key) = self.named(ready) else {
                lane.services().stats.stale_events += 1;
                continue;
            };
            let slot = &mut self.slots[key.index()];
            lane.services().stats.events += 1;
            slot.readable |= ready.readable;
            slot.read_closed |= ready.read_closed;
            slot.hung_up |= ready.hung_up;
            if ready.writable && !std::mem::replace(&mut slot.writable, true) {
                self.writable(lane, key);
            }
            if ready.readable {
                self.receive(lane, key);
                self.check_hung_up(lane, key);
            }
        }
    }

    /// The connection that an event names, if it is still there.
    #[inline]
    pub(super) fn named(&self, ready: Ready) -> Option<Key> {
        let named = Key::from_bits(ready.token);
        let slot = self.slots.get(named.index()).filter(|slot| slot.socket.is_some())?;
        let differs = (slot.generation ^ named.generation()) << (32 - GENERATION_BITS) != 0;
        (!differs).then(|| Key::from_bits(u64::from(slot.generation) << 32 | named.index() as u64))
    }

    /// Closes a connection that the peer has left and that nothing is received for: no call would find
    /// out, and what it works on is for nobody. Who still reads comes to the end of what was sent.
    #[inline]
    fn check_hung_up<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        let hung_up = self.slots.get(key.index()).is_some_and(|slot| slot.hung_up);
        if hung_up && lane.phase(key) == Some(Phase::Open) && !lane.wants_input(key) {
            lane.fail(key, Closed::Lost(ErrorKind::ConnectionReset));
        }
    }

    fn writable<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        if lane.phase(key) != Some(Phase::Connecting) {
            return lane.writable(key);
        }
        let slot = &mut self.slots[key.index()];
        let Some(socket) = &mut slot.socket else { return };
        match self.net.connect_result(socket) {
            Ok(()) => lane.opened(key),
            // Readiness may be reported where there is none.
            Err(error) if error.kind() == ErrorKind::NotConnected => slot.writable = false,
            Err(error) => lane.fail(key, Closed::ConnectFailed(error.kind())),
        }
    }

    /// Receives until the socket is empty, the connection wants no more, or its share is spent.
    fn receive<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        let mut share = lane.services().limits.turn_bytes;
        while lane.wants_input(key) {
            let Some(slot) = self.slots.get_mut(key.index()) else { return };
            let Some(socket) = slot.socket.as_mut().filter(|_| slot.readable) else { return };
            if share == 0 {
                return lane.put_off(key);
            }
            lane.services().stats.receives += 1;
            let skip = lane.services().skips.of(key);
            if skip > 0 {
                match self.skip(lane, key, skip, share) {
                    Some(n) => share -= n,
                    None => return,
                }
                continue;
            }
            let (into, in_tail) = match lane.room(key) {
                Room::Page => (&mut *self.page, false),
                Room::Tail(spare) => (spare, true),
                Room::None => return,
            };
            let room = into.len();
            match self.net.receive(socket, into) {
                Ok(0) => {
                    slot.readable = false;
                    return lane.ended(key);
                }
                Ok(n) => {
                    if SHORT_RECEIVE_ENDS && n < room && !slot.read_closed {
                        slot.readable = false;
                    }
                    share = share.saturating_sub(n);
                    if in_tail {
                        lane.received_in_tail(key, n);
                    } else {
                        lane.received(key, &self.page[..n]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => slot.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return lane.fail(key, Closed::Lost(error.kind())),
            }
        }
    }

    /// Drops up to `share` bytes of the next `skip`, and says how many; `None` if the connection ends.
    #[cold]
    fn skip<P: Protocol>(
        &mut self,
        lane: &mut Lane<P>,
        key: Key,
        skip: u64,
        share: usize,
    ) -> Option<usize> {
        let slot = self.slots.get_mut(key.index())?;
        let socket = slot.socket.as_mut()?;
        let wanted = share.min(usize::try_from(skip).unwrap_or(usize::MAX));
        match self.net.skip(socket, wanted) {
            Ok(0) => {
                slot.readable = false;
                lane.ended(key);
                None
            }
            Ok(n) => {
                // Less than was asked for is all there was, or all that one call drops.
                lane.skipped(key, n);
                Some(n)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                slot.readable = false;
                Some(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(0),
            Err(error) => {
                lane.fail(key, Closed::Lost(error.kind()));
                None
            }
        }
    }

    /// Starts the outbound connections that were asked for.
    fn connect<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        for (target, tag) in lane.take_connects() {
            let (socket, peer, failed) = match self.net.connect(&target) {
                Ok((socket, peer)) => (Some(socket), peer, None),
                Err(error) => (None, peer_of(&target), Some(error.kind())),
            };
            let Some(key) = lane.open(peer, Origin::Connected(tag)) else {
                if let Some(socket) = socket {
                    self.net.close(socket, false);
                }
                continue;
            };
            if let Some(socket) = socket {
                self.seat(key, socket);
                // Not writable yet: the event that it is says how the connect ended.
                self.slots[key.index()].writable = false;
                self.register(lane, key);
            }
            if let Some(kind) = failed {
                lane.fail(key, Closed::ConnectFailed(kind));
            }
        }
    }

    /// Removes one closing connection and closes its socket.
    fn bury<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        let reset = lane.remove(key);
        let slot = self.slots.get_mut(key.index());
        if let Some(slot) = slot.filter(|slot| slot.generation == key.generation())
            && let Some(socket) = slot.socket.take()
        {
            self.net.close(socket, reset);
        }
        // There is room again: who paused for want of it need not wait for its time.
        for door in &mut self.doors {
            door.paused_until = Nanos::ZERO;
        }
    }

    /// Closes what is to be closed. Nothing is stepped after this in the turn.
    fn reap<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        while let Some(key) = lane.services().closing.pop() {
            self.bury(lane, key);
        }
    }
}

fn ring_bells<P: Protocol>(lane: &mut Lane<P>) {
    let wakes = lane.services().post.ring_bells();
    lane.services().stats.wakes += wakes;
}

fn peer_of(target: &crate::id::Target) -> Peer {
    match target {
        crate::id::Target::Ip(to) | crate::id::Target::From { to, .. } => Peer::Ip(*to),
        crate::id::Target::Unix(_) => Peer::Unix,
    }
}
