//! Who and where: lanes, connections, peers, and how a connection came to be.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use corelane_mempool::Key;

/// The number of a lane within its process, from 0.
pub type LaneId = u16;

/// The number of a listener, given by whoever adds it to a driver. Protocols use it to tell the
/// public door from the others.
pub type ListenerId = u16;

/// One connection in the whole process: its lane, and its key there.
///
/// A key carries a generation, so the id of a closed connection never names a later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The lane that owns the connection.
    pub lane: LaneId,
    /// Its place in that lane.
    pub key: Key,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.lane, self.key.index(), self.key.generation())
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The other end of a connection, as the operating system names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// An IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// A Unix socket: clients of those have no useful address.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// How a connection came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client came in through this listener.
    Accepted(ListenerId),
    /// The protocol asked for it with [`Turn::connect`](crate::Turn::connect), with this tag.
    Connected(u64),
}

/// Where an outbound connection goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A TCP address. Names are resolved by the caller: resolving blocks.
    Ip(SocketAddr),
    /// A TCP address, reached from this address of ours instead of the one that the system picks: a
    /// pair of addresses has some 28,000 ports, and one connection for each.
    From {
        /// Ours.
        source: IpAddr,
        /// Theirs.
        to: SocketAddr,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}
