//! Who may ask for admin pages: whoever has the token, or reaches a listener of this machine under a
//! name of this machine.

use std::fmt;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use corelane_http::middleware::{BearerAuth, BearerError, MiddlewareError, User};
use corelane_http::web::{Before, Middleware, Request, Response};
use corelane_parser::http1::Method;

/// The fewest characters of a token: of letters and digits drawn at random, 16 are 95 bits.
const CHARACTERS_MIN: usize = 16;
/// The most; longer ones have no room in many clients.
const CHARACTERS_MAX: usize = 512;

/// What opens the admin pages: `Authorization: Bearer` and this. Never shown, also not by `Debug`.
///
/// ```
/// use corelane::apps::admin::Token;
///
/// let token: Token = "3fzK9vWqLr0uX2bN".parse()?;
/// assert_eq!(format!("{token:?}"), "Token(..)");
/// assert!("secret".parse::<Token>().is_err(), "too short");
/// # Ok::<(), corelane::apps::admin::TokenError>(())
/// ```
#[derive(Clone)]
pub struct Token(Arc<str>);

/// Why a text is no token. The text is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It could be guessed, or not be sent.
    #[error("a token has 16 to 512 characters")]
    Length,
    /// It could not be sent.
    #[error("a token is of letters, digits and -._~+/, perhaps with = at its end")]
    Character,
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        let plain = text.trim_end_matches('=');
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if !plain.bytes().all(good) {
            return Err(TokenError::Character);
        }
        if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&text.len()) {
            return Err(TokenError::Length);
        }
        // What ends in = has something before it (RFC 6750, section 2.1).
        if plain.is_empty() {
            return Err(TokenError::Character);
        }
        Ok(Token(text.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Token {}

impl Token {
    /// The syntax, as a regular expression.
    pub const PATTERN: &str = "^(?=.{16,512}$)[A-Za-z0-9._~+/-]+=*$";

    /// The token, for those who must write it down.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the length only.
    fn is(&self, text: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), text.as_bytes());
        let differs = own.iter().zip(other).fold(0, |bits, (a, b)| black_box(bits | (a ^ b)));
        own.len() == other.len() && differs == 0
    }
}

/// Lets in who has the token.
pub(super) fn bearer(token: Token) -> Result<BearerAuth, MiddlewareError> {
    BearerAuth::new("corelane admin", move |text, _| match token.is(text) {
        true => Ok(User::new("operator")),
        false => Err(BearerError::InvalidToken("it is not the one of this server".into())),
    })
}

/// Keeps out what another site's page has a browser ask. Who asks for this machine, by an IP address or as
/// localhost, is let in: a page whose name was made to point here (DNS rebinding) asks for that name. And
/// what changes something is not taken from a page of elsewhere, which a browser says.
pub(super) struct OwnPages;

impl Middleware for OwnPages {
    fn name(&self) -> &'static str {
        "own-pages"
    }

    fn before(&self, request: &Request<'_>) -> Before {
        match request.authority() {
            Some(authority) if !is_own(authority) => Before::Answer(Response::problem(
                421,
                "admin pages are asked for by IP address or as localhost: so no other site can have \
                 a browser ask",
            )),
            _ if changes(request) && is_foreign(request) => Before::Answer(Response::problem(
                403,
                "what changes something is not taken from pages of other sites",
            )),
            _ => Before::Next,
        }
    }
}

fn changes(request: &Request<'_>) -> bool {
    !matches!(request.method(), Method::Get | Method::Head | Method::Options)
}

/// Whether a page of another site asks. Programs that are no browser send neither field.
fn is_foreign(request: &Request<'_>) -> bool {
    let own = request.authority().unwrap_or_default();
    let by_site = |site: &[u8]| !matches!(site, b"same-origin" | b"none");
    let by_origin = |origin: &[u8]| {
        let host = [&b"http://"[..], b"https://"].iter().find_map(|s| origin.strip_prefix(*s));
        !host.is_some_and(|host| host.eq_ignore_ascii_case(own.as_bytes()))
    };
    request.headers("Sec-Fetch-Site").any(by_site) || request.headers("Origin").any(by_origin)
}

/// Whether an authority is an IP address or localhost, with or without a port.
fn is_own(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok()
        || bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for (authority, own) in [
            ("localhost", true),
            ("LocalHost:9080", true),
            ("127.0.0.1", true),
            ("127.0.0.1:9080", true),
            ("[::1]:9080", true),
            ("[::1]", true),
            ("", false),
            ("::1", false),
            ("localhost.example.org", false),
            ("127.0.0.1.example.org", false),
            ("example.org:9080", false),
        ] {
            assert_eq!(is_own(authority), own, "{authority}");
        }
    }

    #[test]
    fn tokens_are_long_and_can_be_sent() {
        let good = "abcdefghijklmno1";
        let token: Token = good.parse().unwrap();
        for (text, same) in
            [(good, true), ("abcdefghijklmno2", false), ("abcdefghijklmno", false), ("", false)]
        {
            assert_eq!(token.is(text), same, "{text}");
        }
        assert!(!token.is(&format!("{good}x")));
        for (text, error) in [
            ("short", TokenError::Length),
            ("", TokenError::Length),
            ("with a space in between", TokenError::Character),
            ("line\nbreaks-are-not-sent", TokenError::Character),
            (&"x".repeat(513), TokenError::Length),
            (&"=".repeat(16), TokenError::Character),
        ] {
            assert_eq!(text.parse::<Token>().unwrap_err(), error, "{text}");
        }
    }
}
