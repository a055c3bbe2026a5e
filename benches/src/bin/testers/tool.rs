//! The testers: how each is told what to do, and what it says afterwards.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use corelane_benches::build::Binaries;
use corelane_benches::launch::{self, Guard};
use corelane_benches::output;
use corelane_load::{Outcome, Plan, Request, Stop, run};

/// What a measurement may take beside its duration.
const SLACK: Duration = Duration::from_secs(15);
/// Clock ticks per second in `/proc`, which is the same on every Linux.
const TICKS: f64 = 100.0;

/// A load tester.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Tool {
    /// `corelane-load`
    Ours,
    /// wrk, with one thread
    Wrk,
    /// h2load of nghttp2, with one thread, speaking HTTP/1.1
    H2load,
    /// ab of Apache, with keep-alive
    Ab,
}

/// What a tester says it has done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) requests: u64,
    pub(crate) faults: u64,
    pub(crate) rate: f64,
    pub(crate) p50_micros: Option<f64>,
    pub(crate) p99_micros: Option<f64>,
}

/// A tester has run.
#[derive(Clone, Debug)]
pub(crate) struct Driven {
    pub(crate) said: Said,
    /// User and system time of its process, from start to end.
    pub(crate) cpu: Duration,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "corelane-load",
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
            Self::Ab => "ab",
        }
    }

    /// Where its program is.
    pub(crate) fn program(self, binaries: &Binaries) -> anyhow::Result<PathBuf> {
        match self {
            Self::Ours => std::env::current_exe().context("own path"),
            _ => binaries.installed(self.name()),
        }
    }

    /// Drives a server in a closed loop.
    pub(crate) fn drive(
        self,
        binaries: &Binaries,
        address: SocketAddr,
        connections: u32,
        seconds: u32,
        core: usize,
    ) -> anyhow::Result<Driven> {
        let mut command = launch::command(core, &self.program(binaries)?)?;
        let (connections, time) = (connections.to_string(), seconds.to_string());
        match self {
            Self::Ours => command.args(["drive", "--address", &address.to_string()]).args([
                "--connections",
                &connections,
                "--seconds",
                &time,
            ]),
            Self::Wrk => command
                .args(["--latency", "-t", "1", "-c", &connections, "-d", &time])
                .arg(format!("http://{address}/")),
            Self::H2load => command
                .args(["--h1", "-t", "1", "-c", &connections, "-D", &time])
                .arg(format!("http://{address}/")),
            Self::Ab => command
                // Without a number it stops after 50,000.
                .args(["-q", "-k", "-c", &connections, "-t", &time, "-n", "100000000"])
                .arg(format!("http://{address}/")),
        };
        let before = children_cpu()?;
        let text = say(&mut command, Duration::from_secs(seconds.into()) + SLACK)?;
        let cpu = children_cpu()?.saturating_sub(before);
        let said = self.read(&text).with_context(|| format!("{}: {text}", self.name()))?;
        Ok(Driven { said, cpu })
    }

    fn read(self, text: &str) -> anyhow::Result<Said> {
        Ok(match self {
            Self::Ours => {
                let said: Value = serde_json::from_str(text)?;
                Said {
                    requests: said["answered"].as_u64().context("answered")?,
                    faults: said["faults"].as_u64().context("faults")?,
                    rate: said["rate"].as_f64().context("rate")?,
                    p50_micros: said["p50_micros"].as_f64(),
                    p99_micros: said["p99_micros"].as_f64(),
                }
            }
            Self::Wrk => {
                let errors = line(text, "Socket errors:").map(numbers).unwrap_or_default();
                let wrong =
                    line(text, "Non-2xx or 3xx responses:").map(numbers).unwrap_or_default();
                let count = line_with(text, " requests in ").and_then(|line| word(line, 0));
                Said {
                    requests: count.and_then(|word| word.parse().ok()).context("requests in")?,
                    faults: errors.iter().chain(&wrong).map(|&count| count as u64).sum(),
                    rate: first(text, "Requests/sec:")?,
                    p50_micros: line(text, "50%").and_then(micros),
                    p99_micros: line(text, "99%").and_then(micros),
                }
            }
            Self::H2load => {
                // total, started, done, succeeded, failed, errored, timeout
                let counts = line(text, "requests:").map(numbers).unwrap_or_default();
                let [_, _, done, _, failed, errored, timeouts] = counts[..] else {
                    bail!("other counts")
                };
                let rate = line(text, "finished in").and_then(|line| word(line, 1));
                Said {
                    requests: done as u64,
                    faults: (failed + errored + timeouts) as u64,
                    rate: rate.and_then(|word| word.parse().ok()).context("finished in")?,
                    p50_micros: None,
                    p99_micros: None,
                }
            }
            Self::Ab => Said {
                requests: first(text, "Complete requests:")? as u64,
                faults: first(text, "Failed requests:")? as u64,
                rate: first(text, "Requests per second:")?,
                // In whole milliseconds: nothing to set beside the others.
                p50_micros: None,
                p99_micros: None,
            },
        })
    }
}

/// Drives a server with our tester at a rate: what it says.
pub(crate) fn open(
    address: SocketAddr,
    rate: f64,
    connections: u32,
    seconds: u32,
    core: usize,
) -> anyhow::Result<Value> {
    let mut command = launch::command(core, &std::env::current_exe().context("own path")?)?;
    command.args(["drive", "--address", &address.to_string(), "--rate", &rate.to_string()]).args([
        "--connections",
        &connections.to_string(),
        "--seconds",
        &seconds.to_string(),
    ]);
    Ok(serde_json::from_str(&say(&mut command, Duration::from_secs(seconds.into()) + SLACK)?)?)
}

/// Our tester, as a program of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Drive {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    seconds: u64,
    /// Requests per second [default: closed loop]
    #[arg(long)]
    rate: Option<f64>,
}

impl Drive {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let request = Request::new("GET", "/", &self.address.to_string(), &[], b"")?;
        let plan = match self.rate {
            None => Plan::closed(&[self.address], request),
            Some(rate) => Plan::open(&[self.address], request, rate),
        };
        let plan = Plan {
            connections: self.connections,
            stop: Stop::After(Duration::from_secs(self.seconds)),
            warm_up: Duration::ZERO,
            ..plan
        };
        println!("{}", told(&run(&plan)?));
        Ok(())
    }
}

fn told(outcome: &Outcome) -> Value {
    let micros = |quantile| outcome.response_time.quantile(quantile) as f64 / 1e3;
    let late = &outcome.late;
    json!({
        "intended": outcome.intended,
        "sent": outcome.sent,
        "answered": outcome.answered,
        "faults": outcome.faults.total(),
        "rate": outcome.rate(),
        "late": late.count,
        "late_worst_micros": late.worst.as_secs_f64() * 1e6,
        "late_mean_micros": late.total.as_secs_f64() * 1e6 / outcome.sent.max(1) as f64,
        "busy": outcome.busy,
        "client_cpu_micros": outcome.client_cpu_micros(),
        "p50_micros": micros(0.5),
        "p99_micros": micros(0.99),
        "p99_9_micros": micros(0.999),
    })
}

/// All that a program prints until it ends, which must be within `limit`.
fn say(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut guard = Guard(child.context("cannot start the load tester")?);
    guard.wait(limit).context("the load tester")?;
    output::all(guard.0.stdout.take())
}

/// CPU time of all children that have ended and were waited for (proc(5): fields 16 and 17).
fn children_cpu() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program may contain anything but its closing parenthesis.
    let fields = text.rsplit_once(')').context("/proc/self/stat")?.1;
    let ticks = |at: usize| {
        let word = fields.split_ascii_whitespace().nth(at - 3);
        word.and_then(|word| word.parse::<f64>().ok()).context("/proc/self/stat")
    };
    Ok(Duration::from_secs_f64((ticks(16)? + ticks(17)?) / TICKS))
}

/// What follows `label` on its line.
fn line<'text>(text: &'text str, label: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(label))
}

fn line_with<'text>(text: &'text str, part: &str) -> Option<&'text str> {
    text.lines().find(|line| line.contains(part))
}

fn word(line: &str, at: usize) -> Option<&str> {
    line.split_ascii_whitespace().nth(at)
}

/// The first number behind `label`.
fn first(text: &str, label: &str) -> anyhow::Result<f64> {
    let numbers = line(text, label).map(numbers);
    numbers.and_then(|numbers| numbers.first().copied()).with_context(|| label.to_owned())
}

/// All numbers of a line.
fn numbers(line: &str) -> Vec<f64> {
    line.split(|byte: char| !byte.is_ascii_digit() && byte != '.')
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// A time as wrk writes it, in microseconds.
fn micros(line: &str) -> Option<f64> {
    let word = line.trim();
    let at = word.find(|byte: char| !byte.is_ascii_digit() && byte != '.')?;
    let (number, unit) = word.split_at(at);
    let scale = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tester_is_understood() {
        let said = |requests, faults, rate, p50_micros, p99_micros| Said {
            requests,
            faults,
            rate,
            p50_micros,
            p99_micros,
        };
        let wrk = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
                   Latency Distribution\n     50%  507.00us\n     99%    1.50ms\n  \
                   122841 requests in 1.10s, 13.12MB read\n  \
                   Socket errors: connect 0, read 1, write 0, timeout 2\n  \
                   Non-2xx or 3xx responses: 7\nRequests/sec: 111728.63\n";
        let expected = said(122_841, 10, 111_728.63, Some(507.0), Some(1_500.0));
        assert_eq!(Tool::Wrk.read(wrk).unwrap(), expected);
        let h2load = "finished in 1.00s, 119000.50 req/s, 12.60MB/s\n\
                      requests: 119001 total, 119064 started, 119000 done, 119000 succeeded, \
                      1 failed, 2 errored, 3 timeout\n";
        assert_eq!(Tool::H2load.read(h2load).unwrap(), said(119_000, 6, 119_000.5, None, None));
        let ab = "Complete requests:      50000\nFailed requests:        2\n\
                  Requests per second:    42000.10 [#/sec] (mean)\n";
        assert_eq!(Tool::Ab.read(ab).unwrap(), said(50_000, 2, 42_000.1, None, None));
        let ours = r#"{"answered":5,"faults":0,"rate":2.5,"p50_micros":1.5,"p99_micros":2.5}"#;
        assert_eq!(Tool::Ours.read(ours).unwrap(), said(5, 0, 2.5, Some(1.5), Some(2.5)));
        for tool in Tool::value_variants() {
            assert!(tool.read("nothing").is_err());
        }
    }

    #[test]
    fn the_time_of_children_is_known() {
        let before = children_cpu().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(children_cpu().unwrap() >= before);
    }
}
