//! The authority of a request: the value of Host, or the host and port of a target.
//!
//! ```text
//! uri-host [ ":" port ]                                      (RFC 9110 §7.2, RFC 3986 §3.2.2)
//! uri-host = IP-literal / IPv4address / reg-name
//! reg-name = *( unreserved / pct-encoded / sub-delims )
//! ```
//! Stricter than the grammar: the host must not be empty, and a comma, which would make a list of
//! hosts look like one host, is refused. User information is no part of an authority in HTTP
//! (RFC 9110 §4.2.4).

use std::net::Ipv6Addr;

use crate::scan::{self, Class, Way};

/// Whether `value` is a host, not empty, with an optional port (which may be empty, RFC 3986
/// §3.2.3, but otherwise holds a number up to 65535).
///
/// ```
/// use corelane_parser::http1::host;
///
/// assert!(host::is_authority(b"example.org:8080"));
/// assert!(host::is_authority(b"[::1]:80"));
/// assert!(!host::is_authority(b"user@example.org"));
/// ```
pub fn is_authority(value: &[u8]) -> bool {
    // Almost every host is a plain name, then perhaps a short port; the rest has its own function.
    let host = scan::front_of(value, &PLAIN);
    is_name_and_port(value, host)
}

/// As [`is_authority`]; `value` is a part of `head`.
#[inline(always)]
pub(crate) fn is_authority_in<W: Way>(head: &[u8], value: &[u8], way: W) -> bool {
    match scan::front_in(head, value, Class::Host, way) {
        Some(host) if value.len() <= 32 => is_name_and_port(value, host),
        _ => is_authority(value),
    }
}

/// Whether a port may follow the first `host` bytes of `value`, which are those of a plain name.
#[inline(always)]
fn is_name_and_port(value: &[u8], host: usize) -> bool {
    match value.get(host..) {
        Some([]) => host != 0,
        Some([b':', port @ ..]) if host != 0 => match port.len() <= 4 {
            true => port.iter().all(u8::is_ascii_digit),
            false => is_port(port),
        },
        _ => is_unusual_authority(value),
    }
}

/// Bytes of a reg-name that stand for themselves: unreserved and sub-delims, but the comma.
static PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_host_byte(byte as u8);
        byte += 1;
    }
    table
}

pub(crate) const fn is_host_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

fn is_port(port: &[u8]) -> bool {
    let mut number = 0;
    for byte in port {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return false;
        }
        // At most 65535 before, so this cannot overflow.
        number = number * 10 + u32::from(digit);
        if number > u32::from(u16::MAX) {
            return false;
        }
    }
    // Six bytes leave room for one leading zero; more would be an attempt at something.
    port.len() <= 6
}

/// IP literals and percent-encoded names.
#[cold]
fn is_unusual_authority(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
        let after = &rest[end + 1..];
        return is_ip_literal(&rest[..end])
            && (after.is_empty() || after.first() == Some(&b':') && is_port(&after[1..]));
    }
    let (host, port) = match value.iter().position(|&byte| byte == b':') {
        Some(colon) => (&value[..colon], &value[colon + 1..]),
        None => (value, &[][..]),
    };
    !host.is_empty() && is_port(port) && is_encoded_name(host)
}

/// `IPv6address`, or `"v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`.
fn is_ip_literal(literal: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(literal) else { return false };
    if let Some(future) = text.strip_prefix(['v', 'V']) {
        return future.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address.bytes().all(|byte| byte == b':' || PLAIN[byte as usize])
        });
    }
    text.parse::<Ipv6Addr>().is_ok()
}

fn is_encoded_name(mut host: &[u8]) -> bool {
    loop {
        match host {
            [] => return true,
            [b'%', high, low, rest @ ..] => {
                // An encoded control byte, space or delimiter in a name is nobody's host.
                let decoded = (hex(*high), hex(*low));
                let (Some(high), Some(low)) = decoded else { return false };
                if high * 16 + low < 0x80 && !PLAIN[(high * 16 + low) as usize] {
                    return false;
                }
                host = rest;
            }
            [byte, rest @ ..] if PLAIN[*byte as usize] => host = rest,
            _ => return false,
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_port() {
        for host in [
            "a",
            "example.org",
            "example.org:80",
            "example.org:",
            "127.0.0.1:65535",
            "a_b.c",
            "[::1]",
            "[::1]:8080",
            "[v1.fe:80]",
            "xn--bcher-kva.example",
            "b%C3%BCcher.example",
            "a:080",
            "%41.example:1",
        ] {
            assert!(is_authority(host.as_bytes()), "{host}");
        }
    }

    /// The usual host is judged four bytes at a time: each byte must count wherever it stands.
    #[test]
    fn every_byte_counts_at_every_place() {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte);
        for bytes in 1..=13 {
            for place in 0..bytes {
                for byte in (0..=255u8).filter(|byte| !b"%[:".contains(byte)) {
                    for (port, is_port) in [
                        ("", true),
                        (":", true),
                        (":80", true),
                        (":8080", true),
                        (":65535", true),
                        (":65536", false),
                        (":8x", false),
                        (":80:80", false),
                    ] {
                        let mut value = vec![b'a'; bytes];
                        value[place] = byte;
                        value.extend_from_slice(port.as_bytes());
                        let expect = is_name(byte) && is_port;
                        assert_eq!(is_authority(&value), expect, "{}", value.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn everything_else() {
        for host in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "u:p@a",
            "a:b",
            "a:65536",
            "a:-1",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[g::1]",
            "[v.a]",
            "[vx.a]",
            "[v1.]",
            "a%",
            "a%4",
            "a%zz",
            "a%00",
            "a%2Fb",
            "a%20b",
            "ä",
            "a\\b",
            "a\tb",
            "::1",
            "a:0000080",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "%41:x",
            "",
        ] {
            assert!(!is_authority(host.as_bytes()), "{host}");
        }
    }
}
