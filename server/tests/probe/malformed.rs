//! Http11Probe: malformed input.

use crate::case::{Case, HOST, chunked, get, length, line, may, must, practice, request, should};

/// Bytes that no rule made; the suite takes them from a generator with a fixed seed.
const GARBAGE: &str = "\
3e17ba96ae04cd3b99869e56f0adbf3a6fb74d2555175dcc6e8b0914579ab036\
cfd6280bb3c707dbaef270dc9505096e676be7f10d46d827baed2722fbb9e4fe\
d667871a85b386a8af727663a7813769819aadebb3bf2989fd0051c69fe4e0f5\
0e71052d7eefe9b3e53e429bcf758038b5bea0600bf84a173efd1d8462c009ca\
918154357b0aea92b1fa06747c8eb987801810e04480ea1527eeee80d2645125\
3577094e204bbdabd40dae11f2d59ab044950349af288611963f0d8c1b69c04c\
a8e03f05846b67345a650c36d1d82251543e3c3c6007750cf1f8b7e03d31906a\
4d61681296942bd82dcfef4a1c503fbe1dbc37dc2c83eba16a32148bb486f728";

fn garbage() -> Vec<u8> {
    let digits = GARBAGE.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    [lines(), fields(), sizes(), bodies()].into_iter().flatten().collect()
}

fn lines() -> Vec<Case> {
    vec![
        should("MAL-BINARY-GARBAGE", "9112 §2.2", garbage()).refused(),
        must("MAL-NUL-IN-URL", "9112 §3.2", line("GET /\0test HTTP/1.1")).refused(),
        must("MAL-NON-ASCII-URL", "9112 §3.2", line(b"GET /caf\xc3\xa9 HTTP/1.1")).refused(),
        must("MAL-URL-OVERLONG-UTF8", "3629 §3", line(b"GET /\xc0\xaf HTTP/1.1")).refused(),
        should("MAL-URL-BACKSLASH", "9112 §3.2", line("GET /path\\file HTTP/1.1"))
            .pass("400 close")
            .warn("2xx 3xx 4xx"),
        practice("MAL-URL-PERCENT-NULL", "-", line("GET /path%00.html HTTP/1.1"))
            .pass("400 close")
            .warn("2xx 3xx 4xx"),
        practice("MAL-URL-PERCENT-CRLF", "-", line("GET /path%0d%0aX-Injected:%20true HTTP/1.1"))
            .pass("400 close")
            .warn("2xx 3xx 4xx"),
        practice("MAL-WHITESPACE-ONLY-LINE", "9112 §2.2", "   \r\n\r\n").refused(),
        practice("MAL-H2-PREFACE", "9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .pass("400 505 close wait"),
        practice("MAL-EMPTY-REQUEST", "9112 §2.2", "").refused().rest(get("")),
        practice(
            "MAL-INCOMPLETE-REQUEST",
            "9112 §2.2",
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Test: value"),
        )
        .refused()
        .rest("\r\n\r\n"),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        must("MAL-CONTROL-CHARS-HEADER", "9110 §5.5", get("X-Test: abc\x07\x08\x0bdef\r\n"))
            .refused(),
        must("MAL-NUL-IN-HEADER-VALUE", "9110 §5.5", get("X-Test: val\0ue\r\n")).refused(),
        must("MAL-NON-ASCII-HEADER-NAME", "9112 §5", get(b"X-T\xc3\xabst: value\r\n")).refused(),
    ]
}

/// More than a server should want to read.
fn sizes() -> Vec<Case> {
    let letters = |letter: &str| letter.repeat(100_000);
    let many: String = (0..10_000).map(|i| format!("X-H-{i}: value\r\n")).collect();
    let overlapping = vec!["0-"; 1000].join(",");
    vec![
        should("MAL-LONG-URL", "9112 §3", line(format!("GET /{} HTTP/1.1", letters("A"))))
            .pass("400 414 431 close"),
        should("MAL-LONG-METHOD", "9112 §3", line(format!("{} / HTTP/1.1", letters("A"))))
            .pass("400 close"),
        should("MAL-LONG-HEADER-VALUE", "9110 §5.4", get(format!("X-Big: {}\r\n", letters("B"))))
            .pass("400 431 close"),
        should("MAL-LONG-HEADER-NAME", "9110 §5.4", get(format!("{}: val\r\n", letters("A"))))
            .pass("400 431 close"),
        practice("MAL-MANY-HEADERS", "6585 §5", get(many)).pass("400 431 close"),
        practice(
            "MAL-CHUNK-EXT-64K",
            "9112 §7.1.1",
            chunked(format!("5;ext={}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536))),
        )
        .pass("400 431 close")
        .warn("2xx"),
        practice(
            "MAL-RANGE-OVERLAPPING",
            "9110 §14.2",
            get(format!("Range: bytes={overlapping}\r\n")),
        )
        .pass("close")
        .warn("200 206 400 416 431")
        .unscored(),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        must("MAL-CL-OVERFLOW", "9110 §8.6", length("99999999999999999999", "")).refused(),
        must("MAL-CL-EMPTY", "9110 §8.6", length("", "")).refused(),
        may(
            "MAL-CL-TAB-BEFORE-VALUE",
            "9110 §5.6.3",
            request("POST / HTTP/1.1", "Content-Length:\t5\r\n", "hello"),
        )
        .refused_or_warned(),
        must(
            "MAL-CHUNK-SIZE-OVERFLOW",
            "9112 §7.1",
            chunked("FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"),
        )
        .refused(),
        must("MAL-POST-CL-HUGE-NO-BODY", "9112 §6.2", length("999999999", ""))
            .pass("400 413 close wait"),
    ]
}
