//! Options of every command that speaks HTTP: what clients may send, and how long they may take.

use std::time::Duration;

use corelane_eventloop::{LaneConfig, Nanos};
use corelane_http::HttpConfig;
use corelane_parser::http1::Limits;
use corelane_parser::http1::limits::FIELDS_MAX;

use super::{duration, limits};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Limits of requests")]
pub(super) struct HttpArgs {
    /// How long a whole request head may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::timeout)]
    head_timeout: Duration,

    /// How long a connection may be idle
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::timeout)]
    idle_timeout: Duration,

    /// Least rate of request bodies, and of answers being read, in bytes per second; 0 for none
    #[arg(long, value_name = "BYTES", default_value = "240", value_parser = limits::bytes)]
    min_rate: usize,

    /// How long a body or a reader may take to reach that rate
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::timeout)]
    rate_grace: Duration,

    /// How long a body or a reader may pause after it was fast; less than --rate-grace means as long
    /// as that
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::timeout)]
    max_stall: Duration,

    /// Requests after which a connection closes [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_requests: Option<u32>,

    /// Age at which a connection closes, between requests [default: any age]
    #[arg(long, value_name = "TIME", value_parser = duration::timeout)]
    max_age: Option<Duration>,

    /// Largest request head
    #[arg(long, value_name = "BYTES", default_value = "32K", value_parser = head_bytes)]
    max_head: usize,

    /// Most fields of a request head
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.fields as u64,
          value_parser = clap::value_parser!(u64).range(1..=FIELDS_MAX as u64))]
    max_fields: u64,

    /// Largest request body
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = limits::bytes)]
    max_body: usize,

    /// Let pass what keeps some clients out and cannot change where a request ends: UTF-8 in the
    /// target, a backslash, %00, %0d and %0a in its path, an empty Host, the same Content-Type
    /// twice, unknown expectations
    #[arg(long)]
    lenient: bool,
}

/// The largest head that can be asked for: each connection may hold so much until it is whole.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Reads the largest size of a head.
fn head_bytes(text: &str) -> Result<usize, String> {
    match limits::bytes(text)? {
        fits @ 256..=HEAD_BYTES_MAX => Ok(fits),
        _ => Err("expected 256 to 256K: a head is held in memory until it is whole".to_owned()),
    }
}

/// Limits in one line, for the announcement.
pub(super) fn summary(config: &HttpConfig) -> String {
    let mut summary = format!(
        "head {:?} and {} bytes, body {} bytes, rate {} bytes/s, idle {:?}",
        Duration::from(config.head_time),
        config.limits.head_bytes,
        config.limits.body_bytes,
        config.body_rate,
        Duration::from(config.idle_time),
    );
    if let Some(requests) = config.requests_max {
        summary += &format!(", {requests} requests");
    }
    if let Some(age) = config.age_max {
        summary += &format!(", age {:?}", Duration::from(age));
    }
    if config.limits.lenient {
        summary += ", lenient";
    }
    summary
}

impl HttpArgs {
    /// The limits in one line, for the announcement.
    pub(super) fn summary(&self) -> String {
        summary(&self.config())
    }

    /// Sets what the lane does of it.
    pub(super) fn limit(&self, lane: &mut LaneConfig) {
        lane.read_rate = self.min_rate as u64;
        lane.read_grace = Nanos::from(self.rate_grace);
        lane.read_credit = Nanos::from(self.max_stall);
        lane.input = lane.input.max(self.max_head);
    }

    pub(super) fn config(&self) -> HttpConfig {
        HttpConfig {
            limits: Limits {
                head_bytes: self.max_head,
                request_line_bytes: Limits::DEFAULT.request_line_bytes.min(self.max_head),
                field_line_bytes: Limits::DEFAULT.field_line_bytes.min(self.max_head),
                fields: self.max_fields as usize,
                body_bytes: self.max_body as u64,
                lenient: self.lenient,
                ..Limits::DEFAULT
            },
            head_time: Nanos::from(self.head_timeout),
            body_rate: self.min_rate as u64,
            body_grace: Nanos::from(self.rate_grace),
            body_credit: Nanos::from(self.max_stall),
            idle_time: Nanos::from(self.idle_timeout),
            requests_max: self.max_requests,
            age_max: self.max_age.map(Nanos::from),
            ..HttpConfig::default()
        }
    }
}
