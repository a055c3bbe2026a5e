//! URLs of the commands that ask a server.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

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
            Some((scheme, _)) => {
                return Err(format!("`{scheme}` URLs are not understood, only http"));
            }
            None => return Err("expected a URL such as http://127.0.0.1:8080/".to_owned()),
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if host.is_empty() || host.contains(['@', ',']) {
            return Err("expected a host and perhaps a port after http://".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err("only printable ASCII without `#`, please".to_owned());
        }
        Ok(Url { host: host.to_owned(), path })
    }

    /// Host and port as written: the value of Host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Path and query, at least `/`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Its addresses; the port is 80 unless it says another. Asks the system's resolver.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let bare_v6 = self.host.starts_with('[') && self.host.ends_with(']');
        let with_port = match self.host.rsplit_once(':') {
            Some(_) if !bare_v6 => self.host.clone(),
            _ => format!("{}:80", self.host),
        };
        let addresses = with_port.to_socket_addrs();
        let unresolved = |error| format!("{} cannot be resolved: {error}", self.host);
        Ok(addresses.map_err(unresolved)?.collect())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, path) in [
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", "/"),
            ("http://[::1]:80/a/b?c={d}", "[::1]:80", "/a/b?c={d}"),
            ("HTTP://localhost", "localhost", "/"),
            ("http://localhost?a", "localhost", "/?a"),
        ] {
            let url = Url { host: host.to_owned(), path: path.to_owned() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        for (text, why) in [
            ("127.0.0.1:8080", "expected a URL"),
            ("https://localhost/", "only http"),
            ("http:///", "expected a host"),
            ("http://me@localhost/", "expected a host"),
            ("http://localhost/a b", "printable"),
            ("http://localhost/#a", "`#`"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_have_a_port() {
        for (text, address) in [
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:9/", "[::1]:9"),
        ] {
            let addresses = Url::parse(text).unwrap().addresses().unwrap();
            assert_eq!(addresses, [address.parse().unwrap()], "{text}");
        }
    }
}
