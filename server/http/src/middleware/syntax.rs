//! Grammars that several middlewares read.

/// Whether this is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.iter().all(|&byte| good(byte))
}

/// What keeps this from being an origin as browsers send it (RFC 6454 §6.2); `None`
/// if nothing does.
pub(crate) fn origin_flaw(origin: &str) -> Option<&'static str> {
    if origin == "null" {
        return Some("is that of every sandboxed document: accept it by origin_if, if you must");
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return Some("is not `scheme://host`");
    };
    let scheme_byte = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
    };
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase())
        || !scheme.bytes().all(scheme_byte)
    {
        return Some("begins with no scheme in small letters");
    }
    if authority.contains(['/', '?', '#']) {
        return Some("has more than scheme, host and port: no path, and no `/` at the end");
    }
    if !corelane_parser::http1::host::is_authority(authority.as_bytes()) {
        return Some("has no valid host, or no valid port");
    }
    if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("has capitals, and browsers send none");
    }
    if authority.contains('*') {
        return Some("has a `*`, which stands for nothing here: decide by origin_if");
    }
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    (authority.ends_with(default) || authority.ends_with(':'))
        .then_some("has the scheme's own port, which browsers leave out")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for good in [
            "https://a.example",
            "http://localhost:5173",
            "http://[::1]:8080",
            "http://192.0.2.1",
            "moz-extension://3a5c",
            "http://a.example:443",
        ] {
            assert_eq!(origin_flaw(good), None, "{good}");
        }
        for (bad, flaw) in [
            ("", "scheme://host"),
            ("a.example", "scheme://host"),
            ("HTTP://a.example", "small letters"),
            ("://a.example", "small letters"),
            ("https://A.example", "capitals"),
            ("https://a.example/", "no path"),
            ("https://a.example?b", "no path"),
            ("https://u@a.example", "host"),
            ("https://*.example", "origin_if"),
            ("https://", "host"),
            ("https://a.example:99999", "port"),
            ("https://a.example:443", "own port"),
            ("http://a.example:80", "own port"),
            ("http://a.example:", "own port"),
            ("https://ä.example", "host"),
        ] {
            let found = origin_flaw(bad);
            assert!(found.is_some_and(|found| found.contains(flaw)), "{bad}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".{0,60}", tail in "[a-z:/.\\[\\]@*#?0-9]{0,30}") {
            for origin in [text.clone(), tail.clone(), format!("https://{tail}"), text + &tail] {
                if origin_flaw(&origin).is_none() {
                    prop_assert!(origin.bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert!(!origin.contains([' ', ',', '"', '*', '@']));
                    prop_assert_eq!(origin.matches('/').count(), 2);
                }
            }
        }
    }
}
