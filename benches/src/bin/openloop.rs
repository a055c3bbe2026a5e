//! `openloop`: latency at a fixed rate, whatever the server does, beside nginx.
//!
//! A closed loop asks a slow server less often, and so forgives it. Here requests are due at their
//! times: `corelane-load` sends 20,000 in each second and counts from when each was due, not from when it
//! could be sent.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use corelane_benches::build::Binaries;
use corelane_benches::launch::{self, Launch};
use corelane_benches::output;
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{App, Running, Server, Setup, present};
use corelane_benches::start::{self, Options};
use corelane_load::Record;

/// What a measurement may take beside its duration.
const SLACK: Duration = Duration::from_secs(15);
/// How old the file is before it is asked for.
const FILE_AGE: Duration = Duration::from_millis(2500);
const FILE_BYTES: usize = 1024;
/// Quantiles, and their column heads.
const QUANTILES: [(f64, &str); 4] =
    [(0.5, "p50 µs"), (0.99, "p99 µs"), (0.999, "p99.9 µs"), (0.9999, "p99.99 µs")];

/// Measures latency at a fixed rate: a file of 1 KiB, asked for by the clock.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Servers to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "corelane,nginx")]
    server: Vec<Server>,
    /// Requests in each second
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Connections that they are spread over
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Seconds that each measurement lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How often each server is measured, in turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Becomes another program on one core, in a session of its own (used by openloop itself)
    #[command(hide = true)]
    Launch(Launch),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Launch(launch)) => launch.exec(),
        None => run(&arguments),
    };
    launch::exit_code("openloop", result)
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = arguments.options.prepare(|binaries| {
        binaries.build("corelane-load", "corelane-load")?;
        binaries.build("corelane", "corelane")
    })?;
    let servers = present(&arguments.server, &binaries)?;
    let environment = start::isolated(&binaries);
    let scratch = Scratch::new()?;
    let setup = Setup {
        app: App::Static,
        path: "/file.txt".to_owned(),
        body: vec![b'x'; FILE_BYTES],
        ..Setup::new(arguments.options.cores.server_core)
    };
    let mut up = Vec::new();
    for server in servers {
        up.push(Running::start(server, &setup, &binaries, &scratch)?);
    }
    // A file that has just been changed is remembered by no careful server.
    std::thread::sleep(FILE_AGE);
    println!("{environment}");
    println!(
        "{} requests/s over {} connections for {} s, a file of {FILE_BYTES} bytes\n",
        arguments.rate, arguments.connections, arguments.seconds,
    );
    let heads = QUANTILES.map(|(_, head)| head).join(" | ");
    println!("| server | requests/s | {heads} | slowest µs | faults | sent late |");
    println!("|---|{}", "--:|".repeat(QUANTILES.len() + 4));
    for _ in 0..arguments.rounds {
        for running in &up {
            println!("{}", measure(running, &setup, arguments, &binaries)?);
        }
    }
    Ok(())
}

/// One line of the table.
fn measure(
    running: &Running,
    setup: &Setup,
    arguments: &Arguments,
    binaries: &Binaries,
) -> anyhow::Result<String> {
    let Arguments { rate, connections, seconds, options, .. } = arguments;
    let mut command = launch::command(options.cores.load_core, &binaries.own("corelane-load")?)?;
    command
        .arg(format!("http://{}{}", running.address(), setup.path))
        .args(["--quiet", "--json", "-", "--rate", &rate.to_string()])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &seconds.to_string()]);
    let patience = Duration::from_secs((*seconds).into()) + SLACK;
    // The report is wanted whatever the exit code says of faults: the row tells them.
    let report = output::json(&mut command, patience)?;
    let record = Record::parse(&report.to_string()).context("the load tester's report")?;
    Ok(row(&running.server().to_string(), &record))
}

fn row(server: &str, record: &Record) -> String {
    let micros = |nanos: u64| format!("{:.0}", nanos as f64 / 1e3);
    let times = &record.response_time;
    let mut cells = vec![server.to_owned(), format!("{:.0}", record.rate())];
    cells.extend(QUANTILES.map(|(quantile, _)| micros(times.quantile(quantile))));
    cells.extend([micros(times.max()), record.fault_count().to_string()]);
    cells.push(record.sends.late.to_string());
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_report_becomes_a_line() {
        let mut record = Record { answered: 40, elapsed_seconds: 2.0, ..Record::default() };
        (1..=10).for_each(|micros| record.response_time.record_n(micros * 1_000, 4));
        record.sends.late = 3;
        assert_eq!(row("a", &record), "| a | 20 | 5 | 10 | 10 | 10 | 10 | 0 | 3 |");
    }
}
