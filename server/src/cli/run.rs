//! Running a server until it is told to stop: signals, metrics, the admin listener.

use std::env::VarError;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use corelane_acceptor::Address;
use corelane_eventloop::Nanos;
use corelane_metrics::expose::statsd::{
    LINES_MAX, Statsd, StatsdConfig, StatsdError, StatsdFlavour, StatsdLine, StatsdProgress,
    StatsdReport, StatsdReporter, StatsdValue,
};
use corelane_metrics::{CounterId, HistogramId};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

use super::terminal::Terminal;
use super::{Failure, LAST_WORDS, duration};
use crate::apps::admin::{self, AdminConfig, Figures, Subject, Token, TokenError};
use crate::logs::AccessLogSlot;
use crate::notify;
use crate::site::Source;
use crate::supervisor::{Server, Stopper};

/// Options about what a running server reports.
#[derive(clap::Args, Debug)]
pub(super) struct ServiceArgs {
    /// Where requests per second are reported by UDP, in StatsD's format; `off` for nowhere
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8125")]
    pub(super) statsd: String,

    /// How the reported figure is called: NAME.rps
    #[arg(long, value_name = "NAME", default_value = "corelane")]
    pub(super) statsd_name: String,

    /// Report all other metrics, too, 1024 lines of them at most: with labels as parts of names, or as
    /// DogStatsD tags
    #[arg(long, value_enum, value_name = "FORM", default_value = "off")]
    pub(super) statsd_families: Families,

    /// How often it is reported
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub(super) statsd_interval: Duration,

    /// DogStatsD tag, repeatable
    #[arg(long, value_name = "KEY:VALUE", value_parser = tag)]
    pub(super) statsd_tag: Vec<(String, String)>,

    /// Serve admin pages there (/health, /status, metrics): an address (port 9080 if it names none), of
    /// loopback unless there is a token, or `unix:PATH`, a socket for its owner only
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,

    /// File with the token that opens the admin pages, 16 to 512 characters; or the variable
    /// CORELANE_ADMIN_TOKEN has it, not both
    #[arg(long, value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,

    /// The token itself: never an option, which others see in the list of processes.
    #[arg(skip)]
    pub(super) admin_token: Option<Token>,
}

/// How StatsD is told of all metrics.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    /// Not at all.
    Off,
    /// Labels are parts of names.
    Plain,
    /// Labels are DogStatsD tags.
    Dogstatsd,
}

impl Families {
    fn flavour(self) -> Option<StatsdFlavour> {
        match self {
            Families::Off => None,
            Families::Plain => Some(StatsdFlavour::Plain),
            Families::Dogstatsd => Some(StatsdFlavour::Dog),
        }
    }
}

/// Reads `key:value`.
fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once(':').ok_or("expected a tag such as `env:production`")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What stands ready before the server starts, so that a mistake in it prevents the start.
pub(super) struct Service {
    statsd: Option<Statsd>,
    families: Option<StatsdFlavour>,
    admin: Option<AdminConfig>,
    /// The histogram that the admin pages make a heat map of.
    latency: Option<HistogramId>,
    reload: Option<Reload>,
    access_log: AccessLogSlot,
    site: Option<Arc<Source>>,
    terminal: Option<Terminal>,
    /// What stands before a TCP address for whoever is to open it.
    scheme: &'static str,
}

/// What SIGHUP does: loads the configuration again, and says why if it keeps the old one.
///
/// Runs on the thread that obeys signals, so an order to stop waits for it.
pub(super) type Reload = Arc<Mutex<dyn FnMut() -> anyhow::Result<()> + Send>>;

/// An option that cannot be followed.
pub(super) struct Blame {
    /// What the command line calls it.
    pub(super) option: &'static str,
    message: String,
    /// It is not the user's doing: only the network and the system are.
    is_fate: bool,
}

impl Blame {
    /// What is wrong, without the name of the option.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Blame> for Failure {
    fn from(blame: Blame) -> Failure {
        let text = format!("{}: {}", blame.option, blame.message);
        if blame.is_fate { Failure::Run(anyhow::Error::msg(text)) } else { Failure::Usage(text) }
    }
}

impl Service {
    pub(super) fn prepare(args: &ServiceArgs) -> Result<Service, Blame> {
        let statsd = match args.statsd.as_str() {
            "off" => None,
            target => {
                let config = StatsdConfig {
                    target: target.to_owned(),
                    prefix: args.statsd_name.clone(),
                    interval: args.statsd_interval,
                    tags: args.statsd_tag.clone(),
                };
                Some(Statsd::new(&config).map_err(statsd_blame)?)
            }
        };
        let admin = admin_config(args)?;
        Ok(Service {
            statsd,
            families: args.statsd_families.flavour(),
            admin,
            latency: None,
            reload: None,
            access_log: AccessLogSlot::default(),
            site: None,
            terminal: None,
            scheme: "http://",
        })
    }

    /// Where the command puts its access log, and a reload another one: SIGUSR1 reopens what is there, and
    /// `/status` shows its counters.
    pub(super) fn access_log(&self) -> AccessLogSlot {
        self.access_log.clone()
    }

    /// Has SIGHUP do this. Without it, SIGHUP ends the program, as it does when a terminal closes.
    pub(super) fn on_reload(mut self, reload: Reload) -> Service {
        self.reload = Some(reload);
        self
    }

    /// Has the server stop when this terminal closes, rather than load its configuration again.
    pub(super) fn within(mut self, terminal: Option<Terminal>) -> Service {
        self.terminal = terminal;
        self
    }

    /// Has addresses announced with this before them, instead of `http://`.
    pub(super) fn scheme(mut self, scheme: &'static str) -> Service {
        self.scheme = scheme;
        self
    }

    /// Has the admin pages make a heat map of these latencies.
    pub(super) fn mapping(mut self, latency: HistogramId) -> Service {
        self.latency = Some(latency);
        self
    }

    /// Has `/status` tell of the configuration.
    pub(super) fn about_site(mut self, site: Arc<Source>) -> Service {
        self.site = Some(site);
        self
    }

    /// Serves until a signal, then drains.
    pub(super) fn run(
        self,
        server: Server,
        requests: CounterId,
        limits: &str,
        drain: Duration,
    ) -> Result<(), Failure> {
        let stopping = Arc::new(AtomicBool::new(false));
        let orders = Orders {
            stopper: server.stopper(),
            stopping: stopping.clone(),
            drain,
            site: self.site.clone(),
            access_log: self.access_log.clone(),
            reload: self.reload,
            terminal: self.terminal,
        };
        orders.obey_signals()?;
        let mut subject = Subject {
            latency: self.latency,
            stopping: stopping.clone(),
            access_log: self.access_log.clone(),
            ..Subject::of(&server)
        };
        // Whoever serves a site may have said it elsewhere than on the command line.
        let admin_option = if self.site.is_some() { "admin" } else { "--admin" };
        if let Some(source) = self.site {
            let told = source.clone();
            subject.figures.push(Arc::new(move |figures| told.figures(figures)));
            subject.site = Some(Arc::new(move || source.status()));
        }
        let reporter = match self.statsd {
            Some(statsd) => Some(start_reporter(statsd, self.families, &mut subject, requests)?),
            None => None,
        };
        let started = self.admin.map(|config| admin::start(config, subject)).transpose();
        let admin = started.map_err(|error| {
            Failure::Run(anyhow::Error::msg(error.to_string()).context(admin_option))
        })?;
        self.access_log.listening_on(server.addresses());
        announce(&server, self.scheme, admin.as_ref(), limits);
        let addresses: Vec<String> = server.addresses().iter().map(Address::to_string).collect();
        notify::ready(&format!("serving on {}", addresses.join(", ")));
        notify::watch(server.pulse()).context("the watchdog's thread cannot be started")?;
        let (registry, cut) = (server.registry().clone(), server.cut_counter());
        let ended = server.join();
        match registry.counter_total(cut) {
            0 => tracing::info!("stopped"),
            connections => tracing::warn!(connections, "stopped; connections were cut"),
        }
        if let Some(reporter) = reporter {
            reporter.stop();
        }
        if let Some(admin) = admin {
            admin.stop(Nanos::from_millis(100));
            let _ = admin.join();
        }
        if let Some(log) = self.access_log.get() {
            log.flush(LAST_WORDS);
        }
        ended.context("a loop ended")?;
        Ok(())
    }
}

/// Which option is wrong, and why.
fn statsd_blame(error: StatsdError) -> Blame {
    let (option, is_fate) = match error {
        StatsdError::Target { .. } | StatsdError::Thread { .. } => ("--statsd", true),
        StatsdError::Interval { .. } => ("--statsd-interval", false),
        StatsdError::Tag { .. } | StatsdError::TagsTooLong { .. } => ("--statsd-tag", false),
        StatsdError::Name { .. } => ("--statsd-name", false),
        _ => ("--statsd", false),
    };
    Blame { option, message: error.to_string(), is_fate }
}

/// Where the admin pages are, and who may ask.
fn admin_config(args: &ServiceArgs) -> Result<Option<AdminConfig>, Blame> {
    let Some(text) = &args.admin else { return Ok(None) };
    let token = admin_token(args)?;
    let blame = |message| Blame { option: "--admin", message, is_fate: false };
    let address =
        crate::config::address::parse(text, 9080).map_err(|error| blame(error.to_string()))?;
    let config = AdminConfig { address, token };
    match config.address.tcp() {
        Some(tcp) if config.is_exposed() => Err(blame(format!(
            "{tcp}: only loopback addresses and Unix sockets without a token, since the pages are \
             open to whoever reaches them; use 127.0.0.1:{}, or --admin-token-file",
            tcp.port()
        ))),
        _ => Ok(Some(config)),
    }
}

/// The variable that has the token, unless something else says it.
const TOKEN_VARIABLE: &str = "CORELANE_ADMIN_TOKEN";

/// The token of the admin pages, if there is one. What is wrong with it is said without it.
fn admin_token(args: &ServiceArgs) -> Result<Option<Token>, Blame> {
    let blame = |message| Blame { option: "--admin-token-file", message, is_fate: false };
    let (origin, text) = match (&args.admin_token, &args.admin_token_file) {
        (Some(_), Some(_)) => {
            return Err(blame("there is a token besides; leave out one of the two".to_owned()));
        }
        (Some(token), None) => return Ok(Some(token.clone())),
        (None, Some(_)) if std::env::var_os(TOKEN_VARIABLE).is_some() => {
            return Err(blame(format!(
                "there is {TOKEN_VARIABLE} besides; leave out one of the two"
            )));
        }
        (None, Some(path)) => {
            let origin = path.display().to_string();
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| blame(format!("{origin}: {error}")))?;
            (origin, text)
        }
        (None, None) => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (TOKEN_VARIABLE.to_owned(), text),
            Err(VarError::NotPresent) => return Ok(None),
            // Not what it says, which is a secret.
            Err(VarError::NotUnicode(_)) => {
                return Err(blame(format!("{TOKEN_VARIABLE}: {}", TokenError::Character)));
            }
        },
    };
    let token = text.trim().parse();
    token.map(Some).map_err(|error: TokenError| blame(format!("{origin}: {error}")))
}

/// What signals are about.
struct Orders {
    stopper: Stopper,
    stopping: Arc<AtomicBool>,
    /// Unless the site says otherwise by then.
    drain: Duration,
    site: Option<Arc<Source>>,
    access_log: AccessLogSlot,
    reload: Option<Reload>,
    /// The terminal whose end is that of the server.
    terminal: Option<Terminal>,
}

impl Orders {
    /// Starts the thread that waits for signals.
    fn obey_signals(mut self) -> anyhow::Result<()> {
        let mut known = vec![SIGTERM, SIGINT, SIGQUIT, SIGUSR1];
        if self.reload.is_some() {
            known.push(SIGHUP);
        }
        let mut signals = signal_hook::iterator::Signals::new(known)
            .context("signal handlers cannot be installed")?;
        let obey = move || {
            for signal in signals.forever() {
                match signal {
                    SIGHUP if self.terminal.as_ref().is_some_and(Terminal::is_closed) => {
                        // A shell says it, and the kernel may say it again: that is no second order.
                        if !self.stopping.load(Ordering::Relaxed) {
                            tracing::info!("the terminal closed");
                            self.stop();
                        }
                    }
                    SIGHUP => self.reload(),
                    SIGUSR1 => self.reopen_logs(),
                    _ => self.stop(),
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(obey)?;
        Ok(())
    }

    /// The first such signal stops the server, any further one cuts its connections.
    fn stop(&mut self) {
        if self.stopping.swap(true, Ordering::Relaxed) {
            tracing::info!("cutting connections");
            self.stopper.cut();
        } else {
            tracing::info!("stopping; a second signal cuts connections");
            notify::stopping("finishing what is in flight");
            let site = self.site.as_ref().map(|site| site.blueprint());
            let drain = site.map_or(self.drain, |site| site.config.drain_timeout.get());
            self.stopper.stop(Nanos::from(drain));
        }
    }

    /// The file of a log may have been moved away: its next lines belong into a new one.
    fn reopen_logs(&self) {
        match self.access_log.get() {
            Some(log) => log.reopen(),
            None => tracing::info!("there is no access log: nothing to reopen"),
        }
    }

    fn reload(&mut self) {
        let Some(reload) = &self.reload else { return };
        notify::reloading();
        let mut reload = reload.lock().unwrap_or_else(PoisonError::into_inner);
        report_reload(reload());
    }
}

/// Says how a reload went.
pub(super) fn report_reload(outcome: anyhow::Result<()>) {
    match outcome {
        Ok(()) => {
            tracing::info!("configuration loaded again");
            notify::ready("serving; the configuration was loaded again");
        }
        Err(error) => {
            // One line, whatever is wrong: in the text log, and for systemd, whose lines are settings.
            let error = format!("{error:#}").replace('\n', "; ");
            tracing::error!("the old configuration stays in force: {error}");
            notify::ready(&format!("serving; the old configuration stays in force: {error}"));
        }
    }
}

/// Starts to report to StatsD: the rate of requests, and all figures if they are asked for. How that goes is
/// a figure, too.
fn start_reporter(
    statsd: Statsd,
    families: Option<StatsdFlavour>,
    subject: &mut Subject,
    requests: CounterId,
) -> Result<StatsdReporter, Blame> {
    let progress = statsd.progress();
    subject.figures.push({
        let progress = progress.clone();
        Arc::new(move |figures| tell_of_statsd(&progress, figures))
    });
    let rate = StatsdLine::new("rps", StatsdValue::Rate(requests)).map_err(statsd_blame)?;
    let registry = subject.registry.clone();
    let report = StatsdReport::new(vec![rate], &registry, Instant::now());
    let mut report = report.map_err(statsd_blame)?;
    if let Some(flavour) = families {
        let (subject, warned) = (subject.clone(), AtomicBool::new(false));
        let of_process = move || {
            // Asked for once per report, so this is about those before.
            let series = progress.omitted();
            if series > 0 && !warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(series, "StatsD is told of as many series as fit, not of all");
            }
            subject.of_process()
        };
        report = report.with_families(&registry, flavour, LINES_MAX);
        report = report.with_process(&registry, of_process);
    }
    StatsdReporter::spawn_report(statsd, registry, report).map_err(statsd_blame)
}

fn tell_of_statsd(progress: &StatsdProgress, figures: &mut Figures) {
    let summary = progress.summary();
    for (outcome, count) in [("sent", summary.datagrams_sent), ("failed", summary.datagrams_failed)]
    {
        let help = "Datagrams for StatsD, by whether the system took them.";
        figures.counter("corelane_statsd_datagrams_total", help, &[("outcome", outcome)], count);
    }
    let help = "Series that a report to StatsD had no room for, at most.";
    let omitted = progress.omitted() as u64;
    figures.gauge("corelane_statsd_series_omitted", help, &[], omitted);
}

/// Says what runs, where, and within which limits.
fn announce(server: &Server, scheme: &str, admin: Option<&Server>, limits: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the output does not want to hear it.
    for address in server.addresses() {
        let scheme = if address.tcp().is_some() { scheme } else { "" };
        let _ = writeln!(out, "listening on {scheme}{address}");
    }
    for address in admin.iter().flat_map(|admin| admin.addresses()) {
        let _ = writeln!(out, "admin on {address}: {}", admin::paths());
    }
    let loops = server.lanes();
    let s = if loops == 1 { "" } else { "s" };
    let connections = server.open().limit();
    let memory = match server.budget().limit() {
        usize::MAX => "any memory for buffers".to_owned(),
        limit => format!("{}M for buffers", limit >> 20),
    };
    let _ = writeln!(out, "{loops} loop{s}; limits: {connections} connections, {memory}, {limits}");
    let _ = out.flush();
}
