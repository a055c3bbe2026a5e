//! A server for outside conformance suites, and a model of a handler with more than one page.
//!
//! `cargo run --example probe_target` serves on 127.0.0.1:8080, `cargo run --example probe_target --
//! 127.0.0.1:0` on a port of the system's choice; SIGTERM or SIGINT stops it. What it answers:
//!
//! | request | answer |
//! |---|---|
//! | `GET`, `HEAD` | 200 and a line of text, whatever the path |
//! | `POST` | 200 and the body that came |
//! | any of these, of `/echo` | 200 and the field lines that came, in order, names as they came |
//! | any of these, of `/cookie` | 200 and the cookies that came, a `name=value` a line |
//! | `OPTIONS` | 204 and `Allow` |
//! | `CONNECT`, `TRACE` | 501, from the protocol: no handler sees them |
//! | other methods | 405 and `Allow` |
//!
//! It answers once the body has arrived whole and has been checked.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use corelane::supervisor::{Plan, Server, StartError, Stopper, Supervisor};
use corelane_eventloop::Nanos;
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply,
};
use corelane_parser::http1::{Head, Method};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How long what is in flight may take after a signal.
const DRAIN: Nanos = Nanos::from_secs(5);

const ALLOW: (&str, &str) = ("Allow", "GET, HEAD, POST, OPTIONS");
const TEXT: (&str, &str) = ("Content-Type", "text/plain");
const BYTES: (&str, &str) = ("Content-Type", "application/octet-stream");

/// Answers the requests of one lane. It has no state of its own: all of it is in [`Answer`].
struct ProbeTarget;

/// What a request will be answered with, known from its head except for the body that is echoed.
/// The head is gone by the time of the answer, so what is needed of it is copied.
enum Answer {
    Text(Vec<u8>),
    /// The body, as it arrives. [`Limits::body_bytes`](corelane_parser::http1::Limits) bounds it.
    Body(Vec<u8>),
    Options,
    WrongMethod,
}

impl Handler for ProbeTarget {
    type Request = Answer;

    fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> Answer {
        match (head.method(), head.path()) {
            (Method::Options, _) => Answer::Options,
            (Method::Get | Method::Head | Method::Post, "/echo") => Answer::Text(echo(head)),
            (Method::Get | Method::Head | Method::Post, "/cookie") => Answer::Text(cookies(head)),
            (Method::Get | Method::Head, _) => Answer::Text(b"hello\n".to_vec()),
            (Method::Post, _) => Answer::Body(Vec::new()),
            _ => Answer::WrongMethod,
        }
    }

    fn body(&mut self, answer: &mut Answer, data: &[u8]) -> Intake {
        if let Answer::Body(body) = answer {
            body.extend_from_slice(data);
        }
        Intake::More
    }

    fn reply(&mut self, answer: Answer, reply: Reply<'_>) -> Replied {
        match answer {
            Answer::Text(text) => reply.send(200, &[TEXT], &text),
            Answer::Body(body) => reply.send(200, &[BYTES], &body),
            Answer::Options => reply.send(204, &[ALLOW], b""),
            Answer::WrongMethod => reply.send(405, &[ALLOW, TEXT], b"see Allow\n"),
        }
    }
}

/// The field lines. Names keep their case; the whitespace around a value is no part of it
/// (RFC 9112 §5.1).
fn echo(head: &Head<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    for field in head.fields() {
        lines.extend_from_slice(field.name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(field.value);
        lines.push(b'\n');
    }
    lines
}

/// The cookies of every `Cookie` field (RFC 6265 §4.2.1); what is not a pair with a name is left out.
fn cookies(head: &Head<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    let pairs = head.headers("Cookie").flat_map(|value| value.split(|&byte| byte == b';'));
    for pair in pairs.map(<[u8]>::trim_ascii) {
        if pair.iter().position(|&byte| byte == b'=').is_some_and(|at| at > 0) {
            lines.extend_from_slice(pair);
            lines.push(b'\n');
        }
    }
    lines
}

/// Starts it, by this plan.
pub fn serve(plan: Plan) -> Result<Server, StartError> {
    let mut supervisor = Supervisor::new(plan);
    let metrics = HttpMetrics::declare(supervisor.metrics());
    // Suites wait 5 s to see whether the rest of a body is waited for. So does the default, and then
    // it answers: too close a race.
    let config = HttpConfig { body_grace: Nanos::from_secs(10), ..HttpConfig::default() };
    supervisor.start(move |_lane, shard| {
        Http::new(ProbeTarget, config.clone(), HttpCounters::new(metrics.clone(), shard))
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("{address}: expected an address such as 127.0.0.1:8080"))?;
    let server = serve(Plan::new([address.into()]))?;
    stop_on_signal(server.stopper())?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    server.join()?;
    Ok(())
}

/// The first signal stops the server, another one cuts its connections.
fn stop_on_signal(stopper: Stopper) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    std::thread::spawn(move || {
        let mut arrived = signals.forever();
        if arrived.next().is_some() {
            stopper.stop(DRAIN);
        }
        if arrived.next().is_some() {
            stopper.cut();
        }
    });
    Ok(())
}
