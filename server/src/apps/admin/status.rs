//! `/status`: all there is to say, for people.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use corelane_acceptor::Address;
use corelane_http::web::{Endpoint, Request, Response};
use corelane_metrics::{ProcessFigures, expose::json};
use serde_json::{Value, json};

use super::subject::{Pages, Subject};
use super::{figures, fresh};

pub(super) fn page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |_: &Request<'_>| {
        let text = format!("{:#}\n", status(&pages.subject)).into_bytes();
        fresh(Response::bytes("application/json", text))
    })
}

fn status(subject: &Subject) -> Value {
    json!({
        "name": "corelane",
        "configuration": subject.site.as_ref().map(|site| site()),
        "version": env!("CARGO_PKG_VERSION"),
        "stopping": subject.is_stopping(),
        "addresses": subject.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
        "lanes": subject.lanes,
        "lane_restarts": subject.restarts.load(Ordering::Relaxed),
        "connections": { "open": subject.open.count(), "limit": subject.open.limit() },
        "log": subject.log.as_ref().map(|log| json!({
            "level": log.level(),
            "written": log.counts().written,
            "dropped": log.counts().dropped,
        })),
        "access_log": subject.access_log.counts().map(|log| json!({
            "written": log.written,
            "dropped": log.dropped,
            "errors": log.errors,
        })),
        "metrics": json::status(&figures::all(subject), &ProcessFigures::read()),
    })
}
