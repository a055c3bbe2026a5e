//! `web`: what the rivals serve by their frameworks, served by ours.
//!
//! The same applications as in `benches/rivals`: `web --port N --app json`, `routed` or
//! `middleware`, on one lane, with the limits that every server of ours has.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use serde::Serialize;

use corelane::supervisor::{Plan, Supervisor};
use corelane_http::middleware::{Compress, Cors, RequestId, SecurityHeaders, Timeout};
use corelane_http::web::{App, Endpoint, Json, Request, Routes};
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};

/// One on each line, parameters in braces.
const ROUTES: &str = include_str!("../../rivals/routes.txt");

/// Serves an application for `compare`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listens here on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// What to serve
    #[arg(long, value_enum)]
    app: Served,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Served {
    /// `/json`: a message, serialised for each reply
    Json,
    /// 137 routes; the reply is the values of the parameters, joined by `/`
    Routed,
    /// The same behind request id, CORS, compression, security fields and timeout
    Middleware,
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Each lane builds its own; that it can be built is known before.
    build(arguments.app)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let mut plan = Plan::new([address.into()]);
    plan.lanes = 1;
    let mut supervisor = Supervisor::new(plan);
    let metrics = HttpMetrics::declare(supervisor.metrics());
    let server = supervisor.start(move |_lane, shard| {
        let counters = HttpCounters::new(metrics.clone(), shard);
        let app = build(arguments.app).expect("it was built before");
        Http::new(app, HttpConfig::default(), counters)
    })?;
    server.join().context("a lane ended")
}

fn build(served: Served) -> anyhow::Result<App> {
    let routes = match served {
        Served::Json => Routes::new().on("GET", "/json", Endpoint::of_head(message)),
        Served::Routed => routed(),
        Served::Middleware => routed()
            .with(RequestId::new())
            .with(Cors::builder().origins(["https://example.com"]).build()?)
            .with(Compress::new())
            .with(SecurityHeaders::new())
            .with(Timeout::new(Duration::from_secs(30))),
    };
    Ok(routes.build()?)
}

fn message(_request: &Request<'_>) -> Json<Message> {
    Json(Message { message: "Hello, World!" })
}

fn routed() -> Routes {
    ROUTES.lines().fold(Routes::new(), |routes, pattern| {
        let names: Vec<&str> = pattern
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let handler = move |request: &Request<'_>| {
            let params = request.params();
            let values: Vec<_> = names.iter().filter_map(|name| params.get(name)).collect();
            values.join("/")
        };
        routes.on("GET", pattern, Endpoint::of_head(handler))
    })
}
