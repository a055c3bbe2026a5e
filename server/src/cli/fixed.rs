//! `corelane fixed`.

use std::path::PathBuf;

use corelane_http::{Http, HttpCounters, HttpMetrics};
use corelane_parser::http1::encode::EncodeError;

use super::Failure;
use super::http::HttpArgs;
use super::listen::{self, ListenArgs};
use super::run::{Service, ServiceArgs};
use crate::apps::fixed::Fixed;
use crate::supervisor::Supervisor;

/// Options of `corelane fixed`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Times are as 500ms, 10s, 2m or 1h, without a unit seconds; bytes are as 4096, \
    64K or 2G, in powers of 1024.\n\n\
    --log-level info,corelane_http=debug logs each refused request, with its rule and its peer. --admin \
    counts them.\n\n\
    Examples:\n  corelane fixed 3000\n  \
    corelane fixed --body '{\"ok\":true}' --header 'Content-Type: application/json'\n  \
    corelane fixed --status 503 --body-file sorry.html --bind unix:/run/sorry.sock"
)]
pub(super) struct Args {
    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    service: ServiceArgs,

    /// Body of the response
    #[arg(long, value_name = "TEXT", default_value = "Vrypt", conflicts_with = "body_file")]
    body: String,

    /// Body of the response, from a file that is read once
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,

    /// Status of the response
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,

    /// Header field of the response, repeatable [default: Content-Type: text/plain]
    #[arg(long, value_name = "K: V", value_parser = header)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    http: HttpArgs,
}

/// Reads `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("expected a field such as `Content-Type: text/html`")?;
    let field = (name.trim(), value.trim());
    match Fixed::new(200, &[field], Vec::new()) {
        Ok(_) => Ok((field.0.to_owned(), field.1.to_owned())),
        Err(EncodeError::FieldReserved) => Err("the server sets this field itself".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Args {
    fn response(&self) -> Result<Fixed, Failure> {
        let body = match &self.body_file {
            Some(path) => listen::read_file("--body-file", path)?,
            None if matches!(self.status, 204 | 205 | 304) && self.body == "Vrypt" => Vec::new(),
            None => self.body.clone().into_bytes(),
        };
        let mut fields: Vec<(&str, &str)> =
            self.header.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let typed = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !typed && !body.is_empty() {
            fields.push(("Content-Type", "text/plain"));
        }
        Fixed::new(self.status, &fields, body).map_err(|error| {
            Failure::Usage(match error {
                EncodeError::BodyForbidden => format!(
                    "--status {}: it forbids a body; leave out --body and --body-file",
                    self.status
                ),
                EncodeError::TooSmall => {
                    "--header: the fields are too long together; shorten them \
                     or put what they say into the body"
                        .to_owned()
                }
                // Each field was checked by itself, and the status by its range.
                _ => format!("--status, --header or --body: {error}"),
            })
        })
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let response = args.response()?;
    let mut plan = args.listen.plan(true)?;
    args.http.limit(&mut plan.lane);
    let service = Service::prepare(&args.service)?;
    let config = args.http.config();
    let mut supervisor = Supervisor::new(plan);
    let names = supervisor.listener_names();
    let metrics = HttpMetrics::declare(supervisor.metrics()).with_listeners(names);
    let (requests, latency) = (metrics.requests(), metrics.latency());
    let server = supervisor
        .start(move |_lane, shard| {
            let counters = HttpCounters::new(metrics.clone(), shard);
            Http::new(response.clone(), config.clone(), counters)
        })
        // Its message holds its cause already.
        .map_err(|error| Failure::Run(anyhow::Error::msg(error.to_string())))?;
    let drain = args.listen.drain_timeout;
    let limits = format!("{}, drain {drain:?}", args.http.summary());
    service.mapping(latency).run(server, requests, &limits, drain)
}
