//! Http11Probe: names of fields, cookies, and conditional requests.

use crate::case::{Case, Level, case, get, must, practice, request, should};

pub(crate) fn cases() -> Vec<Case> {
    [normalization(), cookies(), parsed_cookies(), capabilities()].into_iter().flatten().collect()
}

/// Whether a name that looks like that of a framing field is taken for it: `/echo` shows what the
/// handler was given.
fn normalization() -> Vec<Case> {
    let eleven = |field: &str| {
        request("POST /echo HTTP/1.1", format!("Content-Length: 11\r\n{field}\r\n"), "hello world")
    };
    let coded = |name: &str| {
        let body = "B\r\nhello world\r\n0\r\n\r\n";
        request("POST /echo HTTP/1.1", format!("{name}: chunked\r\n"), body)
    };
    let judge = |case: Case| case.pass("4xx 5xx close 2xx+lacks").warn("2xx+kept");
    vec![
        judge(practice("NORM-UNDERSCORE-CL", "-", eleven("Content_Length: 99")))
            .texts(&["Content_Length: 99", "Content-Length: 99"]),
        judge(must("NORM-SP-BEFORE-COLON-CL", "9112 §5.1", eleven("Content-Length : 5")))
            .texts(&["Content-Length : 5", "Content-Length: 5"]),
        judge(must("NORM-TAB-IN-NAME", "9112 §5", eleven("Content\tLength: 99")))
            .texts(&["Content\tLength: 99", "Content-Length: 99"]),
        judge(practice("NORM-CASE-TE", "-", coded("TRANSFER-ENCODING")))
            .texts(&["TRANSFER-ENCODING: chunked", "Transfer-Encoding: chunked"])
            .unscored(),
        judge(practice("NORM-UNDERSCORE-TE", "-", coded("Transfer_Encoding")))
            .texts(&["Transfer_Encoding: chunked", "Transfer-Encoding: chunked"]),
    ]
}

fn cookie(path: &str, fields: &str) -> Vec<u8> {
    request(format!("GET {path} HTTP/1.1"), fields, "")
}

fn cookies() -> Vec<Case> {
    let echo = |id, rfc, fields: &str| practice(id, rfc, cookie("/echo", fields)).unscored();
    let large = format!("Cookie: big={}\r\n", "A".repeat(65_536));
    let pairs: Vec<String> = (0..1000).map(|i| format!("k{i}=v{i}")).collect();
    let many = format!("Cookie: {}\r\n", pairs.join("; "));
    vec![
        echo("COOK-ECHO", "6265 §5.4", "Cookie: foo=bar\r\n")
            .pass("2xx+has")
            .warn("close")
            .texts(&["Cookie:"]),
        echo("COOK-OVERSIZED", "6265 §6.1", &large).pass("400 431 2xx close"),
        echo("COOK-EMPTY", "6265 §4.2", "Cookie: \r\n").pass("400 2xx close"),
        echo("COOK-NUL", "9110 §5.5", "Cookie: foo=\0bar\r\n")
            .pass("400 close 2xx+lacks")
            .texts(&["\0"]),
        echo("COOK-CONTROL-CHARS", "6265 §4.1.1", "Cookie: foo=\x01\x02\x03\r\n")
            .pass("400 close 2xx+lacks")
            .texts(&["\x01", "\x02", "\x03"]),
        echo("COOK-MANY-PAIRS", "6265 §6.1", &many).pass("400 431 2xx close"),
        echo("COOK-MALFORMED", "6265 §4.1.1", "Cookie: ===;;;\r\n").pass("400 2xx close"),
        echo("COOK-MULTI-HEADER", "6265 §5.4", "Cookie: a=1\r\nCookie: b=2\r\n")
            .pass("2xx+has")
            .warn("2xx 400 close")
            .texts(&["a=1", "b=2"]),
    ]
}

fn parsed_cookies() -> Vec<Case> {
    let parsed = |id, rfc, value: &str| {
        practice(id, rfc, cookie("/cookie", &format!("Cookie: {value}\r\n"))).unscored()
    };
    vec![
        parsed("COOK-PARSED-BASIC", "6265 §4.1.1", "foo=bar")
            .pass("2xx+has")
            .warn("400 404 close")
            .texts(&["foo=bar"]),
        parsed("COOK-PARSED-MULTI", "6265 §4.2.1", "a=1; b=2; c=3")
            .pass("2xx+has")
            .warn("400 404 close")
            .texts(&["a=1", "b=2", "c=3"]),
        parsed("COOK-PARSED-EMPTY-VAL", "6265 §4.1.1", "foo=").pass("2xx 400").warn("404 close"),
        parsed("COOK-PARSED-SPECIAL", "6265 §4.1.1", "a=hello world; b=x=y")
            .pass("2xx 400")
            .warn("404 close"),
    ]
}

/// Conditional requests: the suite takes the validators from the first answer. Ours has none, and
/// then it asks with these.
fn capabilities() -> Vec<Case> {
    let pair = |id, rfc, condition: &str| {
        case(Level::Should, id, rfc, get("Connection: keep-alive\r\n"))
            .then(get(format!("{condition}\r\n")))
            .unscored()
    };
    let tag = |id, rfc, condition| pair(id, rfc, condition).pass("2xx+etag+then304").warn("2xx");
    let ignored =
        |id, condition| pair(id, "9110 §13.1.3", condition).pass("2xx+then2xx").warn("2xx+then304");
    let both = "If-None-Match: \"no-etag\"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT";
    vec![
        tag("CAP-ETAG-304", "9110 §13.1.2", "If-None-Match: \"no-etag\""),
        pair(
            "CAP-LAST-MODIFIED-304",
            "9110 §13.1.3",
            "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",
        )
        .pass("2xx+last-modified+then304")
        .warn("2xx"),
        tag("CAP-ETAG-IN-304", "9110 §15.4.5", "If-None-Match: \"no-etag\""),
        tag("CAP-INM-PRECEDENCE", "9110 §13.1.2", both),
        pair("CAP-INM-WILDCARD", "9110 §13.1.2", "If-None-Match: *")
            .pass("2xx+then304")
            .warn("2xx+then2xx"),
        ignored("CAP-IMS-FUTURE", "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"),
        ignored("CAP-IMS-INVALID", "If-Modified-Since: not-a-date"),
        should("CAP-INM-UNQUOTED", "9110 §8.8.3", get("Connection: keep-alive\r\n"))
            .then(get("If-None-Match: no-etag\r\n"))
            .pass("2xx+etag+then2xx")
            .warn("2xx")
            .unscored(),
        tag("CAP-ETAG-WEAK", "9110 §13.1.2", "If-None-Match: W/\"no-etag\""),
    ]
}
