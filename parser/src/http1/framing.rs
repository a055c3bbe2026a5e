//! The fields on which the protocol itself depends, read in one pass over a head.
//!
//! The pass costs two or three nanoseconds for a field it does not know: the length of the name
//! decides whether it is compared at all. Where two fields contradict each other the request is
//! refused, never interpreted: every interpretation is one that some other server does not share
//! (RFC 9112 §11.2).

use httparse::Header;

use super::{BodyKind, Limits, Method, Version, host};
use crate::Refusal;

/// What the fields of a head say about the message and the connection.
pub(super) struct Framing<'h> {
    pub(super) host: Option<&'h [u8]>,
    pub(super) body: BodyKind,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: bool,
}

/// What has been seen so far in the pass.
#[derive(Default)]
struct Seen<'h> {
    host: Option<&'h [u8]>,
    length: Option<u64>,
    coding: Coding,
    content_type: bool,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade: Option<&'h [u8]>,
    websocket_version: Option<&'h [u8]>,
    expects: Option<&'h [u8]>,
}

/// Whether a known name has so many bytes: one bit for each length.
#[inline(always)]
fn is_known_length(bytes: usize) -> bool {
    const KNOWN: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 17 | 1 << 21;
    bytes < 32 && KNOWN >> bytes & 1 != 0
}

/// The transfer codings so far.
#[derive(Clone, Copy, Default, PartialEq)]
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

/// Reads `fields`, which all lie in `head`, a whole head.
#[inline]
pub(super) fn read<'h>(
    head: &[u8],
    fields: &[Header<'h>],
    method: Method<'_>,
    version: Version,
    limits: &Limits,
) -> Result<Framing<'h>, Refusal> {
    let mut seen = Seen::default();
    let base = head.as_ptr().addr();
    for field in fields {
        // The tokenizer takes a bare LF for a line end; we do not. The LF before a name is
        // certain, so the byte before that tells.
        let start = field.name.as_ptr().addr().wrapping_sub(base);
        if head.get(start.wrapping_sub(2)) != Some(&b'\r') {
            return Err(Refusal::BareLineFeed);
        }
        if is_known_length(field.name.len()) {
            seen.field(field.name.as_bytes(), field.value)?;
        }
    }
    if !head.ends_with(b"\r\n\r\n") {
        return Err(Refusal::BareLineFeed);
    }
    seen.conclude(method, version, limits)
}

impl<'h> Seen<'h> {
    /// Takes in a field whose name has the length of a known one.
    #[inline(always)]
    fn field(&mut self, name: &[u8], value: &'h [u8]) -> Result<(), Refusal> {
        match name.len() {
            4 if is(name, b"host") => match self.host.replace(value) {
                None => Ok(()),
                Some(_) => Err(Refusal::HostRepeated),
            },
            6 if is(name, b"expect") => {
                // Two expectations are one list, and no list is the one we know.
                let repeated = self.expects.replace(value).is_some();
                if repeated { Err(Refusal::Expectation) } else { Ok(()) }
            }
            7 if is(name, b"upgrade") => {
                self.upgrade = Some(value);
                Ok(())
            }
            10 if is(name, b"connection") => {
                self.connection(value);
                Ok(())
            }
            12 if is(name, b"content-type") => {
                let repeated = std::mem::replace(&mut self.content_type, true);
                if repeated { Err(Refusal::ContentTypeRepeated) } else { Ok(()) }
            }
            14 if is(name, b"content-length") => {
                match self.length.replace(content_length(value)?) {
                    None => Ok(()),
                    Some(_) => Err(Refusal::ContentLengthRepeated),
                }
            }
            17 if is(name, b"transfer-encoding") => {
                self.coding = transfer_encoding(self.coding, value)?;
                Ok(())
            }
            21 if is(name, b"sec-websocket-version") => {
                self.websocket_version = Some(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        if value.len() == 10 && is(value, b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    #[inline]
    fn conclude(
        &self,
        method: Method<'_>,
        version: Version,
        limits: &Limits,
    ) -> Result<Framing<'h>, Refusal> {
        let body = body(self.length, self.coding, version)?;
        let current = version == Version::Http11;
        match self.host {
            Some(host) if !host::is_authority(host) => return Err(Refusal::Host),
            None if current => return Err(Refusal::HostMissing),
            _ => {}
        }
        if matches!(body, BodyKind::Length(length) if length > limits.body_bytes) {
            return Err(Refusal::BodyTooLarge);
        }
        let expects_continue = match self.expects {
            Some(value) if current => match value.eq_ignore_ascii_case(b"100-continue") {
                true => body != BodyKind::None,
                false => return Err(Refusal::Expectation),
            },
            // An HTTP/1.0 client cannot expect anything (RFC 9110 §10.1.1).
            _ => false,
        };
        let upgrade = current && self.upgrade_option && self.upgrade.is_some();
        if upgrade && method == Method::Get {
            self.check_websocket()?;
        }
        let keep_alive = !self.close && (current || self.keep_alive);
        Ok(Framing { host: self.host, body, keep_alive, expects_continue, upgrade })
    }

    #[cold]
    fn check_websocket(&self) -> Result<(), Refusal> {
        let websocket =
            self.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        match self.websocket_version {
            Some(version) if websocket && version != b"13" => Err(Refusal::WebSocketVersion),
            _ => Ok(()),
        }
    }
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

/// `Content-Length = 1*DIGIT`, without a leading zero before other digits: a number that some
/// servers read as octal.
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

/// `Transfer-Encoding = #transfer-coding`, continued from an earlier field of that name.
///
/// Empty list elements are refused, and so is a parameter of `chunked` (RFC 9112 §7.1).
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

/// `token *( OWS ";" OWS token "=" token )`; quoted parameters are refused with the malformed.
fn is_coding(element: &[u8]) -> bool {
    let mut parts = element.split(|&byte| byte == b';').map(trim_spaces);
    let name = parts.next().unwrap_or_default();
    is_token(name)
        && !name.eq_ignore_ascii_case(b"chunked")
        && parts.all(|parameter| match parameter.iter().position(|&byte| byte == b'=') {
            Some(equals) => is_token(&parameter[..equals]) && is_token(&parameter[equals + 1..]),
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
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// A byte that a field value may hold: visible, a space, a tab, or obs-text (RFC 9110 §5.5).
pub(super) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_by_one_bit_is_exact_for_every_token_byte() {
        for byte in (0..=255u8).filter(|&byte| is_token_byte(byte)) {
            for known in b"abcdefghijklmnopqrstuvwxyz-" {
                assert_eq!(is(&[byte], &[*known]), byte.eq_ignore_ascii_case(known), "{byte}");
            }
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
