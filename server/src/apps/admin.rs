//! `/health` and `/status`: what an operator asks a running server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use corelane_acceptor::{Address, Open};
use corelane_http::{Handler, Replied, Reply};
use corelane_metrics::{ProcessFigures, Registry, expose::json};
use corelane_parser::http1::{Head, Method};
use serde_json::{Value, json};

/// What the admin pages tell of.
#[derive(Clone)]
pub struct Subject {
    /// Metrics of the public lanes.
    pub registry: Arc<Registry>,
    /// What the server listens on.
    pub addresses: Vec<Address>,
    /// How many lanes it has.
    pub lanes: usize,
    /// Its open connections, and how many there may be.
    pub open: Arc<Open>,
    /// Restarted lanes.
    pub restarts: Arc<AtomicU64>,
    /// Set once the server is stopping.
    pub stopping: Arc<AtomicBool>,
}

/// Answers `/health` (200 while serving, 503 while stopping) and `/status` (JSON).
pub struct Admin {
    subject: Subject,
}

/// What is asked for, kept until the request's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/health`.
    Health,
    /// `/status`.
    Status,
    /// A page that exists, asked for with a method that it does not take.
    WrongMethod,
    /// Anything else.
    Unknown,
}

const TEXT: (&str, &str) = ("Content-Type", "text/plain; charset=utf-8");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FRESH: (&str, &str) = ("Cache-Control", "no-store");

impl Admin {
    /// Pages about `subject`.
    pub fn new(subject: Subject) -> Admin {
        Admin { subject }
    }

    fn status(&self) -> Value {
        let subject = &self.subject;
        json!({
            "name": "corelane",
            "version": env!("CARGO_PKG_VERSION"),
            "stopping": subject.stopping.load(Ordering::Relaxed),
            "addresses": subject.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
            "lanes": subject.lanes,
            "lane_restarts": subject.restarts.load(Ordering::Relaxed),
            "connections": { "open": subject.open.count(), "limit": subject.open.limit() },
            "metrics": json::status(&subject.registry.snapshot(), &ProcessFigures::read()),
        })
    }
}

impl Handler for Admin {
    type Request = Page;

    fn begin(&mut self, head: &Head<'_>) -> Page {
        let page = match head.path() {
            "/health" => Page::Health,
            "/status" => Page::Status,
            _ => return Page::Unknown,
        };
        if matches!(head.method(), Method::Get | Method::Head) { page } else { Page::WrongMethod }
    }

    fn reply(&mut self, page: Page, reply: Reply<'_>) -> Replied {
        match page {
            Page::Health if self.subject.stopping.load(Ordering::Relaxed) => {
                reply.send(503, &[TEXT, FRESH], b"stopping\n")
            }
            Page::Health => reply.send(200, &[TEXT, FRESH], b"ok\n"),
            Page::Status => {
                reply.send(200, &[JSON, FRESH], format!("{:#}\n", self.status()).as_bytes())
            }
            Page::WrongMethod => {
                reply.send(405, &[TEXT, ("Allow", "GET, HEAD")], b"only GET and HEAD\n")
            }
            Page::Unknown => reply.send(404, &[TEXT], b"here are /health and /status\n"),
        }
    }
}
