//! Request targets (RFC 9112 §3.2): their four forms, and which bytes they may hold.

use memchr::{memchr, memchr3};

use super::{Limits, host};
use crate::Refusal;
use crate::scan::{self, Class, Way};

/// The form of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`: every request to a server of its own.
    Origin,
    /// `http://host/path?query`: requests to proxies, which every server must accept too.
    Absolute,
    /// `host:port`: CONNECT, and only it.
    Authority,
    /// `*`: OPTIONS for the server as a whole.
    Asterisk,
}

/// A target, and what is known of its bytes.
pub(crate) struct Cut<'h> {
    pub(crate) text: &'h str,
    /// There is nothing to say against any byte, wherever it stands.
    is_plain: bool,
}

/// The target between the spaces of a request line, where no byte is a control but perhaps a tab.
/// It is a part of `head`.
#[inline(always)]
pub(crate) fn cut<'h, W: Way>(head: &[u8], target: &'h [u8], way: W) -> Option<Cut<'h>> {
    if target == b"/" {
        return Some(Cut { text: "/", is_plain: true });
    }
    match scan::text_in(head, target, Class::Target, way) {
        Some(text) => Some(Cut { text, is_plain: true }),
        None => cut_slowly(target),
    }
}

#[inline(never)]
fn cut_slowly(target: &[u8]) -> Option<Cut<'_>> {
    if target.contains(&b' ') || target.contains(&b'\t') {
        return None;
    }
    let is_plain = target.iter().all(|&byte| is_plain_byte(byte));
    Some(Cut { text: str::from_utf8(target).ok()?, is_plain })
}

/// Whether a byte may stand anywhere in a target, and has no meaning of its own.
pub(crate) const fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'%' | b'\\')
}

/// Tells the form of `target` and whether it goes with `method`.
///
/// Bytes that browsers send without encoding them (such as `|` and `"`) pass (policy).
#[inline(always)]
pub(crate) fn check(
    method: &str,
    target: &Cut<'_>,
    limits: &Limits,
) -> Result<TargetForm, Refusal> {
    let is_local = target.text.as_bytes().first() == Some(&b'/');
    match is_local && target.is_plain && (method.len() != CONNECT.len() || method != CONNECT) {
        true => Ok(TargetForm::Origin),
        false => check_unusual(method, target.text, limits),
    }
}

const CONNECT: &str = "CONNECT";

/// The path and the query of `target`. The path of an absolute target without one is `/`, that of
/// the two other forms is the whole target.
pub(crate) fn path_and_query(form: TargetForm, target: &str) -> (&str, Option<&str>) {
    let local = match form {
        TargetForm::Origin => target,
        TargetForm::Absolute => &target[authority_end(target)..],
        TargetForm::Authority | TargetForm::Asterisk => return (target, None),
    };
    let (path, query) = match memchr(b'?', local.as_bytes()) {
        Some(at) => (&local[..at], Some(&local[at + 1..])),
        None => (local, None),
    };
    (if path.is_empty() { "/" } else { path }, query)
}

/// The authority in `target`, where its form has one.
pub(crate) fn authority(form: TargetForm, target: &str) -> Option<&str> {
    match form {
        TargetForm::Absolute => {
            Some(&target[scheme_bytes(target).unwrap_or(0)..authority_end(target)])
        }
        TargetForm::Authority => Some(target),
        TargetForm::Origin | TargetForm::Asterisk => None,
    }
}

fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if !bytes.is_ascii() && !limits.lenient {
        return Err(Refusal::Target);
    }
    match memchr3(b'#', b'%', b'\\', bytes) {
        None => Ok(()),
        Some(_) => check_special(bytes, limits),
    }
}

/// A fragment is never sent (RFC 9112 §3.2.1). A path in which one server sees a separator or an
/// end and another does not is how access rules are walked around (policy); in a query both are
/// data.
fn check_special(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if memchr(b'#', bytes).is_some() {
        return Err(Refusal::Target);
    }
    if limits.lenient {
        return Ok(());
    }
    let mut path = &bytes[..memchr(b'?', bytes).unwrap_or(bytes.len())];
    if memchr(b'\\', path).is_some() {
        return Err(Refusal::TargetPath);
    }
    while let Some(at) = memchr(b'%', path) {
        path = &path[at + 1..];
        if matches!(path, [b'0', b'0' | b'a' | b'A' | b'd' | b'D', ..]) {
            return Err(Refusal::TargetPath);
        }
    }
    Ok(())
}

/// The forms that only some methods go with: authority with CONNECT (RFC 9112 §3.2.3), asterisk
/// with OPTIONS (§3.2.4), absolute with all but CONNECT (§3.2.2). A host in one is checked as that
/// of Host is; user information is refused (RFC 9110 §4.2.4).
#[inline(never)]
fn check_unusual(method: &str, target: &str, limits: &Limits) -> Result<TargetForm, Refusal> {
    check_bytes(target.as_bytes(), limits)?;
    if target.starts_with('/') && method != CONNECT {
        return Ok(TargetForm::Origin);
    }
    if method == CONNECT {
        let port = target.rsplit_once(':').map(|(_, port)| port);
        let has_port = port.is_some_and(|port| !port.is_empty() && !port.ends_with(']'));
        return match has_port && host::is_authority(target.as_bytes()) {
            true => Ok(TargetForm::Authority),
            false => Err(Refusal::TargetForm),
        };
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok(TargetForm::Asterisk),
            _ => Err(Refusal::TargetForm),
        };
    }
    let scheme = scheme_bytes(target).ok_or(Refusal::TargetForm)?;
    match host::is_authority(&target.as_bytes()[scheme..authority_end(target)]) {
        true => Ok(TargetForm::Absolute),
        false => Err(Refusal::TargetForm),
    }
}

/// The length of `http://` or `https://` at the front.
fn scheme_bytes(target: &str) -> Option<usize> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let front = target.as_bytes().get(..scheme.len())?;
        front.eq_ignore_ascii_case(scheme.as_bytes()).then_some(scheme.len())
    })
}

/// Where the authority of an absolute target ends.
fn authority_end(target: &str) -> usize {
    let start = scheme_bytes(target).unwrap_or(0);
    target[start..].find(['/', '?']).map_or(target.len(), |at| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(method: &str, target: &str, limits: &Limits) -> Result<TargetForm, Refusal> {
        check(method, &cut_slowly(target.as_bytes()).expect("no white space"), limits)
    }

    #[test]
    fn each_form_goes_with_its_methods() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        for (method, target, expect) in [
            ("GET", "/", Ok(Origin)),
            ("GET", "/a?b=%00\\|", Ok(Origin)),
            ("GET", "//a", Ok(Origin)),
            ("GET", "http://a", Ok(Absolute)),
            ("GET", "HTTPS://a:1/b?c", Ok(Absolute)),
            ("OPTIONS", "*", Ok(Asterisk)),
            ("CONNECT", "a:443", Ok(Authority)),
            ("CONNECT", "[::1]:443", Ok(Authority)),
            ("CONNECT", "[::1]", Err(Refusal::TargetForm)),
            ("CONNECT", "a", Err(Refusal::TargetForm)),
            ("CONNECT", "/", Err(Refusal::TargetForm)),
            ("GET", "*", Err(Refusal::TargetForm)),
            ("GET", "a:443", Err(Refusal::TargetForm)),
            ("GET", "ftp://a/", Err(Refusal::TargetForm)),
            ("GET", "http:///", Err(Refusal::TargetForm)),
            ("GET", "http://u@a/", Err(Refusal::TargetForm)),
            ("GET", "/a#b", Err(Refusal::Target)),
            ("GET", "/ä", Err(Refusal::Target)),
            ("GET", "/%00", Err(Refusal::TargetPath)),
            ("GET", "/a%0Db", Err(Refusal::TargetPath)),
            ("GET", "/a%41%0ab", Err(Refusal::TargetPath)),
            ("GET", "/a\\b?c", Err(Refusal::TargetPath)),
            ("GET", "/a%0", Ok(Origin)),
            ("GET", "/a%20b", Ok(Origin)),
        ] {
            assert_eq!(form(method, target, &Limits::DEFAULT), expect, "{method} {target}");
        }
    }

    #[test]
    fn lenient_waives_rules_for_bytes_and_not_for_forms() {
        let lenient = Limits { lenient: true, ..Limits::DEFAULT };
        for (target, strict) in [
            ("/\u{e4}?\u{20ac}", Refusal::Target),
            ("http://a/\u{e4}", Refusal::Target),
            ("/a\\b", Refusal::TargetPath),
            ("/%00", Refusal::TargetPath),
            ("/%0d%0A?", Refusal::TargetPath),
        ] {
            assert_eq!(form("GET", target, &Limits::DEFAULT), Err(strict), "{target}");
            assert!(form("GET", target, &lenient).is_ok(), "{target}");
        }
        for (target, refusal) in [
            ("/a#b", Refusal::Target),
            ("/\u{e4}#b", Refusal::Target),
            ("*", Refusal::TargetForm),
            ("a:443", Refusal::TargetForm),
            ("http://\u{e4}/", Refusal::TargetForm),
            ("http://a\\b/", Refusal::TargetForm),
            ("http://a%00/", Refusal::TargetForm),
            ("http://u@a/", Refusal::TargetForm),
            ("http:///", Refusal::TargetForm),
        ] {
            assert_eq!(form("GET", target, &lenient), Err(refusal), "{target}");
        }
    }

    #[test]
    fn authority_of_each_form() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        for (form, target, expect) in [
            (Origin, "//h/a", None),
            (Absolute, "http://h", Some("h")),
            (Absolute, "HTTPS://[::1]:8?q", Some("[::1]:8")),
            (Absolute, "http://h:1/a?http://x/", Some("h:1")),
            (Authority, "h:1", Some("h:1")),
            (Asterisk, "*", None),
        ] {
            assert_eq!(authority(form, target), expect, "{target}");
        }
    }

    #[test]
    fn path_and_query_of_each_form() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        for (form, target, expect) in [
            (Origin, "/a?b?c", ("/a", Some("b?c"))),
            (Origin, "/a", ("/a", None)),
            (Origin, "/?", ("/", Some(""))),
            (Absolute, "http://h", ("/", None)),
            (Absolute, "http://h?q", ("/", Some("q"))),
            (Absolute, "https://h:1/p?q", ("/p", Some("q"))),
            (Asterisk, "*", ("*", None)),
            (Authority, "h:1", ("h:1", None)),
        ] {
            assert_eq!(path_and_query(form, target), expect, "{target}");
        }
    }
}
