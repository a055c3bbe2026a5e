//! What to ask, how, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::live::Mode;
use super::output::Files;
use super::values::{self, Ramp, WeightedUrl};
use super::{Failure, contents, kept};
use crate::doctor::Subject;
use crate::record::{Discipline, Load};
use crate::{Admin, Arrivals, Expect, Pace, Plan, Request, Stop, Timeouts, Url, Weighted, units};

/// The rate of a run for which neither a rate nor connections are given.
const RATE: f64 = 1_000.0;

#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// What to ask for; of several, one that has a weight before it comes that many times as often
    #[arg(value_name = "[WEIGHT=]URL", value_parser = values::url, required_unless_present = "urls")]
    url: Vec<WeightedUrl>,
    /// Take the URLs from a file instead, one a line, each perhaps with a weight
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    urls: Option<PathBuf>,

    /// Requests per second, by the clock: 500, 20k [default: 1k, unless --connections is given]
    #[arg(short, long, value_parser = values::rate, help_heading = "Load")]
    rate: Option<f64>,
    /// How the times of --rate are spread
    #[arg(long, value_enum, default_value = "constant", help_heading = "Load")]
    arrivals: ArrivalsArg,
    /// Raise the rate step by step, as 1k..50k:5s or 1k..50k:5s:20 (10 steps unless said)
    #[arg(long, value_name = "FROM..TO:TIME", value_parser = values::ramp, help_heading = "Load",
          conflicts_with_all = ["rate", "duration", "requests"])]
    pub(super) ramp: Option<Ramp>,
    /// Connections: without a rate all of them ask, one request after the other; with one, the most there
    /// may be [default: 1000]
    #[arg(short, long, value_name = "COUNT", value_parser = values::count, help_heading = "Load")]
    connections: Option<u64>,
    /// How long to measure
    #[arg(short, long, value_name = "TIME", value_parser = values::time, default_value = "10s",
          help_heading = "Load")]
    duration: Duration,
    /// Send exactly this many requests instead, without warm-up
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = values::count,
          conflicts_with_all = ["duration", "warm_up"], help_heading = "Load")]
    requests: Option<u64>,
    /// Traffic before measuring
    #[arg(short, long, value_name = "TIME", value_parser = values::time, default_value = "1s",
          help_heading = "Load")]
    warm_up: Duration,
    /// Requests in flight on each connection, at most
    #[arg(short, long, default_value_t = 1, help_heading = "Load")]
    pipeline: usize,
    /// A connection of its own for each request
    #[arg(long, alias = "close", help_heading = "Load")]
    no_keep_alive: bool,
    /// How long to wait for a connection or an answer
    #[arg(short, long, value_name = "TIME", value_parser = values::time, default_value = "5s",
          help_heading = "Load")]
    timeout: Duration,
    /// What is left to chance is the same for the same seed
    #[arg(long, default_value_t = 0, help_heading = "Load")]
    seed: u64,
    /// Only open the connections, with one request on each, say how many are open, and hold them until a
    /// byte or the end of standard input
    #[arg(long, conflicts_with_all = ["requests", "no_keep_alive", "pipeline", "rate", "ramp"],
          help_heading = "Load")]
    pub(super) idle: bool,

    /// The method [default: GET, with a body POST]
    #[arg(short = 'X', long, help_heading = "Request")]
    method: Option<String>,
    /// A header field to add, repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", help_heading = "Request")]
    headers: Vec<String>,
    /// The body
    #[arg(short, long, value_name = "TEXT", help_heading = "Request")]
    body: Option<String>,
    /// The body, from a file
    #[arg(long, value_name = "FILE", conflicts_with = "body", help_heading = "Request")]
    body_file: Option<PathBuf>,

    /// The status that is right [default: 200 to 399]
    #[arg(long, value_name = "STATUS", help_heading = "What is right")]
    expect_status: Option<u16>,
    /// The body that is right
    #[arg(long, value_name = "TEXT", help_heading = "What is right")]
    expect_body: Option<String>,
    /// What a right body contains
    #[arg(long, value_name = "TEXT", help_heading = "What is right")]
    expect_contains: Option<String>,
    /// The length of a right body; bodies are then counted, not read
    #[arg(long, value_name = "BYTES", help_heading = "What is right")]
    expect_length: Option<u64>,
    /// A header field that is there, with this value if one is given
    #[arg(long, value_name = "NAME[: VALUE]", help_heading = "What is right")]
    expect_header: Option<String>,
    /// The share of requests that may have no right answer before the exit code is 1: 0.001 or 0.1%; with 0,
    /// nothing at all may go wrong
    #[arg(long, value_name = "SHARE", value_parser = values::share, default_value = "0",
          help_heading = "What is right")]
    pub(super) allow_faults: f64,

    /// Event loops, each on a thread of its own; more than one pay on cores that the server leaves free, when
    /// one is busy all the time: from about 100k requests a second on
    #[arg(long, default_value_t = 1, help_heading = "Machine")]
    threads: usize,
    /// The cores the threads are bound to, in turn: 1 or 2,3
    #[arg(long, value_delimiter = ',', value_name = "CORE", help_heading = "Machine")]
    cores: Vec<usize>,
    /// Never sleep: the server then does not pay for waking the client
    #[arg(long, help_heading = "Machine")]
    spin: bool,
    /// The server's process, if it is here: tells its CPU time for each response
    #[arg(long, alias = "watch", value_name = "PID", help_heading = "Machine")]
    server_pid: Option<u32>,
    /// The admin listener of a corelane server, http://HOST:PORT or unix:PATH: lays its own histogram
    /// beside ours
    #[arg(long, value_name = "ADDR", help_heading = "Machine")]
    server_metrics: Option<String>,
    /// The file with the token that the admin listener asks for
    #[arg(long, value_name = "FILE", requires = "server_metrics", help_heading = "Machine")]
    server_token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) files: Files,
    /// How to show the run while it goes on, on standard error
    #[arg(long, value_enum, default_value = "auto", help_heading = "Results")]
    progress: Mode,
    /// Show nothing while it goes on
    #[arg(short, long, conflicts_with = "progress", help_heading = "Results")]
    quiet: bool,
}

/// As [`Arrivals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ArrivalsArg {
    /// Evenly.
    Constant,
    /// At random, as those of many people.
    Poisson,
}

/// What an invocation asks for.
pub(super) struct Job {
    pub(super) plan: Plan,
    method: String,
    fields: Vec<String>,
    body: String,
}

/// By which two bodies are told apart.
fn digest(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let mut sum = flate2::Crc::new();
    sum.update(body);
    format!("{} bytes, CRC-32 {:08x}", body.len(), sum.sum())
}

impl Options {
    pub(super) fn mode(&self) -> Mode {
        if self.quiet { Mode::None } else { self.progress }
    }

    /// The server's admin listener, if one is given.
    pub(super) fn admin(&self) -> Result<Option<Admin>, Failure> {
        let Some(address) = &self.server_metrics else { return Ok(None) };
        let usage = |error: crate::Error| Failure::Usage(error.to_string());
        let admin = Admin::parse(address).map_err(usage)?;
        let Some(path) = &self.server_token_file else { return Ok(Some(admin)) };
        let token = contents("--server-token-file", path)?;
        admin.with_token(String::from_utf8_lossy(&token).trim()).map(Some).map_err(usage)
    }

    /// What stands above the live view.
    pub(super) fn title(&self, plan: &Plan) -> String {
        let pace = match plan.pace {
            Pace::Closed => format!("closed loop, {} connections", plan.connections),
            Pace::Open { rate, .. } => format!("open loop, {}/s", units::rate(rate)),
        };
        let first = plan.requests.first().map_or("", |weighted| &weighted.name);
        let more = match plan.requests.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!("{first}{more}: {pace}")
    }

    /// Makes a plan of it.
    pub(super) fn job(&self) -> Result<Job, Failure> {
        let usage = |error: crate::Error| Failure::Usage(error.to_string());
        let urls = self.weighted_urls()?;
        let parsed: Vec<_> =
            urls.iter().map(|url| Url::parse(&url.url)).collect::<Result<_, _>>().map_err(usage)?;
        let first = parsed.first().ok_or_else(|| Failure::Usage("there is no URL".to_owned()))?;
        if let Some(other) = parsed.iter().find(|url| url.authority() != first.authority()) {
            let (one, other) = (first.authority(), other.authority());
            return Err(Failure::Usage(format!(
                "all URLs are of one server, not of {one} and {other}"
            )));
        }
        let body = match (&self.body, &self.body_file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(path)) => contents("--body-file", path)?,
            (None, None) => Vec::new(),
        };
        let usual = if body.is_empty() { "GET" } else { "POST" };
        let method = self.method.clone().unwrap_or_else(|| usual.to_owned());
        let headers = self.headers()?;
        let closes = self.no_keep_alive.then_some(("Connection", "close"));
        let fields: Vec<_> =
            headers.iter().map(|(name, value)| (&**name, &**value)).chain(closes).collect();
        let mut requests = Vec::with_capacity(urls.len());
        for (WeightedUrl { weight, url: name }, url) in urls.iter().zip(&parsed) {
            let request = Request::new(&method, url.target(), url.authority(), &fields, &body);
            let (request, expect) = (request.map_err(usage)?, self.expect());
            requests.push(Weighted { name: kept::url(name), weight: *weight, request, expect });
        }
        let targets = first.resolve().map_err(|error| Failure::Run(error.into()))?;
        let plan = self.plan(targets, requests);
        plan.check().map_err(usage)?;
        let fields = headers.iter().map(|(name, value)| kept::field(&format!("{name}: {value}")));
        Ok(Job { plan, method, fields: fields.collect(), body: digest(&body) })
    }

    fn plan(&self, targets: Vec<std::net::SocketAddr>, requests: Vec<Weighted>) -> Plan {
        let rate = match (self.rate, self.ramp, self.connections) {
            (Some(rate), ..) => Some(rate),
            (None, Some(ramp), _) => Some(ramp.from),
            (None, None, Some(_)) => None,
            (None, None, None) => Some(RATE),
        };
        let arrivals = match self.arrivals {
            ArrivalsArg::Constant => Arrivals::Constant,
            ArrivalsArg::Poisson => Arrivals::Poisson,
        };
        let stop = match (self.ramp, self.requests) {
            (Some(ramp), _) => Stop::After(ramp.step),
            (None, Some(count)) => Stop::Requests(count),
            (None, None) => Stop::After(self.duration),
        };
        let connections = self.connections.unwrap_or(1_000);
        Plan {
            targets,
            requests,
            pace: rate.map_or(Pace::Closed, |rate| Pace::Open { rate, arrivals }),
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            pipeline: self.pipeline,
            stop,
            warm_up: if self.requests.is_some() { Duration::ZERO } else { self.warm_up },
            timeouts: Timeouts {
                connect: self.timeout,
                response: self.timeout,
                ..Timeouts::default()
            },
            threads: self.threads,
            cores: self.cores.clone(),
            spin: self.spin,
            seed: self.seed,
            watch: self.server_pid,
        }
    }

    fn weighted_urls(&self) -> Result<Vec<WeightedUrl>, Failure> {
        let Some(path) = &self.urls else { return Ok(self.url.clone()) };
        let text = String::from_utf8_lossy(&contents("--urls", path)?).into_owned();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                values::url(line.trim()).map_err(|why| {
                    Failure::Usage(format!("{}, line {}: {why}", path.display(), index + 1))
                })
            })
            .collect()
    }

    fn headers(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut fields = Vec::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                let why = format!("--header {header:?} has no colon; write 'Name: value'");
                return Err(Failure::Usage(why));
            };
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(fields)
    }

    fn expect(&self) -> Expect {
        let bytes = |text: &Option<String>| text.clone().map(String::into_bytes);
        let field = self.expect_header.as_ref().map(|header| match header.split_once(':') {
            Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
            None => (header.trim().to_owned(), None),
        });
        Expect {
            status: self.expect_status,
            body: bytes(&self.expect_body),
            contains: bytes(&self.expect_contains),
            length: self.expect_length,
            field,
        }
    }
}

impl Job {
    /// What is kept of it in a result.
    pub(super) fn load(&self, plan: &Plan) -> Load {
        let discipline = match plan.pace {
            Pace::Closed => Discipline::Closed,
            Pace::Open { rate, arrivals } => Discipline::Open {
                rate: format!("{}/s", units::rate(rate)),
                arrivals: match arrivals {
                    Arrivals::Constant => "constant".to_owned(),
                    Arrivals::Poisson => "poisson".to_owned(),
                },
            },
        };
        let weights = match plan.requests.len() {
            1 => Vec::new(),
            _ => plan.requests.iter().map(|request| request.weight).collect(),
        };
        Load {
            urls: plan.requests.iter().map(|request| request.name.clone()).collect(),
            weights,
            method: self.method.clone(),
            fields: self.fields.clone(),
            body: self.body.clone(),
            discipline,
            connections: plan.connections,
            pipeline: plan.pipeline,
            keep_alive: !plan.requests.iter().any(|weighted| weighted.request.closes()),
            threads: plan.threads,
            cores: plan.cores.clone(),
            spin: plan.spin,
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            timeout_seconds: plan.timeouts.response.as_secs_f64(),
        }
    }

    /// What the machine is looked at for.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            connections: self.plan.connections as u64,
            keep_alive: !self.plan.requests.iter().any(|weighted| weighted.request.closes()),
            local: self.plan.targets.iter().all(|target| target.ip().is_loopback()),
            cores: self.plan.cores.clone(),
            server: self.plan.watch,
        }
    }
}
