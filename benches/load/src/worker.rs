//! One event loop with its share of the connections.
//!
//! Leaner than the server it loads, since a client that saturates first measures itself: one
//! receive and one send for each readable event, no `epoll_ctl` after registration, one clock
//! read for each receive, responses counted by comparison (see `response`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::connection::{Connection, Phase};
use crate::error::Error;
use crate::plan::{Expect, Plan, Stop};
use crate::process::{self, Cpu};
use crate::response::{Response, Rules};
use crate::source::{Dialled, Source};
use crate::tally::{Faults, Tally};

/// Shared by all connections of the loop: bytes are counted as soon as they arrive.
const PAGE_BYTES: usize = 64 * 1024;
/// Where bodies are dropped unread, as many bytes at once; the page is then never touched behind
/// the head, so that most of it takes no memory.
const SKIP_BYTES: usize = 1024 * 1024;
/// Read at once where a body may follow that need not be read: enough for a head.
const HEAD_BYTES: usize = 4 * 1024;
/// Events taken from the kernel at once.
const EVENT_COUNT_MAX: usize = 512;
/// Handshakes under way at once: fewer than any server's backlog, so that none is dropped.
const CONNECTING_COUNT_MAX: usize = 128;
/// A refused connection is tried again after this.
const RETRY_NANOS: u64 = 10_000_000;
/// A server that was asked to close, or has said that it will, has this long to do it. Less than a
/// request's timeout, since nothing is left to be done but the closing.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);
/// How often timeouts are looked for, which bounds how late one is noticed.
const SCAN_NANOS: u64 = 50_000_000;

/// What a connection does when its response has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Afterwards {
    /// Sends the next request.
    Repeat,
    /// Stays open and silent.
    Hold,
}

/// What was measured, from the opening of the window to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) opened_at: Instant,
    pub(crate) closed_at: Instant,
    /// CPU time of the loop's thread.
    pub(crate) cpu: Duration,
    /// What the watched process had used when the window opened.
    pub(crate) watched: Option<Cpu>,
}

pub(crate) struct Worker<'plan> {
    plan: &'plan Plan,
    afterwards: Afterwards,
    epoll: rustix::fd::OwnedFd,
    source: Source,
    rules: Rules,
    slots: Vec<Slot>,
    /// Slots to be dialled as soon as fewer handshakes are under way.
    ready: VecDeque<u32>,
    /// Slots to be dialled at a time; in order, since each waits equally long.
    later: VecDeque<(u64, u32)>,
    connecting: usize,
    /// Requests that may still be sent; `None` for any number.
    quota: Option<u64>,
    /// Requests sent and not yet answered or given up.
    in_flight: u64,
    /// The request, as often as the pipeline is deep.
    batch: Vec<u8>,
    page: Box<[u8]>,
    /// How much of the page a receive may fill.
    window: usize,
    epoch: Instant,
    /// The last response or opened connection.
    progress: u64,
    pub(crate) tally: Tally,
}

#[derive(Debug, Default)]
struct Slot {
    /// Told apart in the event's token, so that an event for a closed connection is recognised.
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl<'plan> Worker<'plan> {
    /// Worker `index` of the plan's threads, with its share of connections and requests.
    pub(crate) fn new(plan: &'plan Plan, index: usize, epoch: Instant) -> Result<Self, Error> {
        let quota = match plan.stop {
            Stop::After(_) => None,
            Stop::Requests(count) => Some(plan.share(count, index)),
        };
        let connections = plan.share(plan.connections as u64, index);
        Self::with(plan, index, Afterwards::Repeat, connections, quota, epoch)
    }

    /// A worker with all of the plan's connections, each used once and then kept.
    pub(crate) fn hold(plan: &'plan Plan, epoch: Instant) -> Result<Self, Error> {
        let connections = plan.connections as u64;
        Self::with(plan, 0, Afterwards::Hold, connections, Some(connections), epoch)
    }

    fn with(
        plan: &'plan Plan,
        index: usize,
        afterwards: Afterwards,
        connections: u64,
        quota: Option<u64>,
        epoch: Instant,
    ) -> Result<Self, Error> {
        // At most 1,000,000, so it fits.
        let connections = connections as u32;
        let (page, window) = match plan.expect {
            Expect { body: None, length: Some(_), .. } => (SKIP_BYTES, HEAD_BYTES),
            _ => (PAGE_BYTES, PAGE_BYTES),
        };
        Ok(Self {
            plan,
            afterwards,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .map_err(Error::system("epoll_create1"))?,
            source: Source::new(plan.target, index as u64),
            rules: Rules::new(plan.request.head_only(), plan.expect.clone()),
            slots: (0..connections).map(|_| Slot::default()).collect(),
            ready: (0..connections).collect(),
            later: VecDeque::new(),
            connecting: 0,
            quota,
            in_flight: 0,
            batch: plan.request.bytes().repeat(plan.pipeline),
            page: vec![0; page].into_boxed_slice(),
            window,
            epoch,
            progress: 0,
            tally: Tally::default(),
        })
    }

    /// Runs the plan. Connections stay open until the worker is dropped, so that closing them is
    /// in nobody's figures.
    pub(crate) fn run(&mut self, watch: Option<u32>) -> Result<Window, Error> {
        if let (Stop::After(duration), None) = (self.plan.stop, self.quota) {
            let opens = nanos(self.plan.warm_up);
            self.turn_until(|_, now| now >= opens)?;
            self.tally = Tally::default();
            let mut window = self.open_window(watch)?;
            let closes = opens + nanos(duration);
            self.turn_until(|_, now| now >= closes)?;
            self.close_window(&mut window);
            return Ok(window);
        }
        let mut window = self.open_window(watch)?;
        let patience = 2 * nanos(self.plan.timeout);
        self.turn_until(|worker, now| {
            let done = worker.quota == Some(0) && worker.in_flight == 0;
            done || now > worker.progress + patience
        })?;
        self.tally.faults.unsent += self.quota.unwrap_or(0);
        self.close_window(&mut window);
        Ok(window)
    }

    /// Connections that are open and owe nothing, as far as a look at each socket tells.
    pub(crate) fn silent_count(&self) -> usize {
        let silent = |connection: &Connection| {
            let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            connection.phase == Phase::Open
                && connection.sent.is_empty()
                && recv(&connection.socket, &mut [0; 1], look).err() == Some(Errno::AGAIN)
        };
        self.slots
            .iter()
            .filter_map(|slot| slot.connection.as_deref())
            .filter(|c| silent(c))
            .count()
    }

    fn open_window(&self, watch: Option<u32>) -> Result<Window, Error> {
        let watched = watch.map(watched_cpu).transpose()?;
        let now = Instant::now();
        Ok(Window { opened_at: now, closed_at: now, cpu: thread_cpu(), watched })
    }

    fn close_window(&self, window: &mut Window) {
        window.cpu = thread_cpu().saturating_sub(window.cpu);
        window.closed_at = Instant::now();
    }

    /// Turns the loop until `over`, asked before each wait, says so.
    fn turn_until(&mut self, over: impl Fn(&Self, u64) -> bool) -> Result<(), Error> {
        let mut events = Vec::with_capacity(EVENT_COUNT_MAX);
        let mut scanned = self.now();
        loop {
            let now = self.now();
            if over(self, now) {
                return Ok(());
            }
            if now >= scanned + SCAN_NANOS {
                scanned = now;
                self.give_up_slow(now);
            }
            self.dial_some(now)?;
            // Short enough for a window to close on time to a millisecond.
            let wait = Timespec { tv_sec: 0, tv_nsec: if self.plan.spin { 0 } else { 1_000_000 } };
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait))
            {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::system("epoll_wait")(error)),
            }
            for event in &events {
                // The index in the low half, the generation in the high one.
                let token = event.data.u64();
                let (index, generation) = (token as u32, (token >> 32) as u32);
                if self.slots[index as usize].generation == generation {
                    self.handle(index, event.flags);
                }
            }
        }
    }

    fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }

    /// Opens connections that wait for it, as many as may be under way.
    fn dial_some(&mut self, now: u64) -> Result<(), Error> {
        while let Some(&(_, index)) = self.later.front().filter(|(due, _)| *due <= now) {
            self.later.pop_front();
            self.ready.push_back(index);
        }
        while self.connecting < CONNECTING_COUNT_MAX && self.quota != Some(0) {
            let Some(index) = self.ready.pop_front() else { break };
            match self.source.dial() {
                Ok(dialled) => self.begin(index, dialled)?,
                Err(_) => {
                    self.tally.faults.connects += 1;
                    self.later.push_back((now + RETRY_NANOS, index));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: u32, dialled: Dialled) -> Result<(), Error> {
        let now = self.now();
        let Dialled { socket, connected } = dialled;
        let mut connection = Box::new(Connection::new(socket, Phase::Connecting, now));
        self.connecting += 1;
        // A connection that has no second request is finished sooner than it can be written to
        // again; the others are registered once for both directions.
        let mut interest = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let established = connected || self.plan.request.closes() && is_connected(&connection);
        if established {
            self.open(&mut connection, now);
        }
        if !established || connection.has_unsent() || !self.plan.request.closes() {
            interest |= epoll::EventFlags::OUT;
        }
        let slot = &mut self.slots[index as usize];
        let token = u64::from(slot.generation) << 32 | u64::from(index);
        epoll::add(&self.epoll, &connection.socket, epoll::EventData::new_u64(token), interest)
            .map_err(Error::system("epoll_ctl"))?;
        slot.connection = Some(connection);
        Ok(())
    }

    /// The handshake is over: sends the first requests. A failing send shows at the next event.
    fn open(&mut self, connection: &mut Connection, now: u64) {
        self.connecting -= 1;
        self.tally.opened += 1;
        self.progress = now;
        connection.phase = Phase::Open;
        let first = match self.afterwards {
            Afterwards::Repeat => self.plan.pipeline,
            Afterwards::Hold => 1,
        };
        // A connection of its own for each request: its latency includes the handshake.
        let sent_at = if self.plan.request.closes() { connection.since } else { now };
        self.issue(connection, first, sent_at);
        let _ = connection.flush(&self.batch);
    }

    fn issue(&mut self, connection: &mut Connection, wanted: usize, now: u64) {
        let mut count = wanted as u64;
        if let Some(quota) = &mut self.quota {
            count = count.min(*quota);
            *quota -= count;
        }
        self.in_flight += count;
        self.tally.sent += count;
        // At most the pipeline's depth, so it fits.
        connection.issue(count as usize, self.plan.request.bytes().len(), now);
    }

    fn handle(&mut self, index: u32, flags: epoll::EventFlags) {
        // Taken out of its slot while it is worked on, and put back unless it is over.
        let Some(mut connection) = self.slots[index as usize].connection.take() else { return };
        match self.step(&mut connection, flags) {
            Ok(true) => self.slots[index as usize].connection = Some(connection),
            Ok(false) => self.close(index, &connection, Faults::default()),
            Err(faults) => self.close(index, &connection, faults),
        }
    }

    /// True while the connection goes on, false when it ended in order.
    fn step(
        &mut self,
        connection: &mut Connection,
        flags: epoll::EventFlags,
    ) -> Result<bool, Faults> {
        use epoll::EventFlags as E;
        if connection.phase == Phase::Connecting {
            if !matches!(sockopt::socket_error(&connection.socket), Ok(Ok(()))) {
                return Err(Faults { connects: 1, ..Faults::default() });
            }
            if flags.contains(E::OUT) {
                let now = self.now();
                self.open(connection, now);
            }
        } else if connection.has_unsent() && flags.contains(E::OUT) {
            connection.flush(&self.batch).map_err(|_| reset())?;
        }
        if flags.intersects(E::IN | E::RDHUP | E::HUP | E::ERR) {
            let peer_closed = flags.intersects(E::RDHUP | E::HUP | E::ERR);
            return self.receive(connection, peer_closed);
        }
        Ok(true)
    }

    fn receive(&mut self, connection: &mut Connection, peer_closed: bool) -> Result<bool, Faults> {
        loop {
            let skippable = match self.skips() {
                // The page is shorter than any address space, so it fits.
                true => {
                    connection.reader.skippable(&self.rules).min(self.page.len() as u64) as usize
                }
                false => 0,
            };
            // TRUNC makes the kernel drop what it would otherwise copy.
            let (length, flags) = match skippable {
                0 => (self.window, RecvFlags::empty()),
                _ => (skippable, RecvFlags::TRUNC),
            };
            let received = match recv(&connection.socket, &mut self.page[..length], flags) {
                Ok((_, 0)) => return self.end(connection),
                Ok((_, received)) => received,
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(reset()),
            };
            let now = self.now();
            self.tally.bytes_received += received as u64;
            let answered = self.count(connection, received, skippable > 0, now)?;
            // The end of a skipped body, when nothing else is due, is the end of the input.
            let drained =
                received < length || (skippable > 0 && answered > 0 && connection.sent.is_empty());
            if connection.phase == Phase::Open
                && answered > 0
                && self.afterwards == Afterwards::Repeat
            {
                self.issue(connection, answered, now);
                connection.flush(&self.batch).map_err(|_| reset())?;
            }
            if !drained {
                continue;
            }
            // A short receive has drained the socket; only the peer's FIN may be behind it, and
            // then there is nothing to receive.
            if peer_closed && connection.phase == Phase::Closing {
                return Ok(false);
            }
            if !peer_closed {
                return Ok(true);
            }
        }
    }

    /// Whether bodies are counted without being read.
    fn skips(&self) -> bool {
        self.window == HEAD_BYTES
    }

    /// Counts the responses in the next `received` bytes, which are in the page unless `skipped`.
    fn count(
        &mut self,
        connection: &mut Connection,
        received: usize,
        skipped: bool,
        now: u64,
    ) -> Result<usize, Faults> {
        if connection.phase == Phase::Closing {
            // Something came behind the last response.
            return Err(Faults { malformed: 1, ..Faults::default() });
        }
        let (tally, plan) = (&mut self.tally, self.plan);
        let (sent, phase) = (&mut connection.sent, &mut connection.phase);
        let (mut answered, mut unasked) = (0, false);
        let mut score = |response: Response| {
            let Some(sent_at) = sent.pop_front().filter(|_| *phase == Phase::Open) else {
                unasked = true;
                return;
            };
            answered += 1;
            tally.score(response, now - sent_at, plan);
            if !response.keeps_alive || plan.request.closes() {
                *phase = Phase::Closing;
            }
        };
        if skipped {
            connection.reader.skip(received, &self.rules).into_iter().for_each(score);
        } else {
            connection.reader.read(&self.page[..received], &mut self.rules, &mut score)?;
        }
        self.in_flight -= answered as u64;
        self.progress = now;
        connection.since = now;
        if unasked {
            return Err(Faults { malformed: 1, ..Faults::default() });
        }
        Ok(answered)
    }

    /// The peer has closed.
    fn end(&mut self, connection: &mut Connection) -> Result<bool, Faults> {
        if connection.phase == Phase::Closing {
            return Ok(false);
        }
        let early = Faults { closed_early: 1, ..Faults::default() };
        match connection.reader.end(&self.rules) {
            Ok(Some(response)) if !connection.sent.is_empty() => {
                let now = self.now();
                let sent_at = connection.sent.pop_front().unwrap_or(now);
                self.in_flight -= 1;
                self.progress = now;
                self.tally.score(response, now - sent_at, self.plan);
                connection.phase = Phase::Closing;
                Ok(false)
            }
            // An idle connection may be closed at any time.
            Ok(None) if connection.sent.is_empty() => Ok(false),
            _ => Err(early),
        }
    }

    /// Accounts for a connection that is over, and lets its slot open another.
    fn close(&mut self, index: u32, connection: &Connection, faults: Faults) {
        let unanswered = connection.sent.len() as u64;
        self.in_flight -= unanswered;
        if connection.phase == Phase::Connecting {
            self.connecting -= 1;
        }
        if let (Phase::Closing, Some(quota)) = (connection.phase, &mut self.quota) {
            // The server said in time that it would not answer these: they go elsewhere.
            *quota += unanswered;
        }
        let failed = faults.total() > 0;
        self.tally.faults.add(&faults);
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        if failed {
            self.later.push_back((self.now() + RETRY_NANOS, index));
        } else {
            self.ready.push_back(index);
        }
    }

    fn give_up_slow(&mut self, now: u64) {
        let timeout = nanos(self.plan.timeout);
        let patience = timeout.min(nanos(CLOSE_PATIENCE));
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let slow = |connection: &mut Box<Connection>| {
                let limit = if connection.phase == Phase::Closing { patience } else { timeout };
                connection.waits_since().is_some_and(|since| now.saturating_sub(since) > limit)
            };
            let Some(connection) = slot.connection.take_if(slow) else { continue };
            let faults = if connection.phase == Phase::Closing {
                Faults { kept_open: 1, ..Faults::default() }
            } else {
                Faults { timeouts: 1, ..Faults::default() }
            };
            // Slots are counted in 32 bits.
            self.close(index as u32, &connection, faults);
        }
    }
}

fn reset() -> Faults {
    Faults { resets: 1, ..Faults::default() }
}

/// Over loopback the handshake ends inside `connect`, although that reports it as under way.
fn is_connected(connection: &Connection) -> bool {
    rustix::net::getpeername(&connection.socket).is_ok()
}

pub(crate) fn watched_cpu(process: u32) -> Result<Cpu, Error> {
    process::cpu(process).map_err(|source| Error::Watch { process, source })
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
