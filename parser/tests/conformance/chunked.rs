//! The chunked coding: RFC 9112 section 7.1.

use super::Row;

/// A chunked request and its expectation: the head is the same in all rows.
macro_rules! rows {
    ($(($section:literal, $body:literal, $expect:literal),)*) => {
        &[$((
            $section,
            concat!("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", $body),
            concat!("PUT / chunked ", $expect),
        ),)*]
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows![
    ("9112 7.1", "5\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "\"hello world\" end"),
    ("9112 7.1", "a\r\n0123456789\r\n0\r\n\r\n", "\"0123456789\" end"),
    ("9112 7.1", "A\r\n0123456789\r\n0\r\n\r\n", "\"0123456789\" end"),
    ("9112 7.1", "05\r\nhello\r\n00\r\n\r\n", "\"hello\" end"),
    ("9112 7.1", "0000000000000005\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1", "2\r\n\r\n\r\n0\r\n\r\n", "\"\\r\\n\" end"),
    ("9112 7.1", "5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "\"hello\" end GET /b"),
    ("9112 7.1", "5\r\nhel", "\"hel\" ..."),
    ("9112 7.1", "5\r\nhello\r\n0\r\n", "\"hello\" ..."),
    ("9112 7.1", "5\r\nhello\r\n", "\"hello\" ..."),
    ("9112 7.1", "", "..."),
    // Sizes.
    ("policy", "00000000000000005\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "10000000000000005\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "g\r\n", "!chunk-size"),
    ("9112 7.1", "\r\nhello", "!chunk-size"),
    ("9112 7.1", "0x5\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "+5\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "-5\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "1_0\r\nhello", "!chunk-size"),
    ("9112 7.1", " 5\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "5h\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "5,\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", ";a\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "5\0\r\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9110 15.5.14", "65\r\n", "!body-too-large"),
    ("9110 15.5.14", "ffffffffffffffff\r\n", "!body-too-large"),
    ("9110 15.5.14", "5\r\nhello\r\n60\r\n", "\"hello\" !body-too-large"),
    // Line ends.
    ("9112 7.1", "5\nhello\r\n0\r\n\r\n", "!chunk-size"),
    ("9112 7.1", "5\rhello\r\n0\r\n\r\n", "!chunk-line-end"),
    ("9112 7.1", "5\r\r\nhello\r\n0\r\n\r\n", "!chunk-line-end"),
    ("9112 7.1", "5 \r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1", "5\t\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1", "5\r\nhello0\r\n\r\n", "\"hello\" !chunk-end"),
    ("9112 7.1", "5\r\nhello\n0\r\n\r\n", "\"hello\" !chunk-end"),
    ("9112 7.1", "5\r\nhello\r0\r\n\r\n", "\"hello\" !chunk-end"),
    ("9112 7.1", "5\r\nhellohello\r\n0\r\n\r\n", "\"hello\" !chunk-end"),
    ("9112 7.1", "5\r\nhell\r\n0\r\n\r\n", "\"hell\\r\" !chunk-end"),
    ("9112 7.1", "0\r\n\n", "!trailer-field"),
    ("9112 7.1", "0\n\r\n", "!chunk-size"),
    ("9112 7.1", "0\r\n\rX", "!chunk-line-end"),
    // Extensions.
    ("9112 7.1.1", "5;a\r\nhello\r\n0;b\r\n\r\n", "\"hello\" end"),
    ("9112 7.1.1", "5;a=b\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1.1", "5;a=b;c;d=e\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1.1", "5;a=\"b;\\\"\t\"\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9110 5.6.3", "5 ; a\t= b ;c\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1.1", "5;a=\"\"\r\nhello\r\n0\r\n\r\n", "\"hello\" end"),
    ("9112 7.1.1", "5;\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;;a\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;=b\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a b\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a \r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=b \r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=b=c\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=\"b\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a\rhello\r\n0\r\n\r\n", "!chunk-line-end"),
    ("9112 7.1.1", "5;a\0\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "!chunk-extension"),
    ("9112 7.1.1", "5;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "!chunk-extension-too-long"),
    // Trailers.
    ("9112 7.1.2", "0\r\nX: a\r\n\r\n", "end"),
    ("9112 7.1.2", "1\r\na\r\n0\r\nX: a\r\nY:\r\n\r\n", "\"a\" end"),
    ("9112 7.1.2", "0\r\nX: ä\r\n\r\n", "end"),
    ("9112 6.5.1", "0\r\nContent-Length: 5\r\n\r\nhello", "end ..."),
    ("9112 7.1.2", "0\r\nX\r\n\r\n", "!trailer-field"),
    ("9112 5.1", "0\r\nX : a\r\n\r\n", "!trailer-field"),
    ("9112 5.2", "0\r\n X: a\r\n\r\n", "!trailer-field"),
    ("9112 5.2", "0\r\nX: a\r\n b\r\n\r\n", "!trailer-field"),
    ("9112 7.1.2", "0\r\n: a\r\n\r\n", "!trailer-field"),
    ("9112 7.1.2", "0\r\nX: a\0\r\n\r\n", "!trailer-field"),
    ("policy 9112 2.2", "0\r\nX: a\n\r\n", "!trailer-field"),
    ("9112 2.2", "0\r\nX: a\rb\r\n\r\n", "!chunk-line-end"),
    ("6585 5", "0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n", "!trailers-too-large"),
    ("9112 7.1.2", "0\r\nX: a\r\n", "..."),
];
