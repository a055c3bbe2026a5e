//! A program of one's own that the viewer can look at, and the viewer looking at it: with no argument
//! `cargo run --release --example metrics_viewer` plays a server with two loops and shows it.
//! With an address it shows the server there.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use corelane_metrics::expose::json;
use corelane_metrics::heat::{HeatMap, HeatSampler};
use corelane_metrics::{
    CounterId, HistogramId, HistogramSnapshot, ProcessFigures, Registry, Shard, Unit,
};
use corelane_viewer::Options;
use serde_json::json;

const LOOPS: usize = 2;
const ROUTES: [&str; 3] = ["/", "/users/{id}", "/search"];

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

/// What a loop counts with.
#[derive(Clone, Copy)]
struct Ids {
    requests: CounterId,
    latency: HistogramId,
    routes: [(CounterId, HistogramId); ROUTES.len()],
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Cli::parse().options;
    if std::env::args().len() == 1 {
        options.address = play()?.parse()?;
    }
    corelane_viewer::run(&options)?;
    Ok(())
}

/// Starts a program that counts, and says where it can be asked.
fn play() -> Result<String, Box<dyn std::error::Error>> {
    let mut builder = Registry::builder();
    let requests = builder.counter("corelane_http_requests_total", "Requests answered.");
    let latency = "corelane_http_latency_nanoseconds";
    let latency = builder.histogram(latency, "Time to answer.", Unit::Nanoseconds);
    let (counters, histograms) =
        ("corelane_http_route_requests_total", "corelane_http_route_latency_nanoseconds");
    let counters = builder.counter_family(counters, "Requests by route.", "route", ROUTES);
    let help = "Time to answer, by route.";
    let histograms = builder.histogram_family(histograms, help, Unit::Nanoseconds, "route", ROUTES);
    let registry = Arc::new(builder.build()?);
    let routes = std::array::from_fn(|route| (counters[route], histograms[route]));
    let ids = Ids { requests, latency, routes };
    for index in 0..LOOPS {
        let shard = registry.shard(index)?;
        thread::spawn(move || pretend(&shard, ids, index as u64));
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || answer(&listener, &registry, latency));
    Ok(address)
}

/// Counts as if requests were answered: the second loop has half as many as the first.
fn pretend(shard: &Shard, ids: Ids, index: u64) {
    let mut random = index + 1;
    loop {
        thread::sleep(Duration::from_millis(10 * (index + 1)));
        for request in 0..50 {
            // Marsaglia's xorshift: latencies from 30 us up, ever rarer.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let time = 30_000_u64 << random.trailing_zeros().min(9);
            let time = time + random % 30_000;
            let (requests, latency) = ids.routes[request % ROUTES.len()];
            for counter in [ids.requests, requests] {
                shard.add(counter, 1);
            }
            for histogram in [ids.latency, latency] {
                shard.record(histogram, time);
            }
        }
    }
}

/// Answers `/metrics.json` and `/heat.json`, to one client at a time.
fn answer(listener: &TcpListener, registry: &Registry, latency: HistogramId) {
    let began = Instant::now();
    let at_begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut sampler = HeatSampler::new(HeatMap::default(), at_begin, HistogramSnapshot::default());
    for stream in listener.incoming().flatten() {
        let result = serve(stream, |path| {
            let now = at_begin + began.elapsed();
            if path.starts_with("/heat.json") {
                sampler.sample(now, registry.histogram_merged(latency));
                return json::heat(sampler.map(), None).to_string();
            }
            let mut whole = json::whole(&registry.snapshot(), &ProcessFigures::read());
            whole["name"] = json!("example");
            whole["at_unix_ms"] = json!(now.as_millis() as u64);
            whole["uptime_seconds"] = json!(began.elapsed().as_secs_f64());
            whole.to_string()
        });
        // The client left, or asked what this does not understand.
        let _ = result;
    }
}

fn serve(mut stream: TcpStream, mut page: impl FnMut(&str) -> String) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let body = page(line.split(' ').nth(1).unwrap_or_default());
        while line.trim() != "" {
            line.clear();
            input.read_line(&mut line)?;
        }
        line.clear();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
    }
    Ok(())
}
