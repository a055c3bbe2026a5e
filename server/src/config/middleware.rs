//! What stands around the handlers of a site.

use std::collections::BTreeMap;
use std::time::Duration;

use corelane_http::middleware::Users;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::keys::text_kind;
use super::shape::{Kind, Shape, section};
use super::site::Encoding;
use super::values::{
    Bytes, Count, FilePath, MAX_SIZE, Single, Span, Timeout, choice, kind, text, unexpected,
};

section! {
    /// What stands around the handlers. Each can be an object, `true` for its defaults, `false` for
    /// off, or `null` for what the host or the server has. Nothing is on unless it is named.
    Middleware {
        /// Access from scripts of other origins (CORS).
        cors: Toggle<Cors> = null => Hot;
        /// Compression of answers.
        compression: Toggle<Compression> = null => Hot;
        /// Names and passwords (HTTP Basic, RFC 7617).
        basic_auth: Toggle<BasicAuth> = null => Hot;
        /// Requests per client.
        rate_limit: Toggle<RateLimit> = null => Hot;
        /// An id for each request, answered as `X-Request-Id`.
        request_id: Toggle<RequestId> = null => Hot;
        /// Longest time for an answer.
        timeout: Toggle<Timeout> = null => Hot;
        /// Largest request body, within `limits.max_body`.
        body_limit: Toggle<Bytes<0, MAX_SIZE>> = null => Hot;
        /// Header fields that tell browsers to be careful.
        security_headers: Toggle<SecurityHeaders> = null => Hot;
        /// Header fields added to and removed from answers.
        headers: Toggle<HeaderRules> = null => Hot;
    }
}

section! {
    /// Access from scripts of other origins (CORS).
    Cors {
        /// Which: `https://app.example.org`, or `*` alone for all.
        origins: Vec<Origin> => Hot;
        /// Methods they may use.
        methods: Vec<String> = ["GET", "HEAD", "POST"] => Hot;
        /// Request header fields they may send.
        headers: Vec<String> = [] => Hot;
        /// Response header fields they may read.
        expose: Vec<String> = [] => Hot;
        /// With cookies and passwords; not with the origin `*`.
        credentials: bool = false => Hot;
        /// How long a browser may remember this.
        max_age: Span = "10m" => Hot;
    }
}

section! {
    /// Compression of answers.
    Compression {
        /// Encodings, the preferred first.
        encodings: Vec<Encoding> = ["zstd", "gzip", "br"] => Hot;
        /// Smaller answers are left as they are.
        min_size: Bytes<0, 1_073_741_824> = "1K" => Hot;
        /// Media types that are compressed; `*` for every subtype.
        types: Vec<String> = ["text/*", "application/json", "application/javascript",
            "application/xml", "application/wasm", "image/svg+xml"] => Hot;
    }
}

section! {
    /// Names and passwords (HTTP Basic, RFC 7617).
    BasicAuth {
        /// What the browser says it is for.
        realm: String = "corelane" => Hot;
        /// Hashes of passwords, by user.
        users: BTreeMap<String, PasswordHash> = {} => Hot;
        /// File with lines `user:hash`, as `htpasswd -B` writes them.
        htpasswd: Option<FilePath> = null => Hot;
    }
}

section! {
    /// Requests per client, over the whole process.
    RateLimit {
        /// Who is a client: `ip`, or a request header field, as `header:X-Api-Key`.
        key: RateKey = "ip" => Hot;
        /// Requests on average: `100/s`, `600/m`, `1000/h`.
        rate: Rate => Hot;
        /// Requests at once; null for the number in `rate`.
        burst: Option<Count<1, 1_000_000_000>> = null => Hot;
    }
}

section! {
    /// An id for each request, answered as `X-Request-Id`.
    RequestId {
        /// Keep the id that a client sends; only behind a proxy of yours.
        trust: bool = false => Hot;
    }
}

section! {
    /// Header fields that tell browsers to be careful.
    SecurityHeaders {
        /// `X-Content-Type-Options: nosniff`.
        nosniff: bool = true => Hot;
        /// `X-Frame-Options`.
        frame: Frame = "sameorigin" => Hot;
        /// `Referrer-Policy`; null for none.
        referrer_policy: Option<String> = "strict-origin-when-cross-origin" => Hot;
        /// `Content-Security-Policy`; null for none.
        content_security_policy: Option<String> = null => Hot;
        /// `Strict-Transport-Security` for so long; null for none. Only where TLS ends before us.
        hsts: Option<Timeout> = null => Hot;
    }
}

section! {
    /// Header fields added to and removed from answers.
    HeaderRules {
        /// Fields to add; they replace those of the same name.
        add: BTreeMap<String, String> = {} => Hot;
        /// Names of fields to remove.
        remove: Vec<String> = [] => Hot;
    }
}

choice! {
    /// Who may show a page in a frame.
    Frame {
        /// Nobody.
        Deny = "deny",
        /// Pages of the same origin.
        SameOrigin = "sameorigin",
        /// Anybody: the field is left out.
        Off = "off",
    }
}

text_kind! {
    /// An origin: scheme, host and port (RFC 6454).
    Origin, "origin", expected "\"*\" or an origin such as \"https://app.example.org\"",
        if |text| text == "*" || text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '*', ' '])
        });
}

/// Something that can be on, off, or left to what is around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Toggle<T> {
    /// What the host or the server has.
    Inherit,
    /// Off.
    Off,
    /// On.
    On(T),
}

impl<T: Clone> Toggle<T> {
    /// Its settings, if it is on.
    pub fn on(&self) -> Option<&T> {
        match self {
            Toggle::On(settings) => Some(settings),
            Toggle::Inherit | Toggle::Off => None,
        }
    }
}

impl<T: Kind> Kind for Toggle<T> {
    fn shape() -> Shape {
        Shape::Toggle(Box::new(T::shape()))
    }
}

impl<'de, T: Kind> Deserialize<'de> for Toggle<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Toggle<T>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Toggle::Inherit),
            Value::Bool(false) => Ok(Toggle::Off),
            value => T::deserialize(value).map(Toggle::On).map_err(serde::de::Error::custom),
        }
    }
}

/// The hash of a password. Not shown, also not by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

kind! { PasswordHash, secret = true; }

impl PasswordHash {
    /// The hash.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl Single for PasswordHash {
    const NAME: &'static str = "password hash";

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^\\$(2[aby]|5|6)\\$" })
    }

    fn read(value: &Value) -> Result<PasswordHash, String> {
        // Never the value itself: it may be a password.
        let expected = "expected a hash, never a password: make one with `htpasswd -nB USER`";
        let Value::String(text) = value else { return Err(expected.to_owned()) };
        if !text.starts_with('$') {
            return Err(expected.to_owned());
        }
        match Users::new().with("user", text) {
            Ok(_) => Ok(PasswordHash(text.clone())),
            Err(_) => Err("no hash that can be used: bcrypt (`$2y$`) up to cost 16, SHA-256 or \
                           SHA-512 crypt (`$5$`, `$6$`) up to a million rounds"
                .to_owned()),
        }
    }

    fn write(&self) -> Value {
        json!(self.0)
    }
}

/// How clients are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// By IP address.
    Ip,
    /// By the value of this request header field.
    Header(String),
}

kind! { RateKey; }

impl Single for RateKey {
    const NAME: &'static str = "`ip` or `header:NAME`";

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(ip|header:.+)$" })
    }

    fn read(value: &Value) -> Result<RateKey, String> {
        let expected = "\"ip\" or a header field such as \"header:X-Api-Key\"";
        match text(expected, value)? {
            "ip" => Ok(RateKey::Ip),
            other => match other.strip_prefix("header:") {
                Some(name) if is_token(name) => Ok(RateKey::Header(name.to_owned())),
                _ => unexpected(expected, value),
            },
        }
    }

    fn write(&self) -> Value {
        match self {
            RateKey::Ip => json!("ip"),
            RateKey::Header(name) => json!(format!("header:{name}")),
        }
    }
}

/// Whether this can be the name of a field or a method: a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// So many in a second, a minute or an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

kind! { Rate; }

impl Single for Rate {
    const NAME: &'static str = "rate";

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[1-9][0-9]*/[smh]$" })
    }

    fn read(value: &Value) -> Result<Rate, String> {
        let expected = "a rate such as \"100/s\", \"600/m\" or \"1000/h\"";
        let read = text(expected, value)?.split_once('/').and_then(|(count, per)| {
            let count = count.parse().ok().filter(|count| *count > 0)?;
            let seconds = match per {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            Some(Rate { count, per: Duration::from_secs(seconds) })
        });
        read.map_or_else(|| unexpected(expected, value), Ok)
    }

    fn write(&self) -> Value {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        json!(format!("{}/{unit}", self.count))
    }
}
