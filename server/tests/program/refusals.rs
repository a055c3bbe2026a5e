//! Every status of a refusal: what goes with it, and that it arrives.

use std::time::{Duration, Instant};

use crate::client::{Client, GET, Response};
use crate::process::Program;

/// What every refusal must be, on the wire: dated, explained, the last answer, and the end in order.
#[track_caller]
fn refused(client: &mut Client, status: u16, rule: &str) -> Response {
    let response = client.response();
    assert_eq!(response.status, status, "{rule}: {response:?}");
    assert!(response.text().starts_with(&format!("{rule} ")), "{rule}: {}", response.text());
    assert!(response.closes(), "{rule}: {}", response.head);
    let date = response.field("date").unwrap_or_else(|| panic!("{rule}: no Date"));
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{rule}: {date}");
    // A reset would fail here.
    client.ends();
    response
}

const HOST: &str = "HTTP/1.1\r\nHost: test\r\n";

fn refusals() -> Vec<(u16, &'static str, String)> {
    vec![
        (400, "host-missing", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "content-length", format!("POST / {HOST}Content-Length: 1x\r\n\r\n")),
        (
            400,
            "length-and-encoding",
            format!("POST / {HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        (400, "chunk-size", format!("POST / {HOST}Transfer-Encoding: chunked\r\n\r\n-1\r\n")),
        (413, "body-too-large", format!("POST / {HOST}Content-Length: 1025\r\n\r\n")),
        (413, "body-too-large", format!("POST / {HOST}Transfer-Encoding: chunked\r\n\r\n401\r\n")),
        (414, "request-line-too-long", format!("GET /{} {HOST}\r\n", "a".repeat(10_000))),
        (417, "expectation", format!("GET / {HOST}Expect: a-miracle\r\n\r\n")),
        (
            426,
            "websocket-version",
            format!(
                "GET / {HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n"
            ),
        ),
        (431, "field-line-too-long", format!("GET / {HOST}A: {}\r\n\r\n", "a".repeat(20_000))),
        (431, "too-many-fields", format!("GET / {HOST}{}\r\n", "A: b\r\n".repeat(64))),
        (501, "coding-unknown", format!("POST / {HOST}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        (501, "connect", format!("CONNECT test:443 {HOST}\r\n")),
        (505, "version-unsupported", "GET / HTTP/2.0\r\nHost: test\r\n\r\n".to_owned()),
    ]
}

#[test]
fn who_reads_the_log_may_be_gone() {
    let program = Program::fixed_unheard(&[]);
    for _ in 0..3 {
        let mut client = program.connect();
        client.send("GET / HTTP/1.1\r\n\r\n");
        refused(&mut client, 400, "host-missing");
    }
    // Says on standard error that it stops, and must stop nevertheless.
    program.stop();
}

#[test]
fn each_status_is_dated_explained_and_closes() {
    let program = Program::fixed(&["--max-body", "1K"]);
    for (status, rule, request) in refusals() {
        let mut client = program.connect();
        client.send(&request);
        let response = refused(&mut client, status, rule);
        if status == 426 {
            assert_eq!(response.field("upgrade"), Some("websocket"));
            assert_eq!(response.field("sec-websocket-version"), Some("13"));
        }
    }
    program.stop();
}

#[test]
fn each_status_reaches_a_client_that_sends_on_before_it_reads() {
    let program = Program::fixed(&["--max-body", "1K"]);
    for (status, rule, request) in refusals() {
        let mut client = program.connect();
        client.send(&request);
        // After this the server has at least refused and is discarding, or will.
        client.send(vec![b'a'; 100_000]);
        client.finish();
        refused(&mut client, status, rule);
    }
    program.stop();
}

#[test]
fn a_refusal_follows_the_answers_before_it() {
    let program = Program::fixed(&["--max-body", "1K"]);
    for (status, rule, request) in refusals() {
        let mut client = program.connect();
        client.send([GET, GET, request.as_bytes()].concat());
        assert_eq!([(); 2].map(|()| client.response().status), [200; 2], "{rule}");
        refused(&mut client, status, rule);
    }
    program.stop();
}

#[test]
fn time_outs_are_refusals_too() {
    let program = Program::fixed(&["--head-timeout", "200ms", "--rate-grace", "200ms"]);
    let body = format!("POST / {HOST}Content-Length: 9\r\n\r\n");
    let chunked = format!("POST / {HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhe");
    for (rule, begin) in [
        ("head-timeout", "G"),
        ("head-timeout", "GET / HTTP/1.1\r\nHost: test\r\n"),
        ("body-timeout", &body),
        ("body-timeout", &chunked),
    ] {
        let mut client = program.connect();
        let begun = Instant::now();
        client.send([GET, begin.as_bytes()].concat());
        assert_eq!(client.response().status, 200);
        refused(&mut client, 408, rule);
        assert!(begun.elapsed() >= Duration::from_millis(180), "{rule}: {:?}", begun.elapsed());
    }
    program.stop();
}

#[test]
fn a_head_that_drips_is_refused_all_the_same() {
    let program = Program::fixed(&["--head-timeout", "300ms"]);
    let mut client = program.connect();
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nA: ");
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    // Each byte would put off a deadline that is counted from the last one.
    while client.stream.peek(&mut [0]).is_err() {
        client.send("a");
        assert!(begun.elapsed() < crate::process::PATIENCE, "it is never refused");
    }
    assert!(begun.elapsed() >= Duration::from_millis(280), "{:?}", begun.elapsed());
    client.stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    refused(&mut client, 408, "head-timeout");
    // Whoever is refused is listened to for a while: that would hold the exit.
    drop(client);
    program.stop();
}
