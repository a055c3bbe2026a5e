//! What an operator asks a running server: pages on a listener of their own.
//!
//! One file per concern: `subject` is what the pages tell of, `access` who may ask, and each page
//! has a file and a line in `PAGES`.

mod access;
mod dashboard;
mod figures;
mod health;
mod heat;
mod log_level;
mod metrics;
mod status;
mod subject;
mod traces;

use std::rc::Rc;

use corelane_acceptor::Address;
use corelane_eventloop::Nanos;
use corelane_http::middleware::BodyLimit;
use corelane_http::web::{App, Endpoint, Request, Response, Routes};
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};

pub use self::access::{Token, TokenError};
pub use self::figures::Figures;
use self::heat::Sampling;
use self::subject::Pages;
pub use self::subject::{Subject, Tell};
use crate::apps::kept::Kept;
use crate::supervisor::{Plan, Server, StartError, Supervisor};

/// One method of one page.
struct Page {
    method: &'static str,
    path: &'static str,
    /// It tells nothing, so nobody is asked for a token.
    is_open: bool,
    /// Makes what answers.
    endpoint: fn(&Rc<Pages>) -> Endpoint,
}

/// All pages, in the order in which people are told of them.
const PAGES: [Page; 10] = [
    Page { is_open: true, ..guarded("GET", "/dashboard", dashboard::page) },
    guarded("GET", "/health", health::page),
    guarded("GET", "/status", status::page),
    guarded("GET", "/metrics", metrics::prometheus_page),
    guarded("GET", "/metrics.json", metrics::json_page),
    guarded("GET", "/heat.json", heat::page),
    guarded("GET", "/log-level", log_level::page),
    guarded("PUT", "/log-level", log_level::change),
    guarded("POST", "/traces", traces::arm),
    guarded("GET", "/traces/{id}", traces::page),
];

/// A page for whoever has the token, if there is one.
const fn guarded(
    method: &'static str,
    path: &'static str,
    endpoint: fn(&Rc<Pages>) -> Endpoint,
) -> Page {
    Page { method, path, is_open: false, endpoint }
}

/// The paths of all pages, with commas between.
pub fn paths() -> String {
    let mut paths: Vec<&str> = PAGES.iter().map(|page| page.path).collect();
    paths.dedup();
    paths.join(", ")
}

/// Permissions of the pages' Unix socket: its owner's.
const SOCKET_MODE: u32 = 0o600;

/// Connections that the admin listener has at most.
const CONNECTIONS: usize = 256;

/// The largest body that is read: only a log filter has one.
const BODY_BYTES: u64 = 16 * 1024;

/// Who may ask, and where.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where the pages are. Without a token: a loopback address or a Unix socket, which only the user that
    /// the server runs as may connect to (and root).
    pub address: Address,
    /// What whoever asks must show (`Authorization: Bearer`), wherever the pages are.
    pub token: Option<Token>,
}

impl AdminConfig {
    /// Pages at this address, open to whoever reaches it.
    pub fn open(address: Address) -> AdminConfig {
        AdminConfig { address, token: None }
    }

    /// Whether others than this machine could reach the pages, and nobody asks who they are.
    pub fn is_exposed(&self) -> bool {
        let reachable = self.address.tcp().is_some_and(|tcp| !tcp.ip().is_loopback());
        reachable && self.token.is_none()
    }
}

/// Serves the admin pages, by a lane and metrics of their own: what they cost and count is not the
/// server's.
///
/// # Errors
/// If it cannot start, or the pages would be open to other machines.
pub fn start(config: AdminConfig, subject: Subject) -> Result<Server, StartError> {
    if config.is_exposed() {
        return Err(StartError::Exposed(config.address.to_string()));
    }
    let mut plan = Plan::new([config.address.clone()]);
    plan.name = "admin".into();
    plan.lanes = 1;
    plan.cores.clear();
    plan.connections = CONNECTIONS;
    plan.unix_mode = Some(SOCKET_MODE);
    let mut supervisor = Supervisor::new(plan);
    let names = supervisor.listener_names();
    let metrics = HttpMetrics::declare(supervisor.metrics()).with_listeners(names);
    // Where the name that a browser was given could be anybody's, it must be this machine's.
    let named = config.address.tcp().is_some() && config.token.is_none();
    let http = HttpConfig { idle_time: Nanos::from_secs(120), ..HttpConfig::default() };
    supervisor.start(move |_lane, shard| {
        let counters = HttpCounters::new(metrics.clone(), shard);
        let pages = Rc::new(Pages::new(subject.clone()));
        // Its routes are those of a constant: a test builds it.
        let app = app(&pages, config.token.clone(), named).unwrap_or_else(|_| App::empty());
        Http::new(Kept::with(app, Sampling(pages)), http.clone(), counters)
    })
}

/// The application of the pages.
fn app(
    pages: &Rc<Pages>,
    token: Option<Token>,
    named: bool,
) -> Result<App, Box<dyn std::error::Error>> {
    let elsewhere = format!("here are {}\n", paths());
    let mut routes = Routes::new().fallback(Endpoint::of_head(move |_: &Request<'_>| {
        Response::text(elsewhere.clone()).with_status(404)
    }));
    let mut guarded = Routes::new();
    for page in &PAGES {
        let endpoint = (page.endpoint)(pages);
        match page.is_open {
            true => routes = routes.on(page.method, page.path, endpoint),
            false => guarded = guarded.on(page.method, page.path, endpoint),
        }
    }
    if let Some(token) = token {
        guarded = guarded.with(access::bearer(token.clone())?);
        routes = routes.with_fallback(access::bearer(token)?);
    }
    routes = routes.nest("", guarded).with(BodyLimit::new(BODY_BYTES));
    if named {
        routes = routes.with(access::OwnPages);
    }
    #[cfg(feature = "cli")]
    {
        routes = routes.with(corelane_http::middleware::Compress::new());
    }
    Ok(routes.build()?)
}

/// A response that nobody is to keep.
fn fresh(response: Response) -> Response {
    response.with("Cache-Control", "no-store")
}
