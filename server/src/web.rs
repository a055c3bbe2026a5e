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
use corelane_eventloop::{Files, LaneId, Nanos};
use corelane_http::web::App;
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::{Registry, RegistryBuilder, Shard};

use crate::apps::admin::{self, AdminConfig, Subject};
use crate::apps::kept::{Kept, Upkeep};
use crate::logs::{LogConfig, Logs};
use crate::signals;
use crate::supervisor::{Plan, Server, StartError, Supervisor};

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
    admin: Option<AdminConfig>,
}

impl WebServer {
    /// A server on this address.
    ///
    /// # Errors
    /// If the address cannot be read.
    pub fn new(address: &str) -> Result<WebServer, ServeError> {
        Ok(WebServer::of(Plan::new([read(address)?])))
    }

    /// A server that follows a plan, which has more to choose: several addresses, cores, admission,
    /// memory.
    pub fn of(plan: Plan) -> WebServer {
        WebServer {
            plan,
            http: HttpConfig::default(),
            roots: Vec::new(),
            drain: DRAIN,
            admin: None,
        }
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

    /// Serves admin pages (`/health`, `/status`, …) elsewhere, as the program does with `--admin`. The
    /// pages are open to whoever reaches them, so the address is of loopback, or a Unix socket.
    ///
    /// ```
    /// use corelane::web::WebServer;
    /// use corelane_eventloop::Nanos;
    /// use corelane_http::web::{Request, Routes};
    ///
    /// let server = WebServer::new("127.0.0.1:0")?.lanes(1).admin("127.0.0.1:0")?;
    /// let server = server.start(|| Routes::new().get("/", |_: &Request<'_>| "hello").build())?;
    /// let admin = server.companion().expect("it has admin pages");
    /// println!("http://{}/status", admin.addresses()[0]);
    /// server.stop(Nanos::from_secs(1));
    /// server.join()?;
    /// # Ok::<(), corelane::web::ServeError>(())
    /// ```
    ///
    /// # Errors
    /// If the address cannot be read, or is one that others reach.
    pub fn admin(self, address: &str) -> Result<WebServer, ServeError> {
        let config = AdminConfig::open(read(address)?);
        if config.is_exposed() {
            let why = StartError::Exposed(config.address.to_string());
            return Err(ServeError::Address(why.to_string()));
        }
        Ok(self.admin_with(config))
    }

    /// The same, for whoever has the token, and then on any address.
    ///
    /// ```
    /// use corelane::apps::admin::AdminConfig;
    /// use corelane::web::WebServer;
    ///
    /// let token = std::env::var("ADMIN_TOKEN").unwrap_or("3fzK9vWqLr0uX2bN".into()).parse()?;
    /// let address = "0.0.0.0:9080".parse()?;
    /// let server = WebServer::new("0.0.0.0:8080")?;
    /// let server = server.admin_with(AdminConfig { address, token: Some(token) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admin_with(mut self, config: AdminConfig) -> WebServer {
        self.admin = Some(config);
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
        self.run_counting(|_| (), move |(), _| make())
    }

    /// The same, with metrics: as [`start_counting`](WebServer::start_counting).
    ///
    /// # Errors
    /// If it cannot start.
    pub fn run_counting<M, E>(
        self,
        declare: impl Fn(&mut RegistryBuilder) -> M,
        make: impl Fn(&M, &Rc<Shard>) -> Result<App, E> + Send + Sync + 'static,
    ) -> Result<(), ServeError>
    where
        M: Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let drain = self.drain;
        let server = self.start_counting(declare, make)?;
        signals::stop(server.stopper(), drain)?;
        for address in server.addresses() {
            tracing::info!(%address, lanes = server.lanes(), "listening");
        }
        for address in server.companion().iter().flat_map(|admin| admin.addresses()) {
            tracing::info!(%address, "admin pages");
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
        self.start_counting(|_| (), move |(), _| make())
    }

    /// The same, with metrics of the application: `declare` declares them, and `make` gets them with the
    /// shard of its lane to count into. Both are called once before, to see that the application can be
    /// built; what is counted then is lost.
    ///
    /// ```
    /// use corelane::web::WebServer;
    /// use corelane_eventloop::Nanos;
    /// use corelane_http::middleware::{LoadLimits, LoadMetrics, LoadShedder, Priority};
    /// use corelane_http::web::{Request, Routes};
    ///
    /// let server = WebServer::new("127.0.0.1:0")?.lanes(1).start_counting(
    ///     |builder| LoadMetrics::declare(builder, "app"),
    ///     |metrics, shard| {
    ///         let shedder = LoadShedder::builder(LoadLimits::of(1000));
    ///         let shedder = shedder.count_into(metrics.clone(), shard.clone()).build();
    ///         let routes = Routes::new().get("/", |_: &Request<'_>| "hello\n");
    ///         routes.with(shedder.gate(Priority::Normal)).build()
    ///     },
    /// )?;
    /// assert!(server.registry().snapshot().gauge(LoadMetrics::IN_FLIGHT, &[("shedder", "app")]).is_some());
    /// server.stop(Nanos::from_secs(1));
    /// server.join()?;
    /// # Ok::<(), corelane::web::ServeError>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot start.
    pub fn start_counting<M, E>(
        self,
        declare: impl Fn(&mut RegistryBuilder) -> M,
        make: impl Fn(&M, &Rc<Shard>) -> Result<App, E> + Send + Sync + 'static,
    ) -> Result<Server, ServeError>
    where
        M: Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        try_out(&declare, &make)?;
        for path in &self.roots {
            let opened = std::fs::read_dir(path);
            opened.map_err(|error| ServeError::Root { path: path.clone(), error })?;
        }
        let WebServer { plan, http, roots, admin, .. } = self;
        let mut supervisor = Supervisor::new(plan);
        let names = supervisor.listener_names();
        let metrics = HttpMetrics::declare(supervisor.metrics()).with_listeners(names);
        let latency = metrics.latency();
        let own = declare(supervisor.metrics());
        let start = supervisor.start(move |_: LaneId, shard: Rc<Shard>| {
            let app = match make(&own, &shard) {
                Ok(app) => app,
                // It could be built before: the supervisor tries again.
                Err(error) => panic!("the application cannot be built: {}", error.into()),
            };
            let counters = HttpCounters::new(metrics.clone(), shard);
            Http::new(Kept::with(app, Roots(roots.clone())), http.clone(), counters)
        });
        let server = start?;
        let Some(config) = admin else { return Ok(server) };
        match admin::start(config, Subject { latency: Some(latency), ..Subject::of(&server) }) {
            Ok(pages) => Ok(server.accompanied_by(pages)),
            Err(error) => {
                server.stop(Nanos::ZERO);
                let _ = server.join();
                Err(error.into())
            }
        }
    }
}

/// Builds an application for no lane, to see whether it can be built.
fn try_out<M, E>(
    declare: &impl Fn(&mut RegistryBuilder) -> M,
    make: &impl Fn(&M, &Rc<Shard>) -> Result<App, E>,
) -> Result<(), ServeError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = Registry::builder();
    let metrics = declare(&mut builder);
    let failed = |error: String| ServeError::Start(StartError::Metrics(error));
    let registry = builder.build().map_err(|error| failed(error.to_string()))?;
    let shard = registry.shard(0).map_err(|error| failed(error.to_string()))?;
    let built = make(&metrics, &Rc::new(shard));
    built.map(drop).map_err(|error| ServeError::Build(error.into()))
}

fn read(address: &str) -> Result<Address, ServeError> {
    address.parse().map_err(|error| ServeError::Address(format!("{error}")))
}

/// The directories that are not opened yet: that takes a lane.
struct Roots(Vec<PathBuf>);

impl Roots {
    #[cold]
    fn open(&mut self, files: &mut dyn Files) {
        for root in std::mem::take(&mut self.0) {
            if let Err(error) = files.open_root(&root) {
                tracing::error!(%error, root = %root.display(), "a directory cannot be opened");
                // Those behind it would get its number.
                break;
            }
        }
    }
}

impl Upkeep for Roots {
    #[inline]
    fn before_request(&mut self, _: &mut App, files: &mut dyn Files) {
        if !self.0.is_empty() {
            self.open(files);
        }
    }
}
