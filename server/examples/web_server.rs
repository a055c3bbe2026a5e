//! A web server: a small front end, and the API behind it.
//!
//! `cargo run --release --example web_server [address]`, then open <http://127.0.0.1:8080/>, or:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/
//! curl -i 'http://127.0.0.1:8080/api/hello?name=ada'
//! curl -i http://127.0.0.1:8080/api/sum -H 'Content-Type: application/json' -d '{"a": 1, "b": 2}'
//! curl -i http://127.0.0.1:8080/api/sum -H 'Content-Type: application/json' -d '{"a": 1, "b": "2"}'
//! curl -i http://127.0.0.1:8080/api/wait/250
//! curl -N http://127.0.0.1:8080/api/clock
//! ```
//!
//! SIGTERM or ctrl-c stops it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use corelane_eventloop::Nanos;
use corelane_http::middleware::{RequestId, SecurityHeaders};
use corelane_http::web::{
    Endpoint, InputError, OwnedRequest, Request, Response, Routes, Sse, SseEvent,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Greeting {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Sum {
    a: i64,
    b: i64,
}

fn hello(request: &Request<'_>, visits: &AtomicU64) -> Result<Response, InputError> {
    let greeting: Greeting = request.query_as()?;
    let message = format!("Hello, {}!", greeting.name.as_deref().unwrap_or("world"));
    let visits = visits.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(Response::json(&json!({"message": message, "visits": visits})))
}

fn sum(request: &Request<'_>) -> Result<Response, InputError> {
    let Sum { a, b } = request.json()?;
    Ok(Response::json(&json!({"sum": a.saturating_add(b)})))
}

/// An `async` handler: while it waits, its lane serves others.
async fn wait(request: OwnedRequest) -> Result<String, InputError> {
    let millis: u64 = request.param("millis")?;
    request.lane().local().sleep(Nanos::from_millis(millis.min(10_000))).await;
    Ok(format!("waited for {millis} ms\n"))
}

/// The time, in milliseconds since 1970, once a second for as long as somebody listens.
async fn clock(request: OwnedRequest) -> Response {
    let local = request.lane().local().clone();
    let mut next = local.now();
    Sse::new(&request).stream(async move || {
        local.sleep_until(next).await;
        next += Nanos::from_secs(1);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Some(SseEvent::new(now.as_millis().to_string()))
    })
}

pub(crate) fn routes(visits: Arc<AtomicU64>) -> Routes {
    let api = Routes::new()
        .get("/hello", move |request: &Request<'_>| hello(request, &visits))
        .post("/sum", sum)
        .on("GET", "/wait/{millis}", Endpoint::asynchronous(wait))
        .on("GET", "/clock", Endpoint::asynchronous(clock));
    let script = include_str!("web_server.js").as_bytes();
    let style = include_str!("web_server.css").as_bytes();
    Routes::new()
        .with(RequestId::new())
        .with(SecurityHeaders::new())
        .get("/", |_: &Request<'_>| Response::html(include_str!("web_server.html")))
        .get("/script.js", move |_: &Request<'_>| asset("text/javascript", script))
        .get("/style.css", move |_: &Request<'_>| asset("text/css", style))
        .nest("/api", api)
}

/// A part of the front end, which is in the program. `static_server` serves one from a directory.
fn asset(media_type: &str, bytes: &'static [u8]) -> Response {
    Response::bytes(media_type, corelane_http::Content::from_static(bytes))
        .with("Cache-Control", "max-age=60")
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // Each lane builds routes of its own; this is shared by all of them.
    let visits = Arc::new(AtomicU64::new(0));
    Ok(corelane::web::serve(&address, move || routes(visits.clone()).build())?)
}
