//! `messages`: echo and broadcast on our library beside the same on others, in one interleaved run.
//!
//! Each server is bound to one core and the load generator to another; servers take turns, as under
//! `compare`. docs/BENCHMARKING.md says what is measured and how to read the result.

mod load;
mod peer;
mod sample;
mod table;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::Value;

use corelane_benches::build::Binaries;
use corelane_benches::environment::Environment;
use corelane_benches::launch::{self, Cores, Launch};
use corelane_benches::output;
use corelane_benches::record::Record;
use corelane_benches::scratch::Scratch;
use corelane_benches::start::{self, Options};
use corelane_benches::started::Started;

use crate::load::Load;
use crate::peer::Peer;
use crate::sample::Sample;
use crate::table::Table;
use crate::workload::Workload;

/// What a measurement may take beside its windows: joining, filling buffers, messages that hang.
const SLACK: Duration = Duration::from_secs(90);

/// Measures echo and broadcast servers: CPU time per message, messages per second, latency, memory.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// One round of 0.3 s, and no record unless --out asks for one: does everything work?
    #[arg(long)]
    quick: bool,
    /// Workloads to run, in this order [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Servers to measure [default: all that are there]
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Peer>,
    /// How often each server is measured under each workload [default: 5, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds that each measurement lasts [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: Option<u32>,
    #[command(flatten)]
    options: Options,
    /// Where the record goes: FILE.md and FILE.json [default: benches/records/DATE-messages]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Becomes another program on one core, in a session of its own (used by messages itself)
    #[command(hide = true)]
    Launch(Launch),
    /// Drives a server (used by messages itself)
    #[command(hide = true)]
    Load(Load),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Launch(launch)) => launch.exec(),
        Some(Command::Load(load)) => load.run(),
        None => compare(&arguments),
    };
    launch::exit_code("messages", result)
}

/// The numbers of a run, and what it works with.
struct Run {
    rounds: u32,
    duration: Duration,
    cores: Cores,
    binaries: Binaries,
    scratch: Scratch,
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = arguments.options.prepare(build)?;
    let peers = start::present(&start::chosen(&arguments.server), |peer| peer.program(&binaries))?;
    let mut environment = start::isolated(&binaries);
    println!("{environment}");
    let (rounds, duration) = match arguments.quick {
        true => (1, Duration::from_millis(300)),
        false => (5, Duration::from_secs(2)),
    };
    let run = Run {
        rounds: arguments.rounds.unwrap_or(rounds),
        duration: arguments.seconds.map_or(duration, |count| Duration::from_secs(count.into())),
        cores: arguments.options.cores,
        binaries,
        scratch: Scratch::new()?,
    };
    let mut tables = Vec::new();
    for workload in start::chosen(&arguments.workload) {
        let table = run.workload(workload, &peers, &mut environment);
        println!("{table}");
        tables.push((table.to_string(), table.to_json()));
    }
    environment.finish();
    let record = run.record(environment, tables);
    record.keep(arguments.out.as_deref(), arguments.quick, &run.binaries.root)
}

/// Builds our own program and, where possible, the rivals.
fn build(binaries: &Binaries) -> anyhow::Result<()> {
    if let Err(error) = binaries.build("corelane-benches", "wire") {
        println!("{error}; the one built before is used, if there is one");
    }
    binaries.build_rivals()
}

impl Run {
    /// One workload: every server measured in turn, `rounds` times.
    fn workload(&self, workload: Workload, peers: &[Peer], environment: &mut Environment) -> Table {
        let mut table = Table::new(workload);
        let start = |peer: Peer| {
            peer.start(workload.service(), self.cores.server_core, &self.binaries, &self.scratch)
        };
        let mut able = Vec::new();
        for &peer in peers {
            match peer.unsuited(workload.service()) {
                Some(reason) => table.leave_out(peer, reason),
                None => able.push(peer),
            }
        }
        // Where memory is measured each sample wants a fresh server; the others stay up.
        let mut running = Vec::new();
        if !workload.wants_fresh_server() {
            for &peer in &able {
                match start(peer) {
                    Ok(started) => running.push((peer, started)),
                    Err(error) => table.leave_out(peer, &format!("{error:#}")),
                }
            }
        }
        for round in 0..self.rounds as usize {
            // Each round starts with another server, so that none is always the first.
            let turns = if workload.wants_fresh_server() { able.len() } else { running.len() };
            for turn in 0..turns {
                let at = (turn + round) % turns;
                if workload.wants_fresh_server() {
                    let sample =
                        start(able[at]).and_then(|started| self.measure(workload, &started));
                    table.add(round, able[at], sample);
                    continue;
                }
                let (peer, started) = &running[at];
                environment.note_priority(started.process());
                table.add(round, *peer, self.measure(workload, started));
            }
        }
        table
    }

    /// Has the load generator drive a server, on its own core.
    fn measure(&self, workload: Workload, server: &Started) -> anyhow::Result<Sample> {
        let program = std::env::current_exe().context("own path")?;
        let mut command = launch::command(self.cores.load_core, &program)?;
        command
            .args(["load", "--workload", &workload.to_string()])
            .args(["--address", &server.address().to_string()])
            .args(["--watch", &server.process().to_string()])
            .args(["--milliseconds", &self.duration.as_millis().to_string()]);
        let report = output::json(&mut command, 2 * self.duration + SLACK)?;
        serde_json::from_value(report).context("the load generator's report")
    }

    fn record(&self, environment: Environment, tables: Vec<(String, Value)>) -> Record {
        let (rounds, seconds) = (self.rounds, self.duration.as_secs() as u32);
        let introduction = format!(
            "{rounds} interleaved rounds of {seconds} s, server and load on one core each. A message \
             is one arrival: a line that reaches 1,000 receivers is 1,000. Figures are medians over \
             the rounds; ratios are medians of the ratios inside each round."
        );
        Record { program: "messages", introduction, environment, rounds, seconds, tables }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_workload_is_shown_by_the_name_that_selects_it() {
        for &workload in Workload::value_variants() {
            assert_eq!(Workload::from_str(&workload.to_string(), false), Ok(workload));
        }
    }
}
