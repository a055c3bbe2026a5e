//! Near-valid messages, read by the parser, by a slow reference and (heads) by httparse: all three
//! must agree on what is accepted and on what it says.

mod checks;
#[allow(dead_code, reason = "only its inputs are used here")]
#[path = "conformance/table/mod.rs"]
mod table;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

const METHODS: &[&str] = &["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "get", "A!#$%&'*+-.^_`|~9"];

const TARGETS: &[&str] = &[
    "/",
    "/a?b=c",
    "//a",
    "/%00",
    "/a\\b",
    "/?%00\\",
    "/a#b",
    "/\u{e4}",
    "/a|b[]{}^`\"<>",
    "*",
    "a",
    "h:443",
    "[::1]:80",
    "[::1]",
    "http://h",
    "http://h:/a",
    "HTTPS://h:1?q",
    "http://u@h/",
    "http://",
    "http://[::1]/",
    "ftp://h/",
    "http://a,b/",
];

const VERSIONS: &[&str] = &[
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/1.9",
    "HTTP/1.10",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/01.1",
    "HTTP/1.",
];

const HOSTS: &[&str] = &[
    "h",
    "example.org:8080",
    "[::1]:80",
    "[v1.a:b]",
    "h:",
    "a_b",
    "%41",
    "%2F",
    "h:99999",
    "u@h",
    "a,b",
    "a b",
    "",
    "[::1%25e]",
    "h:00080",
    "256.1.1.1",
    "h/",
    "%C3%A4",
    "\u{e4}",
];

const FIELDS: &[&str] = &[
    "X: y",
    "X:y",
    "X: \ty \t",
    "X:",
    "x-long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "X : y",
    " X: y",
    "X",
    ": y",
    "X: \u{e4}",
    "\u{e4}: y",
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "Connection: ,CLOSE,",
    "Upgrade: websocket",
    "Upgrade: h2c, WebSocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 8",
    "Expect: 100-continue",
    "Expect: tea",
    "Expect: 100-continue,",
    "Content-Type: a/b",
    "Content-Type: c/d",
    "Content-Length: 5",
    "Content-Length: 05",
    "Content-Length: 5, 5",
    "Content-Length: 0",
    "Content-Length: 600",
    "Content-Length: +5",
    "Content-Length: 18446744073709551616",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: CHUNKED",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding:",
    "Transfer_Encoding: chunked",
    "Host: h",
];

const CHUNKS: &[&str] = &[
    "5\r\nhello\r\n",
    "a\r\n0123456789\r\n",
    "1\r\nx\r\n",
    "2\r\n\r\n\r\n",
    "05\r\n12345\r\n",
    "5;a=b\r\nhello\r\n",
    "5 ; a = \"b\\\"\" ;c\r\nhello\r\n",
    "5;\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5;a=\"\r\nhello\r\n",
    "00000000000000001\r\nx\r\n",
    "0x5\r\nhello\r\n",
    "5\r\nhell\r\n",
    "1f5\r\n",
    "g\r\n",
    "5\nhello\r\n",
    "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n",
];

const TRAILERS: &[&str] = &[
    "T: v\r\n",
    "T:\r\n",
    "Content-Length: 5\r\n",
    "T : v\r\n",
    "T\r\n",
    " T: v\r\n",
    "T: \0\r\n",
    "T: v\n",
    "Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
];

/// Pieces that mutations put in.
const PIECES: &[&str] = &[
    "\r", "\n", "\r\n", "\t", " ", "\0", "\u{b}", "\u{c}", "\u{7f}", "\u{80}", ":", ";", ",", "=",
    "\"", "\\", "0", "9", "f", "_", "\r\n ", "\r\n\r\n", "chunked", "HTTP/1.1",
];

/// Mostly the first, else one of the others.
fn mostly(
    usual: &'static str,
    others: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(usual), 1 => select(others)]
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let line = (mostly("GET", METHODS), mostly("/", TARGETS), mostly("HTTP/1.1", VERSIONS));
    let fields = prop::collection::vec(select(FIELDS), 0..4);
    let host = prop::option::weighted(0.9, mostly("h", HOSTS));
    (line, host, fields).prop_map(|((method, target, version), host, fields)| {
        let mut text = format!("{method} {target} {version}\r\n");
        if let Some(host) = host {
            text += &format!("Host: {host}\r\n");
        }
        for field in fields {
            text += &format!("{field}\r\n");
        }
        (text + "\r\n").into_bytes()
    })
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let chunks = prop::collection::vec(mostly("5\r\nhello\r\n", CHUNKS), 0..5);
    let trailers = prop::collection::vec(mostly("T: v\r\n", TRAILERS), 0..3);
    (chunks, mostly("0\r\n", CHUNKS), trailers).prop_map(|(chunks, last, trailers)| {
        (chunks.concat() + last + &trailers.concat() + "\r\n").into_bytes()
    })
}

/// Requests that are right up to the faults of their fields, each with a body or without.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let chunked = chunks().prop_map(|chunks| {
        [b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks[..]].concat()
    });
    let length = Just(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    prop::collection::vec(prop_oneof![3 => head(), 2 => chunked, 1 => length], 1..4)
        .prop_map(|requests| requests.concat())
}

/// Up to three small faults: a piece put in, bytes taken out, a byte changed, the end cut off.
fn with_faults(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let fault = (any::<Index>(), 0..5u8, select(PIECES), 1..4usize);
    (bytes, prop::collection::vec(fault, 0..3)).prop_map(|(mut bytes, faults)| {
        for (at, kind, piece, count) in faults {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + count);
            match kind {
                0 | 1 => drop(bytes.splice(at..at, piece.bytes())),
                2 => drop(bytes.drain(at..end)),
                3 => drop(bytes.splice(at..end.min(at + 1), piece.bytes())),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

/// With the bytes in front that say by which limits it is judged and how it is cut.
fn with_cuts(
    bytes: impl Strategy<Value = Vec<u8>>,
    count: usize,
) -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), count), bytes)
        .prop_map(|(cuts, bytes)| [cuts, bytes].concat())
}

/// The same cases in every run; PROPTEST_RNG_SEED and PROPTEST_CASES ask for others.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 10_000;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn heads_agree(input in with_cuts(with_faults(head()), 1)) {
        checks::head(&input);
    }

    #[test]
    fn chunked_bodies_agree(input in with_cuts(with_faults(chunks()), 1)) {
        checks::chunked(&input);
    }

    #[test]
    fn trailers_agree(
        input in with_cuts(with_faults(
            prop::collection::vec(mostly("T: v\r\n", TRAILERS), 0..6)
                .prop_map(|trailers| (trailers.concat() + "\r\n").into_bytes())
        ), 1),
    ) {
        checks::trailers(&input);
    }

    #[test]
    fn bodies_agree(input in with_cuts(with_faults(chunks()), 3)) {
        checks::body(&input);
    }

    #[test]
    fn conversations_agree(input in with_cuts(with_faults(requests()), 3)) {
        checks::connection(&input);
    }

    #[test]
    fn arbitrary_bytes_agree(input: Vec<u8>) {
        checks::head(&input);
        checks::chunked(&input);
        checks::trailers(&input);
        checks::connection(&input);
    }
}

/// Every limit of a head, just kept and just broken.
#[test]
fn limits_agree() {
    let check = |head: &str| {
        for cuts in [0, 2, 3 << 2] {
            checks::head(&[&[cuts], head.as_bytes()].concat());
        }
    };
    let limits = checks::LIMITS;
    for more in 0..8 {
        let a = |least: usize| "a".repeat(least + more);
        check(&format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", a(28)));
        check(&format!("GET /{}?b HTTP/1.1\r\nHost: h\r\n\r\n", a(limits.request_line_bytes - 20)));
        check(&format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
            a(limits.field_line_bytes - 7)
        ));
        check(&format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "X: y\r\n".repeat(limits.fields - 5 + more)
        ));
        let long = format!("X: {}\r\n", "a".repeat(245)).repeat(3);
        check(&format!("GET / HTTP/1.1\r\nHost: h\r\n{long}Y: {}\r\n\r\n", a(1024 - 786)));
        check(&format!("{}GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n".repeat(more)));
        let length = limits.body_bytes - 4 + more as u64;
        check(&format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"));
    }
}

/// Chunks of one byte each pay for their framing, and long extensions use up what was saved.
#[test]
fn framing_out_of_proportion_is_refused_where_the_reference_refuses_it() {
    for extension in (0..80).chain([500, 1000]) {
        for size in [1, 2, 600] {
            let line = match extension {
                0 => format!("{size:x}\r\n"),
                _ => format!("{size:x};{}\r\n", "a".repeat(extension - 1)),
            };
            let chunk = line + &"d".repeat(size) + "\r\n";
            let mut input = vec![3 << 2 | 2];
            while input.len() < 40_000 {
                input.extend_from_slice(chunk.as_bytes());
            }
            checks::chunked(&input);
        }
    }
}

/// Every row of the conformance table is one more input.
#[test]
fn the_conformance_table_agrees() {
    for (_, input, _) in [&table::TABLES.concat(), table::LENIENT].concat() {
        for cuts in [[0, 1, 1], [1, 7, 2], [2, 9, 30], [255, 255, 255]] {
            checks::connection(&[&cuts[..], input.as_bytes()].concat());
            checks::head(&[&cuts[..1], input.as_bytes()].concat());
            if let Some((_, body)) = input.split_once("\r\n\r\n") {
                checks::chunked(&[&cuts[..1], body.as_bytes()].concat());
            }
        }
    }
}
