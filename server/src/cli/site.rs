//! `corelane static` and `corelane serve`: sites from a folder or a configuration.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{ArgMatches, ValueEnum};
use corelane_http::middleware::RateLimitMetrics;
use corelane_http::{Http, HttpCounters, HttpMetrics};
use serde_json::{Value, json};

use super::config::refused;
use super::http::{self, HttpArgs};
use super::listen::{self, ListenArgs};
use super::run::{Families, Service, ServiceArgs};
use super::terminal::Terminal;
use super::{Failure, limits};
use crate::config::{self, Config, Effective, Finding, Findings, Origin, Sources, flags};
use crate::logs::Logs;
use crate::site::{self, BuildError, Live, Source};
use crate::supervisor::Supervisor;

/// Options that override the configuration.
#[derive(clap::Args, Debug)]
pub(super) struct SiteArgs {
    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    service: ServiceArgs,

    #[command(flatten)]
    http: HttpArgs,

    /// Where a line for each request goes: a file, `stdout` or `stderr`
    #[arg(long, value_name = "PATH", help_heading = "Log")]
    access_log: Option<String>,

    /// Its form: `common`, `combined`, `json`, or a text with `$variables`
    #[arg(long, value_name = "FORMAT", help_heading = "Log")]
    access_log_format: Option<String>,

    /// Where the server runs; decides the defaults of other settings [default: production]
    #[arg(long, value_enum, value_name = "NAME")]
    environment: Option<Environment>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Environment {
    Development,
    Production,
}

/// Options of `corelane serve`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Precedence: flags, CORELANE_* variables, the file, defaults. --bind replaces \
    the file's listeners; --port, the port that they have in common.\n\n\
    SIGHUP loads the file again: what is right takes effect without losing a request, what is wrong \
    changes nothing and is logged. `corelane check` looks at a file without serving it.\n\n\
    Examples:\n  corelane serve -c site.json\n  \
    corelane serve -c site.toml --port 3000 --environment development\n  \
    CORELANE_STATIC_DIR=public corelane serve"
)]
pub(super) struct ServeArgs {
    /// Configuration file: JSON, or TOML if its name ends in .toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Load the file again when it changes, as SIGHUP does
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    site: SiteArgs,
}

/// Options of `corelane static`.
#[derive(clap::Args, Debug)]
#[command(after_help = "CORELANE_* variables count, too, where no flag says otherwise. When its \
    terminal closes, the server stops, unless it was started by nohup.\n\n\
    Examples:\n  corelane static                          \
    the current folder, on port 8080\n  corelane static public 3000              \
    another folder and port\n  corelane static dist --spa index.html    \
    an application that routes in the browser\n  \
    corelane static --bind 127.0.0.1 --listing off --access-log stdout")]
pub(super) struct StaticArgs {
    /// Folder to serve
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// File that stands for its folder, repeatable, the first that exists
    #[arg(long, value_name = "NAME", default_value = "index.html")]
    index: Vec<String>,

    /// Lists of folders without such a file: none, HTML, JSON, or what the client prefers
    #[arg(long, value_enum, value_name = "FORM", default_value = "auto")]
    listing: Listing,

    /// File answered with 200 to browsers where there is none
    #[arg(long, value_name = "FILE")]
    spa: Option<String>,

    /// Page for an error, repeatable
    #[arg(long, value_name = "STATUS=FILE")]
    error_page: Vec<String>,

    /// Serve and list files whose names begin with a dot
    #[arg(long)]
    hidden: bool,

    /// Symbolic links: followed inside of the folder, not found, or followed anywhere
    #[arg(long, value_enum, value_name = "RULE", default_value = "inside")]
    symlinks: Symlinks,

    /// Cache-Control of files by name, repeatable, the first that fits
    #[arg(long, value_name = "PATTERN=VALUE")]
    cache_control: Vec<String>,

    /// Memory per loop for small files; 0 for none
    #[arg(long, value_name = "BYTES", default_value = "16M")]
    max_cache: String,

    /// Do not send compressed files that stand beside others (app.js.br, .zst, .gz)
    #[arg(long)]
    no_precompressed: bool,

    /// Compress answers as they are sent
    #[arg(long)]
    compress: bool,

    /// Let scripts of this origin read answers, repeatable; `*` for all
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,

    #[command(flatten)]
    site: SiteArgs,
}

/// What `corelane static` calls the keys that it sets.
const SPOKEN: [(&str, &str); 11] = [
    ("routes[0].static.dir", "DIR"),
    ("routes[0].static.index", "--index"),
    ("routes[0].static.listing", "--listing"),
    ("routes[0].static.fallback", "--spa"),
    ("routes[0].static.errors", "--error-page"),
    ("routes[0].static.hidden", "--hidden"),
    ("routes[0].static.symlinks", "--symlinks"),
    ("routes[0].static.cache_control", "--cache-control"),
    ("routes[0].static.max_cache", "--max-cache"),
    ("middleware.compression", "--compress"),
    ("middleware.cors", "--cors"),
];

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Listing {
    Off,
    Html,
    Json,
    Auto,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Symlinks {
    Inside,
    Deny,
    Follow,
}

impl StaticArgs {
    /// The configuration that these options are short for.
    fn document(&self) -> Result<Value, Failure> {
        let pairs = |option: &str, texts: &[String], expected: &str| {
            let pair = |text: &String| match text.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(Failure::Usage(format!("{option} {text}: expected {expected}"))),
            };
            texts.iter().map(pair).collect::<Result<Vec<_>, _>>()
        };
        let errors = pairs("--error-page", &self.error_page, "a page such as 404=404.html")?;
        let errors: serde_json::Map<String, Value> =
            errors.into_iter().map(|(status, file)| (status, json!(file))).collect();
        let rules = pairs("--cache-control", &self.cache_control, "a rule such as *.js=no-cache")?;
        let rules: Vec<Value> = rules
            .into_iter()
            .map(|(files, value)| json!({ "files": files, "value": value }))
            .collect();
        let precompressed: &[&str] =
            if self.no_precompressed { &[] } else { &["zstd", "br", "gzip"] };
        let dir = std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let mut files = json!({
            "dir": dir,
            "index": self.index,
            "listing": name(self.listing),
            "errors": errors,
            "hidden": self.hidden,
            "symlinks": name(self.symlinks),
            "precompressed": precompressed,
            "max_cache": self.max_cache,
        });
        if let Some(file) = &self.spa {
            files["fallback"] = json!(file);
        }
        if !rules.is_empty() {
            files["cache_control"] = json!(rules);
        }
        let mut middleware = json!({ "compression": self.compress });
        if !self.cors.is_empty() {
            middleware["cors"] = json!({ "origins": self.cors });
        }
        let route = json!({ "path": "/", "name": "static", "static": files });
        Ok(json!({ "routes": [route], "middleware": middleware }))
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

pub(super) fn run_static(args: StaticArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let document = args.document()?.to_string();
    let sources = Sources::new().spoken(document, &SPOKEN);
    let sources = sources.variables(std::env::vars_os()).arguments(matches);
    let Ok(dir) = std::fs::metadata(&args.dir) else {
        let dir = args.dir.display();
        return Err(Failure::Usage(format!("{dir}: there is no such folder; name one to serve")));
    };
    if !dir.is_dir() {
        let dir = args.dir.display();
        return Err(Failure::Usage(format!("{dir}: a file, not a folder; name its folder")));
    }
    run(sources, None)
}

pub(super) fn run_serve(args: ServeArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let mut sources = Sources::new();
    if let Some(file) = &args.config {
        sources = sources.file(file);
    }
    run(sources.variables(std::env::vars_os()).arguments(matches), args.config)
}

/// Serves what the sources say, until it is told to stop.
fn run(sources: Sources, file: Option<PathBuf>) -> Result<(), Failure> {
    let effective = sources.load().map_err(refused)?;
    for warning in &effective.warnings {
        tracing::warn!("{warning}");
    }
    let config = effective.config.clone();
    if let (Some(logs), true) = (Logs::current(), says_level(&effective)) {
        let _ = logs.set_level(config.logs.level.get());
    }
    if file.is_none() && serves_nothing(&config) {
        let message = "nothing to serve: name a configuration (-c FILE), or a folder \
                       (CORELANE_STATIC_DIR, or `corelane static DIR`)";
        return Err(Failure::Usage(message.to_owned()));
    }
    let doors = doors(&effective)?;
    let listeners = doors.len();
    let ready = Ready::check(&effective, listeners).map_err(refused)?;
    let plan = site::plan(&config, doors, ready.connections);
    let source = Source::new(effective.clone())
        .map_err(|error| refused(Findings(vec![unbuilt(&effective, &error)])))?;
    let reload = {
        let (source, sources) = (source.clone(), sources.clone());
        Arc::new(Mutex::new(move || reload(&source, &sources)))
    };
    // Who serves a folder from a terminal expects that to end with the terminal.
    let terminal = if file.is_none() { Terminal::of_process() } else { None };
    let service =
        ready.service.on_reload(reload.clone()).within(terminal).about_site(source.clone());
    source.log_into(service.access_log());
    let mut supervisor = Supervisor::new(plan);
    let names = supervisor.listener_names();
    let metrics = HttpMetrics::declare(supervisor.metrics()).with_listeners(names);
    let limited = RateLimitMetrics::declare(supervisor.metrics());
    let (requests, latency) = (metrics.requests(), metrics.latency());
    let http = site::http_config(&config);
    let summary = http::summary(&http);
    let server = supervisor
        .start({
            let source = source.clone();
            move |_lane, shard| {
                let counters = HttpCounters::new(metrics.clone(), shard.clone());
                let live = Live::counting(source.clone(), limited.clone(), shard);
                Http::new(live, http.clone(), counters)
            }
        })
        .map_err(|error| Failure::Run(anyhow::Error::msg(error.to_string())))?;
    source.attach(&server);
    let drain = config.drain_timeout.get();
    if let Some(file) = file {
        watch(file, source, reload)?;
    }
    service.mapping(latency).run(server, requests, &format!("{summary}, drain {drain:?}"), drain)
}

/// What a configuration needs of this machine before anything can be listened on.
struct Ready {
    connections: usize,
    service: Service,
}

impl Ready {
    /// Looks whether it is there, for so many listeners. All that is not is said, and where it was asked for.
    fn check(effective: &Effective, listeners: usize) -> Result<Ready, Findings> {
        let config = &effective.config;
        let wanted = config.limits.max_connections.map(|count| count.get() as usize);
        let key = if wanted.is_some() { "limits.max_connections" } else { "workers" };
        let connections = limits::connections(wanted, site::lanes(config), listeners)
            .map_err(|why| effective.finding(key, why));
        let service = Service::prepare(&ServiceArgs::of(config)).map_err(|blame| {
            effective.finding(flags::key(blame.option).unwrap_or_default(), blame.message())
        });
        match (connections, service) {
            (Ok(connections), Ok(service)) => Ok(Ready { connections, service }),
            (connections, service) => {
                Err(Findings(connections.err().into_iter().chain(service.err()).collect()))
            }
        }
    }
}

/// What a server would find wrong with a configuration before it listens on anything.
pub(super) fn rehearse(effective: &Effective) -> Vec<Finding> {
    let listeners = effective.config.listeners.len().max(1);
    let mut findings = Ready::check(effective, listeners).err().map_or(Vec::new(), |all| all.0);
    let mut trial = effective.clone();
    // To open the log would make the file.
    trial.config.logs.access.path = None;
    findings.extend(Source::new(trial).err().map(|error| unbuilt(effective, &error)));
    findings
}

/// Why a site cannot be built, and where that is written.
fn unbuilt(effective: &Effective, error: &BuildError) -> Finding {
    let text = error.to_string();
    let message = text.strip_prefix(error.place()).and_then(|rest| rest.strip_prefix(": "));
    effective.finding(error.place(), message.unwrap_or(&text))
}

fn serves_nothing(config: &Config) -> bool {
    config.static_dir.is_none() && config.routes.is_empty() && config.hosts.is_empty()
}

/// Whether the log's level was said here, rather than in `RUST_LOG`.
fn says_level(effective: &Effective) -> bool {
    let is_default = matches!(effective.origin("logs.level"), Origin::Default(_));
    !is_default || std::env::var_os("RUST_LOG").is_none()
}

/// What to listen on.
fn doors(effective: &Effective) -> Result<Vec<crate::supervisor::Door>, Failure> {
    let config = &effective.config;
    let chosen = |key| !matches!(effective.origin(key), Origin::Default(_));
    let asked = ["listeners", "host", "port"].into_iter().any(chosen);
    let port = config.port.get() as u16;
    let texts: Vec<&str> = match config.listeners.is_empty() {
        true => vec![&config.host],
        false => config.listeners.iter().map(|listener| listener.get()).collect(),
    };
    let addresses = || texts.iter().map(|text| listen::address(text, port)).collect();
    listen::doors(addresses, asked, true)
}

/// Loads the configuration again.
fn reload(source: &Source, sources: &Sources) -> anyhow::Result<()> {
    let loaded = sources.load();
    let level = loaded.as_ref().ok().filter(|new| says_level(new));
    let level = level.map(|new| new.config.logs.level.get().to_owned());
    let diff = source.reload(loaded)?;
    if let (Some(logs), Some(level)) = (Logs::current(), level)
        && let Err(error) = logs.set_level(&level)
    {
        // The configuration is in force: this alone is not.
        tracing::error!(%level, %error, "the log keeps its level");
    }
    for change in &diff.hot {
        tracing::info!(%change, "changed");
    }
    for change in &diff.restart {
        tracing::warn!(%change, "takes effect at the next start");
    }
    Ok(())
}

type SharedReload = Arc<Mutex<dyn FnMut() -> anyhow::Result<()> + Send>>;

/// How often a watched file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Loads the file again once it has changed and not changed again for a second, while the configuration
/// says so. Looking at it once a second works with every editor, file system and way to replace it.
fn watch(file: PathBuf, source: Arc<Source>, reload: SharedReload) -> Result<(), Failure> {
    let state = move || {
        let meta = std::fs::metadata(&file).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    let mut known = state();
    let mut seen = known;
    let look = move || loop {
        std::thread::sleep(LOOK);
        let now = state();
        let settled = now == seen;
        seen = now;
        if now == known || !settled || now.is_none() {
            continue;
        }
        known = now;
        if source.blueprint().config.watch {
            let mut reload = reload.lock().unwrap_or_else(PoisonError::into_inner);
            super::run::report_reload(reload());
        }
    };
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(look)
        .map_err(|error| Failure::Run(anyhow::Error::from(error)))?;
    Ok(())
}

impl ServiceArgs {
    /// What a configuration says about it.
    fn of(config: &Config) -> ServiceArgs {
        let metrics = &config.metrics;
        let statsd = metrics.statsd.as_ref().map_or("off", |target| target.get());
        let tag = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        ServiceArgs {
            statsd: statsd.to_owned(),
            statsd_name: metrics.name.clone(),
            statsd_families: match metrics.families {
                config::Families::Off => Families::Off,
                config::Families::Plain => Families::Plain,
                config::Families::Dogstatsd => Families::Dogstatsd,
            },
            statsd_interval: metrics.interval.get(),
            statsd_tag: metrics.tags.iter().map(|text| tag(text.pair())).collect(),
            admin: config.admin.as_ref().map(|address| address.get().to_owned()),
            admin_token_file: config.admin_token_file.as_ref().map(|path| path.get().to_owned()),
            admin_token: config.admin_token.as_ref().map(|token| token.get().clone()),
        }
    }
}
