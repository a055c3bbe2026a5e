//! `survival`: what slow, greedy and hasty clients cost a server, beside its peers.
//!
//! Each server is started with the limits it is shipped with, on a core of its own, and meets each
//! kind of hostile client in turn. docs/BENCHMARKING.md says what the figures mean.

mod bombs;
mod churn;
mod client;
mod exhaustion;
mod measure;
mod memory;
mod probe;
mod slow;
mod sockets;
mod subject;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use corelane_benches::build::Binaries;
use corelane_benches::environment::Environment;
use corelane_benches::launch::{self, Launch};
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{self, Server};
use corelane_benches::start::{self, Options};

use crate::measure::{Measure, Plan};
use crate::subject::Stable;
use crate::table::Table;

/// Servers measured unless others are named: those without limits have nothing to show.
const SERVERS: [Server; 6] =
    [Server::Corelane, Server::Nginx, Server::H2o, Server::Hyper, Server::Actix, Server::May];
/// Descriptors of this program beside its connections.
const SPARE_DESCRIPTORS: usize = 64;

/// Measures what hostile clients cost corelane and its peers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// What to measure [default: everything]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Servers to measure [default: corelane, and of nginx, h2o and the rivals those that are there]
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Server>,
    /// Connections to open for the memory of idle ones and of partial heads
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    connections: u32,
    /// Clients that pipeline and never read
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pipeliners: u32,
    /// Slow clients of each kind
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    slow: u32,
    /// Bytes that a slow reader takes each second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    read_bytes: u32,
    /// Seconds after which slow clients give up
    #[arg(long, default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=600))]
    limit: u64,
    /// Connections of each storm
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    churn: u32,
    #[command(flatten)]
    options: Options,
    /// Directory for a record, DATE-survival.md
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Becomes another program on one core, in a session of its own (used by survival itself)
    #[command(hide = true)]
    Launch(Launch),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Launch(launch)) => launch.exec(),
        None => survival(&arguments),
    };
    launch::exit_code("survival", result)
}

fn survival(arguments: &Arguments) -> anyhow::Result<()> {
    let plan = plan(arguments);
    let descriptors = launch::raise_descriptors()?;
    let needed = plan.connections.max(3 * plan.slow.count) + SPARE_DESCRIPTORS;
    if descriptors < needed as u64 {
        bail!(
            "{needed} descriptors are needed, {descriptors} allowed: raise `ulimit -Hn`, or ask \
               for fewer --connections"
        );
    }
    let build = |binaries: &Binaries| binaries.build("corelane", "corelane");
    let binaries = arguments.options.prepare(build)?;
    let wanted = match &arguments.server[..] {
        [] => &SERVERS,
        asked => asked,
    };
    let servers = server::present(wanted, &binaries)?;
    let measures = start::chosen(&arguments.only);
    let mut environment = Environment::read(&binaries);
    corelane_load::pin(arguments.options.cores.load_core)?;
    println!("{environment}");
    let each: Duration = measures.iter().map(|measure| measure.time_max(&plan)).sum();
    println!("at most {} minutes\n", (each * servers.len() as u32).as_secs() / 60 + 1);
    let stable = Stable {
        binaries,
        scratch: Scratch::new()?,
        server_core: arguments.options.cores.server_core,
    };
    let mut tables = Vec::new();
    for measure in measures {
        let mut table = measure.table();
        for &server in &servers {
            match measure.run(server, &stable, &plan) {
                Ok(figures) => table.add(server, figures),
                Err(error) => table.fail(server, &format!("{error:#}")),
            }
        }
        println!("{table}");
        tables.push(table);
    }
    environment.finish();
    match &arguments.out {
        Some(directory) => record(directory, &environment, &tables, &plan),
        None => Ok(()),
    }
}

fn plan(arguments: &Arguments) -> Plan {
    Plan {
        connections: arguments.connections as usize,
        pipeliners: arguments.pipeliners as usize,
        churn: arguments.churn as usize,
        slow: slow::Plan {
            count: arguments.slow as usize,
            read_bytes: arguments.read_bytes as usize,
            limit: Duration::from_secs(arguments.limit),
        },
    }
}

fn record(
    directory: &Path,
    environment: &Environment,
    tables: &[Table],
    plan: &Plan,
) -> anyhow::Result<()> {
    let slow = plan.slow;
    let mut text = format!(
        "# Survival of {}\n\n`cargo run --release --bin survival`: {} slow clients of each kind for at \
         most {} s, readers at {} bytes per second; {} clients that never read; storms of {} \
         connections. Servers have one core and the limits they are shipped with.\n\n{environment}",
        environment.date,
        slow.count,
        slow.limit.as_secs(),
        slow.read_bytes,
        plan.pipeliners,
        plan.churn,
    );
    for table in tables {
        text.push_str(&format!("\n{table}"));
    }
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let file = directory.join(format!("{}-survival.md", environment.date));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
