//! The servers, how each is started, and what it cannot do.

use std::fmt;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::build::Binaries;
use crate::launch::{self, Guard};
use crate::scratch::Scratch;
use crate::workload::Workload;

/// The body that every server answers with.
pub(crate) const BODY: &str = "Vrypt";

/// How long a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Connections that servers with a limit are told to allow.
const CONNECTION_COUNT_MAX: &str = "16384";

/// A server to be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Server {
    /// An epoll loop that parses nothing: what the kernel alone costs
    Floor,
    /// The same, accepting a connection together with its request
    FloorEager,
    /// mio and httparse fused by hand
    Fused,
    /// `corelane fixed`
    Corelane,
    /// hyper on one tokio thread
    Hyper,
    /// actix-web with one worker
    Actix,
    /// may_minihttp with one worker
    May,
    /// nginx with one worker
    Nginx,
    /// h2o with one thread
    H2o,
}

impl Server {
    /// Why it takes no part in a workload.
    pub(crate) fn cannot(self, workload: Workload) -> Option<&'static str> {
        match (self, workload) {
            (Self::FloorEager, workload) if workload != Workload::Close => {
                Some("differs from floor only for new connections")
            }
            (Self::Fused, Workload::Close) => Some("accepts as the floor does"),
            (Self::May, Workload::Headers40) => Some("takes at most 16 header fields"),
            (Self::May, Workload::Close) => Some("ignores Connection: close"),
            _ => None,
        }
    }

    /// Where its program is.
    pub(crate) fn program(self, binaries: &Binaries) -> anyhow::Result<PathBuf> {
        match self {
            Self::Floor | Self::FloorEager => binaries.own("floor"),
            Self::Corelane => binaries.own("corelane"),
            Self::Fused | Self::Hyper | Self::Actix | Self::May => {
                binaries.rival(&self.to_string())
            }
            Self::Nginx | Self::H2o => binaries.installed(&self.to_string()),
        }
    }

    fn arguments(
        self,
        workload: Workload,
        port: u16,
        scratch: &Scratch,
    ) -> anyhow::Result<Vec<String>> {
        let port_text = port.to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Ok(match self {
            Self::Floor | Self::FloorEager => {
                let length = workload.request_length(&format!("127.0.0.1:{port}"))?.to_string();
                let mut arguments: Vec<_> =
                    words(&["--port", &port_text, "--request-bytes", &length, "--body", BODY]);
                arguments.extend((workload == Workload::Close).then(|| "--close".to_owned()));
                arguments.extend((self == Self::FloorEager).then(|| "--eager".to_owned()));
                arguments
            }
            Self::Corelane => words(&[
                "fixed",
                "--port",
                &port_text,
                "--bind",
                "127.0.0.1",
                "--workers",
                "1",
                "--body",
                BODY,
                "--max-connections",
                CONNECTION_COUNT_MAX,
            ]),
            Self::Fused | Self::Hyper | Self::Actix | Self::May => words(&["--port", &port_text]),
            Self::Nginx => {
                let file = scratch
                    .write(&format!("nginx-{port}.conf"), &nginx_configuration(port, scratch))?;
                words(&["-p", &path_text(scratch.path()), "-c", &path_text(&file)])
            }
            Self::H2o => {
                scratch.write("index.txt", BODY)?;
                let file = scratch
                    .write(&format!("h2o-{port}.conf"), &h2o_configuration(port, scratch))?;
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

/// A server that accepts connections; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    server: Server,
    guard: Guard,
    address: SocketAddr,
}

impl Running {
    pub(crate) fn start(
        server: Server,
        workload: Workload,
        core: usize,
        binaries: &Binaries,
        scratch: &Scratch,
    ) -> anyhow::Result<Self> {
        let program = server.program(binaries)?;
        let address = free_address()?;
        let log_path = scratch.path().join(format!("{server}-{}.log", address.port()));
        let log = File::create(&log_path).context("cannot create a log")?;
        let child = launch::command(core, &program, workload.wants_ballast())?
            .args(server.arguments(workload, address.port(), scratch)?)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {server}"))?;
        let mut running = Self { server, guard: Guard(child), address };
        running.wait_until_ready().with_context(|| {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().next_back().unwrap_or("it said nothing").to_owned();
            format!("{server} did not start: {last}")
        })?;
        Ok(running)
    }

    pub(crate) fn server(&self) -> Server {
        self.server
    }

    pub(crate) fn process(&self) -> u32 {
        self.guard.0.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = self.guard.0.try_wait().context("wait")? {
                bail!("{status}");
            }
            if TcpStream::connect_timeout(&self.address, START_LIMIT).is_ok() {
                // What a server does once after its start should not be in the first round.
                thread::sleep(Duration::from_millis(200));
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("no connection within {} s", START_LIMIT.as_secs())
    }
}

/// A port that nobody listens on at this moment.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}

/// The cheapest way nginx has to answer with a text: `return`.
fn nginx_configuration(port: u16, scratch: &Scratch) -> String {
    let directory = scratch.path().display();
    format!(
        "daemon off;
worker_processes 1;
pid {directory}/nginx-{port}.pid;
error_log /dev/null crit;
worker_rlimit_nofile 65536;
events {{ worker_connections {CONNECTION_COUNT_MAX}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type text/plain; return 200 {BODY}; }}
    }}
}}
"
    )
}

/// The cheapest way h2o has to answer with a text: a small file that it keeps open (its other way,
/// a handler in mruby, costs a third more).
fn h2o_configuration(port: u16, scratch: &Scratch) -> String {
    let directory = scratch.path().display();
    format!(
        "num-threads: 1
max-connections: {CONNECTION_COUNT_MAX}
http1-request-timeout: 3600
listen: {{host: 127.0.0.1, port: {port}}}
error-log: /dev/null
hosts:
  default:
    paths:
      /:
        file.file: {directory}/index.txt
"
    )
}

fn path_text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
