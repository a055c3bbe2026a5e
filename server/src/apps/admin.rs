//! `/health`, `/status` and `/log-level`: what an operator asks a running server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use corelane_acceptor::{Address, Open};
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply,
};
use corelane_metrics::{ProcessFigures, Registry, expose::json};
use corelane_parser::http1::{Head, Method};
use serde_json::{Value, json};

use crate::logs::{AccessLogSlot, Logs, filter};
use crate::supervisor::{Plan, Server, StartError, Supervisor};

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
    /// The program's log, if it has one.
    pub log: Option<Logs>,
    /// Its access log.
    pub access_log: AccessLogSlot,
    /// What there is to say of the configuration in force, if it can be reloaded.
    pub site: Option<Arc<dyn Fn() -> Value + Send + Sync>>,
}

impl Subject {
    /// Of a running server, with the logs of this process.
    pub fn of(server: &Server) -> Subject {
        Subject {
            registry: server.registry().clone(),
            addresses: server.addresses().to_vec(),
            lanes: server.lanes(),
            open: server.open().clone(),
            restarts: server.restarts().clone(),
            stopping: server.stopping().clone(),
            log: Logs::current().cloned(),
            access_log: AccessLogSlot::default(),
            site: None,
        }
    }
}

/// Serves the admin pages, by a lane and metrics of their own: what they cost and count is not the
/// server's. The pages are open to whoever reaches them.
///
/// # Errors
/// If it cannot start.
pub fn start(address: Address, subject: Subject) -> Result<Server, StartError> {
    let mut plan = Plan::new([address]);
    plan.name = "admin".into();
    plan.lanes = 1;
    plan.cores.clear();
    plan.connections = 256;
    let mut supervisor = Supervisor::new(plan);
    let metrics = HttpMetrics::declare(supervisor.metrics());
    supervisor.start(move |_lane, shard| {
        let counters = HttpCounters::new(metrics.clone(), shard);
        Http::new(Admin::new(subject.clone()), HttpConfig::default(), counters)
    })
}

/// Answers `/health` (200 while serving, 503 while stopping), `/status` (JSON) and `/log-level` (what is
/// logged; PUT changes it).
pub struct Admin {
    subject: Subject,
}

/// What is asked for, kept until the request's body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/health`.
    Health,
    /// `/status`.
    Status,
    /// `GET /log-level`.
    LogLevel,
    /// `PUT /log-level`, with as much of its body as a filter may have, and one byte.
    SetLogLevel(Vec<u8>),
    /// A page that exists, asked for with a method that it does not take. These it takes.
    WrongMethod(&'static str),
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

    /// Changes what is logged; the new filter, or what is wrong with it.
    fn set_level(&self, text: &[u8]) -> Result<String, String> {
        let log = self.subject.log.as_ref().ok_or("this server has no log")?;
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        log.set_level(text).map_err(|error| error.to_string())?;
        Ok(log.level())
    }

    fn status(&self) -> Value {
        let subject = &self.subject;
        json!({
            "name": "corelane",
            "configuration": subject.site.as_ref().map(|site| site()),
            "version": env!("CARGO_PKG_VERSION"),
            "stopping": subject.stopping.load(Ordering::Relaxed),
            "addresses": subject.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
            "lanes": subject.lanes,
            "lane_restarts": subject.restarts.load(Ordering::Relaxed),
            "connections": { "open": subject.open.count(), "limit": subject.open.limit() },
            "log": subject.log.as_ref().map(|log| json!({
                "level": log.level(),
                "written": log.counts().written,
                "dropped": log.counts().dropped,
            })),
            "access_log": subject.access_log.get().map(|log| json!({
                "written": log.written(),
                "dropped": log.dropped(),
                "errors": log.errors(),
            })),
            "metrics": json::status(&subject.registry.snapshot(), &ProcessFigures::read()),
        })
    }
}

impl Handler for Admin {
    type Request = Page;

    fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> Page {
        let reads = matches!(head.method(), Method::Get | Method::Head);
        match head.path() {
            "/health" if reads => Page::Health,
            "/status" if reads => Page::Status,
            "/log-level" if reads => Page::LogLevel,
            "/log-level" if matches!(head.method(), Method::Put) => Page::SetLogLevel(Vec::new()),
            "/health" | "/status" => Page::WrongMethod("GET, HEAD"),
            "/log-level" => Page::WrongMethod("GET, HEAD, PUT"),
            _ => Page::Unknown,
        }
    }

    fn body(&mut self, page: &mut Page, data: &[u8]) -> Intake {
        if let Page::SetLogLevel(text) = page {
            let room = (filter::BYTES_MAX + 1).saturating_sub(text.len());
            text.extend_from_slice(&data[..data.len().min(room)]);
        }
        Intake::More
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
            Page::LogLevel => {
                let level = self.subject.log.as_ref().map_or_else(|| "off".to_owned(), Logs::level);
                reply.send(200, &[TEXT, FRESH], format!("{level}\n").as_bytes())
            }
            Page::SetLogLevel(text) => match self.set_level(&text) {
                Ok(level) => reply.send(200, &[TEXT, FRESH], format!("{level}\n").as_bytes()),
                Err(why) => reply.send(400, &[TEXT, FRESH], format!("{why}\n").as_bytes()),
            },
            Page::WrongMethod(methods) => {
                let body = format!("only {methods}\n");
                reply.send(405, &[TEXT, ("Allow", methods)], body.as_bytes())
            }
            Page::Unknown => {
                reply.send(404, &[TEXT], b"here are /health, /status and /log-level\n")
            }
        }
    }
}
