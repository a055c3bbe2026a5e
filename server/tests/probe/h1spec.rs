//! The list of h1spec. Its cases have descriptions and no ids.

use crate::case::{Case, must};

/// What the fragments are the beginning of.
const WHOLE: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub(crate) fn cases() -> Vec<Case> {
    [fragments(), heads(), bodies()].into_iter().flatten().collect()
}

/// A server must wait for what is missing.
fn fragments() -> Vec<Case> {
    let fragment = |id, rfc, start: &'static str| {
        let rest = WHOLE.strip_prefix(start).unwrap();
        must(id, rfc, start).pass("wait").rest(rest)
    };
    vec![
        fragment("Fragmented method", "9112 §3", "G"),
        fragment("Fragmented URL 1", "9112 §3", "GET "),
        fragment("Fragmented URL 2", "9112 §3", "GET /hello"),
        fragment("Fragmented URL 3", "9112 §3", "GET /hello "),
        fragment("Fragmented HTTP version", "9112 §3", "GET /hello HTTP"),
        fragment("Fragmented request line", "9112 §3", "GET /hello HTTP/1.1"),
        fragment("Fragmented request line newline 1", "9112 §3", "GET /hello HTTP/1.1\r"),
        fragment("Fragmented request line newline 2", "9112 §3", "GET /hello HTTP/1.1\r\n"),
        fragment("Fragmented field name", "9112 §5", "GET /hello HTTP/1.1\r\nHos"),
        fragment("Fragmented field value 1", "9112 §5", "GET /hello HTTP/1.1\r\nHost:"),
        fragment("Fragmented field value 2", "9112 §5", "GET /hello HTTP/1.1\r\nHost: "),
        fragment("Fragmented field value 3", "9112 §5", "GET /hello HTTP/1.1\r\nHost: localhost"),
        fragment("Fragmented field value 4", "9112 §5", "GET /hello HTTP/1.1\r\nHost: localhost\r"),
        fragment("Fragmented request", "9112 §2.1", "GET /hello HTTP/1.1\r\nHost: localhost\r\n"),
        fragment(
            "Fragmented request termination",
            "9112 §2.1",
            "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
        ),
    ]
}

fn head(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")
}

fn heads() -> Vec<Case> {
    let refused = |id, rfc, fields: &str| must(id, rfc, head(fields)).pass("4xx");
    let accepted = |id, rfc, fields: &str| must(id, rfc, head(fields)).pass("2xx");
    vec![
        must("Request without HTTP version", "9112 §3", "GET / \r\n\r\n").pass("4xx 5xx"),
        accepted("Request with Expect header", "9110 §10.1.1", "Expect: 100-continue\r\n")
            .pass("100 2xx"),
        accepted("Valid GET request", "9112 §2.1", ""),
        must(
            "Valid GET request with edge cases",
            "9112 §5",
            "GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n",
        )
        .pass("2xx"),
        refused("Invalid header characters", "9112 §5", "X-Invalid[]: test\r\n"),
        must("Missing Host header", "9112 §3.2", "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
            .pass("4xx"),
        refused("Multiple Host headers", "9112 §3.2", "Host: example.org\r\n"),
        refused(
            "Overflowing negative Content-Length header",
            "9110 §8.6",
            "Content-Length: -123456789123456789123456789\r\n",
        ),
        refused("Negative Content-Length header", "9110 §8.6", "Content-Length: -1234\r\n"),
        refused("Non-numeric Content-Length header", "9110 §8.6", "Content-Length: abc\r\n"),
        accepted("Empty header value", "9110 §5.5", "X-Empty-Header: \r\n"),
        refused(
            "Header containing invalid control character",
            "9110 §5.5",
            "X-Bad-Control-Char: test\x07\r\n",
        ),
        must("Invalid HTTP version", "9112 §2.3", "GET / HTTP/9.9\r\nHost: example.com\r\n\r\n")
            .pass("4xx 5xx"),
        must(
            "Invalid prefix of request",
            "9112 §3",
            "Extra lineGET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        )
        .pass("4xx 5xx"),
        refused("Invalid line ending", "9112 §2.2", "\rSome-Header: Test\r\n"),
    ]
}

fn bodies() -> Vec<Case> {
    let post = |fields: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n{body}")
    };
    let chunks = "c\r\nHellO world1\r\n0\r\n\r\n";
    vec![
        must("Valid POST request with body", "9112 §6.2", post("Content-Length: 5\r\n", "hello"))
            .pass("2xx+echo 404")
            .texts(&["hello"]),
        must(
            "Chunked Transfer-Encoding",
            "9112 §7.1",
            post("Transfer-Encoding: chunked\r\n", chunks),
        )
        .pass("2xx+echo")
        .texts(&["HellO world1"]),
        must(
            "Conflicting Transfer-Encoding and Content-Length in varying case",
            "9112 §6.1",
            post("content-LengtH: 5\r\nTransFer-Encoding: chunked\r\n", chunks),
        )
        .pass("4xx 2xx+echo")
        .texts(&["HellO world1"]),
    ]
}
