//! `testers`: our load tester beside others, on the same servers: what each says it has done and what
//! the server has seen, how fast it is, and what it costs.
//!
//! Each round drives a server with one tester after the other, so that what drifts between rounds
//! cancels in their ratios.

mod tool;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::json;

use corelane_benches::build::Binaries;
use corelane_benches::launch::{self, Launch};
use corelane_benches::record::Record;
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{Running, Server, Setup, present};
use corelane_benches::start::{self, Options};
use corelane_benches::statistics::{Spread, median, paired_ratio, range, spread};

use crate::tool::{Drive, Driven, Said, Tool};

/// Rates at which the open loop is looked at, in requests per second.
const RATES: [f64; 3] = [1_000.0, 10_000.0, 50_000.0];

/// Measures load testers: ours, wrk, h2load and ab, one after the other on the same servers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Testers to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    tool: Vec<Tool>,
    /// Servers to drive
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,floor")]
    server: Vec<Server>,
    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Seconds that each measurement lasts
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How often each tester is measured on each server, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    #[command(flatten)]
    options: Options,
    /// Where the record goes: FILE.md and FILE.json [default: benches/records/DATE-testers]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Becomes another program on one core, in a session of its own (used by testers itself)
    #[command(hide = true)]
    Launch(Launch),
    /// Drives a server with our tester and says what came of it (used by testers itself)
    #[command(hide = true)]
    Drive(Drive),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Launch(launch)) => launch.exec(),
        Some(Command::Drive(drive)) => drive.run(),
        None => run(&arguments),
    };
    launch::exit_code("testers", result)
}

/// What all measurements share.
struct Bench<'run> {
    arguments: &'run Arguments,
    binaries: &'run Binaries,
    scratch: &'run Scratch,
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let build = |binaries: &Binaries| binaries.build("corelane-benches", "floor");
    let binaries = arguments.options.prepare(build)?;
    let tools = start::present(&start::chosen(&arguments.tool), |tool| tool.program(&binaries))?;
    let servers = present(&arguments.server, &binaries)?;
    let environment = start::isolated(&binaries);
    let scratch = Scratch::new()?;
    let bench = Bench { arguments, binaries: &binaries, scratch: &scratch };
    println!("{environment}");
    let mut tables = Vec::new();
    for server in servers {
        let table = bench.compare(server, &tools)?;
        println!("{}", table.0);
        tables.push(table);
    }
    let table = bench.open_loop()?;
    println!("{}", table.0);
    tables.push(table);
    let record = Record {
        program: "testers",
        introduction: format!(
            "load testers, one after the other in each of {} rounds of {} s, closed loop, {} \
             connections, one thread on one core, the server on another. `requests` is what all \
             rounds of a tester say together, `seen` what the server has logged, `CPU` user and \
             system time of the tester.",
            arguments.rounds, arguments.seconds, arguments.connections,
        ),
        environment,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        tables,
    };
    record.keep(arguments.out.as_deref(), false, &binaries.root)
}

impl Bench<'_> {
    fn setup(&self, server: Server) -> Setup {
        let mut setup = Setup::new(self.arguments.options.cores.server_core);
        // What the floors send is the same for all; that they answer each receive once suits requests
        // of any length.
        setup.log = (server == Server::Nginx).then(|| self.scratch.path().join("access.log"));
        setup.any_request = true;
        setup
    }

    /// One server, every tester in every round.
    fn compare(
        &self,
        server: Server,
        tools: &[Tool],
    ) -> anyhow::Result<(String, serde_json::Value)> {
        // ab speaks HTTP/1.0: it waits for a floor to close, which does not look at what it is asked.
        let floor = matches!(server, Server::Floor | Server::FloorEager);
        let tools: Vec<_> =
            tools.iter().copied().filter(|tool| !(floor && *tool == Tool::Ab)).collect();
        let setup = self.setup(server);
        let running = Running::start(server, &setup, self.binaries, self.scratch)?;
        let mut samples = vec![Vec::new(); tools.len()];
        for _ in 0..self.arguments.rounds {
            for (tool, samples) in tools.iter().zip(&mut samples) {
                samples.push(self.measure(*tool, &running, &setup)?);
            }
        }
        let wrk = tools.iter().position(|tool| *tool == Tool::Wrk);
        let rivals: Option<Vec<_>> = wrk.map(|at| samples[at].iter().map(Sample::rate).collect());
        let mut text = format!(
            "## {server}\n\n| tester | requests | seen | of them not counted | faults | requests/s | \
             beside wrk | CPU µs each | beside wrk | p50 µs | p99 µs |\n|---|{}\n",
            "--:|".repeat(10)
        );
        let costs: Option<Vec<_>> = wrk.map(|at| samples[at].iter().map(Sample::cost).collect());
        for (tool, samples) in tools.iter().zip(&samples) {
            text += &row(*tool, samples, rivals.as_deref(), costs.as_deref());
        }
        let json = json!({
            "server": server.to_string(),
            "testers": tools.iter().zip(&samples).map(|(tool, samples)| json!({
                "tester": tool.name(),
                "samples": samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        });
        Ok((text, json))
    }

    fn measure(&self, tool: Tool, running: &Running, setup: &Setup) -> anyhow::Result<Sample> {
        let Arguments { connections, seconds, options: Options { cores, .. }, .. } =
            *self.arguments;
        let before = logged(setup)?;
        let driven =
            tool.drive(self.binaries, running.address(), connections, seconds, cores.load_core)?;
        // What the server has still to log comes within moments: it has nothing else to do.
        let mut seen = logged(setup)?;
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(20));
            let now = logged(setup)?;
            if std::mem::replace(&mut seen, now) == now {
                break;
            }
        }
        let seen = before.zip(seen).map(|(before, after)| after - before);
        Ok(Sample { driven, seen })
    }

    /// How punctual the open loop is, on a server that answers at once.
    fn open_loop(&self) -> anyhow::Result<(String, serde_json::Value)> {
        let setup = self.setup(Server::Floor);
        let running = Running::start(Server::Floor, &setup, self.binaries, self.scratch)?;
        let mut text = "## Open loop, floor\n\n| rate | intended | sent | faults | late (> 1 ms) | \
                        latest µs | mean µs | CPU µs each | response p50 µs | p99 µs | p99.9 µs |\n\
                        |--:|"
            .to_owned()
            + &"--:|".repeat(10) + "\n";
        let mut values = Vec::new();
        for rate in RATES {
            let Arguments { connections, seconds, options: Options { cores, .. }, .. } =
                *self.arguments;
            let said = tool::open(running.address(), rate, connections, seconds, cores.load_core)?;
            let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
            text += &format!(
                "| {rate:.0} | {} | {} | {} | {} | {:.0} | {:.1} | {:.2} | {:.0} | {:.0} | {:.0} |\n",
                number("intended"),
                number("sent"),
                number("faults"),
                number("late"),
                number("late_worst_micros"),
                number("late_mean_micros"),
                number("client_cpu_micros"),
                number("p50_micros"),
                number("p99_micros"),
                number("p99_9_micros"),
            );
            values.push(said);
        }
        Ok((text, json!({ "open_loop": values })))
    }
}

/// Lines in the log of the server, if it has one.
fn logged(setup: &Setup) -> anyhow::Result<Option<u64>> {
    let Some(log) = &setup.log else { return Ok(None) };
    let text = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(Some(text.iter().filter(|byte| **byte == b'\n').count() as u64))
}

/// One tester, once.
#[derive(Clone, Debug)]
struct Sample {
    driven: Driven,
    /// Requests in the server's log.
    seen: Option<u64>,
}

impl Sample {
    fn rate(&self) -> Option<f64> {
        Some(self.driven.said.rate)
    }

    /// CPU time of the tester for each request, in microseconds.
    fn cost(&self) -> Option<f64> {
        let Driven { said, cpu } = &self.driven;
        (said.requests > 0).then(|| cpu.as_secs_f64() * 1e6 / said.requests as f64)
    }

    fn to_json(&self) -> serde_json::Value {
        let Said { requests, faults, rate, p50_micros, p99_micros } = self.driven.said;
        json!({
            "requests": requests,
            "seen": self.seen,
            "faults": faults,
            "requests_per_second": rate,
            "cpu_micros": self.cost(),
            "p50_micros": p50_micros,
            "p99_micros": p99_micros,
        })
    }
}

fn row(
    tool: Tool,
    samples: &[Sample],
    rates: Option<&[Option<f64>]>,
    costs: Option<&[Option<f64>]>,
) -> String {
    let all = |of: fn(&Sample) -> Option<f64>| samples.iter().map(of).collect::<Vec<_>>();
    let of = |of: fn(&Sample) -> Option<f64>| spread(all(of).into_iter().flatten());
    let beside = |ours: Vec<Option<f64>>, theirs: Option<&[Option<f64>]>| {
        let ratio: Option<Spread> = theirs.and_then(|theirs| paired_ratio(&ours, theirs));
        format!("{} ({})", median(ratio, 2), range(ratio, 2))
    };
    let requests: u64 = samples.iter().map(|sample| sample.driven.said.requests).sum();
    let faults: u64 = samples.iter().map(|sample| sample.driven.said.faults).sum();
    let seen: Option<u64> = samples.iter().map(|sample| sample.seen).sum();
    let missed = seen.map(|seen| seen as i64 - requests as i64);
    let number = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    format!(
        "| {} | {requests} | {} | {} | {faults} | {} | {} | {} | {} | {} | {} |\n",
        tool.name(),
        number(seen.map(|seen| seen.to_string())),
        number(missed.map(|missed| missed.to_string())),
        median(of(Sample::rate), 0),
        beside(all(Sample::rate), rates),
        median(of(Sample::cost), 2),
        beside(all(Sample::cost), costs),
        median(of(|sample| sample.driven.said.p50_micros), 0),
        median(of(|sample| sample.driven.said.p99_micros), 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_row_sets_a_tester_beside_wrk() {
        let sample = |requests, seen, millis, rate| Sample {
            driven: Driven {
                said: Said { requests, faults: 0, rate, p50_micros: Some(10.0), p99_micros: None },
                cpu: Duration::from_millis(millis),
            },
            seen,
        };
        let samples = [sample(1_000, Some(1_001), 5, 200.0), sample(1_000, Some(1_000), 7, 400.0)];
        let (rates, costs) = ([Some(100.0), Some(200.0)], [Some(10.0), Some(14.0)]);
        let line = row(Tool::Ab, &samples, Some(&rates), Some(&costs));
        let expected = "| ab | 2000 | 2001 | 1 | 0 | 300 | 2.00 (2.00–2.00) | 6.00 | \
                        0.50 (0.50–0.50) | 10 | – |\n";
        assert_eq!(line, expected);
    }
}
