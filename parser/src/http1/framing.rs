//! The fields on which the protocol itself depends, read while a head is cut into fields.
//!
//! This costs a nanosecond or two for a field it does not know: the length of the name and its
//! first letter decide whether it is compared at all. Where two fields contradict each other the
//! request is refused, never interpreted: every interpretation is one that some other server does
//! not share (RFC 9112 §11.2).

use super::{BodyKind, Limits, Version, host};
use crate::Refusal;

/// What the fields of a head say about the message and the connection, as far as they were read.
#[derive(Default)]
pub(super) struct Framing<'h> {
    host: Option<&'h [u8]>,
    content_type: Option<&'h [u8]>,
    length: Option<u64>,
    coding: Coding,
    said: Said,
    /// The first rule that a field broke.
    fault: Option<Refusal>,
}

/// What follows from the fields of a whole head.
pub(super) struct Conclusion<'h> {
    pub(super) host: Option<&'h [u8]>,
    pub(super) body: BodyKind,
    pub(super) said: Said,
}

/// All that fields say in words, one bit each. Most heads say nothing, or `keep-alive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(u16);

impl Said {
    const KEEP_ALIVE: Said = Said(1);
    const CLOSE: Said = Said(1 << 1);
    /// The connection option that makes Upgrade count.
    const UPGRADE_OPTION: Said = Said(1 << 2);
    const UPGRADE: Said = Said(1 << 3);
    /// `websocket` is among the protocols of Upgrade.
    const WEBSOCKET: Said = Said(1 << 4);
    const WEBSOCKET_VERSION: Said = Said(1 << 5);
    /// A Sec-WebSocket-Version is not 13, or there is more than one.
    const OTHER_WEBSOCKET_VERSION: Said = Said(1 << 6);
    const EXPECTS_CONTINUE: Said = Said(1 << 7);
    const EXPECTS_OTHER: Said = Said(1 << 8);
    /// There is a Content-Length or a Transfer-Encoding.
    const BODY: Said = Said(1 << 9);

    fn add(&mut self, other: Said) {
        self.0 |= other.0;
    }

    fn has(self, other: Said) -> bool {
        self.0 & other.0 != 0
    }

    /// RFC 9112 §9.3.
    pub(super) fn keep_alive(self, version: Version) -> bool {
        !self.has(Said::CLOSE) && (version == Version::Http11 || self.has(Said::KEEP_ALIVE))
    }

    /// RFC 9110 §10.1.1: ignored from HTTP/1.0.
    pub(super) fn expects_continue(self, version: Version, body: BodyKind) -> bool {
        self.has(Said::EXPECTS_CONTINUE) && version == Version::Http11 && body != BodyKind::None
    }

    /// RFC 9110 §7.8: ignored from HTTP/1.0.
    pub(super) fn upgrade(self, version: Version) -> bool {
        self.has(Said::UPGRADE) && self.has(Said::UPGRADE_OPTION) && version == Version::Http11
    }
}

/// The first letter of the known name of each length: at most one has it.
static KNOWN: [u8; 32] = {
    let mut table = [0; 32];
    let mut index = 0;
    while index < NAMES.len() {
        table[NAMES[index].len()] = NAMES[index].as_bytes()[0];
        index += 1;
    }
    table
};

const NAMES: [&str; 8] = [
    "host",
    "expect",
    "upgrade",
    "connection",
    "content-type",
    "content-length",
    "transfer-encoding",
    "sec-websocket-version",
];

/// Whether `name` has the length and the first letter of a known one.
#[inline(always)]
fn may_be_known(name: &[u8]) -> bool {
    match (KNOWN.get(name.len()), name) {
        (Some(letter), [first, ..]) => first | 0x20 == *letter,
        _ => false,
    }
}

/// The transfer codings so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Coding {
    #[default]
    None,
    /// `chunked`, alone.
    Chunked,
    /// Others, and not yet `chunked`.
    Unknown,
    /// Others, then `chunked`.
    UnknownThenChunked,
}

impl<'h> Framing<'h> {
    /// Takes in a field.
    #[inline(always)]
    pub(super) fn field(&mut self, name: &[u8], value: &'h [u8], limits: &Limits) {
        if !may_be_known(name) {
            return;
        }
        if is_host(name) {
            // RFC 9112 §3.2: one line at most, in any version.
            if self.host.replace(value).is_some() {
                self.fault(Refusal::HostRepeated);
            }
        } else if let Err(refusal) = self.known(name, value, limits) {
            self.fault(refusal);
        }
    }

    /// The first fault is the one that is answered.
    #[cold]
    fn fault(&mut self, refusal: Refusal) {
        self.fault.get_or_insert(refusal);
    }

    /// Takes in a field that is not Host, if it is known.
    #[inline(never)]
    fn known(&mut self, name: &[u8], value: &'h [u8], limits: &Limits) -> Result<(), Refusal> {
        match name.len() {
            6 if is(name, b"expect") => {
                self.expect(value);
                Ok(())
            }
            7 if is(name, b"upgrade") => {
                self.upgrade(value);
                Ok(())
            }
            10 if is(name, b"connection") => {
                self.connection(value);
                Ok(())
            }
            12 if is(name, b"content-type") => match self.content_type.replace(value) {
                None => Ok(()),
                // Policy: two parties may each take another one for the type.
                Some(before) if limits.lenient && before == value => Ok(()),
                Some(_) => Err(Refusal::ContentTypeRepeated),
            },
            14 if is(name, b"content-length") => {
                self.said.add(Said::BODY);
                match self.length.replace(content_length(value)?) {
                    None => Ok(()),
                    // Also if equal (policy): RFC 9112 §6.3 lets a recipient refuse it.
                    Some(_) => Err(Refusal::ContentLengthRepeated),
                }
            }
            17 if is(name, b"transfer-encoding") => {
                self.said.add(Said::BODY);
                self.coding = transfer_encoding(self.coding, value)?;
                Ok(())
            }
            // Policy: a gateway behind us may map `_` and `-` to one variable (RFC 3875 §4.1.18).
            14 if name.eq_ignore_ascii_case(b"content_length") => Err(Refusal::FieldNameAmbiguous),
            17 if name.eq_ignore_ascii_case(b"transfer_encoding") => {
                Err(Refusal::FieldNameAmbiguous)
            }
            21 if is(name, b"sec-websocket-version") => {
                if value != b"13" || self.said.has(Said::WEBSOCKET_VERSION) {
                    self.said.add(Said::OTHER_WEBSOCKET_VERSION);
                }
                self.said.add(Said::WEBSOCKET_VERSION);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `Connection = #connection-option`, compared in any case (RFC 9110 §7.6.1).
    fn connection(&mut self, value: &[u8]) {
        if value.len() == 10 && is(value, b"keep-alive") {
            self.said.add(Said::KEEP_ALIVE);
            return;
        }
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.said.add(Said::CLOSE);
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.said.add(Said::KEEP_ALIVE);
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.said.add(Said::UPGRADE_OPTION);
            }
        }
    }

    /// `Upgrade = #protocol`, compared in any case (RFC 9110 §7.8).
    #[cold]
    fn upgrade(&mut self, value: &[u8]) {
        for protocol in elements(value) {
            self.said.add(Said::UPGRADE);
            if protocol.eq_ignore_ascii_case(b"websocket") {
                self.said.add(Said::WEBSOCKET);
            }
        }
    }

    /// `Expect = #expectation`, compared in any case (RFC 9110 §10.1.1).
    #[cold]
    fn expect(&mut self, value: &[u8]) {
        for expectation in elements(value) {
            self.said.add(match expectation.eq_ignore_ascii_case(b"100-continue") {
                true => Said::EXPECTS_CONTINUE,
                false => Said::EXPECTS_OTHER,
            });
        }
    }

    /// What follows from all fields of a head; `is_host` is [`host::is_authority`], or quicker.
    #[inline(always)]
    pub(super) fn conclude(
        &self,
        method: &str,
        version: Version,
        is_host: impl Fn(&[u8]) -> bool,
        limits: &Limits,
    ) -> Result<Conclusion<'h>, Refusal> {
        if self.said.0 & !Said::KEEP_ALIVE.0 != 0 || self.fault.is_some() {
            return self.conclude_unusual(method, version, limits);
        }
        check_host(self.host, version, is_host, limits)?;
        Ok(Conclusion { host: self.host, body: BodyKind::None, said: self.said })
    }

    #[inline(never)]
    fn conclude_unusual(
        &self,
        method: &str,
        version: Version,
        limits: &Limits,
    ) -> Result<Conclusion<'h>, Refusal> {
        if let Some(refusal) = self.fault {
            return Err(refusal);
        }
        let body = body(self.length, self.coding, version)?;
        check_host(self.host, version, host::is_authority, limits)?;
        if matches!(body, BodyKind::Length(length) if length > limits.body_bytes) {
            return Err(Refusal::BodyTooLarge);
        }
        let is_current = version == Version::Http11;
        if is_current && self.said.has(Said::EXPECTS_OTHER) && !limits.lenient {
            return Err(Refusal::Expectation);
        }
        // A handshake is a GET (RFC 6455 §4.1); of another version it is refused (§4.4, policy
        // where no route of ours speaks WebSocket).
        let is_handshake =
            method == "GET" && self.said.has(Said::WEBSOCKET) && self.said.upgrade(version);
        if is_handshake && self.said.has(Said::OTHER_WEBSOCKET_VERSION) {
            return Err(Refusal::WebSocketVersion);
        }
        Ok(Conclusion { host: self.host, body, said: self.said })
    }
}

/// RFC 9112 §3.2: always in 1.1, and an authority; policy if empty.
#[inline(always)]
fn check_host(
    host: Option<&[u8]>,
    version: Version,
    is_host: impl Fn(&[u8]) -> bool,
    limits: &Limits,
) -> Result<(), Refusal> {
    match host {
        Some(host) if is_host(host) => Ok(()),
        Some(b"") if limits.lenient => Ok(()),
        Some(_) => Err(Refusal::Host),
        None if version == Version::Http11 => Err(Refusal::HostMissing),
        None => Ok(()),
    }
}

/// As [`is`], in one comparison.
#[inline(always)]
fn is_host(name: &[u8]) -> bool {
    let lower = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes) | 0x2020_2020;
    name.try_into().is_ok_and(|name| lower(name) == lower(b"host"))
}

/// The elements of a list, without the white space around them; empty ones count for nothing
/// (RFC 9110 §5.6.1.2).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_spaces).filter(|element| !element.is_empty())
}

/// How the end of the body is found (RFC 9112 §6.3).
#[inline]
pub(super) fn body(
    length: Option<u64>,
    coding: Coding,
    version: Version,
) -> Result<BodyKind, Refusal> {
    match (coding, length) {
        (Coding::None, None | Some(0)) => Ok(BodyKind::None),
        (Coding::None, Some(length)) => Ok(BodyKind::Length(length)),
        (_, Some(_)) => Err(Refusal::LengthAndEncoding),
        _ if version == Version::Http10 => Err(Refusal::EncodingInHttp10),
        (Coding::Chunked, None) => Ok(BodyKind::Chunked),
        (Coding::Unknown, None) => Err(Refusal::ChunkedNotLast),
        (Coding::UnknownThenChunked, None) => Err(Refusal::CodingUnknown),
    }
}

/// Whether `name`, a token, is `lower` in any case.
///
/// Setting bit 5 maps both cases of a letter to the lower one and no other token byte to a letter
/// or to `-`, so the comparison is exact for tokens, and a few instructions for a constant length.
#[inline(always)]
pub(super) fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let mut difference = 0;
    for (byte, expected) in name.iter().zip(lower) {
        difference |= (byte | 0x20) ^ expected;
    }
    difference == 0
}

/// `Content-Length = 1*DIGIT` (RFC 9110 §8.6), without a leading zero before other digits: a
/// number that some servers read as octal (policy). A list, even of equal numbers, is refused
/// (policy, allowed by RFC 9112 §6.3).
#[inline]
pub(super) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let zero_led = value.len() > 1 && value[0] == b'0';
    if value.is_empty() || zero_led {
        return Err(Refusal::ContentLength);
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Refusal::ContentLength);
        }
        sum.checked_mul(10)
            .and_then(|sum| sum.checked_add(u64::from(digit)))
            .ok_or(Refusal::ContentLength)
    })
}

/// `Transfer-Encoding = #transfer-coding` (RFC 9112 §6.1), continued from an earlier field of
/// that name.
///
/// Empty list elements are refused (policy), and so is a parameter of `chunked` (RFC 9112 §7.1).
pub(super) fn transfer_encoding(before: Coding, value: &[u8]) -> Result<Coding, Refusal> {
    let mut coding = before;
    for element in value.split(|&byte| byte == b',') {
        let element = trim_spaces(element);
        if matches!(coding, Coding::Chunked | Coding::UnknownThenChunked) {
            return Err(Refusal::ChunkedNotLast);
        }
        coding = if element.eq_ignore_ascii_case(b"chunked") {
            match coding {
                Coding::Unknown => Coding::UnknownThenChunked,
                _ => Coding::Chunked,
            }
        } else if is_coding(element) {
            Coding::Unknown
        } else {
            return Err(Refusal::TransferEncoding);
        };
    }
    Ok(coding)
}

/// `token *( OWS ";" OWS token BWS "=" BWS token )` (RFC 9112 §7); quoted parameters are refused
/// with the malformed (policy).
fn is_coding(element: &[u8]) -> bool {
    let mut parts = element.split(|&byte| byte == b';').map(trim_spaces);
    let name = parts.next().unwrap_or_default();
    is_token(name)
        && !name.eq_ignore_ascii_case(b"chunked")
        && parts.all(|parameter| match parameter.iter().position(|&byte| byte == b'=') {
            Some(equals) => {
                let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
                is_token(trim_spaces(name)) && is_token(trim_spaces(value))
            }
            None => false,
        })
}

/// Without spaces and tabs at either end: what a list calls OWS.
fn trim_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `token = 1*tchar` (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN_BYTES[usize::from(byte)])
}

/// See [`is_token_byte`].
pub(crate) static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

/// `tchar` (RFC 9110 §5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// A byte that a field value may hold: visible, a space, a tab, or obs-text (RFC 9110 §5.5).
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether all of these may stand in a field value.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    // Without an early exit sixteen are judged at once; the last of them overlap those before.
    let Some(last) = bytes.last_chunk::<16>() else {
        return bytes.iter().all(|&byte| is_value_byte(byte));
    };
    let (chunks, _) = bytes.as_chunks();
    let is_good =
        |chunk: &[u8; 16]| chunk.iter().fold(true, |good, &byte| good & is_value_byte(byte));
    chunks.iter().chain([last]).all(is_good)
}

#[cfg(test)]
mod tests {
    use super::super::{FieldSlots, HeadParser, Progress};
    use super::*;

    #[test]
    fn values_are_judged_by_sixteens_as_they_are_by_bytes() {
        for byte in 0..=255u8 {
            for len in 1..=40 {
                for at in 0..len {
                    for other in [b'x', b'\t', b' ', 0xff] {
                        let mut bytes = vec![other; len];
                        bytes[at] = byte;
                        assert_eq!(
                            is_value(&bytes),
                            is_value_byte(byte),
                            "{byte} at {at} of {len}"
                        );
                    }
                }
            }
            assert_eq!(is_token(&[b'a', byte]), is_token_byte(byte));
        }
        assert!(is_value(b"") && !is_token(b""));
    }

    #[test]
    fn folding_by_one_bit_is_exact_for_every_token_byte() {
        for byte in (0..=255u8).filter(|&byte| is_token_byte(byte)) {
            for known in b"abcdefghijklmnopqrstuvwxyz-" {
                assert_eq!(is(&[byte], &[*known]), byte.eq_ignore_ascii_case(known), "{byte}");
            }
        }
    }

    /// The verdict on a head of `fields`, with its expectation and its upgrade.
    fn verdict(
        line: &str,
        fields: &[(&str, &str)],
        lenient: bool,
    ) -> Result<(bool, bool), Refusal> {
        let mut input = format!("{line}\r\n");
        for (name, value) in fields {
            input += &format!("{name}: {value}\r\n");
        }
        input += "\r\n";
        let limits = Limits { lenient, ..Limits::DEFAULT };
        let mut slots = FieldSlots::new();
        match HeadParser::new().parse(input.as_bytes(), &mut slots, &limits)? {
            Progress::Complete(head) => Ok((head.expects_continue(), head.upgrade())),
            Progress::Partial => panic!("{input:?} is complete"),
        }
    }

    #[test]
    fn expectations() {
        let put = |expect: &[&str], lenient| {
            let mut fields = vec![("Host", "h"), ("Content-Length", "1")];
            fields.extend(expect.iter().map(|value| ("Expect", *value)));
            verdict("PUT / HTTP/1.1", &fields, lenient).map(|(expects, _)| expects)
        };
        for (expect, strict, lenient) in [
            (&["100-continue"][..], Ok(true), Ok(true)),
            (&["100-CONTINUE , 100-continue"], Ok(true), Ok(true)),
            (&["100-continue", "100-continue"], Ok(true), Ok(true)),
            (&["", ", ,"], Ok(false), Ok(false)),
            (&["tea"], Err(Refusal::Expectation), Ok(false)),
            (&["100-continue", "tea"], Err(Refusal::Expectation), Ok(true)),
            (&["100-continue;a=b"], Err(Refusal::Expectation), Ok(false)),
            (&["100-continue=1"], Err(Refusal::Expectation), Ok(false)),
            (&["\"100-continue\""], Err(Refusal::Expectation), Ok(false)),
        ] {
            assert_eq!(put(expect, false), strict, "{expect:?}");
            assert_eq!(put(expect, true), lenient, "{expect:?}");
        }
        let old = [("Content-Length", "1"), ("Expect", "tea"), ("Expect", "100-continue")];
        assert_eq!(verdict("PUT / HTTP/1.0", &old, false), Ok((false, false)));
        let bodyless = [("Host", "h"), ("Expect", "100-continue")];
        assert_eq!(verdict("PUT / HTTP/1.1", &bodyless, false), Ok((false, false)));
        // Too large goes first: the client need not send what will not be read.
        let large = [("Host", "h"), ("Expect", "tea"), ("Content-Length", "9999999999")];
        assert_eq!(verdict("PUT / HTTP/1.1", &large, false), Err(Refusal::BodyTooLarge));
    }

    #[test]
    fn only_a_handshake_of_another_websocket_version_is_refused() {
        let full = [
            ("Host", "h"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
        ];
        let with = |changes: &[(usize, &'static str)]| {
            let mut fields = full;
            for &(index, value) in changes {
                fields[index].1 = value;
            }
            fields
        };
        let refused = Err(Refusal::WebSocketVersion);
        for (line, fields, expect) in [
            ("GET / HTTP/1.1", &full[..], Ok((false, true))),
            ("GET / HTTP/1.1", &full[..3], Ok((false, true))),
            ("GET / HTTP/1.1", &with(&[(3, "8")]), refused),
            ("GET / HTTP/1.1", &with(&[(3, "")]), refused),
            ("GET / HTTP/1.1", &with(&[(3, "13, 8")]), refused),
            ("GET / HTTP/1.1", &[&full[..], &full[3..]].concat(), refused),
            ("GET / HTTP/1.1", &with(&[(3, "8"), (1, "h2c, WebSocket")]), refused),
            ("GET / HTTP/1.1", &with(&[(3, "8"), (2, "keep-alive, upgrade")]), refused),
            ("GET / HTTP/1.5", &with(&[(3, "8")]), refused),
            // More than one line is one list.
            (
                "GET / HTTP/1.1",
                &[&with(&[(3, "8")])[..], &[("Upgrade", "h2c"), ("Connection", "x")]].concat(),
                refused,
            ),
            // No handshake.
            ("POST / HTTP/1.1", &with(&[(3, "8")]), Ok((false, true))),
            ("GET / HTTP/1.0", &with(&[(3, "8")]), Ok((false, false))),
            ("GET / HTTP/1.1", &with(&[(3, "8"), (1, "websocket2")]), Ok((false, true))),
            ("GET / HTTP/1.1", &with(&[(3, "8"), (1, ",")]), Ok((false, false))),
            ("GET / HTTP/1.1", &with(&[(3, "8"), (2, "close")]), Ok((false, false))),
        ] {
            assert_eq!(verdict(line, fields, false), expect, "{line} {fields:?}");
            assert_eq!(verdict(line, fields, true), expect, "{line} {fields:?}, lenient");
        }
    }

    #[test]
    fn lenient_waives_what_it_says() {
        let twice = |a, b| [("Host", "h"), ("Content-Type", a), ("Content-Type", b)];
        for (fields, strict, lenient) in [
            (&[("Host", "")][..], Err(Refusal::Host), Ok(())),
            (&twice("a/b", "a/b"), Err(Refusal::ContentTypeRepeated), Ok(())),
            (
                &twice("a/b", "a/c"),
                Err(Refusal::ContentTypeRepeated),
                Err(Refusal::ContentTypeRepeated),
            ),
        ] {
            let verdict = |lenient| verdict("PUT / HTTP/1.1", fields, lenient).map(|_| ());
            assert_eq!(verdict(false), strict, "{fields:?}");
            assert_eq!(verdict(true), lenient, "{fields:?}");
        }
    }

    #[test]
    fn lenient_waives_nothing_that_frames_or_routes() {
        for (line, fields, expect) in [
            ("PUT / HTTP/1.1", &[][..], Refusal::HostMissing),
            ("PUT / HTTP/1.1", &[("Host", ""), ("Host", "")], Refusal::HostRepeated),
            ("PUT / HTTP/1.1", &[("Host", "a,b")], Refusal::Host),
            ("PUT / HTTP/1.1", &[("Host", ":80")], Refusal::Host),
            ("PUT / HTTP/1.1", &[("Host", "h"), ("Content-Length", "05")], Refusal::ContentLength),
            ("PUT / HTTP/1.1", &[("Host", "h"), ("Content-Length", "5,5")], Refusal::ContentLength),
            (
                "PUT / HTTP/1.1",
                &[("Content-Length", "5"), ("Content-Length", "5")],
                Refusal::ContentLengthRepeated,
            ),
            (
                "PUT / HTTP/1.1",
                &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
                Refusal::LengthAndEncoding,
            ),
            ("PUT / HTTP/1.0", &[("Transfer-Encoding", "chunked")], Refusal::EncodingInHttp10),
            ("PUT / HTTP/1.1", &[("Transfer-Encoding", ",chunked")], Refusal::TransferEncoding),
            ("PUT / HTTP/1.1", &[("Transfer-Encoding", "x")], Refusal::ChunkedNotLast),
            ("PUT / HTTP/1.1", &[("Transfer-Encoding", "x, chunked")], Refusal::CodingUnknown),
            (
                "PUT / HTTP/1.1",
                &[("Host", "h"), ("Content_Length", "5")],
                Refusal::FieldNameAmbiguous,
            ),
            (
                "PUT / HTTP/1.1",
                &[("Host", "h"), ("Transfer_Encoding", "chunked")],
                Refusal::FieldNameAmbiguous,
            ),
            ("PUT / HTTP/1.1", &[("A ", "b")], Refusal::FieldName),
            ("PUT / HTTP/1.1", &[("A", "b\n")], Refusal::BareLineFeed),
            ("PUT / HTTP/1.1", &[("A", "b\rc")], Refusal::BareCarriageReturn),
            ("PUT / HTTP/1.1", &[("A", "b\r\n c")], Refusal::FieldName),
            ("PUT / HTTP/2.0", &[], Refusal::VersionUnsupported),
        ] {
            assert_eq!(verdict(line, fields, false).err(), Some(expect), "{line} {fields:?}");
            assert_eq!(verdict(line, fields, true).err(), Some(expect), "{line} {fields:?}");
        }
    }

    #[test]
    fn transfer_codings() {
        for (value, expect) in [
            ("chunked", Ok(Coding::Chunked)),
            ("CHUNKED", Ok(Coding::Chunked)),
            ("gzip", Ok(Coding::Unknown)),
            ("gzip;a=b ; c = d, chunked", Ok(Coding::UnknownThenChunked)),
            ("gzip;a = b,chunked", Ok(Coding::UnknownThenChunked)),
            ("gzip;a b=c", Err(Refusal::TransferEncoding)),
            ("gzip;=b", Err(Refusal::TransferEncoding)),
            ("gzip;a=", Err(Refusal::TransferEncoding)),
            ("gzip;a", Err(Refusal::TransferEncoding)),
            ("gzip;a=\"b\"", Err(Refusal::TransferEncoding)),
            ("chunked;a=b", Err(Refusal::TransferEncoding)),
            ("", Err(Refusal::TransferEncoding)),
            ("chunked, gzip", Err(Refusal::ChunkedNotLast)),
        ] {
            assert_eq!(transfer_encoding(Coding::None, value.as_bytes()), expect, "{value:?}");
        }
    }

    #[test]
    fn content_lengths() {
        for (value, expect) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("1,1", None),
            ("0x1", None),
            ("1_0", None),
            ("", None),
            ("\u{661}", None),
        ] {
            assert_eq!(content_length(value.as_bytes()).ok(), expect, "{value:?}");
        }
    }
}
