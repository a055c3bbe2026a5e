//! Every byte at every place of a message: which may stand there is a class of the grammar
//! (RFC 9110 section 5.6, RFC 9112), written down here once more, apart from the parser.

use corelane_parser::Refusal;

use crate::table::LIMITS;

/// `tchar` (RFC 9110 section 5.6.2).
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `field-vchar`, and what may be between two of them (RFC 9110 section 5.5).
fn is_value(byte: u8) -> bool {
    byte == b'\t' || byte == b' ' || byte.is_ascii_graphic() || byte >= 0x80
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `unreserved / sub-delims` without the comma (RFC 3986 sections 2.2 and 2.3; policy).
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}

/// What comes before the byte, what after it, and the bytes that may stand between.
type Place = (&'static str, &'static str, fn(u8) -> bool);

const HEADS: &[Place] = &[
    ("", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", is_tchar),
    ("G", "T / HTTP/1.1\r\nHost: h\r\n\r\n", is_tchar),
    ("GET", "/ HTTP/1.1\r\nHost: h\r\n\r\n", |byte| byte == b' '),
    ("GET ", "/ HTTP/1.1\r\nHost: h\r\n\r\n", |byte| byte == b'/'),
    ("GET /a", "b HTTP/1.1\r\nHost: h\r\n\r\n", |byte| {
        byte.is_ascii_graphic() && byte != b'#' && byte != b'\\'
    }),
    ("GET /?a", "b HTTP/1.1\r\nHost: h\r\n\r\n", |byte| byte.is_ascii_graphic() && byte != b'#'),
    ("GET http://a", "b/ HTTP/1.1\r\nHost: h\r\n\r\n", |byte| {
        is_reg_name(byte) || byte == b'/' || byte == b'?'
    }),
    ("CONNECT a", "b:1 HTTP/1.1\r\nHost: h\r\n\r\n", is_reg_name),
    ("GET /", "HTTP/1.1\r\nHost: h\r\n\r\n", |byte| byte == b' '),
    ("GET / HTTP", "1.1\r\nHost: h\r\n\r\n", |byte| byte == b'/'),
    ("GET / HTTP/", ".1\r\nHost: h\r\n\r\n", |byte| byte == b'1'),
    ("GET / HTTP/1", "1\r\nHost: h\r\n\r\n", |byte| byte == b'.'),
    ("GET / HTTP/1.", "\r\nHost: h\r\n\r\n", |byte| byte.is_ascii_digit()),
    ("GET / HTTP/1.1", "\nHost: h\r\n\r\n", |byte| byte == b'\r'),
    ("GET / HTTP/1.1\r", "Host: h\r\n\r\n", |byte| byte == b'\n'),
    ("GET / HTTP/1.1\r\nHost: h\r\n", "X: a\r\n\r\n", is_tchar),
    ("GET / HTTP/1.1\r\nHost: h\r\nX", "Y: a\r\n\r\n", |byte| is_tchar(byte) || byte == b':'),
    ("GET / HTTP/1.1\r\nHost: h\r\nX", " a\r\n\r\n", |byte| byte == b':'),
    ("GET / HTTP/1.1\r\nHost: h\r\nX:", "a\r\n\r\n", is_value),
    ("GET / HTTP/1.1\r\nHost: h\r\nX: a", "b\r\n\r\n", is_value),
    ("GET / HTTP/1.1\r\nHost: h\r\nX: a", "\r\n\r\n", is_value),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r", "", |byte| byte == b'\n'),
    ("GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n", is_reg_name),
    ("GET / HTTP/1.1\r\nHost: a:", "0\r\n\r\n", |byte| byte.is_ascii_digit()),
    ("GET / HTTP/1.1\r\nHost: [::", "]\r\n\r\n", |byte| byte.is_ascii_hexdigit()),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: ", "1\r\n\r\n", |byte| {
        matches!(byte, b'1'..=b'9') || is_blank(byte)
    }),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1", "\r\n\r\n", |byte| {
        byte.is_ascii_digit() || is_blank(byte)
    }),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ", "chunked\r\n\r\n", is_blank),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunke", "\r\n\r\n", |byte| {
        byte.eq_ignore_ascii_case(&b'd')
    }),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked", "\r\n\r\n", is_blank),
];

/// In chunked bodies nothing need follow for a byte to be refused.
const BODIES: &[Place] = &[
    ("", "", |byte| byte.is_ascii_hexdigit()),
    ("5", "", |byte| byte.is_ascii_hexdigit() || is_blank(byte) || b";\r".contains(&byte)),
    ("5 ", "", |byte| is_blank(byte) || byte == b';'),
    ("5;", "", |byte| is_tchar(byte) || is_blank(byte)),
    ("5;a", "", |byte| is_tchar(byte) || is_blank(byte) || b"=;\r".contains(&byte)),
    ("5;a ", "", |byte| is_blank(byte) || b"=;".contains(&byte)),
    ("5;a=", "", |byte| is_tchar(byte) || is_blank(byte) || byte == b'"'),
    ("5;a=b", "", |byte| is_tchar(byte) || is_blank(byte) || b";\r".contains(&byte)),
    ("5;a=b ", "", |byte| is_blank(byte) || byte == b';'),
    ("5;a=\"", "", is_value),
    ("5;a=\"\\", "", is_value),
    ("5;a=\"b\"", "", |byte| is_blank(byte) || b";\r".contains(&byte)),
    ("5\r", "", |byte| byte == b'\n'),
    ("1\r\n", "", |_| true),
    ("1\r\na", "", |byte| byte == b'\r'),
    ("1\r\na\r", "", |byte| byte == b'\n'),
    ("1\r\na\r\n", "", |byte| byte.is_ascii_hexdigit()),
    ("0\r", "", |byte| byte == b'\n'),
    ("0\r\n", "", |byte| is_tchar(byte) || byte == b'\r'),
    ("0\r\nX", "", |byte| is_tchar(byte) || byte == b':'),
    ("0\r\nX:", "", |byte| is_value(byte) || byte == b'\r'),
    ("0\r\nX: a", "", |byte| is_value(byte) || byte == b'\r'),
    ("0\r\nX: a\r", "", |byte| byte == b'\n'),
    ("0\r\nX: a\r\n", "", |byte| is_tchar(byte) || byte == b'\r'),
    ("0\r\n\r", "", |byte| byte == b'\n'),
];

fn is_refused(events: &str) -> bool {
    let rule = events.rsplit(' ').next().and_then(|word| word.strip_prefix('!'));
    Refusal::ALL.iter().any(|refusal| Some(refusal.rule()) == rule)
}

fn check(head: &str, places: &[Place]) {
    for (before, after, may_stand) in places {
        for byte in 0..=255 {
            let input = [head.as_bytes(), before.as_bytes(), &[byte], after.as_bytes()].concat();
            let whole = super::events(&[&input], &LIMITS);
            let shown = input.escape_ascii();
            assert_eq!(!is_refused(&whole), may_stand(byte), "{shown}: {whole}");
            let pieces: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(super::events(&pieces, &LIMITS), whole, "byte by byte: {shown}");
        }
    }
}

#[test]
fn every_byte_at_every_place_of_a_head() {
    check("", HEADS);
}

#[test]
fn every_byte_at_every_place_of_a_chunked_body() {
    check("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", BODIES);
}
