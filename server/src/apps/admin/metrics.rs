//! `/metrics.json`: every figure, for programs.

use std::rc::Rc;
use std::time::SystemTime;

use corelane_acceptor::Address;
use corelane_http::web::{Endpoint, Request, Response};
use corelane_metrics::{Bucket, ProcessFigures, Snapshot, expose::json};
use serde_json::{Value, json};

use super::fresh;
use super::subject::{Pages, Subject};

pub(super) fn json_page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |_: &Request<'_>| fresh(Response::json(&whole(&pages.subject))))
}

/// All figures and whole histograms, with what a program needs to make rates of two such answers:
/// which start of the server they are of, and when they were read.
fn whole(subject: &Subject) -> Value {
    let snapshot = subject.registry.snapshot();
    let mut all = json::status(&snapshot, &ProcessFigures::read());
    add_buckets(&mut all, &snapshot);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let about = json!({
        "name": "corelane",
        "version": env!("CARGO_PKG_VERSION"),
        "instance": &*subject.instance,
        "at_unix_ms": now.as_millis() as u64,
        "uptime_seconds": subject.started.elapsed().as_secs_f64(),
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

fn add_buckets(all: &mut Value, snapshot: &Snapshot) {
    let Some(histograms) = all["histograms"].as_array_mut() else { return };
    for (histogram, series) in histograms.iter_mut().zip(snapshot.histograms()) {
        let triple = |bucket: Bucket| json!([bucket.lowest, bucket.highest, bucket.count]);
        let buckets: Value =
            series.merged().buckets().filter(|bucket| bucket.count > 0).map(triple).collect();
        histogram["buckets"] = buckets;
    }
}
