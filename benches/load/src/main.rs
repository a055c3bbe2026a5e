//! `corelane-load`: drives a server over HTTP/1.1 and reports what happened.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use corelane_load::{Expect, Held, Plan, Report, Request, Stop, Timeouts, Url, run};

/// Drives a server over HTTP/1.1 and reports what happened, faults first.
///
/// Closed loop: each connection sends its next request when a response has come. Exit code 1 when
/// a run could not start, had faults or saw no response, 2 for wrong usage.
#[derive(Debug, Parser)]
#[command(name = "corelane-load", version)]
struct Arguments {
    /// Where the server listens, and the path: `http://HOST:PORT/PATH` or `HOST:PORT`
    url: String,
    /// Connections held open at once
    #[arg(short, long, default_value_t = 64)]
    connections: usize,
    /// Requests in flight on each connection
    #[arg(short, long, default_value_t = 1)]
    pipeline: usize,
    /// Seconds to measure
    #[arg(short, long, default_value_t = 10.0, value_name = "SECONDS")]
    duration: f64,
    /// Send exactly this many requests instead, without warm-up
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with_all = ["duration", "warm_up"])]
    requests: Option<u64>,
    /// Seconds of traffic before measuring
    #[arg(short, long, default_value_t = 1.0, value_name = "SECONDS")]
    warm_up: f64,
    /// Seconds after which a request is given up
    #[arg(short, long, default_value_t = 5.0, value_name = "SECONDS")]
    timeout: f64,
    /// Event loops, each on its own thread
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Cores to bind the threads to, in turn: `1` or `2,3`
    #[arg(long, value_delimiter = ',', value_name = "CORE")]
    cores: Vec<usize>,
    /// Never sleep: the server then does not pay for waking the client
    #[arg(long)]
    spin: bool,
    /// The request's method
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// A header field to add (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's body
    #[arg(short, long, default_value = "")]
    body: String,
    /// A connection of its own for each request (adds `Connection: close`)
    #[arg(long)]
    close: bool,
    /// The status that counts as right [default: 200 to 399]
    #[arg(long, value_name = "STATUS")]
    expect_status: Option<u16>,
    /// The body that counts as right [default: any]
    #[arg(long, value_name = "TEXT")]
    expect_body: Option<String>,
    /// The length of the body that counts as right; bodies are then counted, not read
    #[arg(long, value_name = "BYTES", conflicts_with = "expect_body")]
    expect_length: Option<u64>,
    /// Show CPU time per response of this process and its children: the server
    #[arg(long, value_name = "PID")]
    watch: Option<u32>,
    /// Send one request on each connection, say `open N`, then hold them until a byte or the end of
    /// standard input
    #[arg(long, conflicts_with_all = ["requests", "close", "pipeline", "threads", "watch"])]
    idle: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corelane-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the run had no fault.
fn start(arguments: &Arguments) -> anyhow::Result<bool> {
    let plan = plan(arguments)?;
    if arguments.idle {
        return hold(&plan);
    }
    let outcome = run(&plan)?;
    let right = outcome.faults.total() == 0 && outcome.answered > 0;
    show(&Report::new(&plan, outcome), arguments.json);
    Ok(right)
}

fn show(report: &Report, as_json: bool) {
    if as_json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
}

fn hold(plan: &Plan) -> anyhow::Result<bool> {
    let mut held = Held::open(plan)?;
    println!("open {} of {}, faults {}", held.open_count()?, plan.connections, held.faults());
    // The end of input ends the hold as well as a byte does.
    let _ = std::io::stdin().read(&mut [0; 1])?;
    let kept = held.open_count()?;
    println!("still open {kept}");
    Ok(kept == plan.connections && held.faults().total() == 0)
}

fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let url = Url::parse(&arguments.url)?;
    let mut fields = Vec::new();
    for header in &arguments.headers {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("--header {header:?} has no colon; write 'Name: value'"))?;
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if arguments.close {
        fields.push(("Connection".to_owned(), "close".to_owned()));
    }
    let borrowed: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let body = arguments.body.as_bytes();
    let request = Request::new(&arguments.method, url.target(), url.authority(), &borrowed, body)?;
    let stop = match arguments.requests {
        Some(count) => Stop::Requests(count),
        None => Stop::After(seconds("--duration", arguments.duration)?),
    };
    let timeout = seconds("--timeout", arguments.timeout)?;
    let mut plan = Plan {
        connections: arguments.connections,
        pipeline: arguments.pipeline,
        stop,
        warm_up: seconds("--warm-up", arguments.warm_up)?,
        timeouts: Timeouts { connect: timeout, response: timeout, ..Timeouts::default() },
        threads: arguments.threads,
        cores: arguments.cores.clone(),
        spin: arguments.spin,
        watch: arguments.watch,
        ..Plan::closed(&url.resolve()?, request)
    };
    plan.requests[0].name.clone_from(&arguments.url);
    plan.requests[0].expect = Expect {
        status: arguments.expect_status,
        body: arguments.expect_body.clone().map(String::into_bytes),
        length: arguments.expect_length,
        ..Expect::default()
    };
    Ok(plan)
}

fn seconds(name: &str, value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{name} {value} is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Plan {
        let words = [&["corelane-load", "127.0.0.1:80/a"], words].concat();
        plan(&Arguments::parse_from(words)).unwrap()
    }

    #[test]
    fn a_url_gives_target_host_and_path() {
        let plan = parse(&[]);
        assert_eq!(
            plan.requests[0].request.bytes(),
            b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
    }

    #[test]
    fn fields_are_added_in_order() {
        let plan = parse(&["--close", "-H", "A: b", "-H", "C:d"]);
        let text = String::from_utf8(plan.requests[0].request.bytes().to_vec()).unwrap();
        assert!(text.ends_with("\r\nA: b\r\nC: d\r\nConnection: close\r\n\r\n"), "{text}");
        assert!(plan.requests[0].request.closes());
    }

    #[test]
    fn a_header_without_colon_is_refused() {
        let words = ["corelane-load", "127.0.0.1:80", "-H", "nonsense"];
        let error = plan(&Arguments::parse_from(words)).unwrap_err();
        assert!(error.to_string().contains("has no colon"));
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
