//! The servers, and how each is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::build::Binaries;
use crate::configuration::{floor_reply, h2o_configuration, nginx_configuration, site};
use crate::launch::Launch;
use crate::scratch::Scratch;
use crate::start;
use crate::started::Started;

/// The body that every server answers with, unless told otherwise.
pub const BODY: &str = "Vrypt";
/// What every server answers with under [`App::Json`].
pub const JSON_BODY: &str = r#"{"message":"Hello, World!"}"#;

/// Connections that servers with a limit are told to allow.
pub(crate) const CONNECTION_COUNT_MAX: &str = "16384";

/// What a server serves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum App {
    /// One body, whatever is asked.
    #[default]
    Fixed,
    /// The files of a directory: one, of that body.
    Static,
    /// `/json`: a message serialised to [`JSON_BODY`] for each reply.
    Json,
    /// The routes of `benches/rivals/routes.txt`; the reply is the values of the parameters.
    Routed,
    /// The same behind request id, CORS, compression, security fields and timeout.
    Middleware,
}

impl App {
    /// Its name on the command lines of rivals.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The core it is bound to.
    pub core: usize,
    /// Leave three quarters of that core to a neighbour that wants it.
    pub yielding: bool,
    /// Limits as the server is shipped, and a handler that reads bodies at `/body`. Otherwise no
    /// connection meets a limit of time or count during a run.
    pub as_shipped: bool,
    /// Descriptors that it may have; otherwise as many as permitted.
    pub descriptors: Option<u64>,
    /// Fields of every request beside `Host`. The floors read as many bytes as such a request has.
    pub fields: Vec<(String, String)>,
    /// The floors answer each receive once, whatever the length of a request.
    pub any_request: bool,
    /// Where a line is written for each request, by a server that can (nginx).
    pub log: Option<PathBuf>,
    /// What it serves.
    pub app: App,
    /// What is asked of it.
    pub path: String,
    /// What it answers with. Under [`App::Fixed`] the rivals and the floors answer with [`BODY`]
    /// whatever this says.
    pub body: Vec<u8>,
}

impl Setup {
    /// To answer with [`BODY`] on one core, free of limits.
    pub fn new(core: usize) -> Self {
        let body = BODY.as_bytes().to_vec();
        Self {
            core,
            yielding: false,
            as_shipped: false,
            descriptors: None,
            fields: Vec::new(),
            any_request: false,
            log: None,
            app: App::Fixed,
            path: "/".to_owned(),
            body,
        }
    }

    /// The request that `fields` belong to, to `authority`.
    ///
    /// # Errors
    /// When a field is not one.
    pub fn request(&self, authority: &str) -> anyhow::Result<corelane_load::Request> {
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        Ok(corelane_load::Request::new("GET", &self.path, authority, &fields, b"")?)
    }

    fn closes(&self) -> bool {
        self.fields.iter().any(|(name, value)| name == "Connection" && value == "close")
    }
}

/// A server to be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Server {
    /// An epoll loop that parses nothing: what the kernel alone costs
    Floor,
    /// The same, accepting a connection together with its request
    FloorEager,
    /// mio and httparse fused by hand
    Fused,
    /// `corelane fixed`, `corelane static`, or our `web` for what needs a program
    Corelane,
    /// hyper on one tokio thread
    Hyper,
    /// actix-web with one worker
    Actix,
    /// axum and tower-http on one tokio thread
    Axum,
    /// may_minihttp with one worker
    May,
    /// nginx with one worker
    Nginx,
    /// h2o with one thread
    H2o,
    /// Node's `http`
    Node,
    /// Python's `http.server`, a thread for each connection
    Python,
}

impl Server {
    /// Where its program is.
    ///
    /// # Errors
    /// When it is not installed, or has not been built.
    pub fn program(self, app: App, binaries: &Binaries) -> anyhow::Result<PathBuf> {
        match self {
            Self::Floor | Self::FloorEager => binaries.own("floor"),
            Self::Corelane if matches!(app, App::Fixed | App::Static) => binaries.own("corelane"),
            Self::Corelane => binaries.own("web"),
            Self::Fused | Self::Hyper | Self::Actix | Self::Axum | Self::May => {
                binaries.rival(&self.to_string())
            }
            Self::Nginx | Self::H2o | Self::Node => binaries.installed(&self.to_string()),
            Self::Python => binaries.installed("python3"),
        }
    }

    fn arguments(
        self,
        setup: &Setup,
        port: u16,
        binaries: &Binaries,
        scratch: &Scratch,
    ) -> anyhow::Result<Vec<String>> {
        let port_text = port.to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Ok(match self {
            Self::Floor | Self::FloorEager => {
                let request = setup.request(&format!("127.0.0.1:{port}"))?;
                let length = if setup.any_request { 0 } else { request.bytes().len() };
                let length = length.to_string();
                let mut arguments: Vec<_> =
                    words(&["--port", &port_text, "--request-bytes", &length]);
                arguments.extend(floor_reply(setup, scratch)?);
                arguments.extend(setup.closes().then(|| "--close".to_owned()));
                arguments.extend((self == Self::FloorEager).then(|| "--eager".to_owned()));
                arguments
            }
            Self::Corelane if matches!(setup.app, App::Fixed | App::Static) => {
                let mut arguments: Vec<_> = if setup.app == App::Static {
                    words(&["static", &path_text(&site(setup, scratch)?)])
                } else {
                    let body = scratch.write(&format!("body-{port}.txt"), &setup.body)?;
                    words(&["fixed", "--body-file", &path_text(&body)])
                };
                let address = ["--port", &port_text, "--bind", "127.0.0.1", "--workers", "1"];
                arguments.extend(words(&address));
                // It keeps to its descriptors by itself, and refuses to promise more.
                if setup.descriptors.is_none() {
                    arguments.extend(words(&["--max-connections", CONNECTION_COUNT_MAX]));
                }
                arguments
            }
            Self::Fused | Self::Hyper | Self::Actix | Self::Axum | Self::May | Self::Corelane => {
                let mut arguments = words(&["--port", &port_text, "--app", &setup.app.name()]);
                if setup.app == App::Static {
                    arguments.extend(words(&["--root", &path_text(&site(setup, scratch)?)]));
                }
                arguments
            }
            Self::Nginx => {
                let configuration = nginx_configuration(setup, port, scratch)?;
                let file = scratch.write(&format!("nginx-{port}.conf"), configuration)?;
                words(&["-p", &path_text(scratch.path()), "-c", &path_text(&file)])
            }
            Self::Node => {
                words(&[&path_text(&binaries.script("wire.mjs")), "--http", "--port", &port_text])
            }
            Self::Python => {
                words(&[&path_text(&binaries.script("http_python.py")), "--port", &port_text])
            }
            Self::H2o => {
                let configuration = h2o_configuration(setup, port, scratch)?;
                let file = scratch.write(&format!("h2o-{port}.conf"), configuration)?;
                words(&["-m", "worker", "-c", &path_text(&file)])
            }
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Those of `wanted` that can be started here; says which cannot, and why.
///
/// # Errors
/// When there is none.
pub fn present(wanted: &[Server], binaries: &Binaries) -> anyhow::Result<Vec<Server>> {
    start::present(wanted, |server| server.program(App::Fixed, binaries))
}

/// A server that accepts connections; ended when this is dropped.
#[derive(Debug)]
pub struct Running {
    server: Server,
    started: Started,
}

impl Running {
    /// Starts `server` and waits until it accepts connections.
    ///
    /// # Errors
    /// When it is not there, or does not start; with the last that it said.
    pub fn start(
        server: Server,
        setup: &Setup,
        binaries: &Binaries,
        scratch: &Scratch,
    ) -> anyhow::Result<Self> {
        let launch = Launch {
            yielding: setup.yielding,
            descriptors: setup.descriptors,
            ..Launch::new(setup.core, server.program(setup.app, binaries)?)
        };
        let arguments = |port| server.arguments(setup, port, binaries, scratch);
        let started = Started::start(&server.to_string(), &launch, arguments, scratch)?;
        Ok(Self { server, started })
    }

    /// Which one it is.
    pub fn server(&self) -> Server {
        self.server
    }

    /// The first of its processes.
    pub fn process(&self) -> u32 {
        self.started.process()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.started.address()
    }
}

fn path_text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
