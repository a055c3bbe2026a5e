//! What the load generator asks of a server.

use std::fmt;

use clap::ValueEnum;

use corelane_benches::server::{Server, Setup};

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
    /// Idle keep-alive connections that have had one response each: memory
    Idle,
}

impl Workload {
    /// Options for the load generator beside address, duration and core.
    pub(crate) fn load_options(self) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |words: &[&str]| options.extend(words.iter().map(|&word| word.to_owned()));
        match self {
            Self::Plaintext64 | Self::Headers40 => add(&["--connections", "64"]),
            Self::Plaintext512 => add(&["--connections", "512"]),
            Self::Pipelined16 => add(&["--connections", "64", "--pipeline", "16"]),
            Self::Close => return ["--connections", "64", "--close"].map(str::to_owned).to_vec(),
            Self::Single => add(&["--connections", "1"]),
            Self::Idle => {}
        }
        for (name, value) in self.fields() {
            add(&["--header", &format!("{name}: {value}")]);
        }
        options
    }

    /// Fields of each request beside `Host`.
    fn fields(self) -> Vec<(String, String)> {
        match self {
            Self::Headers40 => browser_fields(),
            Self::Close => vec![("Connection".to_owned(), "close".to_owned())],
            _ => Vec::new(),
        }
    }

    /// How servers are started for it.
    pub(crate) fn setup(self, core: usize) -> Setup {
        Setup { yielding: self.wants_ballast(), fields: self.fields(), ..Setup::new(core) }
    }

    /// Why a server takes no part.
    pub(crate) fn unsuited(self, server: Server) -> Option<&'static str> {
        match (server, self) {
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
