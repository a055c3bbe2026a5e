//! Connections, and waiting for them.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// How long anything may take that is no measurement: joining, or the last messages.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Connections opened at once: fewer than any server's backlog.
pub(crate) const OPENING_COUNT_MAX: usize = 64;
/// Taken from the kernel at once: few, so that messages leave when they are due.
const EVENT_COUNT_MAX: usize = 64;
/// Tests measure nothing, and share their cores.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: if cfg!(test) { 1_000_000 } else { 0 } };
/// A receive buffer that fills at once; the kernel doubles it.
const NARROW_BYTES: usize = 4096;
/// Segments as over Ethernet. Over loopback they would be 64 KiB long, and the kernel would take
/// megabytes for a receiver that does not read.
const SEGMENT_BYTES: u32 = 1460;

/// How much a client can be sent before its peer has to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Receives {
    /// As the kernel sees fit.
    Usual,
    /// A few KiB.
    Little,
}

/// A connection that never blocks.
pub(crate) fn connect(server: SocketAddr, receives: Receives) -> anyhow::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if receives == Receives::Little {
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        socket.set_tcp_mss(SEGMENT_BYTES)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.connect_timeout(&server.into(), PATIENCE).context("connect")?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from(socket).into())
}

/// Tells which connections have something. Never sleeps: the server would pay for waking a client,
/// which on another machine it does not.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
        let events = Vec::with_capacity(EVENT_COUNT_MAX);
        Ok(Self { epoll, events })
    }

    /// Tells of `socket` under `index`, once whenever there is something new.
    pub(crate) fn add(&self, socket: &OwnedFd, index: usize) -> anyhow::Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(index as u64), interest)
            .context("epoll_ctl")
    }

    /// Tells no more.
    pub(crate) fn remove(&self, socket: &OwnedFd) -> anyhow::Result<()> {
        epoll::delete(&self.epoll, socket).context("epoll_ctl")
    }

    /// How many have something at this moment.
    pub(crate) fn look(&mut self) -> anyhow::Result<usize> {
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, Some(&WAIT)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }

    /// One of those that the last look found: its index, and what it has.
    pub(crate) fn found(&self, at: usize) -> (usize, EventFlags) {
        let event = self.events[at];
        (event.data.u64() as usize, event.flags)
    }
}

/// Whether something may wait behind a short receive: the end, or an error.
pub(crate) fn has_ended(flags: EventFlags) -> bool {
    flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
}

/// A moment after which waiting is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(crate) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}
