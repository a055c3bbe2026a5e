//! Stopping: what is in flight is finished, what is idle ends at once, what is stuck is cut.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Client, GET};
use crate::process::{Program, Scratch, corelane, pattern, wait_until};

/// A request of which the last byte is missing.
const ALMOST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1";

/// True once the server no longer takes connections.
fn refuses(program: &Program) -> bool {
    TcpStream::connect(program.address()).is_err()
}

/// A connection of which the server has read an incomplete request.
fn busy(program: &Program) -> Client {
    let mut client = program.connect();
    // The answer to the first shows that the connection is known; its second part follows at once.
    client.send([GET, ALMOST.as_bytes()].concat());
    assert_eq!(client.response().status, 200);
    client
}

#[test]
fn a_download_in_flight_arrives_whole() {
    let body = pattern(32 << 20);
    let file = Scratch::new("download", &body);
    let mut program = Program::fixed(&["--body-file", file.path(), "--drain-timeout", "15s"]);
    let mut slow = program.connect();
    slow.send(GET);
    assert_eq!(slow.head().status, 200);
    let mut idle = program.connect();
    idle.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(idle.head().status, 200);

    program.terminate();
    let stopped = Instant::now();
    idle.ends();
    assert!(stopped.elapsed() < Duration::from_secs(5), "an idle client ends at once");
    wait_until("new connections are refused", || refuses(&program));
    assert!(program.runs(), "the download keeps it");
    // Reads with pauses, so that the server has to wait for room again and again.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        slow.receive_some(1 << 20);
    }
    assert!(slow.rest() == body, "the file arrives whole");
    let finished = program.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(stopped.elapsed() < Duration::from_secs(12), "before the drain timeout");
}

#[test]
fn a_file_of_60_mb_in_flight_arrives_whole() {
    let body = pattern(60 << 20);
    let folder = Scratch::folder("drain-files", &[("large.bin", &body)]);
    let program = Program::start(corelane(&[
        "static",
        folder.path(),
        "0",
        "--bind",
        "127.0.0.1",
        "--statsd",
        "off",
        "--workers",
        "1",
        "--drain-timeout",
        "15s",
    ]));
    let mut slow = program.connect();
    slow.send("GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(slow.head().status, 200);
    program.terminate();
    wait_until("new connections are refused", || refuses(&program));
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        slow.receive_some(1 << 20);
    }
    assert!(slow.rest() == body, "the file arrives whole");
    let finished = program.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn idle_clients_do_not_hold_the_exit() {
    let program = Program::fixed(&["--workers", "2", "--drain-timeout", "15s"]);
    let mut clients: Vec<Client> = (0..20).map(|_| program.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(GET).status, 200);
    }
    let asked = Instant::now();
    program.interrupt();
    assert_eq!(program.wait().code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    for mut client in clients {
        client.ends();
    }
}

/// Whoever still gets in while the server stops is answered or turned away, never left waiting.
#[test]
fn nobody_is_left_hanging() {
    for mode in ["reuseport", "round-robin"] {
        let args = ["--drain-timeout", "60s", "--accept", mode, "--workers", "2"];
        let program = Program::fixed(&args);
        let mut keeps_it_open = busy(&program);
        program.terminate();
        let mut late = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(150) {
            late.extend(TcpStream::connect(program.address()));
            std::thread::sleep(Duration::from_millis(5));
        }
        for mut stream in late {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            // It may have been closed by now, and then the read says so.
            let _ = stream.write_all(GET);
            if let Err(error) = stream.read(&mut [0; 64]) {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{mode}");
            }
        }
        keeps_it_open.send("2");
        assert_eq!(keeps_it_open.response().status, 200);
        assert_eq!(program.wait().code, Some(0));
    }
}

#[test]
fn a_request_in_flight_is_answered_and_told_to_close() {
    for mode in ["reuseport", "round-robin"] {
        let program = Program::fixed(&["--drain-timeout", "15s", "--accept", mode]);
        let mut client = busy(&program);
        program.terminate();
        wait_until("new connections are refused", || refuses(&program));
        let response = client.ask("2");
        assert_eq!(response.text(), "Vrypt");
        assert!(response.closes(), "{}", response.head);
        client.ends();
        assert_eq!(program.wait().code, Some(0));
    }
}

#[test]
fn the_drain_timeout_cuts_a_stuck_client() {
    let program = Program::fixed(&["--drain-timeout", "200ms"]);
    let mut stuck = busy(&program);
    let asked = Instant::now();
    program.terminate();
    let finished = program.wait();
    let took = asked.elapsed();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(took >= Duration::from_millis(190), "it had its time: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(stuck.rest(), b"");
    let cut = "\"message\":\"stopped; connections were cut\",\"connections\":1";
    assert!(finished.stderr.contains(cut), "{}", finished.stderr);
}

#[test]
fn a_second_signal_cuts() {
    let mut program = Program::fixed(&["--drain-timeout", "1h"]);
    let mut stuck = busy(&program);
    program.terminate();
    wait_until("new connections are refused", || refuses(&program));
    assert!(program.runs());
    program.interrupt();
    let finished = program.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("a second signal cuts"), "{}", finished.stderr);
    assert_eq!(stuck.rest(), b"");
}
