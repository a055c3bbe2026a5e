//! `openloop`: latency at a fixed rate, whatever the server does, beside nginx.
//!
//! A closed loop asks a slow server less often, and so forgives it. Here requests are due at their
//! times: `oha` sends 20,000 in each second and counts from when each was due, not from when it
//! could be sent (`--latency-correction`).

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::Value;

use corelane_benches::build::Binaries;
use corelane_benches::launch::{self, Cores, Guard, Launch};
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{App, Running, Server, Setup, present};
use corelane_benches::start;

/// What a measurement may take beside its duration.
const SLACK: Duration = Duration::from_secs(15);
/// How old the file is before it is asked for.
const FILE_AGE: Duration = Duration::from_millis(2500);
const FILE_BYTES: usize = 1024;
/// Quantiles that oha reports, and their column heads.
const QUANTILES: [(&str, &str); 4] =
    [("p50", "p50 µs"), ("p99", "p99 µs"), ("p99.9", "p99.9 µs"), ("p99.99", "p99.99 µs")];

/// Measures latency at a fixed rate: a file of 1 KiB, asked for by oha.
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
    cores: Cores,
    /// Measure the binaries that are there
    #[arg(long)]
    no_build: bool,
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
    arguments.cores.check()?;
    let binaries = Binaries::locate()?;
    binaries.peer("oha")?;
    if !arguments.no_build {
        binaries.build("corelane", "corelane")?;
    }
    let servers = present(&arguments.server, &binaries)?;
    let environment = start::isolated(&binaries);
    let scratch = Scratch::new()?;
    let setup = Setup {
        app: App::Static,
        path: "/file.txt".to_owned(),
        body: vec![b'x'; FILE_BYTES],
        ..Setup::new(arguments.cores.server_core)
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
    println!("| server | requests/s | {heads} | slowest µs | other than 200 |");
    println!("|---|{}", "--:|".repeat(QUANTILES.len() + 3));
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
    let Arguments { rate, connections, seconds, cores, .. } = arguments;
    let child = launch::command(cores.load_core, &binaries.peer("oha")?)?
        .args(["--no-tui", "--output-format", "json", "--latency-correction", "-w"])
        .args(["--worker-threads", "1", "--disable-compression"])
        .args(["-q", &rate.to_string(), "-c", &connections.to_string()])
        .args(["-z", &format!("{seconds}s")])
        .arg(format!("http://{}{}", running.address(), setup.path))
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start oha")?;
    let mut guard = Guard(child);
    let output = guard.0.stdout.take().context("a pipe")?;
    // Read aside, so that neither a full pipe nor a client that hangs holds this up for ever.
    let reader = std::thread::spawn(move || std::io::read_to_string(output));
    guard.wait(Duration::from_secs((*seconds).into()) + SLACK).context("oha")?;
    let text = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    row(&running.server().to_string(), &serde_json::from_str(&text).context("oha's report")?)
}

fn row(server: &str, report: &Value) -> anyhow::Result<String> {
    let micros = |pointer: &str| {
        let seconds = report.pointer(pointer).and_then(Value::as_f64);
        seconds.map(|seconds| format!("{:.0}", seconds * 1e6)).context(pointer.to_owned())
    };
    let rate = report["summary"]["requestsPerSec"].as_f64().context("requestsPerSec")?;
    let mut cells = vec![server.to_owned(), format!("{rate:.0}")];
    for (name, _) in QUANTILES {
        cells.push(micros(&format!("/latencyPercentiles/{name}"))?);
    }
    cells.push(micros("/summary/slowest")?);
    let count = |name: &str| -> u64 {
        let counts = report[name].as_object().into_iter().flatten();
        counts.filter(|(name, _)| *name != "200").filter_map(|(_, count)| count.as_u64()).sum()
    };
    cells.push((count("statusCodeDistribution") + count("errorDistribution")).to_string());
    Ok(format!("| {} |", cells.join(" | ")))
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
        let report = serde_json::json!({
            "summary": {"requestsPerSec": 19_999.6, "slowest": 0.0021},
            "latencyPercentiles": {"p50": 0.0001, "p99": 0.0004, "p99.9": 0.0005, "p99.99": 0.001},
            "statusCodeDistribution": {"200": 5, "404": 2},
            "errorDistribution": {"connection closed": 1},
        });
        let line = "| a | 20000 | 100 | 400 | 500 | 1000 | 2100 | 3 |";
        assert_eq!(row("a", &report).unwrap(), line);
        assert!(row("a", &Value::Null).is_err());
    }
}
