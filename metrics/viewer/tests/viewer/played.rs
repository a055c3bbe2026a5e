//! A server that tests play: what it answers at each second of its life, and a listener that says so.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corelane_metrics::HistogramSnapshot;
use serde_json::{Value, json};

/// 2026-11-21, 12:30:00 UTC.
pub(crate) const BEGIN_MS: u64 = 1_795_264_200_000;

/// What kind of server is played.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) instance: String,
    pub(crate) loops: usize,
    pub(crate) routes: Vec<String>,
    /// Seconds differ in how many requests they have: 300 to 600. Otherwise all have 400.
    pub(crate) is_tidal: bool,
}

impl Default for Played {
    fn default() -> Played {
        let routes = ["/", "/users/{id}", "/assets/{*path}", "/health", "/never"];
        let routes = routes.map(str::to_owned).to_vec();
        Played { instance: "first".to_owned(), loops: 2, routes, is_tidal: false }
    }
}

/// Always the same numbers, evenly spread: the finaliser of splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The latencies of the requests of one second, in nanoseconds: most around 100 us, a few above 1 ms, and
/// at second 40 a stall of one second.
fn latencies(second: u64, is_tidal: bool) -> Vec<u64> {
    let requests = if is_tidal { 300 + 100 * (second / 3 % 4) } else { 400 };
    (0..requests)
        .map(|request| {
            let random = mix(second * 1_000 + request);
            let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
            let usual = 60_000.0 * (1.0 + 4.0 * share.powi(6)) + 20_000.0 * share;
            match (second, request) {
                (40, ..20) => 50_000_000 * (request + 1),
                (_, ..4) => 1_500_000 + random % 2_000_000,
                _ => usual as u64,
            }
        })
        .collect()
}

impl Played {
    /// The body of `/metrics.json` after so many seconds.
    pub(crate) fn metrics(&self, seconds: u64) -> Value {
        let mut all = HistogramSnapshot::default();
        for second in 0..seconds {
            latencies(second, self.is_tidal)
                .into_iter()
                .for_each(|latency| all.record_n(latency, 1));
        }
        let routes = self.routes.len() as u64;
        let mut counters = vec![
            self.counter("corelane_http_requests_total", &[], all.count()),
            self.counter("corelane_bytes_received_total", &[], all.count() * 180),
            self.counter("corelane_bytes_sent_total", &[], all.count() * 4_300),
            self.counter("corelane_connections_accepted_total", &[], seconds * 3),
            self.counter("corelane_connections_closed_total", &[("reason", "idle")], seconds),
            self.counter("corelane_connections_refused_total", &[("reason", "full")], 0),
            self.counter("corelane_http_refusals_total", &[("rule", "host-missing")], seconds / 40),
            self.counter("corelane_http_timeouts_total", &[("kind", "head")], 0),
            self.counter("corelane_loop_panics_total", &[], 0),
            self.counter("corelane_loop_turns_total", &[], seconds * 900),
            self.counter("corelane_loop_busy_nanoseconds_total", &[], seconds * 640_000_000),
        ];
        for (class, share) in [("2xx", 390), ("3xx", 0), ("4xx", 9), ("5xx", 1)] {
            let labels = [("class", class)];
            counters.push(self.counter("corelane_http_responses_total", &labels, share * seconds));
        }
        let mut histograms = vec![histogram("corelane_http_latency_nanoseconds", &[], &all)];
        for (index, route) in (0..).zip(&self.routes) {
            let mut latency = HistogramSnapshot::default();
            let is_idle = index + 1 == routes;
            if !is_idle {
                for second in 0..seconds {
                    let share = latencies(second, self.is_tidal).into_iter().skip(index as usize);
                    share
                        .step_by(1 << (index + 1).min(8))
                        .for_each(|time| latency.record_n(time, 1));
                }
            }
            let labels = [("route", route.as_str())];
            let (requests, times) =
                ("corelane_http_route_requests_total", "corelane_http_route_latency_nanoseconds");
            counters.push(self.counter(requests, &labels, latency.count()));
            histograms.push(histogram(times, &labels, &latency));
        }
        json!({
            "name": "corelane", "version": "0.1.0", "instance": self.instance,
            "at_unix_ms": BEGIN_MS + seconds * 1_000, "uptime_seconds": seconds as f64 + 0.25,
            "addresses": ["127.0.0.1:8080"], "connections": {"open": 123, "limit": 10_000},
            "stopping": false, "loops": self.loops, "counters": counters,
            "gauges": [self.counter("corelane_connections_open", &[], 123)],
            "histograms": histograms,
            "process": {"cpu_user_seconds": seconds as f64 * 0.5,
                "cpu_system_seconds": seconds as f64 * 0.25, "memory_resident_bytes": 23_400_000},
        })
    }

    /// Three quarters of a counter are the first loop's, the rest is spread over the others.
    fn counter(&self, name: &str, labels: &[(&str, &str)], total: u64) -> Value {
        let others = self.loops.saturating_sub(1).max(1) as u64;
        let mut per_loop = vec![total / 4 / others; self.loops];
        per_loop[0] = total - per_loop[1..].iter().sum::<u64>();
        json!({"name": name, "labels": object(labels), "help": "", "total": total, "per_loop": per_loop})
    }

    /// The body of `/heat.json` after so many seconds, of columns that begin after `since`.
    pub(crate) fn heat(&self, seconds: u64, since: Option<u64>) -> Value {
        // Four rows for each power of two from 1,024 ns on, one below and one above.
        let mut bounds = vec![0];
        bounds.extend((10..36).flat_map(|bits| (4_u64..8).map(move |part| part << (bits - 2))));
        let rows: Vec<_> = (0..bounds.len())
            .map(|row| (bounds[row], bounds.get(row + 1).map_or(u64::MAX, |next| next - 1)))
            .collect();
        let at = |second: u64| BEGIN_MS + second * 1_000;
        let columns = (0..seconds).filter(|second| since.is_none_or(|since| at(*second) > since));
        let columns = columns.map(|second| {
            let mut counts = vec![0_u64; rows.len()];
            for latency in latencies(second, self.is_tidal) {
                counts[bounds.partition_point(|lowest| *lowest <= latency) - 1] += 1;
            }
            let counts: Vec<_> =
                counts.iter().enumerate().filter(|(_, count)| **count > 0).collect();
            json!({"at_unix_ms": at(second), "counts": counts})
        });
        json!({"instance": self.instance, "unit": "nanoseconds", "column_ms": 1_000, "rows": rows,
            "columns": columns.collect::<Vec<_>>()})
    }
}

fn object(labels: &[(&str, &str)]) -> Value {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn histogram(name: &str, labels: &[(&str, &str)], values: &HistogramSnapshot) -> Value {
    let buckets: Vec<_> =
        values.buckets().map(|bucket| (bucket.lowest, bucket.highest, bucket.count)).collect();
    json!({"name": name, "labels": object(labels), "help": "", "unit": "nanoseconds",
        "count": values.count(), "sum": values.sum(), "min": values.min(), "max": values.max(),
        "buckets": buckets})
}

/// An admin listener that plays a server. Each question for `/metrics.json` takes a second of its life.
pub(crate) struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The heads of the requests that came.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    /// Answers at a port, 0 for any. Some answers can be replaced: by raw bytes, for a path.
    pub(crate) fn start(
        played: Played,
        port: u16,
        raw: Option<(&'static str, Vec<u8>)>,
    ) -> Listener {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (told, heads) = (stop.clone(), asked.clone());
        let thread = thread::spawn(move || {
            let mut seconds = 100;
            while !told.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).unwrap();
                        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                        serve(stream, &played, &mut seconds, raw.as_ref(), &told, &heads);
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Listener { address, stop, thread: Some(thread), asked }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers on one connection until it ends.
fn serve(
    stream: TcpStream,
    played: &Played,
    seconds: &mut u64,
    raw: Option<&(&'static str, Vec<u8>)>,
    told: &AtomicBool,
    heads: &Mutex<Vec<String>>,
) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    let mut head = String::new();
    while !told.load(Ordering::Relaxed) {
        match input.read_line(&mut head) {
            Ok(0) => return,
            Ok(_) if head.ends_with("\r\n\r\n") => {}
            Ok(_) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        heads.lock().unwrap().push(std::mem::take(&mut head));
        if let Some((replaced, bytes)) = raw
            && path.starts_with(replaced)
        {
            let _ = out.write_all(bytes);
            return;
        }
        let body = match path.split_once("since=") {
            _ if path == "/metrics.json" => {
                *seconds += 1;
                played.metrics(*seconds)
            }
            Some((_, since)) => played.heat(*seconds, since.parse().ok()),
            None => played.heat(*seconds, None),
        };
        let body = body.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
