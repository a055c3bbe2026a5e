//! `/metrics.json`: every figure, for programs.

use std::rc::Rc;

use corelane_acceptor::Address;
use corelane_eventloop::Nanos;
use corelane_http::web::{Endpoint, Request, Response};
use corelane_metrics::{ProcessFigures, expose::json};
use serde_json::{Value, json};

use super::fresh;
use super::subject::{Pages, Subject};

pub(super) fn json_page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |request: &Request<'_>| {
        fresh(Response::json(&whole(&pages.subject, request.wall())))
    })
}

/// All figures and whole histograms, with what a program needs to make rates of two such answers:
/// which start of the server they are of, and when they were read.
fn whole(subject: &Subject, now: Nanos) -> Value {
    let mut all = json::whole(&subject.registry.snapshot(), &ProcessFigures::read());
    let about = json!({
        "name": "corelane",
        "version": env!("CARGO_PKG_VERSION"),
        "instance": subject.identity.instance(),
        "at_unix_ms": now.as_millis(),
        "uptime_seconds": now.since(subject.identity.started()).0 as f64 / 1e9,
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
