//! One measurement of one server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use corelane_benches::build::Binaries;
use corelane_benches::launch::{self, Guard};
use corelane_benches::output;
use corelane_benches::server::{BODY, Running, Setup};

/// Traffic before each measurement: enough to fill caches and to reach the steady state.
const WARM_UP: &str = "0.3";
/// What a measurement may take beside its duration: warm-up, start, and requests that hang.
const SLACK: Duration = Duration::from_secs(15);
/// Given to a server to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(300);

/// What one measurement gave. What a workload does not measure is absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) faults: u64,
    /// CPU time of the server for each response, in microseconds.
    pub(crate) cpu_micros: Option<f64>,
    pub(crate) responses_per_second: Option<f64>,
    pub(crate) p50_micros: Option<f64>,
    pub(crate) p99_micros: Option<f64>,
    /// How busy the server's core was, from 0 to 1.
    pub(crate) server_busy: Option<f64>,
    pub(crate) client_busy: Option<f64>,
    /// Resident memory for each idle connection, in KiB.
    pub(crate) idle_kibibytes: Option<f64>,
}

/// Asks once, on a connection of its own, and compares the whole answer: what the load generator
/// only counts later has been right.
pub(crate) fn verify(running: &Running, setup: &Setup) -> anyhow::Result<()> {
    let request = setup.request(&running.address().to_string())?;
    let mut stream = TcpStream::connect(running.address())?;
    stream.set_read_timeout(Some(SLACK))?;
    stream.write_all(request.bytes())?;
    let mut answer = Vec::new();
    let mut page = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut page)?;
        answer.extend_from_slice(&page[..read]);
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
        let body = end.map(|end| &answer[end..]);
        let Some(body) = body.filter(|body| body.len() >= setup.body.len() || read == 0) else {
            if read == 0 {
                bail!("the first answer is cut: {}", answer.escape_ascii());
            }
            continue;
        };
        if body != setup.body || !answer.starts_with(b"HTTP/1.1 200 ") {
            let start = &answer[..answer.len().min(300)];
            bail!("the first answer is wrong: {}", start.escape_ascii());
        }
        return Ok(());
    }
}

/// Drives a server for `duration`.
pub(crate) fn measure_load(
    running: &Running,
    options: &[String],
    path: &str,
    duration: Duration,
    core: usize,
    binaries: &Binaries,
) -> anyhow::Result<Sample> {
    let mut command = launch::command(core, &binaries.own("corelane-load")?)?;
    command
        .arg(format!("http://{}{path}", running.address()))
        .args(["--quiet", "--json", "-", "--warm-up", WARM_UP])
        .args(["--duration", &duration.as_secs_f64().to_string()])
        .args(["--server-pid", &running.process().to_string()])
        .args(options);
    let report = output::json(&mut command, duration + SLACK)?;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let micros = |pointer: &str| number(pointer).map(|nanos| nanos / 1e3);
    let faults = report["summary"]["fault_count"].as_u64().context("a report without faults")?;
    if report["answered"].as_u64().unwrap_or(0) == 0 {
        bail!("no response ({faults} faults)");
    }
    Ok(Sample {
        faults,
        cpu_micros: number("/summary/server_cpu_micros"),
        responses_per_second: number("/summary/responses_per_second"),
        p50_micros: micros("/response_time/quantiles/p50"),
        p99_micros: micros("/response_time/quantiles/p99"),
        // What it wanted to have, not only what it got.
        server_busy: number("/server/cores")
            .zip(number("/server/waiting"))
            .map(|(ran, waited)| ran + waited),
        client_busy: number("/client/cores"),
        idle_kibibytes: None,
    })
}

/// Holds `count` idle connections against a fresh server and reads what they cost it.
pub(crate) fn measure_idle(
    running: &Running,
    count: u32,
    core: usize,
    binaries: &Binaries,
) -> anyhow::Result<Sample> {
    let program = binaries.own("corelane-load")?;
    let address = running.address().to_string();
    // What a first connection sets up for all is no cost of the others.
    let first = launch::command(core, &program)?
        .args([&address, "--connections", "1", "--requests", "100"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Guard(first).wait(SLACK)?;
    thread::sleep(SETTLE);
    let before = corelane_load::process::resident_bytes(running.process()).context("memory")?;
    let child = launch::command(core, &program)?
        .args([&address, "--idle", "--expect-body", BODY, "--connections", &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the load generator")?;
    let mut guard = Guard(child);
    let mut lines = BufReader::new(guard.0.stdout.take().context("a pipe")?);
    // It gives up by itself when the server stops answering, so this line comes in bounded time.
    let mut opened = String::new();
    lines.read_line(&mut opened)?;
    thread::sleep(SETTLE);
    let after = corelane_load::process::resident_bytes(running.process()).context("memory")?;
    guard.0.stdin.take().context("a pipe")?.write_all(b"\n")?;
    let mut kept = String::new();
    lines.read_line(&mut kept)?;
    guard.wait(SLACK)?;
    if kept.trim() != format!("still open {count}") {
        let said = output::all(guard.0.stderr.take())?;
        bail!("{} {} {}", opened.trim(), kept.trim(), said.trim());
    }
    let bytes = after.saturating_sub(before) as f64;
    Ok(Sample { idle_kibibytes: Some(bytes / 1024.0 / f64::from(count)), ..Sample::default() })
}
