//! Framing of answers, answers of handlers that get it wrong, refusals.

use corelane_eventloop::{End, Nanos};
use corelane_http::HttpConfig;
use corelane_parser::http1::Limits;

use crate::rig::{GET, Rig, statuses};

fn ask(request: &str) -> (Rig, String) {
    let mut rig = Rig::calm(HttpConfig::default());
    let answer = rig.converse(request.as_bytes());
    (rig, answer)
}

#[test]
fn an_answer_to_the_byte() {
    let (_, answer) = ask("POST /a?b HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nA");
    let expected = "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Type: text/plain\r\n\
        Content-Length: 21\r\n\r\nPost /a?b 1 00000041\n";
    assert_eq!(answer, expected);
}

#[test]
fn head_204_and_304_have_no_body() {
    let (_, get) = ask("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(get.contains("Content-Length: 50000\r\n") && get.ends_with('x'));
    let (_, head) = ask("HEAD /large HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.contains("Content-Length: 50000\r\n"), "{head}");
    for (path, status) in [("/204", "204 No Content"), ("/304", "304 Not Modified")] {
        for method in ["GET", "HEAD"] {
            let (_, answer) = ask(&format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(!answer.contains("Content-Length"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_malformed_answer_becomes_a_500_and_is_counted() {
    let paths = [
        "/bad-name",
        "/bad-value",
        "/reserved",
        "/status-100",
        "/204-with-body",
        "/205-with-body",
        "/without-its-body",
        "/another-length",
        "/304-with-content",
    ];
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        let (rig, answer) = ask(&(request + "GET /after HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(statuses(&answer), [500, 200], "{path}: {answer}");
        assert!(!answer.contains("secret") && !answer.contains("Injected"), "{answer}");
        assert_eq!(rig.counter("corelane_http_handler_errors_total", &[]), 1);
        assert_eq!(rig.counter("corelane_http_responses_total", &[("class", "5xx")]), 1);
        assert_eq!(rig.counter("corelane_http_responses_total", &[("class", "2xx")]), 1);
        assert_eq!(rig.requests(), 2);
    }
}

#[test]
fn each_request_is_counted_and_timed_once() {
    let mut rig = Rig::calm(HttpConfig::default());
    let answer = rig.converse(&GET.repeat(300));
    assert_eq!(statuses(&answer), [200; 300]);
    assert_eq!((rig.requests(), rig.latencies()), (300, 300));
}

#[test]
fn a_refusal_arrives_although_the_client_keeps_sending() {
    let limits = Limits { body_bytes: 1000, ..Limits::DEFAULT };
    let mut rig = Rig::calm(HttpConfig { limits, ..HttpConfig::default() });
    let client = rig.connect();
    rig.world.send(client, b"POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n");
    for _ in 0..20 {
        rig.world.send(client, &[b'x'; 5000]);
        rig.pass(Nanos::from_millis(10));
    }
    assert_eq!(rig.world.end(client), Some(End::Closed), "shut down in order, not reset");
    let answer = rig.received(client);
    assert_eq!(statuses(&answer), [413]);
    assert!(answer.contains("Connection: close\r\n") && answer.contains("body-too-large"));
    let rule = [("rule", "body-too-large")];
    assert_eq!(rig.counter("corelane_http_refusals_total", &rule), 1);
    assert_eq!(rig.counter("corelane_http_responses_total", &[("class", "4xx")]), 1);
    assert_eq!((rig.requests(), rig.latencies()), (0, 0));
    // It does not listen for ever.
    rig.pass(Nanos::from_secs(3));
    assert_eq!(rig.lane.len(), 0);
}

#[test]
fn connect_and_trace_are_answered_501_and_counted() {
    for (rule, request) in [
        ("connect", "CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n"),
        ("trace", "TRACE / HTTP/1.1\r\nHost: test\r\n\r\n"),
    ] {
        let (rig, answer) = ask(request);
        assert_eq!(statuses(&answer), [501]);
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert_eq!(rig.counter("corelane_http_responses_total", &[("class", "5xx")]), 1);
        assert_eq!(rig.counter("corelane_http_refusals_total", &[("rule", rule)]), 1);
    }
}

#[test]
fn a_websocket_of_another_version_is_told_which_one_there_is() {
    let (_, answer) = ask("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n");
    assert_eq!(statuses(&answer), [426]);
    for line in ["Upgrade: websocket", "Connection: upgrade", "Connection: close"] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
    }
    assert!(answer.contains("Sec-WebSocket-Version: 13\r\n"), "{answer}");
}

#[test]
fn a_refused_head_request_gets_no_body() {
    for request in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nx",
    ] {
        let (_, answer) = ask(request);
        assert_eq!(statuses(&answer), [400], "{answer}");
        assert!(answer.contains("Content-Length: ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn a_body_that_is_not_wanted_is_not_asked_for() {
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut rig = Rig::calm(HttpConfig::default());
        let client = rig.connect();
        let head = format!(
            "PUT /unwanted HTTP/1.1\r\nHost: test\r\n{expect}Content-Length: 100000\r\n\r\n"
        );
        rig.world.send(client, head.as_bytes());
        rig.pass(Nanos::from_millis(10));
        let answer = rig.received(client);
        assert_eq!(statuses(&answer), [403], "{answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        // A client that sends it all the same still has its answer, and nobody reads a request in it.
        rig.world.send(client, GET);
        rig.pass(Nanos::from_secs(3));
        assert_eq!(statuses(&rig.received(client)), [403]);
        assert_eq!(rig.world.end(client), Some(End::Closed));
        assert_eq!(rig.lane.len(), 0);
    }
}

#[test]
fn a_body_that_is_wanted_is_asked_for_once() {
    let put = "PUT /a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, put.as_bytes());
    rig.pass(Nanos::from_millis(10));
    assert_eq!(rig.received(client), "HTTP/1.1 100 Continue\r\n\r\n");
    rig.world.send(client, b"x");
    rig.pass(Nanos::from_millis(10));
    assert_eq!(statuses(&rig.received(client)), [100, 200]);
    // Not where the body is there already, and not from HTTP/1.0, which does not know it.
    let (_, answer) = ask(&format!("{put}x"));
    assert_eq!(statuses(&answer), [200]);
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, put.replace("1.1", "1.0").as_bytes());
    rig.pass(Nanos::from_millis(10));
    assert_eq!(rig.received(client), "");
}

#[test]
fn a_connection_serves_as_many_requests_as_it_may() {
    let config = HttpConfig { requests_max: Some(3), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let answer = rig.converse(&GET.repeat(5));
    assert_eq!(statuses(&answer), [200; 3]);
    assert_eq!(answer.matches("Connection: close\r\n").count(), 1);
    assert!(
        answer.rfind("Connection: close") > answer.rfind("HTTP/1.1 200"),
        "the last one says so"
    );
}

/// Only the server knows that the request is the last: the next one may be under way.
#[test]
fn the_last_answer_is_not_lost_to_a_request_that_crosses_it() {
    let config = HttpConfig { requests_max: Some(1), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let client = rig.connect();
    rig.world.set_reading(client, false);
    rig.world.send(client, GET);
    rig.pass(Nanos::from_millis(10));
    rig.world.send(client, GET);
    rig.pass(Nanos::from_millis(10));
    rig.world.set_reading(client, true);
    rig.until_end(client);
    assert_eq!(rig.world.end(client), Some(End::Closed), "not reset");
    assert_eq!(statuses(&rig.received(client)), [200]);
}
