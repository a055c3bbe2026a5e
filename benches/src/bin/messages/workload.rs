//! What clients do to a server.

use std::fmt;

use clap::ValueEnum;

use crate::load::echo::EchoPlan;
use crate::load::room::{Pace, RoomPlan};
use crate::peer::Service;

/// What clients do to a server. Messages are lines of 64 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Workload {
    /// 64 connections, one message in flight on each
    #[value(name = "echo-64")]
    Echo64,
    /// The same with 16 messages in flight on each
    #[value(name = "echo-64-pipelined")]
    Echo64Pipelined,
    /// 5,000 connections, one message in flight on each
    #[value(name = "echo-5000")]
    Echo5000,
    /// 1,000 receivers of 50 lines a second
    #[value(name = "broadcast-1000")]
    Broadcast1000,
    /// The same, but 8 lines at the same moments
    #[value(name = "broadcast-1000-bursts")]
    Broadcast1000Bursts,
    /// 1,000 receivers of 8 senders with 16 lines in flight each
    #[value(name = "broadcast-1000-full")]
    Broadcast1000Full,
    /// 1,000 receivers of 50 lines a second, of whom 10 stop reading
    #[value(name = "broadcast-1000-slow")]
    Broadcast1000Slow,
    /// 5,000 idle connections that have had one message back: memory
    Idle,
}

/// The clients of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clients {
    /// Each gets back what it sends.
    Echo(EchoPlan),
    /// As many connections, silent after the first message.
    Idle(usize),
    /// Each gets what the others send.
    Room(RoomPlan),
}

/// Lines a second, from all senders together: few enough for the slowest server.
const LINES_PER_SECOND: u32 = 50;
const IDLE_CONNECTIONS: usize = 5_000;

impl Workload {
    pub(crate) fn clients(self) -> Clients {
        let echo = |connections, depth| Clients::Echo(EchoPlan { connections, depth });
        let room = |pace, slow| {
            Clients::Room(RoomPlan { members: 1_001, senders: 8, slow, pace, flood_lines: 2_048 })
        };
        let fixed = |together| Pace::Fixed { lines_per_second: LINES_PER_SECOND, together };
        match self {
            Self::Echo64 => echo(64, 1),
            Self::Echo64Pipelined => echo(64, 16),
            Self::Echo5000 => echo(5_000, 1),
            Self::Broadcast1000 => room(fixed(false), 0),
            Self::Broadcast1000Bursts => room(fixed(true), 0),
            Self::Broadcast1000Full => room(Pace::InFlight(16), 0),
            Self::Broadcast1000Slow => room(fixed(false), 10),
            Self::Idle => Clients::Idle(IDLE_CONNECTIONS),
        }
    }

    pub(crate) fn service(self) -> Service {
        match self.clients() {
            Clients::Room(_) => Service::Broadcast,
            Clients::Echo(_) | Clients::Idle(_) => Service::Echo,
        }
    }

    /// Whether what came before would be in the figures, so that each measurement has a server of
    /// its own.
    pub(crate) fn wants_fresh_server(self) -> bool {
        matches!(self, Self::Idle | Self::Broadcast1000Slow)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
