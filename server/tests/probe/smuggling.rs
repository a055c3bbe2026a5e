//! Http11Probe: ambiguous framings, of which somebody else would read another request.

use crate::case::{
    Case, HOST, Level, case, chunked, coding, get, length, line, may, must, post, request, should,
};

pub(crate) fn cases() -> Vec<Case> {
    [lengths(), codings(), chunks(), trailers(), others(), sequences(), smuggled(), desyncs()]
        .into_iter()
        .flatten()
        .collect()
}

fn lengths() -> Vec<Case> {
    let bad = |id, value, body| must(id, "9110 §8.6", length(value, body)).refused();
    vec![
        must(
            "SMUG-DUPLICATE-CL",
            "9110 §8.6",
            post("Content-Length: 5\r\nContent-Length: 10\r\n", "helloworld"),
        )
        .refused(),
        should("SMUG-CL-LEADING-ZEROS", "9110 §8.6", length("005", "hello")).refused_or_warned(),
        bad("SMUG-CL-NEGATIVE", "-1", ""),
        should("SMUG-CL-TRAILING-SPACE", "9110 §5.5", length("5 ", "hello")).refused_or_warned(),
        should("SMUG-CL-EXTRA-LEADING-SP", "9110 §5.5", length(" 5", "hello")).refused_or_warned(),
        bad("SMUG-CL-COMMA-DIFFERENT", "5, 10", "hello"),
        bad("SMUG-CL-OCTAL", "0o5", "hello"),
        bad("SMUG-CL-HEX-PREFIX", "0x5", "hello"),
        bad("SMUG-CL-INTERNAL-SPACE", "1 0", "hello12345"),
        must("SMUG-CL-COMMA-SAME", "9110 §8.6", length("5, 5", "hello"))
            .refused_or_warned()
            .unscored(),
        must("SMUG-CL-COMMA-TRIPLE", "9110 §8.6", length("5, 5, 5", "hello"))
            .refused_or_warned()
            .unscored(),
        bad("SMUG-CL-UNDERSCORE", "1_0", "helloworld"),
        bad("SMUG-CL-NEGATIVE-ZERO", "-0", ""),
        should("SMUG-CL-DOUBLE-ZERO", "9110 §8.6", length("00", "")).refused_or_warned(),
        should("SMUG-CL-LEADING-ZEROS-OCTAL", "9110 §8.6", length("0200", &"A".repeat(200)))
            .refused_or_warned(),
    ]
}

fn codings() -> Vec<Case> {
    let both = "D\r\nhello-bananas\r\n0\r\n\r\n";
    let both =
        post(format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", both.len()), both);
    let folded = post("Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", "hello");
    let twice =
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n";
    let old = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    vec![
        case(Level::OughtTo, "SMUG-CL-TE-BOTH", "9112 §6.1", both).refused_or_warned(),
        must("SMUG-TE-XCHUNKED", "9112 §6.1", coding("xchunked")).pass("400 501 close"),
        must("SMUG-TE-TRAILING-SPACE", "9112 §6.1", coding("chunked "))
            .pass("400 501 close")
            .warn("2xx+closed"),
        must(
            "SMUG-TE-SP-BEFORE-COLON",
            "9112 §5.1",
            post("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "hello"),
        )
        .refused(),
        may(
            "SMUG-CLTE-PIPELINE",
            "9112 §6.1",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        )
        .pass("400 close any+closed")
        .warn("2xx"),
        may(
            "SMUG-TECL-PIPELINE",
            "9112 §6.1",
            post("Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\n"),
        )
        .pass("400 close any+closed")
        .warn("2xx"),
        should("SMUG-TE-DOUBLE-CHUNKED", "9112 §6.1", coding("chunked, chunked"))
            .refused_or_warned(),
        should("SMUG-TE-CASE-MISMATCH", "9112 §6.1", coding("Chunked")).refused_or_warned(),
        must(
            "SMUG-TE-NOT-FINAL-CHUNKED",
            "9112 §6.3",
            post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        )
        .refused(),
        must("SMUG-TE-HTTP10", "9112 §6.1", request("POST / HTTP/1.0", old, "hello")).refused(),
        must("SMUG-TE-EMPTY-VALUE", "9112 §6.1", coding("")).refused(),
        should("SMUG-TE-LEADING-COMMA", "9110 §5.6.1", coding(", chunked")).refused_or_warned(),
        should("SMUG-TE-TRAILING-COMMA", "9110 §5.6.1", coding("chunked,")).refused_or_warned(),
        must("SMUG-TE-DUPLICATE-HEADERS", "9112 §6.1", post(twice, "hello")).refused(),
        must("SMUG-TE-VTAB", "9112 §6.1", coding("\x0bchunked")).refused(),
        must("SMUG-TE-FORMFEED", "9112 §6.1", coding("\x0cchunked")).refused(),
        must("SMUG-TE-NULL", "9110 §5.5", coding("chunked\0")).refused(),
        must("SMUG-TE-IDENTITY", "9112 §7", coding("identity")).pass("400 501 close"),
        must("SMUG-TE-OBS-FOLD", "9112 §5.2", folded).pass("400 close").warn("2xx+closed"),
        must(
            "SMUG-TRANSFER_ENCODING",
            "9112 §6.1",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
        )
        .refused_or_warned()
        .unscored(),
        must("SMUG-CHUNKED-WITH-PARAMS", "9112 §7", coding("chunked;ext=val"))
            .refused_or_warned()
            .unscored(),
        must("SMUG-TE-TAB-BEFORE-VALUE", "9110 §5.5", {
            post("Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n", "hello")
        })
        .refused_or_warned()
        .unscored(),
    ]
}

fn chunks() -> Vec<Case> {
    let bad = |id, rfc, body: &str| must(id, rfc, chunked(body)).refused();
    let lf = |id, rfc, body: &str| may(id, rfc, chunked(body)).refused_or_warned();
    vec![
        bad("SMUG-CHUNK-BARE-SEMICOLON", "9112 §7.1.1", "5;\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-EXT-INVALID-TOKEN", "9112 §7.1.1", "5;bad[=x\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-UNDERSCORE", "9112 §7.1", "1_0\r\nhello world!!!!!\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-HEX-PREFIX", "9112 §7.1", "0x5\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-SIZE-PLUS", "9112 §7.1", "+5\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-SIZE-TRAILING-OWS", "9112 §7.1", "5 \r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-LEADING-SP", "9112 §7.1", " 5\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-MISSING-TRAILING-CRLF", "9112 §7.1", "5\r\nhello0\r\n\r\n"),
        lf("SMUG-CHUNK-EXT-LF", "9112 §7.1.1", "5;\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-SPILL", "9112 §7.1", "5\r\nhello!!\r\n0\r\n\r\n"),
        lf("SMUG-CHUNK-LF-TERM", "9112 §7.1", "5\r\nhello\n0\r\n\r\n"),
        bad("SMUG-CHUNK-EXT-CTRL", "9112 §7.1.1", "5;\0ext\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-EXT-CR", "9112 §7.1.1", "5;a\rX\r\nhello\r\n0\r\n\r\n"),
        lf("SMUG-CHUNK-LF-TRAILER", "9112 §7.1", "5\r\nhello\r\n0\r\n\n"),
        bad("SMUG-CHUNK-NEGATIVE", "9112 §7.1", "-1\r\nhello\r\n0\r\n\r\n"),
        bad("SMUG-CHUNK-BARE-CR-TERM", "9112 §2.2", "5\rhello\r\n0\r\n\r\n"),
    ]
}

/// Fields that have no business in a trailer (RFC 9110 §6.5.1).
fn trailers() -> Vec<Case> {
    let trailer = |id, field: &str| {
        must(id, "9110 §6.5.1", chunked(format!("5\r\nhello\r\n0\r\n{field}\r\n\r\n")))
            .refused_or_warned()
            .unscored()
    };
    vec![
        trailer("SMUG-TRAILER-CL", "Content-Length: 50"),
        trailer("SMUG-TRAILER-TE", "Transfer-Encoding: chunked"),
        trailer("SMUG-TRAILER-HOST", "Host: evil.example.com"),
        trailer("SMUG-TRAILER-AUTH", "Authorization: Bearer evil"),
        trailer("SMUG-TRAILER-CONTENT-TYPE", "Content-Type: text/evil"),
    ]
}

fn others() -> Vec<Case> {
    let five = "Content-Length: 5\r\n";
    vec![
        must(
            "SMUG-BARE-CR-HEADER-VALUE",
            "9112 §2.2",
            post("Content-Length: 5\r\nX-Test: val\rue\r\n", "hello"),
        )
        .refused(),
        must(
            "SMUG-MULTIPLE-HOST-COMMA",
            "9112 §3.2",
            format!("GET / HTTP/1.1\r\nHost: {HOST}, other.example.com\r\n\r\n"),
        )
        .refused(),
        must(
            "SMUG-EXPECT-100-CL",
            "9110 §10.1.1",
            post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
        )
        .refused_or_warned()
        .unscored(),
        must("SMUG-HEAD-CL-BODY", "9110 §9.3.2", request("HEAD / HTTP/1.1", five, "hello"))
            .refused_or_warned()
            .unscored(),
        must("SMUG-OPTIONS-CL-BODY", "9110 §9.3.7", request("OPTIONS / HTTP/1.1", five, "hello"))
            .refused_or_warned()
            .unscored(),
        must(
            "SMUG-ABSOLUTE-URI-HOST-MISMATCH",
            "9112 §3.2.2",
            line("GET http://other.example.com/ HTTP/1.1"),
        )
        .refused_or_warned()
        .unscored(),
    ]
}

/// Refused, or the connection is closed whatever the answer.
const ENDS: &str = "400 close any+closed";
/// The same, and whatever was hidden in the body was not answered.
const ENDS_ALONE: &str = "400+single close any+closed+single";

/// An ambiguous request, and a second one on the same connection.
fn sequences() -> Vec<Case> {
    let pair = |id, rfc, first: Vec<u8>| must(id, rfc, first).then(get("")).pass(ENDS);
    let clte = |n: u8, body: &str| {
        post(format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"), body)
    };
    let tecl = |n: u8, body: &str| {
        post(format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"), body)
    };
    let folded = "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n";
    vec![
        pair("SMUG-CLTE-CONN-CLOSE", "9112 §6.1", clte(5, "0\r\n\r\n")),
        pair("SMUG-TECL-CONN-CLOSE", "9112 §6.1", tecl(5, "0\r\n\r\n")),
        pair("SMUG-CLTE-DESYNC", "9112 §6.1", clte(6, "0\r\n\r\nX")),
        pair("SMUG-TECL-DESYNC", "9112 §6.1", tecl(30, "0\r\n\r\nX")),
        pair(
            "SMUG-OPTIONS-TE-OBS-FOLD",
            "9112 §5.2",
            request("OPTIONS / HTTP/1.1", folded, "hello"),
        )
        .pass("400 405 close any+closed"),
        pair("SMUG-CHUNK-INVALID-SIZE-DESYNC", "9112 §7.1", chunked("+0\r\n\r\nX")),
    ]
}

/// A request hidden in the body of another.
fn smuggled() -> Vec<Case> {
    // The fields of the outer request, made of the length of its body.
    let hidden = |id, rfc, method: &str, fields: fn(usize) -> String| {
        let body = format!("0\r\n\r\n{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        must(id, rfc, post(fields(body.len()), body)).pass(ENDS_ALONE)
    };
    let clte = |n| format!("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n");
    let inner = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 7\r\n\r\n");
    let size = format!("{:x}\r\n", inner.len());
    let prefix = post(
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", size.len()),
        format!("{size}{inner}\r\n0\r\n\r\n"),
    );
    let after = format!("PINGGET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let lengths = format!("Content-Length: 4\r\nContent-Length: {}\r\n", after.len());
    vec![
        hidden("SMUG-CLTE-SMUGGLED-GET", "9112 §6.1", "GET", clte),
        hidden("SMUG-CLTE-SMUGGLED-GET-CL-PLUS", "9112 §6.1", "GET", |n| {
            format!("Content-Length: +{n}\r\nTransfer-Encoding: chunked\r\n")
        }),
        hidden("SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC", "9112 §6.1", "GET", |n| {
            format!("Content-Length: {n}x\r\nTransfer-Encoding: chunked\r\n")
        }),
        hidden("SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD", "9112 §5.2", "GET", |n| {
            format!("Transfer-Encoding:\r\n chunked\r\nContent-Length: {n}\r\n")
        }),
        hidden("SMUG-CLTE-SMUGGLED-HEAD", "9112 §6.1", "HEAD", clte),
        hidden("SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE", "9112 §6.1", "GET", |n| {
            format!("Content-Length: {n}\r\nTransfer-Encoding: chunked \r\n")
        }),
        hidden("SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA", "9112 §6.1", "GET", |n| {
            format!("Content-Length: {n}\r\nTransfer-Encoding: , chunked\r\n")
        }),
        hidden("SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH", "9112 §6.1", "GET", |n| {
            format!("Content-Length: {n}\r\nTransfer-Encoding: Chunked\r\n")
        }),
        hidden("SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET", "9112 §6.1", "GET", |n| {
            let codings = "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity";
            format!("{codings}\r\nContent-Length: {n}\r\n")
        }),
        must("SMUG-TECL-SMUGGLED-GET", "9112 §6.1", prefix).pass(ENDS_ALONE),
        must("SMUG-DUPLICATE-CL-SMUGGLED-GET", "9110 §8.6", post(lengths, after)).pass(ENDS_ALONE),
    ]
}

/// Sound requests with a body where some servers expect none, and another request behind it.
fn desyncs() -> Vec<Case> {
    let five = "Content-Length: 5\r\n";
    let prefix = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n");
    let first = request("GET / HTTP/1.1", format!("Content-Length: {}\r\n", prefix.len()), &prefix);
    let second = format!("\r\n{prefix}\r\n");
    let free = Level::Practice;
    vec![
        may("SMUG-GET-CL-PREFIX-DESYNC", "9110 §9.3.1", first)
            .then(second)
            .pass("400 close any+closed 2xx+then400+single 2xx+then2xx+single")
            .warn("any")
            .unscored(),
        case(free, "SMUG-CL0-BODY-POISON", "9112 §6.2", length("0", "X"))
            .then(get(""))
            .pass(ENDS)
            .warn("2xx")
            .unscored(),
        may("SMUG-GET-CL-BODY-DESYNC", "9110 §9.3.1", request("GET / HTTP/1.1", five, "hello"))
            .then(get(""))
            .pass("400 close any+closed 2xx+then2xx")
            .warn("2xx")
            .unscored(),
        case(
            free,
            "SMUG-OPTIONS-CL-BODY-DESYNC",
            "9110 §9.3.7",
            request("OPTIONS / HTTP/1.1", five, "hello"),
        )
        .then(get(""))
        .pass("400 405 close any+closed 2xx+then2xx")
        .warn("2xx")
        .unscored(),
        case(
            free,
            "SMUG-EXPECT-100-CL-DESYNC",
            "9110 §10.1.1",
            post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
        )
        .then(get(""))
        .pass("400 417 close any+closed 2xx+then2xx")
        .warn("any")
        .unscored(),
        should("SMUG-PIPELINE-SAFE", "9112 §9.3", get(""))
            .then(get(""))
            .pass("2xx+then2xx")
            .warn("2xx")
            .unscored(),
    ]
}
