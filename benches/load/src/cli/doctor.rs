//! `corelane doctor`.

use super::{Failure, print, values};
use crate::doctor::{Level, Machine, Subject, examine};

/// Looks for what of this machine may distort a load test, and says what to do about it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    corelane doctor\n  \
    corelane doctor --connections 50k --server-pid $(pidof corelane) --cores 1\n\n\
    Reads files of /proc and /sys and changes nothing. Exit code: 0, with --strict 1 if there is a \
    warning, 2 for wrong usage.")]
pub struct DoctorArgs {
    /// How many connections there will be
    #[arg(short, long, value_name = "COUNT", value_parser = values::count, default_value = "1k")]
    connections: u64,
    /// Each request will have a connection of its own
    #[arg(long)]
    no_keep_alive: bool,
    /// The server is on another machine
    #[arg(long, conflicts_with = "server_pid")]
    remote: bool,
    /// The cores the client will be bound to: 1 or 2,3
    #[arg(long, value_delimiter = ',', value_name = "CORE")]
    cores: Vec<usize>,
    /// The server's process, if it is here
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Show only what is not as it should be
    #[arg(short, long)]
    quiet: bool,
    /// Exit with 1 if there is a warning
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let subject = Subject {
        connections: args.connections,
        keep_alive: !args.no_keep_alive,
        local: !args.remote,
        cores: args.cores.clone(),
        server: args.server_pid,
    };
    let findings = examine(&Machine, &subject);
    let shown = findings.iter().filter(|finding| !args.quiet || finding.level > Level::Good);
    print(&shown.map(|finding| format!("{finding}\n")).collect::<String>());
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warnings, hints) = (count(Level::Warning), count(Level::Hint));
    print(&format!("{warnings} warnings, {hints} hints, {} good\n", count(Level::Good)));
    if args.strict && warnings > 0 { Err(Failure::Result) } else { Ok(()) }
}
