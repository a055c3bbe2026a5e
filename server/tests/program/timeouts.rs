//! Deadlines, in real time; `corelane-http` tests them exactly, in virtual time.

use std::time::{Duration, Instant};

use crate::client::GET;
use crate::process::Program;

#[test]
fn a_head_that_takes_too_long_is_told() {
    let program = Program::fixed(&["--head-timeout", "100ms"]);
    let mut client = program.connect();
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nHo");
    let response = client.response();
    assert!(begun.elapsed() >= Duration::from_millis(90), "{:?}", begun.elapsed());
    assert_eq!(response.status, 408);
    assert!(response.closes() && response.text().contains("head-timeout"), "{response:?}");
    client.ends();
}

#[test]
fn a_body_that_takes_too_long_is_told() {
    let program = Program::fixed(&["--rate-grace", "100ms"]);
    let mut client = program.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n123");
    let response = client.response();
    assert_eq!(response.status, 408);
    assert!(response.text().contains("body-timeout"), "{response:?}");
    client.ends();
}

#[test]
fn idle_connections_end_quietly() {
    let program = Program::fixed(&["--idle-timeout", "150ms"]);
    let mut silent = program.connect();
    let mut client = program.connect();
    for _ in 0..4 {
        assert_eq!(client.ask(GET).status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    assert_eq!(client.ask(GET).status, 200);
    silent.ends();
    client.ends();
    assert!(asked.elapsed() >= Duration::from_millis(140), "{:?}", asked.elapsed());
    program.stop();
}
