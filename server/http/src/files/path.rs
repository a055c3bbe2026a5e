//! From the path of a request to a name beneath a root.
//!
//! Decoded once, and looked at segment by segment: what could mean anything but "the entry of this
//! name in that directory" is refused. The kernel's own check (`RESOLVE_BENEATH`) stands behind it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The longest name of a directory entry (`NAME_MAX`).
const SEGMENT_BYTES_MAX: usize = 255;
/// The longest path that the kernel takes, without the NUL at its end (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4095;

/// The one hidden name that is public (RFC 8615).
pub(crate) const WELL_KNOWN: &str = ".well-known";

/// The relative path that an encoded one, without its leading slash, stands for; empty for the root.
/// A trailing slash stays. `None` if there can be no such file, or it is hidden and hidden files are
/// not shown.
pub(crate) fn decode(raw: &str, shows_hidden: bool) -> Option<Cow<'_, str>> {
    let path = if raw.contains('%') { Cow::Owned(unescape(raw)?) } else { Cow::Borrowed(raw) };
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let segments = path.strip_suffix('/').unwrap_or(&path);
    if segments.is_empty() {
        return path.is_empty().then_some(path);
    }
    let good = segments.split('/').enumerate().all(|(depth, segment)| {
        is_name(segment)
            && (shows_hidden || !is_hidden(segment) || (depth == 0 && segment == WELL_KNOWN))
    });
    good.then_some(path)
}

/// Whether a name is kept from sight by convention.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Decodes; `None` if an escape is malformed, stands for a slash, or the result is not UTF-8 (overlong
/// forms are not).
fn unescape(raw: &str) -> Option<String> {
    let is_escape =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !raw.split('%').skip(1).all(is_escape) {
        return None;
    }
    let path = percent_decode_str(raw).decode_utf8().ok()?;
    let slashes = |text: &str| text.bytes().filter(|&byte| byte == b'/').count();
    (slashes(&path) == slashes(raw)).then(|| path.into_owned())
}

/// Whether this can only be the name of an entry, on any system, and asked for: what would end a line
/// comes in no request (the parser refuses it even if it is encoded).
pub(crate) fn is_name(segment: &str) -> bool {
    let is_drive = matches!(segment.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    !matches!(segment, "" | "." | "..")
        && segment.len() <= SEGMENT_BYTES_MAX
        && !segment.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | b'\\'))
        && !is_drive
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_and_what_they_stand_for() {
        let long = "x".repeat(SEGMENT_BYTES_MAX);
        let cases = [
            ("", Some("")),
            ("a", Some("a")),
            ("a/", Some("a/")),
            ("a/b.txt", Some("a/b.txt")),
            ("A/b.TXT", Some("A/b.TXT")),
            ("a%20b/%C3%A9", Some("a b/é")),
            ("a+b", Some("a+b")),
            ("12:30.txt", Some("12:30.txt")),
            ("...", None),
            (&long, Some(&*long)),
            // Decoded once.
            ("%2561", Some("%61")),
            ("%252e%252e/x", Some("%2e%2e/x")),
            // Out of the root, by every spelling.
            ("..", None),
            ("../x", None),
            ("a/../../x", None),
            ("a/..", None),
            ("a/../b", None),
            ("%2e%2e/x", None),
            (".%2E/x", None),
            ("%2e./x", None),
            ("..%2fx", None),
            ("a%2fb", None),
            ("a%2Fb", None),
            ("a%5c..%5cb", None),
            ("..\\x", None),
            ("a\\b", None),
            ("%c0%ae%c0%ae/x", None),
            ("%c0%af", None),
            ("%e0%80%ae", None),
            ("%f0%80%80%ae", None),
            ("%ff", None),
            ("%u002e%u002e/x", None),
            // Absolute, empty or odd segments.
            ("/", None),
            ("/etc/passwd", None),
            ("//host", None),
            ("a//b", None),
            ("a//", None),
            (".", None),
            ("a/./b", None),
            ("c:/x", None),
            ("a/C:", None),
            ("a%00.txt", None),
            ("a%0A", None),
            ("a%0d", None),
            ("%", None),
            ("a%2", None),
            ("a%zz", None),
            ("a%é", None),
            // Hidden.
            (".git/config", None),
            ("a/.htpasswd", None),
            ("%2ehtpasswd", None),
            ("a/.well-known/x", None),
            (".well-known/.x", None),
            (".well-known/security.txt", Some(".well-known/security.txt")),
        ];
        for (raw, expected) in cases {
            assert_eq!(decode(raw, false).as_deref(), expected, "{raw}");
        }
        assert_eq!(decode(".git/config", true).as_deref(), Some(".git/config"));
        assert_eq!(decode("..", true), None);
        assert_eq!(decode(&format!("{long}x"), true), None);
        assert_eq!(decode(&"abcdefg/".repeat(512), true), None);
    }

    proptest! {
        #[test]
        fn what_is_decoded_stays_beneath_the_root(
            raw in r"([./\\%]|%2[eEfF]|%5[cC]|%00|%25|%[0-9a-f]{2}|[a-c:]){0,24}",
            shows_hidden: bool,
        ) {
            use std::path::{Component, Path};
            if let Some(path) = decode(&raw, shows_hidden) {
                let parts: Vec<_> = Path::new(&*path).components().collect();
                prop_assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))));
                // As many as were written: nothing was folded away.
                let written = path.split('/').filter(|segment| !segment.is_empty()).count();
                prop_assert_eq!(parts.len(), written);
                prop_assert!(!path.contains('\\') && !path.contains('\0'));
            }
        }
    }
}
