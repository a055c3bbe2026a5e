//! The program's log: events on standard error.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as events, reload};

use super::filter::{self, FilterError};
use super::queue::LineQueue;

/// What is logged if nobody says.
const DEFAULT_FILTER: &str = "info";

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// A line of text each; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// A line of JSON each.
    Json,
}

/// How to log.
#[derive(Clone, Debug, Default)]
pub struct LogConfig {
    /// How events are written.
    pub format: LogFormat,
    /// What is logged. If not given: the environment's `RUST_LOG`, else `info`.
    pub filter: Option<String>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is no thread for it.
    #[error("the log's thread cannot be started: {0}; check the limit of processes")]
    Thread(#[from] io::Error),
    /// This process logs elsewhere already.
    #[error("this process has a log already")]
    Taken,
}

/// How many lines a log has written and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines written.
    pub written: u64,
    /// Lines dropped: too many waited, or writing failed.
    pub dropped: u64,
}

/// The program's log: [`tracing`] events, one line each, on standard error. There is one per process.
///
/// Lines wait in a queue of 1,024 lines and 1 MiB for the one thread that writes them, so that a
/// standard error that nobody reads blocks no lane: what does not fit is dropped, counted, and
/// reported once there is room. Panics are logged as errors, for the same reason.
///
/// Cost of an event that is not logged: one load. Of one that is: formatting, an allocation, a push.
///
/// ```
/// use corelane::logs::{LogConfig, Logs};
/// let logs = Logs::start(&LogConfig { filter: Some("warn".into()), ..LogConfig::default() })?;
/// tracing::warn!(port = 80, "in use");
/// logs.set_level("corelane=debug")?;
/// assert!(logs.set_level("inof").unwrap_err().to_string().contains("`inof` is no level"));
/// assert_eq!(logs.level(), "corelane=debug");
/// assert!(logs.flush(std::time::Duration::from_secs(1)));
/// assert_eq!(logs.counts().written, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Logs {
    queue: LineQueue,
    filter: reload::Handle<EnvFilter, Registry>,
    level: Arc<Mutex<String>>,
}

static CURRENT: OnceLock<Logs> = OnceLock::new();

impl Logs {
    /// Begins to log, for the whole process, panics included.
    ///
    /// # Errors
    /// If the filter is wrong, there is no thread, or the process has a log already. A wrong
    /// `RUST_LOG` is no error: it is reported and `info` used instead.
    pub fn start(config: &LogConfig) -> Result<Logs, LogError> {
        let (text, filter, complaint) = filter(config)?;
        let queue = LineQueue::start(io::stderr())?;
        let terminal = io::stderr().is_terminal();
        let json = match config.format {
            LogFormat::Auto => !terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let lines = events::layer()
            .with_writer(queue.clone())
            .with_ansi(terminal && !plain)
            // They would be printed by `eprintln!`, which panics if nobody reads.
            .log_internal_errors(false);
        let lines = if json {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed()
        } else {
            lines.boxed()
        };
        let (filter, handle) = reload::Layer::new(filter);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .map_err(|_| LogError::Taken)?;
        log_panics();
        if let Some(error) = complaint {
            tracing::warn!("RUST_LOG is not used: {error}");
        }
        let logs = Logs { queue, filter: handle, level: Arc::new(Mutex::new(text)) };
        Ok(CURRENT.get_or_init(|| logs).clone())
    }

    /// The log of this process, if it has been started.
    pub fn current() -> Option<&'static Logs> {
        CURRENT.get()
    }

    /// Changes what is logged, from now on.
    ///
    /// # Errors
    /// If the filter cannot be read; nothing changes then.
    pub fn set_level(&self, text: &str) -> Result<(), FilterError> {
        let filter = filter::parse(text)?;
        let mut level = self.lock_level();
        // Fails only if the subscriber is gone, and then there is nothing to filter.
        let _ = self.filter.reload(filter);
        *level = text.trim().to_owned();
        Ok(())
    }

    /// What is logged now.
    pub fn level(&self) -> String {
        self.lock_level().clone()
    }

    fn lock_level(&self) -> std::sync::MutexGuard<'_, String> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line that is no event, for people: what a command says before it fails.
    pub fn say(&self, line: impl fmt::Display) {
        self.queue.push(format!("{line}\n").as_bytes());
    }

    /// Waits until what was logged so far is written, or the time is over; says which.
    pub fn flush(&self, within: Duration) -> bool {
        self.queue.flush(within)
    }

    /// Lines written and dropped since the start.
    pub fn counts(&self) -> LogCounts {
        let (written, dropped) = self.queue.counts();
        LogCounts { written, dropped }
    }
}

/// The first filter: its text, itself, and what is wrong with the environment's.
fn filter(
    config: &LogConfig,
) -> Result<(String, EnvFilter, Option<impl fmt::Display>), FilterError> {
    if let Some(text) = &config.filter {
        return Ok((text.trim().to_owned(), filter::parse(text)?, None));
    }
    let usual = || (DEFAULT_FILTER.to_owned(), EnvFilter::new(DEFAULT_FILTER));
    let given = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let Some(text) = given else {
        let (text, filter) = usual();
        return Ok((text, filter, None));
    };
    // As lenient as every program that reads this variable.
    match EnvFilter::try_new(&text) {
        Ok(filter) => Ok((text, filter, None)),
        Err(error) => {
            let (text, filter) = usual();
            Ok((text, filter, Some(error)))
        }
    }
}

/// Panics are logged like other errors. The standard hook writes to standard error by itself, and
/// would block the lane if nobody reads it.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        use std::backtrace::{Backtrace, BacktraceStatus};
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!(thread, place, %backtrace, "panicked: {message}");
        } else {
            tracing::error!(thread, place, "panicked: {message}");
        }
    }));
}
