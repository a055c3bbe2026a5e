//! What stands in Authorization (RFC 9110 §11.6.2).

#[cfg(feature = "basic-auth")]
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::web::Request;

/// What is read at most, in bytes: hashing takes the longer the longer a password is.
#[cfg(feature = "basic-auth")]
const CREDENTIALS_MOST: usize = 1024;

/// What stands behind the scheme in the one Authorization field, if that has this scheme.
pub(super) fn of_scheme<'a>(request: &Request<'a>, scheme: &str) -> Option<&'a [u8]> {
    let mut values = request.headers("Authorization");
    let (value, second) = (values.next()?, values.next());
    if second.is_some() {
        return None;
    }
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (name, rest) = value.split_at(space);
    name.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.trim_ascii_start())
}

/// A name and a password, from what stands behind `Basic` (RFC 7617 §2): base64 of UTF-8 without
/// control characters, of up to 1 KiB.
#[cfg(feature = "basic-auth")]
pub(super) fn basic(token: &[u8]) -> Option<(String, String)> {
    if token.len() > CREDENTIALS_MOST {
        return None;
    }
    let mut name = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    let password = name.split_off(name.find(':')?);
    let password = password[1..].to_owned();
    let clean = |text: &str| !text.chars().any(char::is_control);
    (clean(&name) && clean(&password)).then_some((name, password))
}

/// Whether this is a token as bearers send it (`b64token`, RFC 6750 §2.1).
pub(super) fn is_bearer_token(token: &[u8]) -> bool {
    let end = token.iter().rposition(|&byte| byte != b'=').map_or(0, |at| at + 1);
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    end > 0 && token[..end].iter().all(good)
}

/// A quoted string (RFC 9110 §5.6.4); `None` if a control character is in it.
pub(super) fn quoted(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return None;
    }
    Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(feature = "basic-auth")]
    #[test]
    fn basic_credentials() {
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        for (token, expected) in [
            // RFC 7617 §2 and §2.1.
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", pair("Aladdin", "open sesame")),
            ("dGVzdDoxMjPCow==", pair("test", "123£")),
            ("Og==", pair("", "")),
            ("YTpiOmM=", pair("a", "b:c")),
            ("", None),
            ("YWJj", None),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ", None),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ== ", None),
            ("QWxh ZGRpbjpvcGVu", None),
            ("_-__", None),
            ("YTr/", None),
            ("YTpiCg==", None),
            ("YQA6Yg==", None),
            (&"A".repeat(1028), None),
        ] {
            assert_eq!(basic(token.as_bytes()), expected, "{token}");
        }
    }

    #[test]
    fn bearer_tokens_and_quoted_strings() {
        for (token, good) in [
            ("mF_9.B5f-4.1JqM", true),
            ("a==", true),
            ("", false),
            ("==", false),
            ("a=b", false),
            ("a b", false),
        ] {
            assert_eq!(is_bearer_token(token.as_bytes()), good, "{token}");
        }
        assert_eq!(quoted(r#"a "b" \c"#).as_deref(), Some(r#""a \"b\" \\c""#));
        assert_eq!(quoted("a\nb"), None);
    }

    proptest! {
        #[test]
        fn no_token_is_too_odd(token: Vec<u8>, text in "[a-zA-Z0-9+/=_ -]{0,40}") {
            let good = is_bearer_token(text.as_bytes());
            prop_assert_eq!(good && text.contains(' '), false);
            if is_bearer_token(&token) {
                prop_assert!(token.iter().all(u8::is_ascii_graphic));
            }
        }
    }

    #[cfg(feature = "basic-auth")]
    proptest! {
        #[test]
        fn nothing_is_too_odd(token: Vec<u8>, name in "[^:\\pC]{0,20}", password in "[^\\pC]{0,20}") {
            if let Some((name, password)) = basic(&token) {
                let again = STANDARD.encode(format!("{name}:{password}"));
                prop_assert_eq!(again.as_bytes(), &token[..]);
            }
            let token = STANDARD.encode(format!("{name}:{password}"));
            prop_assert_eq!(basic(token.as_bytes()), Some((name, password)));
        }
    }
}
