//! Middleware: rate limiting beside `governor`, and what a chain of five costs.
//!
//! `rate-limit`: one check of one of so many keys, all of which are allowed: by one thread, and by two at
//! once. Both hash the same IPv4 addresses with SipHash, and both read the system's clock for each
//! check (a lane reads it once a turn).
//!
//! `chain`: 100 pipelined requests of a browser through the whole stack on a simulated network, without
//! middleware, and with request ids, security headers, CORS, a rate limit and fixed fields.
//! Instructions, which nothing moves: `EXECUTABLE count CHAIN BATCHES`, where CHAIN is `none`, `five` or
//! the name of one, and `cargo bench -p corelane-benches --bench middleware --no-run` names the
//! executable. The difference between 30 and 10 batches under `valgrind --tool=callgrind`, by 2,000.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use corelane_http::middleware::{
    Cors, Quota, RateLimit, RateLimiter, RequestId, SecurityHeaders, SetHeaders,
};
use corelane_http::web::testing::TestServer;
use corelane_http::web::{App, Request, Routes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use governor::clock::MonotonicClock;
use governor::{Quota as RivalQuota, RateLimiter as Rival};

const REQUESTS: usize = 100;

/// Enough for all that benches ask.
const QUOTA: u32 = 1_000_000_000;

const REQUEST: &str = "GET /articles/2026 HTTP/1.1\r\n\
     Host: www.example.org\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Safari/537.36\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
     Sec-Fetch-Site: same-origin\r\n\
     Sec-Fetch-Mode: navigate\r\n\
     Referer: https://www.example.org/articles/\r\n\
     Accept-Encoding: gzip, deflate, br, zstd\r\n\
     Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n";

fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | n.wrapping_mul(0x9e37_79b9) >> 12)
}

/// Calls it `times` times in each of so many threads.
fn in_threads(threads: usize, times: u64, check: impl Fn(u32) -> bool + Sync) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads as u32 {
            let check = &check;
            scope.spawn(move || {
                for n in 0..times as u32 {
                    assert!(black_box(check(n.wrapping_add(thread * 7919))));
                }
            });
        }
    });
    began.elapsed()
}

fn rate_limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rate-limit");
    for (keys, threads) in [(1_u32, 1), (10_000, 1), (1, 2), (10_000, 2)] {
        let id = |name| BenchmarkId::new(name, format!("{keys} keys, {threads} threads"));
        let most = NonZeroU32::new(QUOTA).expect("it is not zero");
        let rival = Rival::dashmap_with_clock(RivalQuota::per_second(most), MonotonicClock);
        group.bench_function(id("governor"), |bench| {
            bench.iter_custom(|times| {
                in_threads(threads, times, |n| rival.check_key(&address(n % keys)).is_ok())
            });
        });
        let ours = RateLimiter::new(Quota::new(QUOTA, Duration::from_secs(1)), 32_768);
        let began = Instant::now();
        group.bench_function(id("corelane"), |bench| {
            bench.iter_custom(|times| {
                in_threads(threads, times, |n| {
                    ours.check(&address(n % keys), began.elapsed().into()).allowed
                })
            });
        });
    }
    group.finish();
}

/// An application behind these middlewares: `none`, `five`, or one of them.
fn app(chain: &str) -> Option<App> {
    let mut routes = Routes::new().get("/articles/{id}", |_: &Request<'_>| "hello\n");
    let all = ["request-id", "security-headers", "cors", "rate-limit", "set-headers"];
    let chosen: Vec<&str> = match chain {
        "none" => Vec::new(),
        "five" => all.to_vec(),
        one => all.into_iter().filter(|name| *name == one).collect(),
    };
    if chosen.is_empty() && chain != "none" {
        return None;
    }
    for name in chosen {
        let limiter = || RateLimiter::new(Quota::new(QUOTA, Duration::from_secs(1)), 1024);
        let cors = || Cors::builder().origins(["https://app.example"]).build();
        routes = match name {
            "request-id" => routes.with(RequestId::new()),
            "security-headers" => routes.with(SecurityHeaders::new()),
            "cors" => routes.with(cors().ok()?),
            "rate-limit" => routes.with(RateLimit::new(limiter())),
            _ => routes.with(SetHeaders::new().set("Server", "corelane").ok()?),
        };
    }
    routes.build().ok()
}

/// A batch of requests on one connection.
fn batch() -> Vec<u8> {
    let mut bytes = format!("{REQUEST}\r\n").repeat(REQUESTS - 1);
    bytes += &format!("{REQUEST}Connection: close\r\n\r\n");
    bytes.into_bytes()
}

fn chain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chain");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    let batch = batch();
    for name in ["none", "five"] {
        let mut server = TestServer::new(app(name).expect("the chain is known"));
        group.bench_function(name, |bench| bench.iter(|| server.exchange(black_box(&batch))));
    }
    group.finish();
}

criterion_group!(middleware, rate_limit, chain);

/// `count CHAIN BATCHES`: serves so many batches, for instruction counters. `None` if that was not
/// asked for.
fn count(arguments: &[String]) -> Option<usize> {
    let [command, name, batches] = arguments else { return None };
    if command != "count" {
        return None;
    }
    let (mut server, batch) = (TestServer::new(app(name)?), batch());
    let batches: usize = batches.parse().ok()?;
    Some((0..batches).map(|_| server.exchange(&batch).len()).sum())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(bytes) = count(&arguments) {
        println!("{bytes} bytes received");
        return;
    }
    middleware();
    Criterion::default().configure_from_args().final_summary();
}
