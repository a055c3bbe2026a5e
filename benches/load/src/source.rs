//! Where connections come from: a new socket on its way to the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections taken from one source address before the next is used. The kernel's default range
/// has 28,232 ephemeral ports for each.
const CONNECTIONS_PER_SOURCE: u64 = 20_000;
/// Loopback source addresses at most: 127.0.0.2 to 127.0.0.65.
const SOURCE_COUNT_MAX: u64 = 64;

/// Opens connections to one target.
///
/// A closed connection keeps its pair of ports in TIME_WAIT for a minute, so a client that opens
/// tens of thousands per second runs out of them. All of 127.0.0.0/8 is local: towards an IPv4
/// loopback target the source address moves on as ports are used up.
#[derive(Debug)]
pub(crate) struct Source {
    target: SocketAddr,
    /// Connections opened so far.
    opened: u64,
    spreads: bool,
}

/// A socket, connected already or on the way.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) socket: OwnedFd,
    pub(crate) connected: bool,
}

impl Source {
    /// `first` tells apart the workers of one run, so that they start on different addresses.
    pub(crate) fn new(target: SocketAddr, first: u64) -> Self {
        let spreads = match target.ip() {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(_) => false,
        };
        Self { target, opened: first * CONNECTIONS_PER_SOURCE, spreads }
    }

    /// Starts a connection without waiting for it.
    pub(crate) fn dial(&mut self) -> Result<Dialled, Errno> {
        let mut attempts = if self.spreads { SOURCE_COUNT_MAX } else { 1 };
        loop {
            let result = self.attempt();
            self.opened += 1;
            attempts -= 1;
            match result {
                // This source has no port left: go on with the next.
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) if attempts > 0 => {
                    self.opened = self.opened.next_multiple_of(CONNECTIONS_PER_SOURCE);
                }
                other => return other,
            }
        }
    }

    fn attempt(&self) -> Result<Dialled, Errno> {
        let family = match self.target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let source = self.opened / CONNECTIONS_PER_SOURCE % SOURCE_COUNT_MAX;
        // The first source is left to the kernel, which then also picks the port later and cheaper.
        if self.spreads && source > 0 {
            let address = Ipv4Addr::new(127, 0, 0, 1 + source as u8);
            net::bind(&socket, &SocketAddr::from((address, 0)))?;
        }
        match net::connect(&socket, &self.target) {
            Ok(()) => Ok(Dialled { socket, connected: true }),
            Err(Errno::INPROGRESS) => Ok(Dialled { socket, connected: false }),
            Err(error) => Err(error),
        }
    }
}
