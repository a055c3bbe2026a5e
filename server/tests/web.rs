//! Applications served by the library: their admin pages, and what their middleware counts.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use corelane::supervisor::Server;
use corelane::web::{ServeError, WebServer};
use corelane_eventloop::Nanos;
use corelane_http::breaker::{Breaker, BreakerConfig, BreakerMetrics};
use corelane_http::middleware::{
    LoadLimits, LoadMetrics, LoadShedder, Priority, Quota, RateLimit, RateLimitMetrics, RateLimiter,
};
use corelane_http::web::{App, Endpoint, OwnedRequest, Request, Response, RouteError, Routes};
use corelane_metrics::{RegistryBuilder, Shard};
use serde_json::Value;

type Metrics = (BreakerMetrics, LoadMetrics, RateLimitMetrics);

fn declare(builder: &mut RegistryBuilder) -> Metrics {
    (
        BreakerMetrics::declare(builder, "stock"),
        LoadMetrics::declare(builder, "app"),
        RateLimitMetrics::declare(builder),
    )
}

/// A server on which a call to another one fails, `/low` is never let through, and `/rare` once.
fn app(metrics: &Metrics, shard: &Rc<Shard>) -> Result<App, RouteError> {
    let (breaker, load, limit) = metrics.clone();
    let stock = Breaker::new("stock", BreakerConfig { calls_min: 2, ..Default::default() }, 1);
    stock.count_into(breaker, shard.clone());
    let call = move |request: OwnedRequest| {
        let stock = stock.clone();
        async move {
            let failed = std::future::ready(Err::<(), &str>("it does not answer"));
            let result = stock.call(request.lane().local(), failed).await;
            Response::problem(if result.is_ok() { 200 } else { 502 }, "no stock")
        }
    };
    let limits = LoadLimits { low: 0, ..LoadLimits::of(100) };
    let shedder = LoadShedder::builder(limits).count_into(load, shard.clone()).build();
    let quota = Quota::new(1, Duration::from_secs(3600));
    let rare = RateLimit::new(RateLimiter::new(quota, 100)).count_into(limit, shard.clone());
    Routes::new()
        .on("GET", "/stock", Endpoint::asynchronous(call))
        .get("/low", |_: &Request<'_>| "low")
        .with_last(shedder.gate(Priority::Low))
        .get("/high", |_: &Request<'_>| "high")
        .with_last(shedder.gate(Priority::High))
        .get("/rare", |_: &Request<'_>| "rare")
        .with_last(rare)
        .build()
}

/// The status and the body of an answer.
fn get(server: &Server, path: &str) -> (String, String) {
    let address = server.addresses()[0].tcp().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), body.to_owned())
}

/// The total of a series whose labels have these values.
fn total(status: &Value, kind: &str, name: &str, labels: &[&str]) -> i64 {
    let all = status["metrics"][kind].as_array().unwrap();
    let is = |series: &&Value| {
        let values = || series["labels"].as_object().unwrap().values();
        series["name"] == name && labels.iter().all(|label| values().any(|value| value == label))
    };
    let found = all.iter().find(is).unwrap_or_else(|| panic!("{name} {labels:?}: {status}"));
    found["total"].as_i64().unwrap()
}

#[test]
fn the_admin_pages_tell_what_breakers_shedders_and_limits_did() {
    let server = WebServer::new("127.0.0.1:0").unwrap().lanes(1).admin("127.0.0.1:0").unwrap();
    let server = server.start_counting(declare, app).unwrap();
    for (path, status) in [
        ("/stock", "502"),
        ("/stock", "502"),
        ("/stock", "502"),
        ("/low", "503"),
        ("/high", "200"),
        ("/rare", "200"),
        ("/rare", "429"),
    ] {
        assert_eq!(get(&server, path).0, status, "{path}");
    }
    let admin = server.companion().unwrap();
    assert_eq!(get(admin, "/health"), ("200".to_owned(), "ok\n".to_owned()));
    let status: Value = serde_json::from_str(&get(admin, "/status").1).unwrap();
    for (kind, name, labels, expected) in [
        ("counters", BreakerMetrics::CALLS, &["stock", "failure"][..], 2),
        ("counters", BreakerMetrics::CALLS, &["stock", "refused"], 1),
        ("counters", BreakerMetrics::OPENED, &["stock"], 1),
        ("gauges", BreakerMetrics::LANES, &["stock", "open"], 1),
        ("gauges", BreakerMetrics::LANES, &["stock", "closed"], 0),
        ("counters", LoadMetrics::REQUESTS, &["app", "low", "refused"], 1),
        ("counters", LoadMetrics::REQUESTS, &["app", "high", "passed"], 1),
        ("counters", LoadMetrics::REQUESTS, &["app", "high", "refused"], 0),
        ("gauges", LoadMetrics::IN_FLIGHT, &["app"], 0),
        ("counters", RateLimitMetrics::REFUSED, &[], 1),
        ("counters", "corelane_http_requests_total", &[], 7),
    ] {
        assert_eq!(total(&status, kind, name, labels), expected, "{name} {labels:?}");
    }
    let documented = include_str!("../../docs/OPERATING.md");
    for kind in ["counters", "gauges", "histograms"] {
        for series in status["metrics"][kind].as_array().unwrap() {
            let name = series["name"].as_str().unwrap();
            assert!(documented.contains(&format!("`{name}`")), "{name} in docs/OPERATING.md");
        }
    }
    let pages = admin.addresses()[0].tcp().unwrap();
    server.stop(Nanos::from_secs(5));
    server.join().unwrap();
    assert!(TcpStream::connect(pages).is_err(), "the admin pages end with the server");
}

#[test]
fn admin_pages_are_not_for_everybody() {
    let refused = WebServer::new("127.0.0.1:0").unwrap().admin("0.0.0.0:0");
    assert!(matches!(refused, Err(ServeError::Address(_))));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let server = WebServer::new("127.0.0.1:0").unwrap().lanes(1).admin(&taken).unwrap();
    let started = server.start(|| Routes::new().build());
    assert!(matches!(started, Err(ServeError::Start(_))), "their address is taken");
}
