//! From a configuration to a plan: what must stand before the first lane starts.

use corelane_acceptor::{AdmissionConfig, HashBy, Overload, Placement, Rate};
use corelane_eventloop::{LaneConfig, Nanos};
use corelane_http::HttpConfig;
use corelane_mempool::Budget;
use corelane_parser::http1::Limits;

use crate::config::{Accept, Config, Overload as Excess};
use crate::supervisor::{AcceptMode, Door, Plan};

/// What the server's threads are to be, for these doors and so many connections.
pub fn plan(config: &Config, doors: Vec<Door>, connections: usize) -> Plan {
    let mut plan = Plan::new([]);
    plan.doors = doors;
    plan.lanes = lanes(config);
    if !config.pin {
        plan.cores.clear();
    }
    plan.accept = match config.accept {
        Accept::Reuseport => AcceptMode::PerLane,
        Accept::Hash => AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpOnly }),
        Accept::HashPort => AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpAndPort }),
        Accept::RoundRobin => AcceptMode::Dispatch(Placement::RoundRobin),
        Accept::Least => AcceptMode::Dispatch(Placement::LeastConnections),
    };
    let limits = &config.limits;
    plan.connections = connections;
    let rate = limits.accept_rate.and_then(|rate| u32::try_from(rate.get()).ok());
    plan.admission = AdmissionConfig {
        accept_rate: rate
            .and_then(std::num::NonZeroU32::new)
            .map(|rate| Rate::per_second(rate, rate)),
        overload: match limits.overload {
            Excess::Pause => Overload::Pause,
            Excess::Shed => Overload::Shed,
        },
        // The limit that counts is that of the process.
        max_connections_per_loop: connections,
    };
    plan.backlog = u32::try_from(limits.backlog.get()).unwrap_or(u32::MAX);
    plan.unsent_bytes = u32::try_from(limits.max_unsent.get()).unwrap_or(u32::MAX);
    if let Some(bytes) = limits.max_buffer_memory {
        plan.budget = Budget::new(bytes.get() as usize);
    }
    plan.preallocate = (limits.preallocate.get() as usize).min(connections);
    plan.busy_poll = Nanos::from(config.busy_poll.get());
    plan.rebalance = config.rebalance;
    plan.lane = LaneConfig {
        read_rate: limits.min_rate.get(),
        read_grace: Nanos::from(config.timeouts.rate_grace.get()),
        read_credit: Nanos::from(config.timeouts.max_stall.get()),
        input: LaneConfig::default().input.max(limits.max_head.get() as usize),
        ..LaneConfig::default()
    };
    plan
}

/// How many lanes there will be.
pub fn lanes(config: &Config) -> usize {
    config.workers.get().unwrap_or_else(|| Plan::new([]).lanes)
}

/// What clients may send, and how long they may take.
pub fn http_config(config: &Config) -> HttpConfig {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let head = limits.max_head.get() as usize;
    HttpConfig {
        limits: Limits {
            head_bytes: head,
            request_line_bytes: Limits::DEFAULT.request_line_bytes.min(head),
            field_line_bytes: Limits::DEFAULT.field_line_bytes.min(head),
            fields: limits.max_fields.get() as usize,
            body_bytes: limits.max_body.get(),
            lenient: limits.lenient,
            ..Limits::DEFAULT
        },
        head_time: Nanos::from(timeouts.head.get()),
        body_rate: limits.min_rate.get(),
        body_grace: Nanos::from(timeouts.rate_grace.get()),
        body_credit: Nanos::from(timeouts.max_stall.get()),
        idle_time: Nanos::from(timeouts.idle.get()),
        requests_max: limits.max_requests.and_then(|count| u32::try_from(count.get()).ok()),
        age_max: timeouts.max_age.map(|age| Nanos::from(age.get())),
        ..HttpConfig::default()
    }
}
