//! What media types a client would like.

/// How much a client wants a media type, in thousandths, by the value of Accept (RFC 9110 §12.5.1):
/// that of the most specific range, the first of them. Parameters other than the weight are ignored,
/// malformed ranges are skipped, and so is what stands behind the first 64.
///
/// Without Accept everything is welcome.
pub(crate) fn quality(accept: Option<&[u8]>, kind: &str, subtype: &str) -> u16 {
    let Some(accept) = accept else { return 1000 };
    let mut best = (0, 0);
    for range in accept.split(|&byte| byte == b',').take(64) {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(slash) = name.iter().position(|&byte| byte == b'/') else { continue };
        let (range_kind, range_subtype) = (&name[..slash], &name[slash + 1..]);
        let specific = match (range_kind, range_subtype) {
            (b"*", b"*") => 1,
            (a, b"*") if a.eq_ignore_ascii_case(kind.as_bytes()) => 2,
            (a, b) if is(a, kind) && is(b, subtype) => 3,
            _ => continue,
        };
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_at_checked(2)?;
            name.eq_ignore_ascii_case(b"q=").then_some(value)
        });
        let Some(weight) = weight.map_or(Some(1000), weight_of) else { continue };
        if specific > best.0 {
            best = (specific, weight);
        }
    }
    best.1
}

fn is(bytes: &[u8], name: &str) -> bool {
    bytes.eq_ignore_ascii_case(name.as_bytes())
}

/// `0` to `1`, with up to three decimals (RFC 9110 §12.4.2).
fn weight_of(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, unit) in decimals.iter().zip([100, 10, 1]) {
        match digit {
            b'0'..=b'9' => weight += u16::from(digit - b'0') * unit,
            _ => return None,
        }
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_most_specific_range_counts() {
        for (accept, html, json) in [
            ("", 0, 0),
            ("*/*", 1000, 1000),
            ("text/html", 1000, 0),
            ("TEXT/HTML;level=1; Q=0.25", 250, 0),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 1000, 800),
            ("*/*, text/*;q=0.5, text/html;q=0", 0, 1000),
            ("text/*;q=.5, text/html;q=1.001, application/json;q=0.1234", 0, 0),
            ("text, /, *", 0, 0),
            ("application/json;q=1.000, text/html;q=0.999", 999, 1000),
        ] {
            let quality = |kind, subtype| quality(Some(accept.as_bytes()), kind, subtype);
            assert_eq!(
                (quality("text", "html"), quality("application", "json")),
                (html, json),
                "{accept}"
            );
        }
        assert_eq!(quality(None, "text", "html"), 1000);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(accept in "[a-z*/;=,q01. ]{0,80}", bytes: Vec<u8>) {
            prop_assert!(quality(Some(accept.as_bytes()), "text", "html") <= 1000);
            prop_assert!(quality(Some(&bytes), "text", "html") <= 1000);
        }
    }
}
