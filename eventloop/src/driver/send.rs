//! The sending half of a turn.

use std::io::{self, ErrorKind, IoSlice};

use corelane_mempool::Key;

use super::net::{Bulk, Net};
use super::reactor::Reactor;
use crate::flush::{Afterwards, flushed, sent, wait_at_gate};
use crate::lane::Lane;
use crate::link::{Link, Phase};
use crate::out::{Front, GATHER, OutQueue};
use crate::protocol::{Closed, Protocol};
use crate::readers::Outcome;
use crate::services::Services;
use crate::step::{close, make_dirty};

/// What is left of a file beyond its share of a turn goes along if it is no more than this: most often
/// it is the length of the head that was sent before it, which is not worth a turn of its own.
const FILE_REST: u64 = 16 * 1024;

/// From this length on, a piece of a file is worth a few more system calls, and the kernel is to take it at
/// once: it costs more to come back for every 64 KiB. What the kernel has taken counts against what all
/// connections of the machine may have; so the peer must have let as much go before, its reading is
/// judged from then on, and as long as it holds this much it is one of the [`WAITING`].
const LARGE: u64 = 256 * 1024;

/// No piece of a file is taken at once while the reading of so many peers is judged.
const WAITING: usize = 64;

/// A file's share of a turn is so many times that of memory: the kernel passes pages on, and copies
/// nothing.
const FILE_SHARES: u64 = 4;

impl<N: Net> Reactor<N> {
    /// Sends what is queued: one gathered send per connection, unless gates or files divide it.
    pub(super) fn flush<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        std::mem::swap(&mut self.flushing, &mut lane.services().dirty);
        if lane.services().tracer.is_on() {
            for index in 0..self.flushing.len() {
                self.send_noted(lane, self.flushing[index]);
            }
            return;
        }
        for index in 0..self.flushing.len() {
            self.send(lane, self.flushing[index]);
        }
    }

    /// Sends what is queued of one connection, with notes of that if it is traced.
    pub(super) fn send_noted<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        let sending = match lane.services().tracer.is_on() {
            true => lane.begin_send(key),
            false => None,
        };
        self.send(lane, key);
        if let Some(sending) = sending {
            lane.end_send(key, &sending);
        }
    }

    pub(super) fn send<P: Protocol>(&mut self, lane: &mut Lane<P>, key: Key) {
        let Some((link, services)) = lane.link(key) else { return };
        link.state.dirty = false;
        let Some(slot) = self.slots.get_mut(key.index()) else { return };
        let Some(socket) = &mut slot.socket else { return };
        let mut share = services.limits.turn_bytes;
        while !matches!(link.state.phase, Phase::Closing(_) | Phase::Connecting) {
            let attempt = match link.out.page_only() {
                Some(page) if slot.writable && share > 0 => Attempt {
                    wanted: page.len(),
                    sent: self.net.send(socket, &[IoSlice::new(page)], false),
                    is_file: false,
                    roomy: false,
                },
                _ => match attempt(&mut self.net, socket, link, services, slot.writable, share) {
                    Ok(attempt) => attempt,
                    Err(Obstacle::Unwritable) => {
                        return wait_for_peer(&self.net, socket, link, services, key);
                    }
                    Err(Obstacle::Share) => return make_dirty(&mut link.state, services, key),
                    Err(Obstacle::Gate) => return wait_at_gate(link, services, key),
                    Err(Obstacle::Empty) => {
                        // Gates that are open may be all that is left.
                        sent(link, services, 0);
                        if flushed(link, services, key) == Afterwards::Shutdown
                            && let Err(error) = self.net.shutdown(socket)
                        {
                            close(&mut link.state, services, key, Closed::Lost(error.kind()));
                        }
                        return;
                    }
                },
            };
            services.stats.sends += 1;
            match attempt.sent {
                Ok(0) if attempt.is_file => {
                    close(&mut link.state, services, key, Closed::FileTruncated);
                }
                Ok(n) => {
                    let cost = if attempt.is_file { n / FILE_SHARES as usize } else { n };
                    share = share.saturating_sub(cost);
                    // A short file send may also mean that the page cache had no more at once.
                    if n < attempt.wanted && !attempt.is_file {
                        slot.writable = false;
                    }
                    sent(link, services, n);
                    if attempt.roomy {
                        watch(&self.net, socket, link, services, key);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => slot.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    close(&mut link.state, services, key, Closed::Lost(error.kind()));
                }
            }
            if link.out.is_empty() && link.state.phase == Phase::Open {
                return;
            }
        }
    }

    /// Closes the connections whose peers take their output too slowly.
    #[inline]
    pub(super) fn judge_readers<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        let services = lane.services();
        if services.now >= services.readers.wake() {
            self.judge_due(lane);
        }
    }

    #[cold]
    fn judge_due<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        let services = lane.services();
        for _ in 0..services.readers.begin(services.now, &services.limits) {
            let key = lane.services().readers.take();
            let socket = self.slots.get(key.index()).and_then(|slot| slot.socket.as_ref());
            let (Some((link, services)), Some(socket)) = (lane.link(key), socket) else {
                lane.services().readers.remove();
                continue;
            };
            let held = self.net.unacknowledged(socket);
            let taken = link.out.sent() as i64 - held as i64;
            let (now, waits) = (services.now, link.state.stuck || held > LARGE);
            match services.readers.judge(waits, taken, now, &services.limits) {
                Outcome::Stays => {}
                Outcome::Leaves => link.state.judged = false,
                Outcome::TooSlow => {
                    close(&mut link.state, services, key, Closed::SlowReader);
                }
            }
        }
    }

    pub(super) fn after_flush<P: Protocol>(&mut self, lane: &mut Lane<P>) {
        for index in 0..self.flushing.len() {
            lane.after_flush(self.flushing[index]);
        }
        self.flushing.clear();
    }
}

/// The kernel takes no more: from now on the peer is judged by how fast it reads.
fn wait_for_peer<N: Net, C, M>(
    net: &N,
    socket: &N::Socket,
    link: &mut Link<C>,
    services: &mut Services<M>,
    key: Key,
) {
    link.state.stuck = true;
    watch(net, socket, link, services, key);
}

/// Has a peer judged by how fast it reads, unless nobody is to be.
fn watch<N: Net, C, M>(
    net: &N,
    socket: &N::Socket,
    link: &mut Link<C>,
    services: &mut Services<M>,
    key: Key,
) {
    if services.limits.read_rate > 0 && !std::mem::replace(&mut link.state.judged, true) {
        let taken = taken(net, socket, &link.out);
        let limits = &services.limits;
        let patience = if net.sees_steps(socket) { limits.credit() } else { limits.read_grace };
        services.readers.add(key, taken, services.now + patience, services.now, limits);
    }
}

/// Bytes that the peer has taken so far. May be negative where the kernel counts in memory.
fn taken<N: Net>(net: &N, socket: &N::Socket, out: &OutQueue) -> i64 {
    out.sent() as i64 - net.unacknowledged(socket) as i64
}

/// One call that sends, and how it went.
struct Attempt {
    wanted: usize,
    sent: io::Result<usize>,
    is_file: bool,
    /// The kernel may have taken much more than it sent.
    roomy: bool,
}

/// Why nothing can be sent.
enum Obstacle {
    Empty,
    Gate,
    /// The kernel takes no more.
    Unwritable,
    /// The connection had its share of this turn.
    Share,
}

/// Sends what stands at the front, gathered as far as it is memory.
fn attempt<N: Net, C, M>(
    net: &mut N,
    socket: &mut N::Socket,
    link: &Link<C>,
    services: &Services<M>,
    writable: bool,
    share: usize,
) -> Result<Attempt, Obstacle> {
    let mut slices = [IoSlice::new(&[]); GATHER];
    match link.out.front(services.gates_open, &mut slices) {
        Front::Empty => Err(Obstacle::Empty),
        Front::Shut => Err(Obstacle::Gate),
        _ if !writable => Err(Obstacle::Unwritable),
        _ if share == 0 => Err(Obstacle::Share),
        Front::Memory { slices: count, bytes, more } => {
            let sent = net.send(socket, &slices[..count], more);
            Ok(Attempt { wanted: bytes, sent, is_file: false, roomy: false })
        }
        Front::File { file, offset, len } => {
            let share = (share as u64).saturating_mul(FILE_SHARES);
            let wanted = if len <= share.saturating_add(FILE_REST) { len } else { share };
            let trusted = services.limits.read_rate > 0
                && link.out.sent() >= wanted
                && services.readers.len() < WAITING;
            let bulk = match wanted >= LARGE {
                false => Bulk::Small,
                true if trusted => Bulk::Roomy,
                true => Bulk::Large,
            };
            let sent = net.send_file(socket, file, offset, wanted, bulk);
            let roomy = bulk == Bulk::Roomy;
            Ok(Attempt { wanted: wanted as usize, sent, is_file: true, roomy })
        }
    }
}
