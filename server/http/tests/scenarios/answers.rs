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
    let paths = ["/bad-name", "/bad-value", "/reserved", "/status-100", "/204-with-body"];
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
fn connect_is_answered_501_and_counted() {
    let (rig, answer) = ask("CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n");
    assert_eq!(statuses(&answer), [501]);
    assert_eq!(rig.counter("corelane_http_responses_total", &[("class", "5xx")]), 1);
}
