//! The server under test: its URL, where it is, and connections to it.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::wire::Wire;

/// How long a connect may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A server to be tested.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Resolved once, so that all of a run goes to one and the same server.
    pub(crate) address: SocketAddr,
    /// The value of Host.
    host: String,
    path: String,
    /// Bounds every single wait for an answer.
    pub(crate) wait: Duration,
}

/// An `http://` URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port as written.
    host: String,
    /// Path and query, at least `/`.
    path: String,
}

impl Url {
    /// Reads `http://host[:port][/path][?query]`.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => return Err(format!("`{scheme}` URLs are not tested, only http")),
            None => return Err("expected a URL such as http://127.0.0.1:8080/".to_owned()),
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if host.is_empty() || host.contains(['@', ',']) {
            return Err("expected a host and perhaps a port after http://".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['#', '{', '}']) {
            return Err("only printable ASCII without `#`, `{` and `}`, please".to_owned());
        }
        Ok(Url { host: host.to_owned(), path })
    }

    /// Finds the server. With `remote` it may be another machine.
    pub(crate) fn resolve(&self, remote: bool, wait: Duration) -> Result<Target, String> {
        let bare_v6 = self.host.starts_with('[') && self.host.ends_with(']');
        let with_port = match self.host.rsplit_once(':') {
            Some(_) if !bare_v6 => self.host.clone(),
            _ => format!("{}:80", self.host),
        };
        let addresses: Vec<SocketAddr> = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{} cannot be resolved: {error}", self.host))?
            .collect();
        if !remote && let Some(other) = addresses.iter().find(|a| !a.ip().is_loopback()) {
            return Err(format!(
                "{other} is another machine, or can be reached by others; this is an attack: \
                 only with --i-may, and only against what is yours to attack"
            ));
        }
        // A name may have several addresses, of which the server listens on one.
        let mut connects =
            addresses.iter().filter(|a| TcpStream::connect_timeout(a, CONNECT_TIME_MAX).is_ok());
        let address = match (connects.next(), addresses.first()) {
            (Some(address), _) => *address,
            // Its own attempt says why.
            (None, Some(first)) => *first,
            (None, None) => return Err(format!("{} has no address", self.host)),
        };
        Ok(Target { address, host: self.host.clone(), path: self.path.clone(), wait })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

impl Target {
    /// A new connection; the error says what failed.
    pub(crate) fn connect(&self) -> Result<Wire, String> {
        Wire::new(self.stream()?, self.wait).map_err(|error| error.to_string())
    }

    /// A new connection, bare.
    pub(crate) fn stream(&self) -> Result<TcpStream, String> {
        TcpStream::connect_timeout(&self.address, CONNECT_TIME_MAX)
            .map_err(|error| format!("no connection to {}: {error}", self.address))
    }

    /// Fills in a message: `{get}` and `{post}` are a request line and a Host field, `{host}` and
    /// `{path}` what they hold.
    pub(crate) fn fill(&self, message: &str) -> Vec<u8> {
        message
            .replace("{get}", "GET {path} HTTP/1.1\r\nHost: {host}\r\n")
            .replace("{post}", "POST {path} HTTP/1.1\r\nHost: {host}\r\n")
            .replace("{host}", &self.host)
            .replace("{path}", &self.path)
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, path) in [
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", "/"),
            ("http://[::1]:80/a/b?c=d", "[::1]:80", "/a/b?c=d"),
            ("HTTP://localhost", "localhost", "/"),
            ("http://localhost?a", "localhost", "/?a"),
        ] {
            let url = Url { host: host.to_owned(), path: path.to_owned() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        for text in [
            "127.0.0.1:8080",
            "https://localhost/",
            "http:///",
            "http://me@localhost/",
            "http://localhost/a b",
            "http://localhost/#a",
            "http://localhost/{get}",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_machines_need_to_be_allowed() {
        let wait = Duration::from_secs(1);
        for text in ["http://192.0.2.1/", "http://[2001:db8::1]:80/"] {
            let error = Url::parse(text).unwrap().resolve(false, wait).unwrap_err();
            assert!(error.contains("--i-may"), "{error}");
        }
        let local = Url::parse("http://[::1]:9/").unwrap().resolve(false, wait).unwrap();
        assert_eq!(local.address, "[::1]:9".parse().unwrap());
        assert_eq!(local.fill("{get}\r\n"), b"GET / HTTP/1.1\r\nHost: [::1]:9\r\n\r\n");
    }
}
