//! What the load generator asks of a server.

use std::fmt;

use clap::ValueEnum;

use corelane_benches::server::{App, BODY, JSON_BODY, Server, Setup};

/// Bodies above this are counted by the load generator instead of being compared.
const COMPARED_BYTES_MAX: usize = 16 * 1024;
/// One of the routes, in the middle of the list, and what is answered there.
const ROUTE: &str = "/api/issues/4711/comments/42";
const ROUTE_BODY: &str = "4711/42";
/// Whose requests the middleware for CORS allows.
const ORIGIN: &str = "https://example.com";

/// What the load generator asks of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Workload {
    /// 64 keep-alive connections, one small request in flight on each
    #[value(name = "plaintext-64")]
    Plaintext64,
    /// The same over 512 connections
    #[value(name = "plaintext-512")]
    Plaintext512,
    /// 64 connections with 16 requests in flight on each
    #[value(name = "pipelined-16")]
    Pipelined16,
    /// 64 connections, requests of 40 header fields and 2.9 KB
    #[value(name = "headers-40")]
    Headers40,
    /// A connection of its own for each request, 64 at once
    Close,
    /// One connection, one request in flight: latency
    Single,
    /// 64 connections, a file of 1 KiB
    #[value(name = "static-1k")]
    Static1k,
    /// 64 connections, a file of 64 KiB
    #[value(name = "static-64k")]
    Static64k,
    /// 16 connections, a file of 1 MiB
    #[value(name = "static-1m")]
    Static1m,
    /// 64 connections, a small object serialised for each response
    Json,
    /// 64 connections, one of 137 routes, with two parameters
    Routed,
    /// The same behind request id, CORS, compression, security fields and timeout
    RoutedMiddleware,
    /// Idle keep-alive connections that have had one response each: memory
    Idle,
}

impl Workload {
    /// Options for the load generator beside address, duration and core.
    pub(crate) fn load_options(self, setup: &Setup) -> anyhow::Result<Vec<String>> {
        let mut options = Vec::new();
        let mut add = |words: &[&str]| options.extend(words.iter().map(|&word| word.to_owned()));
        match self {
            Self::Plaintext512 => add(&["--connections", "512"]),
            Self::Pipelined16 => add(&["--connections", "64", "--pipeline", "16"]),
            Self::Close => add(&["--connections", "64", "--close"]),
            Self::Static1m => add(&["--connections", "16"]),
            Self::Single => add(&["--connections", "1"]),
            Self::Idle => {}
            _ => add(&["--connections", "64"]),
        }
        // Under close, the server waits for the client: the ballast sees to that.
        if !matches!(self, Self::Close | Self::Idle) {
            add(&["--spin"]);
        }
        add(&["--expect-status", "200"]);
        if setup.body.len() > COMPARED_BYTES_MAX {
            add(&["--expect-length", &setup.body.len().to_string()]);
        } else {
            add(&["--expect-body", std::str::from_utf8(&setup.body)?]);
        }
        // The field that asks for closing is what --close adds.
        for (name, value) in setup.fields.iter().filter(|(name, _)| name != "Connection") {
            add(&["--header", &format!("{name}: {value}")]);
        }
        Ok(options)
    }

    /// Fields of each request beside `Host`.
    fn fields(self) -> Vec<(String, String)> {
        match self {
            Self::Headers40 => browser_fields(),
            Self::Close => vec![("Connection".to_owned(), "close".to_owned())],
            Self::RoutedMiddleware => [("Origin", ORIGIN), ("Accept-Encoding", "gzip")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            _ => Vec::new(),
        }
    }

    /// How servers are started for it.
    pub(crate) fn setup(self, core: usize) -> Setup {
        let (app, path, body) = match self {
            Self::Static1k => (App::Static, "/file.txt", text(1024)),
            Self::Static64k => (App::Static, "/file.txt", text(64 * 1024)),
            Self::Static1m => (App::Static, "/file.txt", text(1024 * 1024)),
            Self::Json => (App::Json, "/json", JSON_BODY.into()),
            Self::Routed => (App::Routed, ROUTE, ROUTE_BODY.into()),
            Self::RoutedMiddleware => (App::Middleware, ROUTE, ROUTE_BODY.into()),
            _ => (App::Fixed, "/", BODY.into()),
        };
        Setup {
            yielding: self.wants_ballast(),
            fields: self.fields(),
            app,
            path: path.to_owned(),
            body,
            ..Setup::new(core)
        }
    }

    /// Why a server takes no part.
    pub(crate) fn unsuited(self, server: Server) -> Option<&'static str> {
        let app = self.setup(0).app;
        match (server, self) {
            (Server::Fused, _) if app != App::Fixed => Some("serves one body only"),
            (Server::Hyper | Server::May, _) if !matches!(app, App::Fixed | App::Json) => {
                Some("has no router and serves no files")
            }
            (Server::Nginx | Server::H2o, _) if matches!(app, App::Routed | App::Middleware) => {
                Some("runs no handlers of one's own")
            }
            (Server::Node | Server::Python, _)
                if !matches!(self, Self::Plaintext64 | Self::Single | Self::Idle) =>
            {
                Some("shows what a standard library gives, which three workloads tell")
            }
            (Server::Python, Self::Idle) => Some("has a thread for each connection"),
            (Server::FloorEager, workload) if workload != Self::Close => {
                Some("differs from floor only for new connections")
            }
            (Server::Fused, Self::Close) => Some("accepts as the floor does"),
            (Server::May, Self::Headers40) => Some("takes at most 16 header fields"),
            (Server::May, Self::Close) => Some("ignores Connection: close"),
            _ => None,
        }
    }

    /// Whether the client has more work than the server, so that only beside ballast on its core
    /// the server is never idle.
    pub(crate) fn wants_ballast(self) -> bool {
        self == Self::Close
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Text of `length` bytes that does not repeat within a few hundred.
fn text(length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u32| format!("line {line} of a text file\n").into_bytes());
    lines.take(length).collect()
}

/// 39 fields (`Host` is the fortieth) with names and lengths like a browser's behind two proxies.
fn browser_fields() -> Vec<(String, String)> {
    let known = [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-GB,en;q=0.8,de-DE;q=0.5,de;q=0.3"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Cache-Control", "max-age=0"),
        ("Referer", "http://www.example.com/articles/2026/11/a-fairly-long-path?from=search"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let mut fields: Vec<_> =
        known.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    for index in fields.len()..39 {
        fields.push((format!("X-Forwarded-Field-{index:02}"), format!("{index:02}-{:v<52}", "")));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_fields_are_about_2900_bytes() {
        let request = Workload::Headers40.setup(0).request("127.0.0.1:40000").unwrap();
        let length = request.bytes().len();
        assert!((2_700..3_100).contains(&length), "{length}");
        assert_eq!(browser_fields().len(), 39);
    }

    #[test]
    fn a_workload_is_shown_by_the_name_that_selects_it() {
        for &workload in Workload::value_variants() {
            assert_eq!(Workload::from_str(&workload.to_string(), false), Ok(workload));
        }
    }
}
