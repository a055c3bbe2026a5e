//! What a run has shown, whole and at rest: the form in which results are written, read back, drawn
//! and compared.

mod heat;
mod histogram;
mod of_outcome;
mod steps;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use corelane_metrics::HistogramSnapshot;
use serde::{Deserialize, Serialize};

pub use heat::{Column, Heat};
pub use histogram::QUANTILES;
pub(crate) use histogram::supports;
pub use steps::Step;

/// The version of the form. Fields may be added under the same version; a field that changes its
/// meaning or goes raises it.
pub const SCHEMA: u32 = 2;
/// Stands in the place of a credential.
pub(crate) const NOT_KEPT: &str = "(not kept)";
/// A file larger than this is not read: it is no result of ours.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Everything that is known of one run. Times are nanoseconds where the name does not say otherwise.
///
/// It is written by [`write_json`](Self::write_json) and read by [`read`](Self::read); the functions of
/// [`report`](crate::report) make text, CSV, an HdrHistogram log or a page of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] of the program that wrote it.
    pub schema: u32,
    /// Name and version of that program.
    pub generator: String,
    /// When measuring began, in milliseconds of Unix time.
    pub began_unix_ms: u64,
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
    /// What was asked for.
    pub load: Load,
    /// Why it ended.
    pub end: End,
    /// The measured time.
    pub elapsed_seconds: f64,
    /// What went wrong, by kind, in order of gravity; kinds that did not occur included.
    pub faults: Vec<Fault>,
    /// Whether what was asked for was sent, and when.
    pub sends: Sends,
    /// Whole responses, right or wrong.
    pub answered: u64,
    /// Requests sent that got no whole response.
    pub lost: u64,
    /// Of them, those that were in flight when the run was ended early: no fault of the server's.
    pub cut_off: u64,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections opened while it was measured.
    pub connections_opened: u64,
    /// Bytes received, heads included.
    pub bytes_received: u64,
    /// Bytes sent, heads included.
    pub bytes_sent: u64,
    /// What the generator itself used.
    pub client: Usage,
    /// What the watched server used.
    pub server: Option<Usage>,
    /// From the actual send of a request to the receive that completed its response.
    #[serde(with = "histogram")]
    pub service_time: HistogramSnapshot,
    /// From the moment at which the request was to be sent; in a closed loop from the actual send, or from
    /// the beginning of the connection if each request has one of its own.
    #[serde(with = "histogram")]
    pub response_time: HistogramSnapshot,
    /// Response times over time.
    pub heat: Heat,
    /// One entry for each second.
    pub seconds: Vec<Second>,
    /// The steps of a ramp; empty for a run at one rate.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What each URL had, when there were several.
    pub targets: Vec<Target>,
    /// What the server itself has measured, when it was asked.
    pub server_side: Option<ServerSide>,
    /// What was to be found out beside the requests and could not be, each in a sentence.
    pub unknown: Vec<String>,
    /// Where it ran.
    pub environment: Environment,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The URLs.
    pub urls: Vec<String>,
    /// The weight of each, in the same order; empty where there is one.
    pub weights: Vec<u32>,
    /// The method of the requests.
    pub method: String,
    /// The fields that were added to them, without the values of credentials.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Length and digest of their body, or nothing.
    #[serde(default)]
    pub body: String,
    /// Whether requests are sent by the clock or by the answers.
    pub discipline: Discipline,
    /// Connections at most.
    pub connections: usize,
    /// Requests in flight on each connection, at most.
    pub pipeline: usize,
    /// Whether connections are kept for further requests.
    pub keep_alive: bool,
    /// Event loops, each on a thread of its own.
    pub threads: usize,
    /// The cores they were bound to.
    pub cores: Vec<usize>,
    /// Whether they looked for work without a pause.
    #[serde(default)]
    pub spin: bool,
    /// Traffic before measuring.
    pub warm_up_seconds: f64,
    /// After how long a request was given up.
    pub timeout_seconds: f64,
}

/// Whether requests are sent by the clock or by the answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "loop")]
pub enum Discipline {
    /// A connection sends its next request when a response has come.
    #[default]
    Closed,
    /// Requests are sent when their time has come, whatever the answers do.
    Open {
        /// The rate in words, as `20,000/s` or `1,000/s to 50,000/s in steps of 5 s`.
        rate: String,
        /// How the times are spread: `constant` or `poisson`.
        arrivals: String,
    },
}

impl Discipline {
    /// Whether it is the open loop.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// Why a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was done.
    #[default]
    Complete,
    /// It was told to end before.
    Interrupted,
    /// A later step of a ramp could not run, for this reason.
    Failed(String),
}

/// One kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name, as `timeouts`.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// Whether what was asked for was sent, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sends {
    /// Requests whose time came while it was measured; in a closed loop, those that were sent.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests that the generator itself sent more than 1 ms after it could have.
    pub late: u64,
    /// The latest of them: by how much.
    pub late_max: u64,
    /// By how much on average over all sends.
    pub late_mean: f64,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time.
    pub cpu_seconds: f64,
    /// Cores kept busy: 1.0 is one core without a pause.
    pub cores: f64,
    /// How many of its threads, on average, wanted to run while something else had their core, if known.
    pub waiting: Option<f64>,
    /// The share of time in which the busiest thread was not waiting for anything, if known: from about
    /// 0.9 on, the generator may be what limits the rate.
    pub saturation: Option<f64>,
}

impl Usage {
    /// Adds what was used in `time` more, after `before`.
    fn add(&mut self, later: Self, before: f64, time: f64) {
        self.cpu_seconds += later.cpu_seconds;
        let mean = |one: f64, other: f64| per(one * before + other * time, before + time);
        self.cores = mean(self.cores, later.cores);
        self.waiting = self.waiting.zip(later.waiting).map(|(one, other)| mean(one, other));
        self.saturation = match (self.saturation, later.saturation) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it began, in seconds since measuring began.
    pub at_seconds: f64,
    /// How long it was; the last one may be shorter.
    pub length_seconds: f64,
    /// Requests whose time came.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Of them, those that the generator itself sent more than 1 ms after it could have.
    #[serde(default)]
    pub late: u64,
    /// Responses that came.
    pub answered: u64,
    /// What went wrong, by kind; kinds that did not occur are left out.
    pub faults: Vec<Fault>,
    /// Bytes received.
    pub bytes_received: u64,
    /// Response times of what was answered in this second.
    #[serde(with = "histogram")]
    pub response_time: HistogramSnapshot,
}

impl Second {
    /// All kinds of faults together.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.iter().map(|fault| fault.count).sum()
    }
}

/// What one of several URLs had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The URL.
    pub url: String,
    /// Its share of the requests, beside those of the others.
    pub weight: u32,
    /// Whole responses.
    pub answered: u64,
    /// Requests sent.
    pub sent: u64,
    /// Responses that were not as expected.
    pub wrong: u64,
    /// As in [`Record::response_time`].
    #[serde(with = "histogram")]
    pub response_time: HistogramSnapshot,
}

/// What the server has measured between the beginning and the end of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSide {
    /// Name and version of the server.
    pub server: String,
    /// From the poll that brought a request's first byte to the hand-over of the last byte of its
    /// response. Requests of other clients are in it, and of a ramp the warm-ups of its later steps.
    #[serde(with = "histogram")]
    pub latency: HistogramSnapshot,
    /// What has to be known to read it: a restart in between, other clients.
    pub notes: Vec<String>,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system and version of its kernel.
    pub system: String,
    /// The processor.
    pub processor: String,
    /// Cores online.
    pub cores: usize,
    /// What the machine pretends to be hardware upon, if it does.
    pub virtualization: Option<String>,
    /// What may distort the figures, each in a sentence.
    pub warnings: Vec<String>,
}

/// Why a result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is no result.
    #[error("it is no result of a load test")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it has version {0} of the form, this program reads version {SCHEMA}")]
    Schema(u64),
}

impl Record {
    /// All kinds of faults together.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.iter().map(|fault| fault.count).sum()
    }

    /// The share of requests that had no right answer, from 0 to 1: never sent, lost, or answered wrongly.
    /// Those in flight when the run was ended early are not among them.
    ///
    /// In a closed loop, an attempt to open a connection that failed counts as a request: one would have
    /// followed. In an open loop it does not: what could not be sent for it is counted as unsent.
    #[must_use]
    pub fn failed_share(&self) -> f64 {
        let count = |kinds: &[&str]| -> u64 {
            let of = |fault: &&Fault| kinds.contains(&fault.kind.as_str());
            self.faults.iter().filter(of).map(|fault| fault.count).sum()
        };
        let refused = match self.load.discipline.is_open() {
            true => 0,
            false => count(&["connects", "connect timeouts"]),
        };
        let failed = count(&["wrong status", "wrong field", "wrong body", "unsent"])
            + self.lost.saturating_sub(self.cut_off);
        per((failed + refused) as f64, (self.sends.intended + refused) as f64).min(1.0)
    }

    /// Whether no larger share than `allowed` of the requests [failed](Self::failed_share); with 0, whether
    /// nothing at all went wrong, on connections neither.
    #[must_use]
    pub fn is_within(&self, allowed: f64) -> bool {
        self.failed_share() <= allowed && (allowed > 0.0 || self.fault_count() == 0)
    }

    /// Responses per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per(self.answered as f64, self.elapsed_seconds)
    }

    /// Writes it as JSON, one object on one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, mut out: impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, &Written { record: self, summary: Summary::of(self) })?;
        out.write_all(b"\n")
    }

    /// Reads what [`write_json`](Self::write_json) has written.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than 1 GiB, or is no result of this version.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 GiB").into());
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// As [`read`](Self::read), of text.
    ///
    /// # Errors
    /// When it is no result of this version.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }
        match serde_json::from_str::<Version>(text)?.schema {
            version if version == u64::from(SCHEMA) => Ok(serde_json::from_str(text)?),
            version => Err(ReadError::Schema(version)),
        }
    }
}

/// A record with figures that follow from it, for programs that want a few numbers only.
#[derive(Serialize)]
struct Written<'record> {
    #[serde(flatten)]
    record: &'record Record,
    summary: Summary,
}

/// Figures that follow from a record.
#[derive(Serialize)]
struct Summary {
    fault_count: u64,
    responses_per_second: f64,
    /// CPU time of the generator for each response.
    client_cpu_micros: Option<f64>,
    /// CPU time of the watched server for each response.
    server_cpu_micros: Option<f64>,
}

impl Summary {
    fn of(record: &Record) -> Self {
        let each = |usage: Usage| {
            (record.answered > 0).then(|| usage.cpu_seconds * 1e6 / record.answered as f64)
        };
        Self {
            fault_count: record.fault_count(),
            responses_per_second: record.rate(),
            client_cpu_micros: each(record.client),
            server_cpu_micros: record.server.and_then(each),
        }
    }
}

/// `amount` for each of `whole`, 0 where there is none.
pub(crate) fn per(amount: f64, whole: f64) -> f64 {
    if whole > 0.0 { amount / whole } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_fails_once_whatever_its_connection_did() {
        let fault = |kind: &str, count| Fault { kind: kind.to_owned(), count };
        let mut record = Record {
            // One connection broke with eight requests in flight.
            faults: vec![fault("resets", 1), fault("connects", 100), fault("wrong body", 2)],
            sends: Sends { intended: 1_000, sent: 1_000, ..Sends::default() },
            lost: 8,
            ..Record::default()
        };
        assert_eq!(record.failed_share(), 110.0 / 1_100.0, "in a closed loop");
        let (rate, arrivals) = ("1,000/s".to_owned(), "constant".to_owned());
        record.load.discipline = Discipline::Open { rate, arrivals };
        assert_eq!(record.failed_share(), 0.01, "in an open loop");
        assert_eq!(Record::default().failed_share(), 0.0);
    }

    #[test]
    fn what_was_cut_off_is_no_fault_and_what_was_lost_is_one_by_any_measure() {
        let mut record = sample::made(5, 100_000, None, 1);
        (record.answered, record.lost, record.cut_off) = (4_900, 100, 100);
        assert!(record.is_within(0.0) && record.is_within(0.01));
        record.cut_off = 0;
        assert!(!record.is_within(0.0) && !record.is_within(0.01) && record.is_within(0.02));
        // A fault of a connection without a request is no share of the requests.
        (record.lost, record.faults[0].count) = (0, 1);
        assert!(!record.is_within(0.0) && record.is_within(0.001));
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = sample::stalled();
        let mut text = Vec::new();
        record.write_json(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(Record::parse(&text).unwrap(), record);
        let older = text.replacen("\"schema\":2", "\"schema\":1", 1);
        assert!(matches!(Record::parse(&older), Err(ReadError::Schema(1))));
        assert!(matches!(Record::parse("{}"), Err(ReadError::Form(_))));
    }
}
