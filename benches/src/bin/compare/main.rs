//! `compare`: the real server beside its rivals, in one interleaved run.
//!
//! Each server is bound to one core and the load generator to another. Servers take turns: one
//! round measures each of them once, so that whatever drifts on the machine drifts for all, and
//! ratios are taken inside a round. docs/BENCHMARKING.md says how to read the result.

mod ballast;
mod measure;
mod table;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::Value;

use corelane_benches::build::Binaries;
use corelane_benches::environment::Environment;
use corelane_benches::launch::{self, Launch};
use corelane_benches::record::Record;
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{self, App, Running, Server};
use corelane_benches::start::{self, Options};

use crate::measure::{Sample, measure_idle, measure_load, verify};
use crate::table::Table;
use crate::workload::Workload;

/// How old files are before they are asked for: careful servers do not remember one that has just
/// been changed, since it may change again within the same tick of its clock.
const FILE_AGE: Duration = Duration::from_millis(2500);

/// Measures corelane beside its rivals: CPU time per request, throughput, latency, memory.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Rounds of one second, three of them, and no record unless --out asks for one
    #[arg(long)]
    quick: bool,
    /// Workloads to run, in this order [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Servers to measure [default: all that are there]
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Server>,
    /// How often each server is measured under each workload [default: 7, with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds that each measurement lasts [default: 2, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: Option<u32>,
    /// Idle connections to hold for the memory figure
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    idle_connections: u32,
    #[command(flatten)]
    options: Options,
    /// Where the record goes: FILE.md and FILE.json [default: benches/records/DATE-compare]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Becomes another program on one core, in a session of its own (used by compare itself)
    #[command(hide = true)]
    Launch(Launch),
    /// Keeps a core busy (used by compare itself)
    #[command(hide = true)]
    Spin,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Launch(launch)) => launch.exec(),
        Some(Command::Spin) => ballast::spin(),
        None => compare(&arguments),
    };
    launch::exit_code("compare", result)
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = arguments.options.prepare(build)?;
    let servers = server::present(&start::chosen(&arguments.server), &binaries)?;
    let workloads = start::chosen(&arguments.workload);
    let mut environment = start::isolated(&binaries);
    let plan = Plan::new(arguments);
    println!("{environment}");
    println!(
        "about {} minutes: {} rounds of {} s for each of {} servers under {} workloads\n",
        plan.minutes(servers.len(), &workloads),
        plan.rounds,
        plan.seconds,
        servers.len(),
        workloads.len(),
    );
    let scratch = Scratch::new()?;
    let mut tables = Vec::new();
    for workload in workloads {
        let table = run(workload, &servers, &plan, &binaries, &scratch, &mut environment)?;
        println!("{table}");
        tables.push((table.to_string(), table.to_json()));
    }
    environment.finish();
    let record = record(environment, tables, &plan);
    record.keep(arguments.out.as_deref(), arguments.quick, &binaries.root)
}

fn record(environment: Environment, tables: Vec<(String, Value)>, plan: &Plan) -> Record {
    let Plan { rounds, seconds, .. } = *plan;
    let introduction = format!(
        "{rounds} interleaved rounds of {seconds} s, server and load on one core each. Figures are \
         medians over the rounds; ratios are medians of the ratios inside each round. \"(n idle)\" \
         counts the rounds in which the server was idle for more than 10 % of the time."
    );
    Record { program: "compare", introduction, environment, rounds, seconds, tables }
}

/// Builds our own programs and, where possible, the rivals.
fn build(binaries: &Binaries) -> anyhow::Result<()> {
    binaries.build("corelane-benches", "floor")?;
    if let Err(error) = binaries.build("corelane-benches", "web") {
        println!("{error}; the one built before is used, if there is one");
    }
    binaries.build("corelane-load", "corelane-load")?;
    if let Err(error) = binaries.build("corelane", "corelane") {
        println!("{error}; the one built before is used, if there is one");
    }
    binaries.build_rivals()
}

/// The numbers of a run.
struct Plan {
    rounds: u32,
    seconds: u32,
    idle_connections: u32,
    server_core: usize,
    load_core: usize,
}

impl Plan {
    fn new(arguments: &Arguments) -> Self {
        let (rounds, seconds) = if arguments.quick { (3, 1) } else { (7, 2) };
        Self {
            rounds: arguments.rounds.unwrap_or(rounds),
            seconds: arguments.seconds.unwrap_or(seconds),
            idle_connections: arguments.idle_connections,
            server_core: arguments.options.cores.server_core,
            load_core: arguments.options.cores.load_core,
        }
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn minutes(&self, servers: usize, workloads: &[Workload]) -> u64 {
        let each = u64::from(self.rounds) * servers as u64;
        let seconds = workloads.iter().map(|workload| match workload {
            Workload::Idle => 4 * each,
            _ => (u64::from(self.seconds) + 1) * each,
        });
        seconds.sum::<u64>() / 60 + 1
    }
}

/// One workload: every server started, then measured in turn, `rounds` times.
fn run(
    workload: Workload,
    servers: &[Server],
    plan: &Plan,
    binaries: &Binaries,
    scratch: &Scratch,
    environment: &mut Environment,
) -> anyhow::Result<Table> {
    let mut table = Table::new(workload);
    let setup = workload.setup(plan.server_core);
    let options = workload.load_options(&setup)?;
    let start = |server: Server| Running::start(server, &setup, binaries, scratch);
    let mut able = Vec::new();
    for &server in servers {
        match workload.unsuited(server) {
            Some(reason) => table.leave_out(server, reason.to_owned()),
            None => able.push(server),
        }
    }
    // Idle memory wants a fresh server each time; the others stay up for all rounds.
    let mut running = Vec::new();
    if workload != Workload::Idle {
        for &server in &able {
            match start(server).and_then(|up| verify(&up, &setup).map(|()| up)) {
                Ok(up) => running.push(up),
                Err(error) => table.leave_out(server, format!("{error:#}")),
            }
        }
    }
    if setup.app == App::Static {
        thread::sleep(FILE_AGE);
    }
    let _ballast = match workload.wants_ballast() {
        true => Some(ballast::ballast(plan.server_core)?),
        false => None,
    };
    for round in 0..plan.rounds as usize {
        // Each round starts with another server, so that none is always the first.
        if workload == Workload::Idle {
            for index in 0..able.len() {
                let server = able[(index + round) % able.len()];
                let sample = start(server).and_then(|up| {
                    measure_idle(&up, plan.idle_connections, plan.load_core, binaries)
                });
                note(&mut table, round, server, sample);
            }
            continue;
        }
        for index in 0..running.len() {
            let up = &running[(index + round) % running.len()];
            environment.note_priority(up.process());
            let sample =
                measure_load(up, &options, &setup.path, plan.duration(), plan.load_core, binaries);
            note(&mut table, round, up.server(), sample);
        }
    }
    Ok(table)
}

fn note(table: &mut Table, round: usize, server: Server, sample: anyhow::Result<Sample>) {
    match sample {
        Ok(sample) => table.add(round, server, sample),
        Err(error) => table.fail(round, server, &format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn nothing_asked_for_means_everything() {
        assert_eq!(start::chosen::<Workload>(&[]).len(), 13);
        assert_eq!(start::chosen(&[Workload::Close]), [Workload::Close]);
    }
}
