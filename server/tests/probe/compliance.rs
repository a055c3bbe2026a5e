//! Http11Probe: compliance, and the WebSocket handshake.

use crate::case::{
    Case, HOST, chunked, get, length, line, may, must, post, practice, request, should,
};

pub(crate) fn cases() -> Vec<Case> {
    [lines(), fields(), hosts(), bodies(), methods(), responses(), negotiation(), websocket()]
        .into_iter()
        .flatten()
        .collect()
}

/// Refused with 400; silence is a warning.
const SPOKEN: &str = "400";
const SILENT: &str = "close wait";

fn lines() -> Vec<Case> {
    let long = format!("GET /{} HTTP/1.1", "a".repeat(7900));
    vec![
        practice("COMP-BASELINE", "-", get("")).pass("2xx"),
        may(
            "RFC9112-2.2-BARE-LF-REQUEST-LINE",
            "9112 §2.2",
            format!("GET / HTTP/1.1\nHost: {HOST}\r\n\r\n"),
        )
        .refused_or_warned(),
        may(
            "RFC9112-2.2-BARE-LF-HEADER",
            "9112 §2.2",
            format!("GET / HTTP/1.1\r\nHost: {HOST}\nX-Test: value\r\n\r\n"),
        )
        .refused_or_warned(),
        must(
            "RFC9112-3-CR-ONLY-LINE-ENDING",
            "9112 §2.2",
            format!("GET / HTTP/1.1\rHost: {HOST}\r\n\r\n"),
        )
        .pass(SPOKEN)
        .warn(SILENT),
        should("RFC9112-3-MULTI-SP-REQUEST-LINE", "9112 §3", line("GET  / HTTP/1.1"))
            .pass(SPOKEN)
            .warn("2xx close wait"),
        should("COMP-REQUEST-LINE-TAB", "9112 §3", line("GET\t/ HTTP/1.1"))
            .pass(SPOKEN)
            .warn("2xx close wait"),
        must("RFC9112-3-MISSING-TARGET", "9112 §3", line("GET HTTP/1.1")).pass(SPOKEN).warn(SILENT),
        should("RFC9112-3.2-FRAGMENT-IN-TARGET", "9112 §3.2", line("GET /path#frag HTTP/1.1"))
            .pass(SPOKEN)
            .warn("2xx 404 close wait"),
        must("COMP-SPACE-IN-TARGET", "9112 §3.2", line("GET /pa th HTTP/1.1"))
            .pass(SPOKEN)
            .warn(SILENT),
        should("COMP-LONG-URL-OK", "9112 §3", line(long)).pass("any!414").warn(SILENT),
        should("COMP-LEADING-CRLF", "9112 §2.2", [b"\r\n\r\n".to_vec(), get("")].concat())
            .pass(SPOKEN)
            .warn("2xx close wait"),
        should("RFC9112-2.3-INVALID-VERSION", "9112 §2.3", line("GET / HTTP/9.9"))
            .pass("400 505")
            .warn(SILENT),
        should("RFC9112-2.3-HTTP09-REQUEST", "9112 §2.3", "GET /\r\n").pass("400 close wait"),
        must("COMP-VERSION-MISSING-MINOR", "9112 §2.3", line("GET / HTTP/1"))
            .pass(SPOKEN)
            .warn(SILENT),
        must("COMP-VERSION-LEADING-ZEROS", "9112 §2.3", line("GET / HTTP/01.01"))
            .pass(SPOKEN)
            .warn(SILENT),
        must("COMP-VERSION-WHITESPACE", "9112 §2.3", line("GET / HTTP/ 1.1"))
            .pass(SPOKEN)
            .warn(SILENT),
        must("COMP-VERSION-CASE", "9112 §2.3", line("GET / http/1.1")).pass(SPOKEN).warn(SILENT),
        may("COMP-HTTP12-VERSION", "9112 §2.3", line("GET / HTTP/1.2"))
            .pass("close")
            .warn("2xx 505")
            .unscored(),
        must("COMP-ASTERISK-WITH-GET", "9112 §3.2.4", line("GET * HTTP/1.1"))
            .pass(SPOKEN)
            .warn(SILENT),
        must("COMP-OPTIONS-STAR", "9112 §3.2.4", line("OPTIONS * HTTP/1.1"))
            .pass("2xx 405")
            .warn(SILENT),
        should("COMP-ABSOLUTE-FORM", "9112 §3.2.2", line(format!("GET http://{HOST}/ HTTP/1.1")))
            .pass("2xx")
            .warn("400 close wait")
            .unscored(),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        must("RFC9112-5.1-OBS-FOLD", "9112 §5.2", get("X-Test: value\r\n continued\r\n"))
            .pass("400"),
        must("RFC9110-5.6.2-SP-BEFORE-COLON", "9112 §5.1", get("X-Test : value\r\n")).pass("400"),
        must("RFC9112-5-EMPTY-HEADER-NAME", "9112 §5", get(": empty-name\r\n")).refused(),
        must("RFC9112-5-INVALID-HEADER-NAME", "9112 §5", get("Bad[Name: value\r\n")).refused(),
        must("RFC9112-5-HEADER-NO-COLON", "9112 §5", get("NoColonHere\r\n")).refused(),
        must(
            "COMP-WHITESPACE-BEFORE-HEADERS",
            "9112 §2.2",
            format!("GET / HTTP/1.1\r\n \r\nHost: {HOST}\r\n\r\n"),
        )
        .refused(),
        should(
            "COMP-DUPLICATE-CT",
            "9110 §5.3",
            post(
                "Content-Length: 5\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n",
                "hello",
            ),
        )
        .refused_or_warned(),
        may("COMP-EXPECT-UNKNOWN", "9110 §10.1.1", get("Expect: 200-ok\r\n"))
            .pass("417 close")
            .warn("2xx"),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    vec![
        must("RFC9112-7.1-MISSING-HOST", "9112 §3.2", "GET / HTTP/1.1\r\n\r\n").pass("400"),
        must("RFC9110-5.4-DUPLICATE-HOST", "9112 §3.2", get("Host: other.example.com\r\n"))
            .pass("400"),
        must("COMP-DUPLICATE-HOST-SAME", "9112 §3.2", get(format!("Host: {HOST}\r\n"))).pass("400"),
        must("COMP-HOST-WITH-USERINFO", "9112 §3.2", host(&format!("user@{HOST}"))).refused(),
        must("COMP-HOST-WITH-PATH", "9112 §3.2", host(&format!("{HOST}/path"))).refused(),
        must("COMP-HOST-EMPTY-VALUE", "9112 §3.2", host("")).refused(),
        may("COMP-HTTP10-NO-HOST", "9112 §3.2", "GET / HTTP/1.0\r\n\r\n")
            .refused_or_warned()
            .unscored(),
    ]
}

fn bodies() -> Vec<Case> {
    let echo = |id, rfc, body| must(id, rfc, chunked(body)).pass("2xx+echo");
    vec![
        must("RFC9112-6.1-CL-NON-NUMERIC", "9112 §6.3", length("abc", "")).refused(),
        must("RFC9112-6.1-CL-PLUS-SIGN", "9112 §6.3", length("+5", "hello")).refused(),
        must("COMP-UNKNOWN-TE-501", "9112 §6.1", post("Transfer-Encoding: gzip\r\n", ""))
            .pass("400 501 close"),
        must("COMP-POST-CL-BODY", "9112 §6.2", length("5", "hello"))
            .pass("2xx+echo")
            .texts(&["hello"]),
        must("COMP-POST-CL-ZERO", "9112 §6.2", length("0", "")).pass("2xx close wait"),
        must("COMP-POST-NO-CL-NO-TE", "9112 §6.3", post("", "")).pass("2xx close wait"),
        must("COMP-POST-CL-UNDERSEND", "9112 §6.2", length("10", "hello"))
            .pass("400 close wait")
            .rest("world"),
        echo("COMP-CHUNKED-BODY", "9112 §7.1", "5\r\nhello\r\n0\r\n\r\n").texts(&["hello"]),
        echo("COMP-CHUNKED-MULTI", "9112 §7.1", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            .texts(&["hello world"]),
        must("COMP-CHUNKED-EMPTY", "9112 §7.1", chunked("0\r\n\r\n")).pass("2xx close wait"),
        must("COMP-CHUNKED-NO-FINAL", "9112 §7.1", chunked("5\r\nhello\r\n"))
            .pass("400 close wait")
            .rest("0\r\n\r\n"),
        echo("COMP-CHUNKED-EXTENSION", "9112 §7.1.1", "5;ext=value\r\nhello\r\n0\r\n\r\n")
            .warn("400 close")
            .texts(&["hello"]),
        echo(
            "COMP-CHUNKED-TRAILER-VALID",
            "9112 §7.1.2",
            "5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n",
        )
        .texts(&["hello"]),
        echo("COMP-CHUNKED-HEX-UPPERCASE", "9112 §7.1", "A\r\nhelloworld\r\n0\r\n\r\n")
            .texts(&["helloworld"]),
        may(
            "COMP-GET-WITH-CL-BODY",
            "9110 §9.3.1",
            request("GET / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
        )
        .pass("400 close")
        .warn("any")
        .unscored(),
    ]
}

fn methods() -> Vec<Case> {
    vec![
        should("COMP-METHOD-CASE", "9110 §9.1", line("get / HTTP/1.1"))
            .pass("400 405 501")
            .warn("2xx close wait"),
        should("COMP-UNKNOWN-METHOD", "9110 §9.1", line("FOOBAR / HTTP/1.1"))
            .pass("400 405 501 close")
            .warn("2xx"),
        should(
            "COMP-METHOD-CONNECT",
            "9110 §9.3.6",
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        )
        .pass("400 405 501 close"),
        must("COMP-405-ALLOW", "9110 §15.5.6", line("DELETE / HTTP/1.1"))
            .pass("405+allow")
            .warn("any!405"),
        should("COMP-METHOD-TRACE", "9110 §9.3.8", line("TRACE / HTTP/1.1"))
            .pass("405 501 close")
            .warn("2xx")
            .unscored(),
        should(
            "COMP-TRACE-WITH-BODY",
            "9110 §9.3.8",
            request("TRACE / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
        )
        .pass("400 405 501 close")
        .warn("2xx")
        .unscored(),
        should(
            "COMP-TRACE-SENSITIVE",
            "9110 §9.3.8",
            request("TRACE / HTTP/1.1", "Authorization: Bearer secret-token-123\r\n", ""),
        )
        .pass("405 501 close 2xx+lacks")
        .warn("2xx")
        .texts(&["secret-token-123"])
        .unscored(),
    ]
}

fn responses() -> Vec<Case> {
    vec![
        must("COMP-CONNECTION-CLOSE", "9112 §9.6", get("Connection: close\r\n")).pass("2xx+closed"),
        should("COMP-HTTP10-DEFAULT-CLOSE", "9112 §9.3", line("GET / HTTP/1.0"))
            .pass("2xx+closed")
            .warn("2xx"),
        must("COMP-HEAD-NO-BODY", "9110 §9.3.2", line("HEAD / HTTP/1.1")).pass("2xx+empty"),
        must("COMP-DATE-HEADER", "9110 §6.6.1", get("")).pass("2xx+date"),
        should("COMP-DATE-FORMAT", "9110 §5.6.7", get(""))
            .pass("2xx+imf-date")
            .warn("2xx")
            .unscored(),
        must(
            "COMP-NO-1XX-HTTP10",
            "9110 §15.2",
            request("POST / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        )
        .pass("2xx 3xx 4xx 5xx close wait"),
        must("COMP-NO-CL-IN-204", "9110 §8.6", line("OPTIONS / HTTP/1.1"))
            .pass("204+no-length 405")
            .warn("any!204"),
        should("COMP-OPTIONS-ALLOW", "9110 §9.3.7", line("OPTIONS / HTTP/1.1"))
            .pass("2xx+allow 405")
            .warn("2xx"),
        should("COMP-CONTENT-TYPE", "9110 §8.3", get("")).pass("2xx+content-type").warn("2xx"),
    ]
}

fn negotiation() -> Vec<Case> {
    vec![
        must(
            "COMP-RANGE-POST",
            "9110 §14.2",
            post("Content-Length: 5\r\nRange: bytes=0-10\r\n", "hello"),
        )
        .pass("2xx!206"),
        may("COMP-RANGE-INVALID", "9110 §14.2", get("Range: bytes=abc-xyz\r\n"))
            .pass("2xx!206 416")
            .warn("any close")
            .unscored(),
        should("COMP-ACCEPT-NONSENSE", "9110 §12.5.1", get("Accept: application/x-nonsense\r\n"))
            .pass("406")
            .warn("2xx close")
            .unscored(),
        may(
            "COMP-POST-UNSUPPORTED-CT",
            "9110 §15.5.16",
            post("Content-Length: 5\r\nContent-Type: application/x-nonsense\r\n", "hello"),
        )
        .pass("2xx 415")
        .warn("any close")
        .unscored(),
    ]
}

fn websocket() -> Vec<Case> {
    let handshake = |line: &str, version: &str| {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        request(line, format!("{upgrade}\r\n{key}\r\nSec-WebSocket-Version: {version}\r\n"), "")
    };
    let unconnected = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n";
    vec![
        must("WS-UPGRADE-POST", "6455 §4.1", handshake("POST / HTTP/1.1", "13"))
            .pass("any!101 close"),
        must("WS-UPGRADE-MISSING-CONN", "9110 §7.8", get(unconnected)).pass("any!101 close"),
        must(
            "WS-UPGRADE-UNKNOWN",
            "9110 §7.8",
            get("Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n"),
        )
        .pass("any!101 close"),
        must("WS-UPGRADE-INVALID-VER", "6455 §4.4", handshake("GET / HTTP/1.1", "99"))
            .pass("3xx 4xx 5xx close")
            .warn("2xx"),
        must("WS-UPGRADE-HTTP10", "9110 §7.8", handshake("GET / HTTP/1.0", "13"))
            .pass("any!101 close"),
    ]
}
