//! Requests per second, as a plain UDP listener hears them.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::admin::Status;
use crate::client::GET;
use crate::process::{Program, Scratch, corelane, wait_until};

/// Hears every datagram until there is none for a while; each with the time it came at.
struct Ear(UdpSocket);

impl Ear {
    fn new() -> Ear {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Ear(socket)
    }

    fn target(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn hear(&self) -> String {
        let mut datagram = [0; 2048];
        let n = self.0.recv(&mut datagram).expect("a report in time");
        String::from_utf8(datagram[..n].to_vec()).unwrap()
    }
}

/// The figure of `corelane.rps:X|g`.
fn rate(datagram: &str) -> f64 {
    let figure = datagram.strip_prefix("corelane.rps:").and_then(|rest| rest.strip_suffix("|g"));
    figure.unwrap_or_else(|| panic!("no rate: {datagram:?}")).parse().unwrap()
}

#[test]
fn reports_agree_with_what_was_sent() {
    const REQUESTS: usize = 2000;
    let ear = Ear::new();
    let program = Program::fixed(&["--statsd", &ear.target(), "--statsd-interval", "200ms"]);
    // Counting begins about when the program says that it listens; intervals end when heard of.
    let mut since = Instant::now();
    let mut client = program.connect();
    let mut heard = 0.0;
    let mut reports = 0;
    let mut listen = || {
        let rate = rate(&ear.hear());
        let interval = since.elapsed().as_secs_f64();
        since = Instant::now();
        reports += 1;
        (rate, rate * interval)
    };
    for _ in 0..4 {
        for _ in 0..REQUESTS / 4 / 10 {
            client.send(GET.repeat(10));
            for _ in 0..10 {
                client.response();
            }
        }
        heard += listen().1;
    }
    // What is counted in the last, partial interval is reported at the exit.
    program.stop();
    heard += listen().1;
    // Intervals are measured here and there, by clocks that are read at different moments.
    let off = (heard - REQUESTS as f64).abs() / REQUESTS as f64;
    println!("{REQUESTS} sent, {heard:.1} heard of in {reports} reports");
    assert!(off < 0.25, "{REQUESTS} sent, {heard} heard of");
}

/// With a single report, at the exit, there is nothing between two clocks but the start.
#[test]
fn the_last_partial_interval_is_reported_at_exit() {
    let ear = Ear::new();
    let before = Instant::now();
    let program = Program::fixed(&["--statsd", &ear.target(), "--statsd-interval", "1h"]);
    let started = Instant::now();
    let mut client = program.connect();
    for _ in 0..500 {
        assert_eq!(client.ask(GET).status, 200);
    }
    let least = started.elapsed();
    program.stop();
    let most = before.elapsed();
    let rate = rate(&ear.hear());
    let (low, high) = (500.0 / most.as_secs_f64() - 1.0, 500.0 / least.as_secs_f64() + 1.0);
    assert!((low..=high).contains(&rate), "{rate} is not within {low}..={high}");
}

#[test]
fn name_and_tags() {
    let ear = Ear::new();
    let program = Program::fixed(&[
        "--statsd",
        &ear.target(),
        "--statsd-name",
        "shop.front",
        "--statsd-tag",
        "env:test",
        "--statsd-tag",
        "zone:a",
        "--statsd-interval",
        "50ms",
    ]);
    assert_eq!(ear.hear(), "shop.front.rps:0|g|#env:test,zone:a");
    program.stop();
}

#[test]
fn a_target_that_nobody_listens_on_does_no_harm() {
    let gone = Ear::new().target();
    let program = Program::fixed(&["--statsd", &gone, "--statsd-interval", "20ms"]);
    let mut client = program.connect();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(client.ask(GET).status, 200);
    }
    program.stop();
}

#[test]
fn all_figures_are_reported_if_asked_for() {
    for (form, expected) in [
        ("plain", ["corelane.http_route_requests.route.fixed:3|c", "corelane.version.version."]),
        (
            "dogstatsd",
            ["corelane.http_route_requests:3|c|#route:fixed", "corelane.version:1|g|#version:"],
        ),
    ] {
        let ear = Ear::new();
        let options =
            ["--statsd", &ear.target(), "--statsd-interval", "1h", "--statsd-families", form];
        let program = Program::fixed(&options);
        let mut client = program.connect();
        for _ in 0..3 {
            client.ask(GET);
        }
        program.stop();
        // All that was counted is reported at the exit, in as many datagrams as it takes.
        let mut lines = Vec::new();
        let told = |lines: &[String], start: &str| lines.iter().any(|line| line.starts_with(start));
        let process = ["corelane.budget_used_bytes:", "corelane.statsd_series_omitted:0|g"];
        let all: Vec<&str> = expected.into_iter().chain(process).collect();
        while !all.iter().all(|start| told(&lines, start)) {
            lines.extend(ear.hear().lines().map(str::to_owned));
        }
        assert!(told(&lines, "corelane.rps:"), "{lines:?}");
    }
}

#[test]
fn nothing_is_left_out_in_silence() {
    let ear = Ear::new();
    let start = |families: &str, tags: &[String]| {
        let statsd = ear.target();
        let metrics =
            json!({ "statsd": statsd, "interval": "50ms", "families": families, "tags": tags });
        let config = json!({
            "listeners": ["127.0.0.1:0"],
            "workers": 1,
            "pin": false,
            "admin": "127.0.0.1:0",
            "metrics": metrics,
            "routes": [{ "path": "/", "name": "x".repeat(200), "fixed": { "body": "x" } }],
        });
        let file = Scratch::new("statsd.json", config.to_string().as_bytes());
        let program = Program::start(corelane(&["serve", "--config", file.path()]));
        assert_eq!(program.connect().ask(GET).status, 200);
        program
    };
    let omitted = |program: &Program| Status::of(program).gauge("corelane_statsd_series_omitted");
    let program = start("plain", &[]);
    // A name is cut where there is no room for more.
    let cut = format!("corelane.http_route_requests.route.{}:1|c", "x".repeat(90));
    let mut heard = String::new();
    while !heard.contains(&cut) {
        heard.push_str(&ear.hear());
        heard.push('\n');
    }
    assert_eq!(omitted(&program), 0);
    program.stop();
    // Tags have their limit together: those of all lines leave no room for the route's.
    let program = start("dogstatsd", &[format!("k:{}", "v".repeat(340))]);
    wait_until("it is told how many are left out", || omitted(&program) > 0);
    program.terminate();
    let stderr = program.wait().stderr;
    assert_eq!(stderr.matches("as many series as fit").count(), 1, "{stderr}");
}
