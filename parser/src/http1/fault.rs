//! What is wrong with a head that could not be read, or with the part of it that is there.
//!
//! Heads are read by [`head`](super::head), which takes those without a fault and does not say what
//! is wrong with others. `httparse` does, which reads the same grammar and stops at the first fault.
//! What it refuses and HTTP does not, the versions 1.2 to 1.9, is looked at here.

use std::mem::MaybeUninit;

use httparse::{Error, Header};

use super::Limits;
use super::limits::FIELDS_MAX;
use crate::Refusal;

/// `HTTP/1.1`, and every other version.
const VERSION_BYTES: usize = 8;

/// Room for fields that nobody will look at.
const fn slots<'h>() -> [MaybeUninit<Header<'h>>; FIELDS_MAX] {
    [const { MaybeUninit::uninit() }; FIELDS_MAX]
}

/// The refusal that `input`, the beginning of a head or all of it, leads to. None as long as its
/// request line and its fields can be cut from each other; a bare LF passes for a line end.
#[cold]
#[inline(never)]
pub(super) fn fault_of(input: &[u8], limits: &Limits) -> Option<Refusal> {
    #[cfg(test)]
    super::scan::work::add(input.len());
    let mut slots = slots();
    let fields_max = limits.fields.min(FIELDS_MAX);
    let mut request = httparse::Request::new(&mut []);
    let error = request.parse_with_uninit_headers(input, &mut slots[..fields_max]).err()?;
    match (error, request.method, request.path) {
        (Error::Version, Some(method), Some(target)) => {
            later_minor(version_on(input, method, target), limits).err()
        }
        (error, method, target) => Some(refusal_of(input, error, method, target)),
    }
}

/// The refusal for an error of the tokenizer, which had come so far in `input`.
fn refusal_of(input: &[u8], error: Error, method: Option<&str>, target: Option<&str>) -> Refusal {
    match (error, method, target) {
        (Error::Token, None, _) => Refusal::Method,
        (Error::Token, Some(_), _) => Refusal::Target,
        // A line end that is none: behind the version, or behind the last field. Only the former
        // can be something else than a bare CR.
        (Error::NewLine, Some(method), Some(target)) => {
            match version_on(input, method, target).get(VERSION_BYTES) {
                Some(b'\r' | b'\n') => Refusal::BareCarriageReturn,
                _ => Refusal::Version,
            }
        }
        (error, ..) => refusal(error),
    }
}

/// What stands behind the target: one space follows the method, one the target.
fn version_on<'h>(input: &'h [u8], method: &str, target: &str) -> &'h [u8] {
    input.get(method.len() + target.len() + 2..).unwrap_or_default()
}

/// A head whose version, which `input` begins with, is neither 1.0 nor 1.1. A later 1.x is a 1.1 to
/// us, as it is to everyone who implements 1.1 (RFC 9110 §2.5); all else is refused.
fn later_minor(input: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let lines = match input {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', behind @ ..] => match behind {
            [] | [b'\r'] => return Ok(()),
            [b'\r', b'\n', lines @ ..] => lines,
            [b'\r', ..] => return Err(Refusal::BareCarriageReturn),
            [b'\n', ..] => return Err(Refusal::BareLineFeed),
            _ => return Err(Refusal::Version),
        },
        // A version it must be before it can be one that is not supported: the rest is waited for.
        [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', behind @ ..] => match behind {
            [] | [b'.'] => return Ok(()),
            [b'.', b'0'..=b'9', ..] => return Err(Refusal::VersionUnsupported),
            _ => return Err(Refusal::Version),
        },
        _ => return Err(Refusal::Version),
    };
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let fields = &mut slots[..limits.fields.min(FIELDS_MAX)];
    httparse::parse_headers(lines, fields).map(|_| ()).map_err(refusal)
}

/// The refusal for an error in or after the version.
#[cold]
pub(super) fn refusal(error: Error) -> Refusal {
    match error {
        Error::HeaderName => Refusal::FieldName,
        Error::HeaderValue => Refusal::FieldValue,
        Error::NewLine => Refusal::BareCarriageReturn,
        Error::TooManyHeaders => Refusal::TooManyFields,
        Error::Status | Error::Token | Error::Version => Refusal::Version,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FieldSlots, HeadParser, Progress};
    use super::*;

    const LIMITS: Limits = Limits { fields: 3, field_line_bytes: 40, ..Limits::DEFAULT };

    /// What `input` comes to, cut after `cut` bytes, or byte by byte.
    fn parse(input: &str, cut: Option<usize>) -> String {
        let mut parser = HeadParser::new();
        let ends = 1..=input.len();
        for end in ends.filter(|&end| cut.is_none_or(|cut| end == cut || end == input.len())) {
            let mut slots = FieldSlots::new();
            match parser.parse(&input.as_bytes()[..end], &mut slots, &LIMITS) {
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete(head)) => {
                    let fields: Vec<_> = head.fields().collect();
                    return format!("{head:?} {fields:?}");
                }
                Err(refusal) => return refusal.rule().to_owned(),
            }
        }
        "partial".to_owned()
    }

    #[test]
    fn later_minor_versions_are_read_as_1_1_is_and_held_to_the_same_rules() {
        for input in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX:\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            "GET / HTTP/1.11\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\rX",
            "GET / HTTP/1.1\r\nHost: h\rX\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\nC:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: 7890123456789012345678901234567890x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: 78901234567890123456789012345678901234x\r\n\r\n",
            "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            let expect = parse(input, Some(input.len()));
            for minor in ["2", "5", "9"] {
                let later = input.replacen("HTTP/1.1", &format!("HTTP/1.{minor}"), 1);
                for cut in (1..=input.len()).map(Some).chain([None]) {
                    assert_eq!(parse(&later, cut), expect, "{later:?} cut at {cut:?}");
                }
            }
        }
    }

    #[test]
    fn other_versions_are_told_from_no_version() {
        for (line, expect) in [
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version-unsupported"),
            ("GET / HTTP/2.0\r\n\r\n", "version-unsupported"),
            ("GET / HTTP/0.9\r\n\r\n", "version-unsupported"),
            ("GET / HTTP/9.1\r\n\r\n", "version-unsupported"),
            ("GET / HTTP/1.x\r\n\r\n", "version"),
            ("GET / HTTP/1.1x\r\n\r\n", "version"),
            ("GET / HTTP/1.10\r\n\r\n", "version"),
            ("GET / HTTP/12\r\n\r\n", "version"),
            ("GET / HTTP/2\r\n\r\n", "version"),
            ("GET / HTTP/2.\r\n\r\n", "version"),
            ("GET / HTTP/01.01\r\n\r\n", "version"),
            ("GET / HTTP/x.1\r\n\r\n", "version"),
            ("GET / http/1.1\r\n\r\n", "version"),
            ("GET / \r\n\r\n", "version"),
            ("GET /\r\n", "target"),
        ] {
            for cut in (1..=line.len()).map(Some).chain([None]) {
                assert_eq!(parse(line, cut), expect, "{line:?} cut at {cut:?}");
            }
        }
    }

    /// Vector code takes 16 or 32 bytes at once, and the rest by other code: each byte must be
    /// judged alike wherever it stands.
    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        let limits = Limits { lenient: true, ..Limits::DEFAULT };
        for byte in 0..=255u8 {
            for place in 0..80 {
                let (before, after) = ("a".repeat(place), "a".repeat(80 - place));
                let head = |text: &str| {
                    let (front, behind) = text.split_once('*').expect("a place for the byte");
                    [front.as_bytes(), before.as_bytes(), &[byte], after.as_bytes()]
                        .into_iter()
                        .chain([behind.as_bytes()])
                        .collect::<Vec<_>>()
                        .concat()
                };
                let passes = |head: &[u8]| {
                    let mut slots = FieldSlots::new();
                    let progress = HeadParser::new().parse(head, &mut slots, &limits);
                    matches!(progress, Ok(Progress::Complete(_)))
                };
                let target = head("GET /* HTTP/1.1\r\nHost: h\r\n\r\n");
                let graphic = byte.is_ascii_graphic() && byte != b'#';
                assert_eq!(passes(&target), graphic, "{byte} at {place} of the target");
                let value = head("GET / HTTP/1.1\r\nHost: h\r\nX: *\r\n\r\n");
                let allowed = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
                assert_eq!(passes(&value), allowed, "{byte} at {place} of a value");
                let name = head("GET / HTTP/1.1\r\nHost: h\r\n*: v\r\n\r\n");
                let token = super::super::framing::is_token_byte(byte) || byte == b':';
                // An empty name is none; a colon behind one begins the value.
                let token = token && (byte != b':' || place != 0);
                assert_eq!(passes(&name), token, "{byte} at {place} of a name");
            }
        }
    }
}
