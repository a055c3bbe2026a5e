//! `skew`: a load that comes to one loop of two, with and without rebalancing.
//!
//! Connections are placed by the hash of their address, which is the same for all: so one loop has all
//! the work, and the other sleeps. Each client asks at its times, whatever the server does, and counts
//! from when a request was due; an answer costs the server a given time of computing. The measured span
//! begins after a second, in which connections may move.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use corelane::supervisor::{AcceptMode, Plan, Server, Supervisor};
use corelane_acceptor::{HashBy, Placement};
use corelane_eventloop::{Closed, ConnId, Event, Flow, Io, Luggage, Nanos, Protocol};
use hdrhistogram::Histogram;

/// What passes before figures count.
const WARM_UP: Duration = Duration::from_secs(1);
/// A client gives up after that.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Connections, each with a client of its own
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Requests per second of each
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Microseconds that an answer takes to compute
    #[arg(long, default_value_t = 200)]
    work: u64,
    /// Seconds that count of each measurement
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How often each way is measured, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
}

/// Computes for a while, then answers with one byte.
struct Worker {
    work: Duration,
}

impl Protocol for Worker {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
        Some(())
    }

    fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        for _ in io.input() {
            let begun = Instant::now();
            while begun.elapsed() < self.work {
                std::hint::spin_loop();
            }
            io.out().put(b"x");
        }
        io.consume(io.input().len());
        if matches!(event, Event::Eof | Event::Stopping) { Flow::Finish } else { Flow::Read }
    }

    fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}

    fn depart(&mut self, _: (), _: ConnId) -> Result<Luggage, ()> {
        Ok(Box::new(()))
    }

    fn arrive(&mut self, _: Luggage, _: &mut Io<'_, ()>) -> Option<()> {
        Some(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { connections, rate, work, seconds, .. } = arguments;
    println!("{connections} connections × {rate} requests/s × {work} µs, {seconds} s each\n");
    println!("| rebalancing | requests/s | p50 µs | p99 µs | p99.9 µs | busy | moved |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for _ in 0..arguments.rounds {
        for rebalance in [false, true] {
            println!("{}", measure(&arguments, rebalance)?);
        }
    }
    Ok(())
}

/// One line of the table.
fn measure(arguments: &Arguments, rebalance: bool) -> anyhow::Result<String> {
    let plan = Plan {
        lanes: 2,
        accept: AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpOnly }),
        rebalance,
        ..Plan::new(["127.0.0.1:0".parse()?])
    };
    let work = Duration::from_micros(arguments.work);
    let server = Supervisor::new(plan).start(move |_, _| Worker { work })?;
    let address = server.addresses()[0].tcp().context("a TCP address")?;
    let begins = Instant::now() + WARM_UP;
    let ends = begins + Duration::from_secs(arguments.seconds.into());
    let pace = Duration::from_secs(1) / arguments.rate;
    let clients: Vec<_> = (0..arguments.connections)
        .map(|number| {
            // Spread over the time between two requests.
            let offset = pace * number / arguments.connections;
            thread::spawn(move || client(address, offset, pace, begins, ends))
        })
        .collect();
    thread::sleep(begins.saturating_duration_since(Instant::now()));
    let before = busy(&server);
    thread::sleep(ends.saturating_duration_since(Instant::now()));
    let spent = busy(&server);
    let mut latency = histogram()?;
    for client in clients {
        let counted = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        latency.add(&counted)?;
    }
    let moved = counter(&server, "corelane_connections_moved_in_total").iter().sum::<u64>();
    server.stop(Nanos::from_secs(1));
    server.join()?;
    let seconds = f64::from(arguments.seconds);
    let mut shares: Vec<String> = Vec::new();
    for (before, spent) in before.iter().zip(&spent) {
        shares.push(format!("{:.0} %", (spent - before) as f64 / seconds / 1e7));
    }
    let quantile = |quantile| latency.value_at_quantile(quantile).to_string();
    Ok(format!(
        "| {} | {:.0} | {} | {} | {} | {} | {moved} |",
        if rebalance { "on" } else { "off" },
        latency.len() as f64 / seconds,
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        shares.join(", "),
    ))
}

/// Asks at its times, and counts from when each request was due: in microseconds.
fn client(
    address: SocketAddr,
    offset: Duration,
    pace: Duration,
    begins: Instant,
    ends: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut latency = histogram()?;
    let mut due = Instant::now() + offset;
    while due < ends {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.write_all(b"x")?;
        socket.read_exact(&mut [0])?;
        let now = Instant::now();
        if due >= begins {
            latency.saturating_record(now.duration_since(due).as_micros() as u64);
        }
        if now >= ends {
            break;
        }
        due += pace;
    }
    Ok(latency)
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// How long the turns of each loop took, in nanoseconds.
fn busy(server: &Server) -> Vec<u64> {
    counter(server, "corelane_loop_busy_nanoseconds_total")
}

fn counter(server: &Server, name: &str) -> Vec<u64> {
    let snapshot = server.registry().snapshot();
    snapshot.counter(name, &[]).map(|series| series.per_loop().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
