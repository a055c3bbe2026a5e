//! Cookies (RFC 6265).

use std::fmt::Write;

use super::response::Response;

/// The most bytes of name and value that browsers keep.
const BYTES_MAX: usize = 4096;

/// A cookie to be set. Unless told otherwise it is for the whole site, kept from scripts, sent along
/// by links from other sites but not by their forms, and gone when the browser closes:
/// `Path=/; HttpOnly; SameSite=Lax`. Say [`secure`](SetCookie::secure) where the site is reached by
/// TLS.
///
/// ```
/// use corelane_http::web::{Response, SetCookie};
///
/// let session = SetCookie::new("__Host-session", "6f1e").secure().max_age(3600);
/// let response = Response::text("welcome\n").with_cookie(session);
/// let expected = "__Host-session=6f1e; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax";
/// assert_eq!(response.field("Set-Cookie"), Some(expected.as_bytes()));
///
/// let refused = SetCookie::new("__Host-session", "6f1e").to_field().unwrap_err();
/// assert_eq!(refused.to_string(), "cookie `__Host-session`: `__Host-` is for Secure cookies only");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a cookie is set by `Response::with_cookie`"]
pub struct SetCookie {
    name: String,
    value: String,
    path: String,
    domain: Option<String>,
    max_age: Option<u64>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

/// Whether requests that come from other sites bring a cookie along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    Lax,
    /// Always; for Secure cookies only.
    None,
}

/// Why a cookie cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cookie `{name}`: {reason}")]
pub struct CookieError {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl SetCookie {
    /// A cookie. The name is a token; the value has no spaces, quotes, commas, semicolons, backslashes,
    /// control characters or letters beyond ASCII: encode what may have any (base64, percent).
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> SetCookie {
        SetCookie {
            name: name.into(),
            value: value.into(),
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }

    /// Has the browser forget a cookie. Its path and domain must be those it was set with.
    pub fn removal(name: impl Into<String>) -> SetCookie {
        SetCookie::new(name, "").max_age(0)
    }

    /// For this path and what is beneath it, instead of `/`.
    pub fn path(mut self, path: impl Into<String>) -> SetCookie {
        self.path = path.into();
        self
    }

    /// For this domain and those beneath it, instead of the one host.
    pub fn domain(mut self, domain: impl Into<String>) -> SetCookie {
        self.domain = Some(domain.into());
        self
    }

    /// Kept for so many seconds, instead of until the browser closes.
    pub fn max_age(mut self, seconds: u64) -> SetCookie {
        self.max_age = Some(seconds);
        self
    }

    /// Sent over TLS only.
    pub fn secure(mut self) -> SetCookie {
        self.secure = true;
        self
    }

    /// To be read by scripts.
    pub fn readable_by_scripts(mut self) -> SetCookie {
        self.http_only = false;
        self
    }

    /// Whether requests from other sites bring it.
    pub fn same_site(mut self, same_site: SameSite) -> SetCookie {
        self.same_site = same_site;
        self
    }

    /// The value of the field Set-Cookie.
    ///
    /// # Errors
    /// If the name, the value or an attribute cannot be sent, or browsers would refuse the whole: above
    /// 4 KiB, SameSite=None without Secure, or a name whose prefix promises what is not there
    /// (`__Host-`: Secure, `/`, no Domain; `__Secure-`: Secure).
    pub fn to_field(&self) -> Result<String, CookieError> {
        if let Some(reason) = self.flaw() {
            return Err(CookieError { name: self.name.clone(), reason });
        }
        let mut field = format!("{}={}; Path={}", self.name, self.value, self.path);
        if let Some(domain) = &self.domain {
            let _ = write!(field, "; Domain={domain}");
        }
        if let Some(seconds) = self.max_age {
            let _ = write!(field, "; Max-Age={seconds}");
        }
        for (is, attribute) in [(self.secure, "; Secure"), (self.http_only, "; HttpOnly")] {
            field.push_str(if is { attribute } else { "" });
        }
        field.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        Ok(field)
    }

    fn flaw(&self) -> Option<&'static str> {
        let octet =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        let attribute =
            |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';');
        let prefixed = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let whole = self.path == "/" && self.domain.is_none();
        let domain = self.domain.as_deref().unwrap_or("none");
        let rules = [
            (!self.name.is_empty() && self.name.bytes().all(token), "the name is no token"),
            (
                self.value.bytes().all(octet),
                "the value has bytes that cookies cannot have: encode it",
            ),
            (self.path.starts_with('/') && attribute(&self.path), "the path is none"),
            (!domain.is_empty() && attribute(domain), "the domain is none"),
            (self.name.len() + self.value.len() <= BYTES_MAX, "it has more than 4,096 bytes"),
            (self.path.len().max(domain.len()) <= 1024, "an attribute has more than 1,024 bytes"),
            (
                self.secure || self.same_site != SameSite::None,
                "SameSite=None is for Secure cookies only",
            ),
            (self.secure || !prefixed("__Secure-"), "`__Secure-` is for Secure cookies only"),
            (self.secure || !prefixed("__Host-"), "`__Host-` is for Secure cookies only"),
            (whole || !prefixed("__Host-"), "`__Host-` is for `Path=/` without Domain"),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, reason)| *reason)
    }
}

impl Response {
    /// Sets a cookie. One that cannot be set makes the response a 500, with a word in the log.
    pub fn with_cookie(mut self, cookie: SetCookie) -> Response {
        match cookie.to_field() {
            Ok(field) => self.add("Set-Cookie", field),
            Err(error) => {
                tracing::error!(%error, "a cookie cannot be set");
                self.malformed = true;
            }
        }
        self
    }
}

/// The names and values in a field Cookie.
pub(super) fn pairs(field: &str) -> impl Iterator<Item = (&str, &str)> {
    field.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        (!name.is_empty()).then_some((name, bare.unwrap_or(value)))
    })
}
