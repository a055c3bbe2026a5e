//! The options that every listening command has.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use corelane_acceptor::{
    Address, AdmissionConfig, HashBy, InheritError, Inherited, Overload, Placement, Rate, inherited,
};
use corelane_eventloop::{LaneConfig, Nanos};
use corelane_mempool::Budget;

use super::{Failure, duration, limits};
use crate::supervisor::{AcceptMode, Door, Plan};

/// Reads a port that stands alone.
fn port(text: &str) -> Result<u16, String> {
    let wrong = "expected a port, at most 65535; an address is given by --bind";
    text.parse().map_err(|_| wrong.to_owned())
}

/// Addresses, loops and limits.
#[derive(Args, Debug)]
pub(super) struct ListenArgs {
    /// Port to listen on, where an address does not name its own
    #[arg(value_name = "PORT", value_parser = port)]
    position: Option<u16>,

    /// Port to listen on, where an address does not name its own [default: 8080]
    #[arg(short, long, value_name = "N", conflicts_with = "position")]
    port: Option<u16>,

    /// Address to listen on, repeatable: an IP address or name, with or without a port, `:PORT` for
    /// all of IPv4, or `unix:PATH` [default: the sockets that systemd passed, else 0.0.0.0]
    #[arg(long, value_name = "ADDR")]
    bind: Vec<String>,

    /// Number of loops, each on its own core [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Do not pin loops to cores
    #[arg(long)]
    no_pin: bool,

    /// How connections come to loops: each loop accepts for itself, or one acceptor hands them out
    /// by consistent hash of the peer's address (`hash`) or of address and port (`hash-port`), in
    /// turn, or to the loop with the fewest
    #[arg(long, value_enum, default_value = "reuseport")]
    accept: Accept,

    /// Length of the queue of connections not yet accepted
    #[arg(long, value_name = "N", default_value_t = 4096)]
    backlog: u32,

    /// Connections of the whole process at most [default: 65536 per loop, within the limit of
    /// descriptors]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// Connections accepted per second at most
    #[arg(long, value_name = "N")]
    accept_rate: Option<NonZeroU32>,

    /// What happens to connections beyond a limit: they wait in the queue, or are closed at once
    #[arg(long, value_enum, default_value = "pause")]
    overload: Excess,

    /// Set memory aside for this many connections per loop at the start, at most --max-connections
    #[arg(long, value_name = "N", default_value_t = 0)]
    preallocate: usize,

    /// Memory for buffers at most, for instance 512M; beyond 7/8 of it, the connections that hold most
    /// are closed; at least 1M [default: half of the memory that the process may use]
    #[arg(long, value_name = "BYTES", value_parser = limits::buffer_memory)]
    max_buffer_memory: Option<usize>,

    /// Output that the kernel takes of a connection before it can send it; 0 for as much as it likes:
    /// less CPU time for large answers to fast clients, and megabytes for each that does not read
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = limits::bytes)]
    max_unsent: usize,

    /// Poll without blocking for this long after the last event: trades CPU time for latency
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    busy_poll: Duration,

    /// Move connections that are idle between two requests from a busy loop to a much quieter one
    #[arg(long)]
    rebalance: bool,

    /// After SIGTERM or SIGINT, cut connections that are not done by then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(super) drain_timeout: Duration,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Accept {
    Reuseport,
    Hash,
    HashPort,
    RoundRobin,
    Least,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Excess {
    Pause,
    Shed,
}

impl ListenArgs {
    /// The plan these options make, for a protocol in which the client speaks first or not.
    pub(super) fn plan(&self, eager: bool) -> Result<Plan, Failure> {
        let mut plan = Plan::new([]);
        plan.doors = self.doors(eager)?;
        plan.lanes = self.workers.map_or(plan.lanes, usize::from);
        if plan.lanes > 1024 {
            return Err(Failure::Usage(format!(
                "--workers {}: at most 1024, and rarely more than the number of cores",
                plan.lanes
            )));
        }
        if self.no_pin {
            plan.cores.clear();
        }
        plan.accept = match self.accept {
            Accept::Reuseport => AcceptMode::PerLane,
            Accept::Hash => AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpOnly }),
            Accept::HashPort => AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpAndPort }),
            Accept::RoundRobin => AcceptMode::Dispatch(Placement::RoundRobin),
            Accept::Least => AcceptMode::Dispatch(Placement::LeastConnections),
        };
        plan.backlog = self.backlog;
        plan.unsent_bytes = u32::try_from(self.max_unsent).map_err(|_| {
            Failure::Usage(format!("--max-unsent {}: at most 4294967295", self.max_unsent))
        })?;
        let wanted = self.max_connections.map(usize::from);
        let listeners = plan.doors.len();
        plan.connections = limits::connections(wanted, plan.lanes, listeners).map_err(|why| {
            let option = if wanted.is_some() { "--max-connections" } else { "--workers" };
            Failure::Run(anyhow::anyhow!("{option}: {why}"))
        })?;
        plan.admission = AdmissionConfig {
            accept_rate: self.accept_rate.map(|rate| Rate::per_second(rate, rate)),
            overload: match self.overload {
                Excess::Pause => Overload::Pause,
                Excess::Shed => Overload::Shed,
            },
            // The limit that counts is that of the process.
            max_connections_per_loop: plan.connections,
        };
        plan.lane = LaneConfig::default();
        if let Some(limit) = self.max_buffer_memory {
            plan.budget = Budget::new(limit);
        }
        plan.preallocate = self.preallocate.min(plan.connections);
        plan.busy_poll = Nanos::from(self.busy_poll);
        plan.rebalance = self.rebalance;
        Ok(plan)
    }

    fn doors(&self, eager: bool) -> Result<Vec<Door>, Failure> {
        let asked = !self.bind.is_empty() || self.position.or(self.port).is_some();
        doors(|| self.addresses(), asked, eager)
    }

    fn addresses(&self) -> Result<Vec<Address>, Failure> {
        let port = self.position.or(self.port).unwrap_or(8080);
        if self.bind.is_empty() {
            return Ok(vec![Address::Tcp(([0, 0, 0, 0], port).into())]);
        }
        let named = |error| match error {
            Failure::Usage(message) => Failure::Usage(format!("--bind: {message}")),
            other => other,
        };
        self.bind.iter().map(|text| address(text, port).map_err(named)).collect()
    }
}

/// What to listen on. Inherited sockets stand in for the default; for an address that was asked for
/// if they are bound to it; and serve beside others.
pub(super) fn doors(
    addresses: impl FnOnce() -> Result<Vec<Address>, Failure>,
    asked: bool,
    eager: bool,
) -> Result<Vec<Door>, Failure> {
    let mut inherited = take_inherited()?;
    let mut doors = Vec::new();
    if asked || inherited.is_empty() {
        for address in addresses()? {
            let same = inherited.iter().position(|passed| passed.address == address);
            doors.push(match same {
                Some(same) => Door::from(inherited.remove(same)),
                None => Door::new(address, eager),
            });
        }
    }
    doors.extend(inherited.into_iter().map(Door::from));
    doors.iter_mut().for_each(|door| door.eager = eager);
    Ok(doors)
}

/// What a service manager passed to this process, until a command takes it.
static INHERITED: Mutex<Option<Result<Vec<Inherited>, InheritError>>> = Mutex::new(None);

/// Takes the sockets that a service manager passed out of the environment. To be called before the first
/// thread.
pub(super) fn inherit() {
    *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = Some(inherited());
}

fn take_inherited() -> Result<Vec<Inherited>, Failure> {
    let taken = INHERITED.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken
        .unwrap_or(Ok(Vec::new()))
        .map_err(|error| Failure::Run(anyhow::Error::msg(error.to_string())))
}

/// Reads an address that may leave its port to the default.
pub(super) fn address(text: &str, port: u16) -> Result<Address, Failure> {
    crate::config::address::parse(text, port).map_err(|error| Failure::Usage(error.to_string()))
}

/// Reads a file that an option names.
pub(super) fn read_file(option: &str, path: &PathBuf) -> Result<Vec<u8>, Failure> {
    use anyhow::Context;
    let read = std::fs::read(path)
        .with_context(|| format!("{option}: {}: cannot be read", path.display()))?;
    Ok(read)
}
