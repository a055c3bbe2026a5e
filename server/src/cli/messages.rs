//! Options of the commands that speak a protocol of messages, not HTTP.

use std::time::Duration;

use corelane_eventloop::{LaneConfig, Nanos};

use super::{Failure, duration, limits};
use crate::handler::{EventHandler, EventServer};
use crate::supervisor::Plan;

use super::run::Service;

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Limits of clients")]
pub(super) struct MessageArgs {
    /// How long a client may send nothing [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = duration::timeout)]
    idle_timeout: Option<Duration>,

    /// Least rate at which a client takes what waits for it, in bytes per second; 0 for none
    #[arg(long, value_name = "BYTES", default_value = "240", value_parser = limits::bytes)]
    min_rate: usize,

    /// How long a client may take to reach that rate
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::timeout)]
    rate_grace: Duration,

    /// How long a client may pause after it was fast; less than --rate-grace means as long as that
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::timeout)]
    max_stall: Duration,
}

impl MessageArgs {
    /// Sets what the lane does of it.
    pub(super) fn limit(&self, lane: &mut LaneConfig) {
        lane.read_rate = self.min_rate as u64;
        lane.read_grace = Nanos::from(self.rate_grace);
        lane.read_credit = Nanos::from(self.max_stall);
    }

    pub(super) fn idle_time(&self) -> Option<Nanos> {
        self.idle_timeout.map(Nanos::from)
    }

    /// The limits in one line, for the announcement.
    pub(super) fn summary(&self) -> String {
        let idle = self.idle_timeout.map_or("any time".to_owned(), |time| format!("{time:?}"));
        format!("rate {} bytes/s, idle {idle}", self.min_rate)
    }
}

/// Runs a handler until a signal.
pub(super) fn run<H: EventHandler + 'static>(
    service: Service,
    plan: Plan,
    make: impl Fn() -> H + Send + Sync + 'static,
    limits: &str,
    drain: Duration,
) -> Result<(), Failure> {
    if plan.rebalance {
        let why = "--rebalance: connections of this command do not move; only those of HTTP do";
        return Err(Failure::Usage(why.to_owned()));
    }
    let running = EventServer::of(plan, make).start();
    // Its message holds its cause already.
    let running = running.map_err(|error| Failure::Run(anyhow::Error::msg(error.to_string())))?;
    let received = running.metrics().received();
    let limits = format!("{limits}, drain {drain:?}");
    service.scheme("").run(running.into_server(), received, &limits, drain)
}
