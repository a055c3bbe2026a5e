//! `corelane echo`.

use super::Failure;
use super::listen::ListenArgs;
use super::messages::{self, MessageArgs};
use super::run::{Service, ServiceArgs};
use crate::apps::echo::Echo;

/// Options of `corelane echo`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Times are as 500ms, 10s, 2m or 1h, without a unit seconds; bytes are as 4096, \
    64K or 2G, in powers of 1024.\n\n\
    The log has a line for each connection that comes and goes, with its peer and the reason; \
    --log-level warn leaves them out. --admin counts them. What is reported to StatsD as requests are \
    messages: what arrived in one piece.\n\n\
    Examples:\n  corelane echo 3000\n  \
    corelane echo --bind 127.0.0.1        then, elsewhere: nc 127.0.0.1 8080\n  \
    corelane echo --bind unix:/run/echo.sock --idle-timeout 10m"
)]
pub(super) struct Args {
    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    service: ServiceArgs,

    #[command(flatten)]
    clients: MessageArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut plan = args.listen.plan(true)?;
    args.clients.limit(&mut plan.lane);
    let service = Service::prepare(&args.service)?;
    let echo = Echo::default().idle_time(args.clients.idle_time());
    let limits = args.clients.summary();
    messages::run(service, plan, move || echo.clone(), &limits, args.listen.drain_timeout)
}
