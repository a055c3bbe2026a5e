//! The simulated network: one seed decides everything that happens.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use super::Sim;
use crate::driver::net::Ready;
use crate::id::ListenerId;
use crate::time::Nanos;

/// What goes wrong, and how often. Chances are per thousand occasions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// A client's bytes are cut into pieces that arrive apart.
    pub cut: u32,
    /// Each piece, each delivery and each new connection is delayed by up to this much. Order is kept
    /// within a connection and lost between connections.
    pub delay: Nanos,
    /// A send takes only part of what it is given.
    pub short_send: u32,
    /// The network resets a connection when a piece arrives.
    pub reset: u32,
    /// An accept fails, half of the times losing the connection.
    pub accept_error: u32,
    /// The lane's thread stands still before a poll, for up to 100 ms.
    pub stall: u32,
    /// A poll reports readiness where there is none: of a live connection, or of one long gone.
    pub spurious: u32,
}

impl Faults {
    /// A perfect network.
    pub const NONE: Faults = Faults {
        cut: 0,
        delay: Nanos::ZERO,
        short_send: 0,
        reset: 0,
        accept_error: 0,
        stall: 0,
        spurious: 0,
    };

    /// Everything that may happen without a byte being lost.
    pub const LOSSLESS: Faults = Faults {
        cut: 500,
        delay: Nanos::from_millis(20),
        short_send: 300,
        reset: 0,
        accept_error: 0,
        stall: 50,
        spurious: 100,
    };

    /// Everything.
    pub const ALL: Faults = Faults { reset: 5, accept_error: 100, ..Faults::LOSSLESS };
}

/// A client of the simulated network, or the far end of an outbound connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(super) usize);

/// How a connection ended, as its client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The lane closed or shut down its side in order.
    Closed,
    /// The connection was reset, or refused.
    Reset,
}

/// A simulated network with its virtual clock, shared by the drivers made from it and by the test
/// that plays the clients.
///
/// ```
/// use corelane_eventloop::{Closed, Driver, End, Event, Faults, Flow, Io, Lane, LaneConfig};
/// use corelane_eventloop::{Nanos, Post, Protocol, World};
///
/// /// Answers once the client has finished.
/// struct Count;
/// impl Protocol for Count {
///     type Conn = usize;
///     type Mail = ();
///     fn open(&mut self, _: &mut Io<'_, ()>) -> Option<usize> {
///         Some(0)
///     }
///     fn step(&mut self, seen: &mut usize, event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
///         *seen += io.input().len();
///         io.consume(io.input().len());
///         if event != Event::Eof {
///             return Flow::Read;
///         }
///         io.out().put(format!("{seen} bytes").as_bytes());
///         Flow::Finish
///     }
///     fn close(&mut self, _: usize, _: Closed, _: &mut Io<'_, ()>) {}
/// }
///
/// let world = World::new(7, Faults::LOSSLESS);
/// let mut driver = world.driver();
/// driver.listen(0, Default::default());
/// let mut lane = Lane::new(Count, LaneConfig::default(), Post::mesh(1, 16).remove(0));
/// let client = world.connect(&driver, 0);
/// world.send(client, b"one two three");
/// world.finish(client);
/// while world.end(client).is_none() {
///     driver.turn(&mut lane, Some(Nanos::from_secs(1)))?;
/// }
/// assert_eq!(world.received(client), b"13 bytes");
/// assert_eq!(world.end(client), Some(End::Closed));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct World(pub(super) Rc<RefCell<Network>>);

pub(super) struct Network {
    pub(super) now: Nanos,
    random: u64,
    pub(super) faults: Faults,
    /// What will happen, in order of time and then of scheduling.
    agenda: BTreeMap<(Nanos, u64), Happening>,
    scheduled: u64,
    pub(super) pipes: Vec<Pipe>,
    pub(super) doors: HashMap<(usize, ListenerId), SimDoor>,
    drivers: usize,
    /// Edges not yet polled, per driver.
    pub(super) edges: Vec<Vec<Ready>>,
    /// Far ends that accept outbound connections, with those not yet taken.
    pub(super) servers: HashMap<SocketAddr, VecDeque<ClientId>>,
}

#[derive(Default)]
pub(super) struct SimDoor {
    pub(super) token: u64,
    pub(super) queue: VecDeque<usize>,
    pub(super) closed: bool,
}

enum Happening {
    /// A connection reaches a listener.
    Knock { pipe: usize, door: (usize, ListenerId) },
    /// An outbound connection is established or refused.
    Established { pipe: usize, accepted: bool },
    /// Something from the client reaches the lane's side.
    Arrive { pipe: usize, piece: Piece },
    /// Something from the lane reaches the client.
    Deliver { pipe: usize, piece: Piece },
    /// A client that reads at a pace reads.
    Read { pipe: usize },
}

pub(super) enum Piece {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// One connection, both directions.
pub(super) struct Pipe {
    pub(super) driver: usize,
    pub(super) token: Option<u64>,
    /// Arrived at the lane's side and not received yet.
    pub(super) arrived: VecDeque<u8>,
    pub(super) fin_arrived: bool,
    pub(super) reset: bool,
    /// The lane's side is closed: what arrives is answered with a reset.
    pub(super) gone: bool,
    last_arrival: Nanos,
    /// Taken by the network from the lane and not acknowledged by the client yet.
    pub(super) unsent: usize,
    /// How much that may be: the lane's send buffer.
    pub(super) room: usize,
    /// The lane found no room: it is told when there is some.
    pub(super) blocked: bool,
    /// The lane made this connection…
    pub(super) outbound: bool,
    /// …and it was accepted or refused.
    pub(super) connected: Option<bool>,
    last_delivery: Nanos,
    received: Vec<u8>,
    /// Deliveries that the client has not read, and the bytes of them.
    held: VecDeque<Piece>,
    held_bytes: usize,
    /// How many of those the client has acknowledged, and how many it may: its receive buffer.
    acknowledged: usize,
    window: usize,
    reading: Reading,
    /// It is scheduled to read.
    due: bool,
    end: Option<End>,
}

/// How a client reads.
#[derive(Clone, Copy)]
enum Reading {
    AtOnce,
    Never,
    /// So many bytes at such intervals.
    Paced(usize, Nanos),
}

impl Pipe {
    fn new(driver: usize, room: usize) -> Pipe {
        Pipe {
            driver,
            token: None,
            arrived: VecDeque::new(),
            fin_arrived: false,
            reset: false,
            gone: false,
            last_arrival: Nanos::ZERO,
            unsent: 0,
            room,
            blocked: false,
            outbound: false,
            connected: None,
            last_delivery: Nanos::ZERO,
            received: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            acknowledged: 0,
            window: 0,
            reading: Reading::AtOnce,
            due: false,
            end: None,
        }
    }
}

/// What a test does with the network.
impl World {
    /// A network in which `seed` decides everything that is left to chance.
    pub fn new(seed: u64, faults: Faults) -> World {
        World(Rc::new(RefCell::new(Network {
            now: Nanos::from_secs(1),
            random: seed,
            faults,
            agenda: BTreeMap::new(),
            scheduled: 0,
            pipes: Vec::new(),
            doors: HashMap::new(),
            drivers: 0,
            edges: Vec::new(),
            servers: HashMap::new(),
        })))
    }

    /// A driver for one lane on this network.
    pub fn driver(&self) -> Sim {
        let mut network = self.0.borrow_mut();
        network.drivers += 1;
        network.edges.push(Vec::new());
        Sim::new(self.clone(), network.drivers - 1)
    }

    /// The virtual time.
    pub fn now(&self) -> Nanos {
        self.0.borrow().now
    }

    /// Lets time pass until the next thing happens, but not beyond `limit`. For tests that turn
    /// several lanes, none of which may then wait by itself. False if nothing is left to happen.
    pub fn advance(&self, limit: Nanos) -> bool {
        let mut network = self.0.borrow_mut();
        let next = network.next_happening();
        network.pass_to(next.unwrap_or(limit).min(limit));
        next.is_some()
    }

    /// A client connects to a listener of `driver`'s lane.
    pub fn connect(&self, driver: &Sim, listener: ListenerId) -> ClientId {
        let mut network = self.0.borrow_mut();
        let room = 4096 + network.random(60_000) as usize;
        let pipe = network.pipes.len();
        network.pipes.push(Pipe::new(driver.number(), room));
        let at = network.delayed(Nanos::ZERO);
        network.pipes[pipe].last_arrival = at;
        network.schedule(at, Happening::Knock { pipe, door: (driver.number(), listener) });
        ClientId(pipe)
    }

    /// The client sends bytes.
    pub fn send(&self, client: ClientId, bytes: &[u8]) {
        let mut network = self.0.borrow_mut();
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = network.strikes(|faults| faults.cut);
            let n = if cut { 1 + network.random(rest.len() as u64) as usize } else { rest.len() };
            network.arrive(client.0, Piece::Bytes(rest[..n].to_vec()));
            rest = &rest[n..];
        }
    }

    /// The client shuts down its sending side.
    pub fn finish(&self, client: ClientId) {
        self.0.borrow_mut().arrive(client.0, Piece::Fin);
    }

    /// The client resets the connection, at once for itself.
    pub fn reset(&self, client: ClientId) {
        let mut network = self.0.borrow_mut();
        network.arrive(client.0, Piece::Reset);
        network.pipes[client.0].end = Some(End::Reset);
    }

    /// Whether the client reads what comes, at once. One that does not fills the lane's send buffer.
    pub fn set_reading(&self, client: ClientId, reads: bool) {
        let reading = if reads { Reading::AtOnce } else { Reading::Never };
        self.0.borrow_mut().set_reading(client.0, reading);
    }

    /// Has the client read `bytes` at a time, at such intervals.
    pub fn set_pace(&self, client: ClientId, bytes: usize, every: Nanos) {
        self.0.borrow_mut().set_reading(client.0, Reading::Paced(bytes.max(1), every));
    }

    /// How many bytes the client acknowledges without having read them: its receive buffer. At first
    /// none.
    pub fn set_window(&self, client: ClientId, bytes: usize) {
        let mut network = self.0.borrow_mut();
        network.pipes[client.0].window = bytes;
        network.acknowledge(client.0);
    }

    /// How many bytes the lane may send to the client before it acknowledges any: the lane's send
    /// buffer. At first the seed decides, from 4 to 64 KiB.
    pub fn set_send_buffer(&self, client: ClientId, bytes: usize) {
        self.0.borrow_mut().pipes[client.0].room = bytes;
    }

    /// Everything the client has received.
    pub fn received(&self, client: ClientId) -> Vec<u8> {
        self.0.borrow().pipes[client.0].received.clone()
    }

    /// How many bytes the client has received.
    pub fn received_len(&self, client: ClientId) -> usize {
        self.0.borrow().pipes[client.0].received.len()
    }

    /// How the connection ended for the client, if it has.
    pub fn end(&self, client: ClientId) -> Option<End> {
        self.0.borrow().pipes[client.0].end
    }

    /// Lets outbound connections to this address succeed.
    pub fn serve(&self, address: SocketAddr) {
        self.0.borrow_mut().servers.entry(address).or_default();
    }

    /// The far end of the next outbound connection to this address.
    pub fn accept(&self, address: SocketAddr) -> Option<ClientId> {
        self.0.borrow_mut().servers.get_mut(&address)?.pop_front()
    }
}

impl Network {
    /// splitmix64, below `bound`.
    pub(super) fn random(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    pub(super) fn chance(&mut self, per_thousand: u32) -> bool {
        per_thousand > 0 && self.random(1000) < u64::from(per_thousand)
    }

    /// Whether a fault strikes now.
    pub(super) fn strikes(&mut self, which: impl Fn(&Faults) -> u32) -> bool {
        let odds = which(&self.faults);
        self.chance(odds)
    }

    /// A random time from now on, not before `earliest`.
    fn delayed(&mut self, earliest: Nanos) -> Nanos {
        let delay = Nanos(self.random(self.faults.delay.0 + 1));
        (self.now + delay).max(earliest)
    }

    fn schedule(&mut self, at: Nanos, happening: Happening) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), happening);
    }

    fn arrive(&mut self, pipe: usize, piece: Piece) {
        let at = self.delayed(self.pipes[pipe].last_arrival);
        self.pipes[pipe].last_arrival = at;
        self.schedule(at, Happening::Arrive { pipe, piece });
    }

    /// Sends something on its way from the lane to the client.
    pub(super) fn depart(&mut self, pipe: usize, piece: Piece) {
        let at = self.delayed(self.pipes[pipe].last_delivery);
        self.pipes[pipe].last_delivery = at;
        self.schedule(at, Happening::Deliver { pipe, piece });
    }

    /// An outbound connection sets out.
    pub(super) fn dial(&mut self, driver: usize, address: SocketAddr) -> usize {
        let pipe = self.pipes.len();
        let room = 4096 + self.random(60_000) as usize;
        self.pipes.push(Pipe { outbound: true, ..Pipe::new(driver, room) });
        let accepted = self.servers.contains_key(&address);
        if let Some(queue) = self.servers.get_mut(&address) {
            queue.push_back(ClientId(pipe));
        }
        let at = self.delayed(Nanos::ZERO);
        self.pipes[pipe].last_arrival = at;
        self.schedule(at, Happening::Established { pipe, accepted });
        pipe
    }

    pub(super) fn next_happening(&self) -> Option<Nanos> {
        self.agenda.keys().next().map(|&(at, _)| at)
    }

    /// Moves the clock, and lets everything happen that was due by then.
    pub(super) fn pass_to(&mut self, to: Nanos) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > to {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = self.now.max(to);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Knock { pipe, door } => match self.doors.get_mut(&door) {
                Some(listening) if !listening.closed => {
                    listening.queue.push_back(pipe);
                    let token = listening.token;
                    self.edges[door.0].push(edge(token, true, false, false));
                }
                _ => self.break_pipe(pipe),
            },
            Happening::Established { pipe, accepted } => {
                self.pipes[pipe].connected = Some(accepted);
                if !accepted {
                    self.pipes[pipe].end = Some(End::Reset);
                }
                self.tell(pipe, false, true);
            }
            Happening::Arrive { pipe, piece } => {
                if self.strikes(|faults| faults.reset) {
                    return self.break_pipe(pipe);
                }
                self.take_in(pipe, piece);
            }
            Happening::Deliver { pipe, piece } => {
                let p = &mut self.pipes[pipe];
                if let Piece::Bytes(bytes) = &piece {
                    p.held_bytes += bytes.len();
                }
                p.held.push_back(piece);
                self.acknowledge(pipe);
                self.read(pipe);
            }
            Happening::Read { pipe } => {
                self.pipes[pipe].due = false;
                self.read(pipe);
            }
        }
    }

    fn set_reading(&mut self, pipe: usize, reading: Reading) {
        self.pipes[pipe].reading = reading;
        self.read(pipe);
    }

    /// The client reads as it does, of what has been delivered.
    fn read(&mut self, pipe: usize) {
        let p = &mut self.pipes[pipe];
        let mut share = match p.reading {
            Reading::Paced(..) if p.due => return,
            Reading::Never => return,
            Reading::AtOnce => usize::MAX,
            Reading::Paced(bytes, _) => bytes,
        };
        while share > 0
            && p.end.is_none()
            && let Some(piece) = p.held.pop_front()
        {
            match piece {
                Piece::Bytes(mut bytes) => {
                    let rest = bytes.split_off(share.min(bytes.len()));
                    share -= bytes.len();
                    p.held_bytes -= bytes.len();
                    let before = bytes.len().min(p.acknowledged);
                    p.acknowledged -= before;
                    p.unsent = p.unsent.saturating_sub(bytes.len() - before);
                    p.received.extend(bytes);
                    if !rest.is_empty() {
                        p.held.push_front(Piece::Bytes(rest));
                    }
                }
                Piece::Fin => p.end = Some(End::Closed),
                Piece::Reset => p.end = Some(End::Reset),
            }
        }
        if let Reading::Paced(_, every) = p.reading
            && !p.held.is_empty()
            && p.end.is_none()
        {
            p.due = true;
            let at = self.now + every;
            self.schedule(at, Happening::Read { pipe });
        }
        self.acknowledge(pipe);
    }

    /// The client acknowledges what fits its receive buffer. The lane is told that it may send again
    /// once a third of its send buffer is free, as Linux does.
    fn acknowledge(&mut self, pipe: usize) {
        let p = &mut self.pipes[pipe];
        let more = p.held_bytes.min(p.window).saturating_sub(p.acknowledged);
        p.acknowledged += more;
        p.unsent = p.unsent.saturating_sub(more);
        if p.blocked && p.unsent <= p.room / 3 * 2 {
            p.blocked = false;
            self.tell(pipe, false, true);
        }
    }

    fn take_in(&mut self, pipe: usize, piece: Piece) {
        let p = &mut self.pipes[pipe];
        match piece {
            // Bytes for a closed socket are answered with a reset, and what was on its way is lost.
            Piece::Bytes(_) if p.gone => return self.break_pipe(pipe),
            Piece::Bytes(bytes) => p.arrived.extend(bytes),
            Piece::Fin => p.fin_arrived = true,
            Piece::Reset => p.reset = true,
        }
        self.tell(pipe, true, false);
    }

    /// The connection is reset for both sides.
    pub(super) fn break_pipe(&mut self, pipe: usize) {
        let p = &mut self.pipes[pipe];
        p.reset = true;
        p.end.get_or_insert(End::Reset);
        self.tell(pipe, true, true);
    }

    /// Reports readiness of a registered pipe to its lane.
    pub(super) fn tell(&mut self, pipe: usize, readable: bool, writable: bool) {
        let p = &self.pipes[pipe];
        if let Some(token) = p.token {
            let read_closed = p.fin_arrived || p.reset;
            let happened = edge(token, readable || p.reset, writable, read_closed);
            self.edges[p.driver].push(Ready { hung_up: p.reset, ..happened });
        }
    }
}

pub(super) fn edge(token: u64, readable: bool, writable: bool, read_closed: bool) -> Ready {
    Ready { token, readable, writable, read_closed, hung_up: false }
}
