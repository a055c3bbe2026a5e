//! The configuration of a server: everything but its sites and their middleware.

use std::path::PathBuf;

use serde_json::Value;

use super::middleware::Middleware;
use super::shape::{Kind, section};
use super::site::{Host, Route};
use super::values::{
    Bytes, Count, FilePath, MAX_SIZE, Millis, Single, Span, Timeout, Workers, choice, kind, leaf,
    text, unexpected,
};
use crate::apps::admin::{Token, TokenError};
use crate::logs::filter;

section! {
    /// What a server is to be.
    Config {
        /// The JSON Schema that the file says it follows; for editors, not read.
        schema as "$schema": Option<String> = null => Hot;
        /// Where the server runs; decides the defaults of other keys.
        environment: Environment = "production" => Hot;
        /// Host or IP address to listen on, where `listeners` is empty.
        host: String = "0.0.0.0", development "127.0.0.1" => Restart;
        /// Port to listen on, where a listener does not name its own; 0 lets the system choose.
        port: Count<0, 65535> = 8080 => Restart;
        /// Addresses to listen on: an IP address or name with or without a port, `:PORT` for all of
        /// IPv4, or `unix:PATH`. Empty for `host` and `port`.
        listeners: Vec<Listener> = [] => Restart;
        /// Folder whose files are served to every request that no route takes: short for a `static`
        /// route at `/`.
        static_dir: Option<FilePath> = null => Hot;
        /// Number of loops, each on its own core; `auto` or 0 for one per core.
        workers: Workers = "auto" => Restart;
        /// Pin loops to cores.
        pin: bool = true => Restart;
        /// How connections come to loops: each loop accepts for itself (`reuseport`), or one acceptor
        /// hands them out by hash of the peer's address (`hash`) or of address and port
        /// (`hash-port`), in turn, or to the loop with the fewest.
        accept: Accept = "reuseport" => Restart;
        /// Poll without blocking for this long after the last event: CPU time for latency.
        busy_poll: Span = "0s" => Restart;
        /// Move connections that are idle between two requests from a busy loop to a much quieter one.
        rebalance: bool = false => Restart;
        /// Short for `timeouts.head` and `timeouts.idle`, which win where both are given in one place.
        connection_timeout_ms: Option<Millis> = null => Hot;
        /// After a signal to stop, connections that are not done by then are cut.
        drain_timeout: Span = "30s", development "2s" => Hot;
        /// Address (port 9080 if it names none) or `unix:PATH` of the admin pages; without a token, of
        /// loopback.
        admin: Option<Listener> = null => Restart;
        /// File with the token that opens the admin pages: `Authorization: Bearer` and 16 to 512
        /// letters, digits and `-._~+/`.
        admin_token_file: Option<FilePath> = null => Restart;
        /// The token itself, for `CORELANE_ADMIN_TOKEN`; not beside `admin_token_file`.
        admin_token: Option<AdminToken> = null => Restart;
        /// Reload when the file changes; SIGHUP reloads always.
        watch: bool = false, development true => Hot;
        /// Bounds of connections, memory and requests.
        limits: Limits = {} => Within;
        /// How long things may take.
        timeouts: Timeouts = {} => Within;
        /// What is logged, and where.
        logs: Logs = {} => Within;
        /// What is reported, and where.
        metrics: Metrics = {} => Within;
        /// Middleware of every site, unless a host or route says otherwise.
        middleware: Middleware = {} => Within;
        /// Routes for requests to names that no host has.
        routes: Vec<Route> = [] => Hot;
        /// Virtual hosts.
        hosts: Vec<Host> = [] => Hot;
    }
}

section! {
    /// Bounds of connections, memory and requests.
    Limits {
        /// Connections of the whole process; null for 65,536 per loop, within the limit of
        /// descriptors.
        max_connections: Option<Count<1, 100_000_000>> = null => Restart;
        /// Connections accepted per second; null for any number.
        accept_rate: Option<Count<1, 4_294_967_295>> = null => Restart;
        /// What happens to connections beyond a limit: they wait in the queue, or are closed at once.
        overload: Overload = "pause" => Restart;
        /// Length of the queue of connections not yet accepted.
        backlog: Count<1, 4_294_967_295> = 4096 => Restart;
        /// Connections per loop that memory is set aside for at the start.
        preallocate: Count<0, 100_000_000> = 0 => Restart;
        /// Memory for buffers; null for half of the memory that the process may use.
        max_buffer_memory: Option<Bytes<1_048_576, MAX_SIZE>> = null => Restart;
        /// Output that the kernel takes of a connection before it can send it; 0 for as much as it
        /// likes.
        max_unsent: Bytes<0, 4_294_967_295> = "64K" => Restart;
        /// Least rate of request bodies, and of answers being read, per second; 0 for none.
        min_rate: Bytes<0, MAX_SIZE> = "240" => Restart;
        /// Requests after which a connection closes; null for any number.
        max_requests: Option<Count<1, 4_294_967_295>> = null => Hot;
        /// Largest request head.
        max_head: Bytes<256, 262_144> = "32K" => Restart;
        /// Most fields of a request head.
        max_fields: Count<1, 100> = 64 => Hot;
        /// Largest request body.
        max_body: Bytes<0, MAX_SIZE> = "1M" => Hot;
        /// Let pass what keeps some clients out and cannot change where a request ends.
        lenient: bool = false => Hot;
    }
}

section! {
    /// How long things may take.
    Timeouts {
        /// A whole request head.
        head: Timeout = "10s" => Hot;
        /// A connection without a request.
        idle: Timeout = "1m" => Hot;
        /// A body or a reader until it must reach `limits.min_rate`.
        rate_grace: Timeout = "5s" => Restart;
        /// A pause of a body or a reader that was fast.
        max_stall: Timeout = "30s" => Restart;
        /// Age at which a connection closes, between requests; null for any age.
        max_age: Option<Timeout> = null => Hot;
    }
}

section! {
    /// What is logged, and where.
    Logs {
        /// Which events: a level, or directives such as `info,corelane_http=debug`.
        level: LogFilter = "info" => Hot;
        /// Form of an event; `auto` is text on a terminal and JSON otherwise.
        format: LogFormat = "auto" => Restart;
        /// A line for each request.
        access: AccessLog = {} => Within;
    }
}

section! {
    /// A line for each request.
    AccessLog {
        /// `stdout`, `stderr` or a file; null for none. SIGUSR1 opens the file again.
        path: Option<LogPath> = null, development "stderr" => Hot;
        /// `common`, `combined`, `json`, or a text with `$variables`.
        format: String = "combined" => Hot;
        /// Lines kept per loop while the writer is behind; further ones are dropped and counted.
        buffer: Bytes<4096, 67_108_864> = "64K" => Hot;
    }
}

section! {
    /// What is reported, and where.
    Metrics {
        /// `HOST:PORT` to which figures go by UDP in StatsD's format; null for nowhere.
        statsd: Option<StatsdTarget> = "127.0.0.1:8125", development null => Restart;
        /// What their names begin with.
        name: String = "corelane" => Restart;
        /// Which figures besides requests per second: none, or all, with labels as parts of names
        /// (`plain`) or as DogStatsD tags (`dogstatsd`).
        families: Families = "off" => Restart;
        /// How often they are sent.
        interval: Timeout = "1s" => Restart;
        /// DogStatsD tags, each `key:value`.
        tags: Vec<Tag> = [] => Restart;
    }
}

choice! {
    /// Where a server runs.
    Environment {
        /// On the machine of who works on the site.
        Development = "development",
        /// Where it serves others.
        Production = "production",
    }

    /// How connections come to loops.
    Accept {
        /// Each loop accepts for itself.
        Reuseport = "reuseport",
        /// By hash of the peer's address.
        Hash = "hash",
        /// By hash of the peer's address and port.
        HashPort = "hash-port",
        /// In turn.
        RoundRobin = "round-robin",
        /// To the loop with the fewest.
        Least = "least",
    }

    /// What happens to connections beyond a limit.
    Overload {
        /// They wait in the queue.
        Pause = "pause",
        /// They are closed at once.
        Shed = "shed",
    }

    /// How StatsD is told of all metrics.
    Families {
        /// Not at all.
        Off = "off",
        /// Labels are parts of names.
        Plain = "plain",
        /// Labels are DogStatsD tags.
        Dogstatsd = "dogstatsd",
    }

    /// The form of a logged event.
    LogFormat {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// Text.
        Text = "text",
        /// JSON, one object a line.
        Json = "json",
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Environment::Development => "development",
            Environment::Production => "production",
        })
    }
}

/// Declares a text with a rule.
macro_rules! text_kind {
    ($(
        $(#[doc = $about:literal])+
        $kind:ident, $name:literal, expected $expected:literal, if $rule:expr;
    )*) => { $(
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $kind(String);

        impl $kind {
            /// The text.
            pub fn get(&self) -> &str {
                &self.0
            }
        }

        impl $crate::config::values::Single for $kind {
            const NAME: &'static str = $name;

            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string" })
            }

            fn read(value: &serde_json::Value) -> Result<$kind, String> {
                let rule: fn(&str) -> bool = $rule;
                match $crate::config::values::text($expected, value)? {
                    text if rule(text) => Ok($kind(text.to_owned())),
                    _ => $crate::config::values::unexpected($expected, value),
                }
            }

            fn write(&self) -> serde_json::Value {
                serde_json::json!(self.0)
            }
        }

        $crate::config::values::kind!($kind;);
    )* };
}
pub(super) use text_kind;

text_kind! {
    /// A DogStatsD tag.
    Tag, "`key:value`", expected "a tag such as \"env:production\"",
        if |text| text.split_once(':').is_some();

    /// Where StatsD listens.
    StatsdTarget, "`HOST:PORT`", expected "HOST:PORT, such as \"127.0.0.1:8125\"",
        if |text| text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok()
        });
}

impl Tag {
    /// Key and value.
    pub fn pair(&self) -> (&str, &str) {
        self.get().split_once(':').unwrap_or((self.get(), ""))
    }
}

/// An address to listen on, not yet resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener(String);

kind! { Listener; }

impl Listener {
    /// The text: resolve it with [`address::parse`](super::address::parse).
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Single for Listener {
    const NAME: &'static str = "address";

    fn schema() -> Value {
        serde_json::json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Result<Listener, String> {
        let expected =
            "an address such as \":8080\", \"127.0.0.1:8080\" or \"unix:/run/site.sock\"";
        let tls =
            "TLS is not served yet; listen on a plain address, behind something that ends TLS";
        match value {
            Value::Object(object) if object.contains_key("tls") => Err(tls.to_owned()),
            Value::String(text)
                if ["https:", "tls:", "ssl:"].iter().any(|s| text.starts_with(s)) =>
            {
                Err(tls.to_owned())
            }
            Value::String(text) if text.starts_with("http:") => {
                Err(format!("expected {expected}, without a scheme"))
            }
            _ => match text(expected, value)? {
                "" => unexpected(expected, value),
                text => Ok(Listener(text.to_owned())),
            },
        }
    }

    fn write(&self) -> Value {
        serde_json::json!(self.0)
    }
}

/// The token of the admin pages. Not shown, also not by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken(Token);

kind! { AdminToken, secret = true; }

impl AdminToken {
    /// The token.
    pub fn get(&self) -> &Token {
        &self.0
    }
}

impl Single for AdminToken {
    const NAME: &'static str = "token";

    fn schema() -> Value {
        serde_json::json!({ "type": "string", "pattern": Token::PATTERN })
    }

    fn read(value: &Value) -> Result<AdminToken, String> {
        // Never the value itself.
        let text = value.as_str().ok_or("expected a token, as text")?;
        text.parse().map(AdminToken).map_err(|error: TokenError| error.to_string())
    }

    fn write(&self) -> Value {
        serde_json::json!(self.0.reveal())
    }
}

/// Which events are logged: text that [`filter::parse`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

kind! { LogFilter; }

impl LogFilter {
    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Single for LogFilter {
    const NAME: &'static str = "level or levels by target";

    fn schema() -> Value {
        serde_json::json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Result<LogFilter, String> {
        let text = text("a level such as \"info\"", value)?;
        filter::parse(text).map_err(|error| error.to_string())?;
        Ok(LogFilter(text.to_owned()))
    }

    fn write(&self) -> Value {
        serde_json::json!(self.0)
    }
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPath {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(PathBuf),
}

impl Kind for LogPath {
    fn shape() -> super::shape::Shape {
        leaf::<LogPath>(true, false)
    }
}

impl<'de> serde::Deserialize<'de> for LogPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<LogPath, D::Error> {
        LogPath::read(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Single for LogPath {
    const NAME: &'static str = "path, `stdout` or `stderr`";

    fn schema() -> Value {
        FilePath::schema()
    }

    fn read(value: &Value) -> Result<LogPath, String> {
        match value.as_str() {
            Some("stdout") => Ok(LogPath::Stdout),
            Some("stderr") => Ok(LogPath::Stderr),
            _ => FilePath::read(value).map(|path| LogPath::File(path.get().to_owned())),
        }
    }

    fn write(&self) -> Value {
        match self {
            LogPath::Stdout => serde_json::json!("stdout"),
            LogPath::Stderr => serde_json::json!("stderr"),
            LogPath::File(path) => serde_json::json!(path.to_string_lossy()),
        }
    }
}
