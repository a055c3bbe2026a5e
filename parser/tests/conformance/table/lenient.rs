//! What passes with [`Limits::lenient`](corelane_parser::http1::Limits::lenient), and what must not
//! pass even so: whatever frames a message or says whom it is for.

use super::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Waived.
    ("policy", "GET /ä?ö HTTP/1.1\r\nHost: h\r\n\r\n", "GET /ä?ö"),
    ("policy", "GET http://x/€ HTTP/1.1\r\nHost: h\r\n\r\n", "GET http://x/€ absolute"),
    ("policy", "GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a\\b"),
    ("policy", "GET /%00%0d%0A HTTP/1.1\r\nHost: h\r\n\r\n", "GET /%00%0d%0A"),
    ("9110 7.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /"),
    ("9110 7.2", "GET / HTTP/1.0\r\nHost: \r\n\r\n", "GET / 1.0 close"),
    ("policy 9110 8.3", "GET / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n", "GET /"),
    ("9110 10.1.1", "PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na", "PUT / length=1 \"a\" end"),
    ("9110 10.1.1", "PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea, 100-continue\r\nContent-Length: 1\r\n\r\na", "PUT / length=1 continue \"a\" end"),
    // Not waived: request lines.
    ("9112 3", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", "!method"),
    ("9112 3", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "!target"),
    ("9112 3", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "!version"),
    ("9112 3.2.1", "GET /ä#b HTTP/1.1\r\nHost: h\r\n\r\n", "!target"),
    ("9112 3.2", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", "!target"),
    ("9112 3.2", "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", "!target"),
    ("9112 3.2.4", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("9112 3.2", "GET ä HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("9110 4.2.4", "GET http://u@x/ HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("9110 4.2.1", "GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("3986 3.2.2", "GET http://ä/ HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("3986 3.2.2", "GET http://x\\y/ HTTP/1.1\r\nHost: h\r\n\r\n", "!target-form"),
    ("9112 3.1", "GÄT / HTTP/1.1\r\nHost: h\r\n\r\n", "!method"),
    ("9110 15.6.6", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "!version-unsupported"),
    ("policy", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "!empty-lines"),
    // Not waived: lines and fields.
    ("policy 9112 2.2", "GET / HTTP/1.1\nHost: h\r\n\r\n", "!bare-line-feed"),
    ("policy 9112 2.2", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", "!bare-line-feed"),
    ("9112 2.2", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "!bare-carriage-return"),
    ("9112 5.1", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "!field-name"),
    ("9112 5.2", "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n", "!field-name"),
    ("9110 5.5", "GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n", "!field-value"),
    ("policy 9110 8.3", "GET / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: a/c\r\n\r\n", "!content-type-repeated"),
    ("policy 9110 8.3", "GET / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: a/b\r\nContent-Type: A/b\r\n\r\n", "!content-type-repeated"),
    ("policy 6455 4.4", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n", "!websocket-version"),
    // Not waived: whom it is for.
    ("9112 3.2", "GET / HTTP/1.1\r\n\r\n", "!host-missing"),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "!host-repeated"),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n", "!host-repeated"),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "!host"),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "!host"),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: ä\r\n\r\n", "!host"),
    // Not waived: framing.
    ("policy 9112 6.3", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "!content-length-repeated"),
    ("policy 9112 6.3", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", "!content-length"),
    ("policy", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 01\r\n\r\na", "!content-length"),
    ("9110 8.6", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", "!content-length"),
    ("9112 6.3", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!length-and-encoding"),
    ("9112 6.1", "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!encoding-in-http10"),
    ("9112 6.1", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "!coding-unknown"),
    ("9112 6.3", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "!chunked-not-last"),
    ("9112 7.1", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", "PUT / chunked !chunk-size"),
    ("9112 7.1", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", "PUT / chunked !chunk-size"),
    ("9112 7.1", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", "PUT / chunked !chunk-extension"),
    ("9112 7.1", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n", "PUT / chunked \"a\" !chunk-end"),
    ("9112 7.1.2", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", "PUT / chunked !trailer-field"),
];
