//! Running a web application on all cores, until a signal.
//!
//! ```no_run
//! use corelane_http::web::{Request, Routes};
//!
//! fn routes() -> Routes {
//!     Routes::new().get("/hello", |_: &Request<'_>| "hello\n")
//! }
//!
//! fn main() -> Result<(), corelane::web::ServeError> {
//!     corelane::web::serve("127.0.0.1:8080", || routes().build())
//! }
//! ```
//!
//! Each lane builds an application of its own, so handlers and middleware share nothing between cores
//! unless they are given something that is shared: an `Arc` made outside of the closure.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use corelane_acceptor::Address;
use corelane_eventloop::{ConnId, Files, LaneId, Nanos};
use corelane_http::web::{App, Work};
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply, Ticket,
    Wakes,
};
use corelane_metrics::Shard;
use corelane_parser::http1::{Head, HttpDate};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use crate::logs::{LogConfig, Logs};
use crate::supervisor::{Plan, Server, StartError, Stopper, Supervisor};

/// How long what is in flight may take after a signal, unless set otherwise.
const DRAIN: Nanos = Nanos::from_secs(30);

/// Why an application was not served, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be read.
    #[error("{0}")]
    Address(String),
    /// The application cannot be built.
    #[error("the application cannot be built: {0}")]
    Build(Box<dyn Error + Send + Sync>),
    /// A directory of files cannot be opened.
    #[error("{}: {error}", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals cannot be received, or a lane has ended.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Serves an application on this address (`127.0.0.1:8080`, `[::]:80`, `unix:/run/web.sock`) with all
/// cores, until SIGTERM, SIGINT or SIGQUIT. [`WebServer`] has more to choose.
///
/// Logs to standard error, unless the process logs elsewhere already.
///
/// # Errors
/// If it cannot start.
pub fn serve<E>(
    address: &str,
    make: impl Fn() -> Result<App, E> + Send + Sync + 'static,
) -> Result<(), ServeError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let _ = Logs::start(&LogConfig::default());
    WebServer::new(address)?.run(make)
}

/// A server for an application: where, with what limits, with which files.
///
/// ```
/// use corelane::web::WebServer;
/// use corelane_eventloop::Nanos;
/// use corelane_http::HttpConfig;
/// use corelane_http::web::{Request, Routes};
///
/// let http = HttpConfig { idle_time: Nanos::from_secs(5), ..HttpConfig::default() };
/// let server = WebServer::new("127.0.0.1:0")?.http(http).lanes(1);
/// let server = server.start(|| Routes::new().get("/", |_: &Request<'_>| "hello").build())?;
/// println!("listening on {}", server.addresses()[0]);
/// server.stop(Nanos::from_secs(1));
/// server.join()?;
/// # Ok::<(), corelane::web::ServeError>(())
/// ```
pub struct WebServer {
    plan: Plan,
    http: HttpConfig,
    roots: Vec<PathBuf>,
    drain: Nanos,
}

impl WebServer {
    /// A server on this address.
    ///
    /// # Errors
    /// If the address cannot be read.
    pub fn new(address: &str) -> Result<WebServer, ServeError> {
        let address: Address =
            address.parse().map_err(|error| ServeError::Address(format!("{error}")))?;
        Ok(WebServer::of(Plan::new([address])))
    }

    /// A server that follows a plan, which has more to choose: several addresses, cores, admission,
    /// memory.
    pub fn of(plan: Plan) -> WebServer {
        WebServer { plan, http: HttpConfig::default(), roots: Vec::new(), drain: DRAIN }
    }

    /// With so many lanes, each of which is a thread, instead of one per core.
    pub fn lanes(mut self, lanes: usize) -> WebServer {
        self.plan.lanes = lanes.max(1);
        self
    }

    /// With these limits of the protocol.
    pub fn http(mut self, config: HttpConfig) -> WebServer {
        self.http = config;
        self
    }

    /// Gives handlers access to the files beneath a directory. They know it by a number: 0 for the
    /// first.
    pub fn root(mut self, directory: impl Into<PathBuf>) -> WebServer {
        self.roots.push(directory.into());
        self
    }

    /// What is in flight at a signal is finished within this time. Default 30 s.
    pub fn drain(mut self, time: Nanos) -> WebServer {
        self.drain = time;
        self
    }

    /// Serves until a signal: SIGTERM, SIGINT or SIGQUIT stops, a second one cuts what is left.
    ///
    /// # Errors
    /// If it cannot start.
    pub fn run<E>(
        self,
        make: impl Fn() -> Result<App, E> + Send + Sync + 'static,
    ) -> Result<(), ServeError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let drain = self.drain;
        let server = self.start(make)?;
        stop_on_signal(server.stopper(), drain)?;
        for address in server.addresses() {
            tracing::info!(%address, lanes = server.lanes(), "listening");
        }
        Ok(server.join()?)
    }

    /// Starts serving, for whoever stops it by other means than signals. `make` builds the application
    /// of a lane; it is called once before, to see that it can be built.
    ///
    /// # Errors
    /// If it cannot start.
    pub fn start<E>(
        self,
        make: impl Fn() -> Result<App, E> + Send + Sync + 'static,
    ) -> Result<Server, ServeError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        make().map_err(|error| ServeError::Build(error.into()))?;
        for path in &self.roots {
            let opened = std::fs::read_dir(path);
            opened.map_err(|error| ServeError::Root { path: path.clone(), error })?;
        }
        let WebServer { plan, http, roots, .. } = self;
        let mut supervisor = Supervisor::new(plan);
        let metrics = HttpMetrics::declare(supervisor.metrics());
        let start = supervisor.start(move |_: LaneId, shard: Rc<Shard>| {
            let app = match make() {
                Ok(app) => app,
                // It could be built before: the supervisor tries again.
                Err(error) => panic!("the application cannot be built: {}", error.into()),
            };
            let counters = HttpCounters::new(metrics.clone(), shard);
            Http::new(Rooted { app, roots: roots.clone() }, http.clone(), counters)
        });
        Ok(start?)
    }
}

/// An application, and the directories it has not opened yet.
struct Rooted {
    app: App,
    roots: Vec<PathBuf>,
}

impl Rooted {
    #[cold]
    fn open(&mut self, files: &mut dyn Files) {
        for root in std::mem::take(&mut self.roots) {
            if let Err(error) = files.open_root(&root) {
                tracing::error!(%error, root = %root.display(), "a directory cannot be opened");
                // Those behind it would get its number.
                break;
            }
        }
    }
}

impl Handler for Rooted {
    type Request = Work;

    #[inline]
    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Work {
        if !self.roots.is_empty() {
            self.open(context.files());
        }
        self.app.begin(head, context)
    }

    #[inline]
    fn wants_body(&mut self, work: &Work) -> Intake {
        self.app.wants_body(work)
    }

    #[inline]
    fn body(&mut self, work: &mut Work, data: &[u8]) -> Intake {
        self.app.body(work, data)
    }

    #[inline]
    fn reply(&mut self, work: Work, reply: Reply<'_>) -> Replied {
        self.app.reply(work, reply)
    }

    fn resume(&mut self, ticket: Ticket, reply: Reply<'_>) -> Replied {
        self.app.resume(ticket, reply)
    }

    fn cancel(&mut self, conn: ConnId, ticket: Ticket) {
        self.app.cancel(conn, ticket);
    }

    fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        self.app.turn(wakes);
    }

    fn date(&mut self, date: &HttpDate) {
        self.app.date(date);
    }
}

/// The first signal stops the server, another one cuts its connections.
fn stop_on_signal(stopper: Stopper, drain: Nanos) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
    let obey = move || {
        for (nth, _) in signals.forever().enumerate() {
            match nth {
                0 => stopper.stop(drain),
                _ => stopper.cut(),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(obey)?;
    Ok(())
}
