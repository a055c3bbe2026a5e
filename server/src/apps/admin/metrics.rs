//! `/metrics` and `/metrics.json`: every figure, for Prometheus and for other programs.

use std::rc::Rc;

use corelane_acceptor::Address;
use corelane_eventloop::Nanos;
use corelane_http::web::{Endpoint, Request, Response};
use corelane_metrics::ProcessFigures;
use corelane_metrics::expose::{json, prometheus};
use serde_json::{Value, json};

use super::subject::{Pages, Subject};
use super::{figures, fresh};

pub(super) fn json_page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |request: &Request<'_>| {
        fresh(Response::json(&whole(&pages.subject, request.wall())))
    })
}

pub(super) fn prometheus_page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |request: &Request<'_>| {
        let accept: Vec<_> =
            request.headers("Accept").filter_map(|value| std::str::from_utf8(value).ok()).collect();
        let format = prometheus::negotiate(&accept.join(","));
        let figures = figures::all(&pages.subject);
        let text = prometheus::render(format, &figures, &ProcessFigures::read());
        fresh(Response::bytes(format.content_type(), text.into_bytes()).with("Vary", "Accept"))
    })
}

/// All figures and whole histograms, with what a program needs to make rates of two such answers:
/// which start of the server they are of, and when they were read.
fn whole(subject: &Subject, now: Nanos) -> Value {
    let mut all = json::whole(&figures::all(subject), &ProcessFigures::read());
    let about = json!({
        "name": "corelane",
        "version": env!("CARGO_PKG_VERSION"),
        "instance": subject.identity.instance(),
        "at_unix_ms": now.as_millis(),
        "uptime_seconds": subject.identity.uptime().as_secs_f64(),
        "addresses": subject.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
        "connections": { "open": subject.open.count(), "limit": subject.open.limit() },
        "stopping": subject.is_stopping(),
        "loops": subject.lanes,
    });
    if let (Value::Object(all), Value::Object(about)) = (&mut all, about) {
        all.extend(about);
    }
    all
}
