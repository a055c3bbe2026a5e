//! What a server is to be.

use std::sync::Arc;

use corelane_acceptor::{Address, AdmissionConfig, Inherited, Listener, Placement};
use corelane_eventloop::{LaneConfig, Nanos, TraceDesk, affinity};
use corelane_mempool::Budget;

use super::memory;

/// How connections come to lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptMode {
    /// Each lane accepts for itself, on a listener of its own of the same address (`SO_REUSEPORT`).
    PerLane,
    /// One thread accepts for all, and places each connection.
    Dispatch(Placement),
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where.
    pub address: Address,
    /// The client speaks first: receive at once after accepting.
    pub eager: bool,
    /// The socket to accept from, if somebody has bound it already. All lanes share its one queue.
    pub inherited: Option<Arc<Listener>>,
}

impl Door {
    /// A door that is to be bound.
    pub fn new(address: Address, eager: bool) -> Door {
        Door { address, eager, inherited: None }
    }
}

impl From<Inherited> for Door {
    fn from(inherited: Inherited) -> Door {
        let Inherited { address, listener, .. } = inherited;
        Door { address, eager: false, inherited: Some(Arc::new(listener)) }
    }
}

/// What a server is to be. [`Plan::new`] gives defaults for everything but the addresses.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its threads are called, with the lane's number behind it.
    pub name: String,
    /// Where it listens; the position is the listener's id for the protocol.
    pub doors: Vec<Door>,
    /// How many lanes. Default: one per available core.
    pub lanes: usize,
    /// The cores that lanes are pinned to, in turn; empty pins none. Default: the available ones.
    pub cores: Vec<usize>,
    /// How connections come to lanes. Default: each lane accepts for itself.
    pub accept: AcceptMode,
    /// Connections of the whole process at most. Default 65,536 per lane.
    pub connections: usize,
    /// Further policy on accepting.
    pub admission: AdmissionConfig,
    /// The length of the queue of connections not yet accepted; the system may set a lower one.
    /// Default 4,096.
    pub backlog: u32,
    /// Bytes of a connection's output that the kernel takes before it can send them; 0 for as many as
    /// it likes. Default 64 KiB, Linux only.
    pub unsent_bytes: u32,
    /// Permissions of the files of Unix sockets, such as `0o600`. Default: what the process's umask leaves.
    pub unix_mode: Option<u32>,
    /// The limits of each lane.
    pub lane: LaneConfig,
    /// What the buffers of all lanes count against. Beyond 7/8 of it, connections are shed. Default:
    /// half of the memory that the process may use, at least 16 MiB.
    pub budget: Arc<Budget>,
    /// Connections per lane that memory is set aside for at the start. Default 0.
    pub preallocate: usize,
    /// How long a lane polls without blocking before it blocks. Default: not at all.
    pub busy_poll: Nanos,
    /// Has connections that are idle between two requests move from a lane that is busy to one that is
    /// much less so, where the protocol lets them. Default: no.
    pub rebalance: bool,
    /// Pieces of mail between each two lanes. Default 1,024.
    pub mail: usize,
    /// Where single connections are asked to be traced. Default: a desk of the server's own.
    pub traces: Arc<TraceDesk>,
    /// Keys the hash that places connections, so that peers cannot choose their lane.
    pub seed: [u64; 2],
}

impl Plan {
    /// A plan for these addresses.
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Plan {
        let cores = affinity::available();
        let lanes = match cores.len() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            known => known.min(std::thread::available_parallelism().map_or(known, usize::from)),
        };
        Plan {
            name: "lane".into(),
            doors: addresses.into_iter().map(|address| Door::new(address, false)).collect(),
            lanes,
            cores,
            accept: AcceptMode::PerLane,
            connections: 65_536 * lanes,
            admission: AdmissionConfig::default(),
            backlog: 4096,
            unsent_bytes: 64 * 1024,
            unix_mode: None,
            lane: LaneConfig::default(),
            budget: Budget::new(memory::default_budget()),
            preallocate: 0,
            busy_poll: Nanos::ZERO,
            rebalance: false,
            mail: 1024,
            traces: Arc::default(),
            seed: entropy(),
        }
    }
}

/// Unpredictable numbers from the standard library's own source of hash keys.
fn entropy() -> [u64; 2] {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    [state.hash_one(0), state.hash_one(1)]
}
