//! `corelane broadcast`.

use super::Failure;
use super::limits;
use super::listen::ListenArgs;
use super::messages::{self, MessageArgs};
use super::run::{Service, ServiceArgs};
use crate::apps::broadcast::{Chat, ChatConfig};
use crate::handler::Slow;

/// What may wait for one client, in bytes: some pages of text, so that a burst is no reason to miss any.
const WAITING: u64 = 64 << 10;

/// Options of `corelane broadcast`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Times are as 500ms, 10s, 2m or 1h, without a unit seconds; bytes are as 4096, \
    64K or 2G, in powers of 1024.\n\n\
    Clients need no more than a terminal: nc, telnet, socat. They write /help to see the commands. \
    Control characters of others are made visible, so that nobody commands another's terminal.\n\n\
    The log has a line for each connection that comes and goes, with its peer and the reason; \
    --log-level warn leaves them out. --admin counts lines, receivers and what was dropped. What is \
    reported to StatsD as requests are lines.\n\n\
    Examples:\n  corelane broadcast 3000\n  \
    corelane broadcast --bind 127.0.0.1        then, in two terminals: nc 127.0.0.1 8080\n  \
    corelane broadcast --history 0 --max-line 512 --slow disconnect"
)]
pub(super) struct Args {
    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    service: ServiceArgs,

    /// Show newcomers the last lines: so many at most, and 32K of them
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(..=1000))]
    history: u64,

    /// Longest line; who sends a longer one is told so, and disconnected
    #[arg(long, value_name = "BYTES", default_value = "4K", value_parser = line_bytes)]
    max_line: usize,

    /// What becomes of a line for a client that does not keep up, for whom 64K wait: the client misses
    /// it (`drop`), is disconnected, or the sender is not read until it has caught up, for a second at
    /// most (`hold`). Who takes less than --min-rate is disconnected anyway
    #[arg(long, value_enum, default_value = "drop")]
    slow: SlowPolicy,

    /// Tell everyone of arrivals, departures and new names while at most this many are here
    #[arg(long, value_name = "N", default_value_t = 200)]
    notices: usize,

    #[command(flatten)]
    clients: MessageArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum SlowPolicy {
    Drop,
    Disconnect,
    Hold,
}

/// Reads the most bytes of a line.
fn line_bytes(text: &str) -> Result<usize, String> {
    match limits::bytes(text)? {
        fits @ 64..=0x4000 => Ok(fits),
        _ => Err("expected 64 to 16K: a line is held in memory until it is whole".to_owned()),
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let mut plan = args.listen.plan(false)?;
    args.clients.limit(&mut plan.lane);
    (plan.lane.high, plan.lane.low) = (WAITING, WAITING / 4);
    let service = Service::prepare(&args.service)?;
    let config = ChatConfig {
        line_max: args.max_line,
        history: args.history as usize,
        notices: args.notices,
        slow: match args.slow {
            SlowPolicy::Drop => Slow::Drop,
            SlowPolicy::Disconnect => Slow::Disconnect,
            SlowPolicy::Hold => Slow::Hold,
        },
        idle_time: args.clients.idle_time(),
    };
    let summary = args.clients.summary();
    let limits = format!("line {} bytes, history {} lines, {summary}", args.max_line, args.history);
    let chat = Chat::new(config);
    messages::run(service, plan, move || chat.clone(), &limits, args.listen.drain_timeout)
}
