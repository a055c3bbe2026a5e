//! The server under test: its URL, where it is, and connections to it.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::Wire;
use crate::url::Url;

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

/// Reads the URL of a server to test: what stands in braces would be filled in.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    match text.contains(['{', '}']) {
        true => Err("no `{` and `}`, please".to_owned()),
        false => Url::parse(text),
    }
}

impl Target {
    /// Finds the server. With `remote` it may be another machine.
    pub(crate) fn find(url: &Url, remote: bool, wait: Duration) -> Result<Target, String> {
        let addresses = url.addresses()?;
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
            (None, None) => return Err(format!("{} has no address", url.host())),
        };
        Ok(Target { address, host: url.host().to_owned(), path: url.path().to_owned(), wait })
    }

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
    fn braces_are_refused() {
        assert!(url("http://localhost/{get}").is_err());
        assert_eq!(url("http://localhost").unwrap().path(), "/");
    }

    #[test]
    fn other_machines_need_to_be_allowed() {
        let wait = Duration::from_secs(1);
        for text in ["http://192.0.2.1/", "http://[2001:db8::1]:80/"] {
            let error = Target::find(&url(text).unwrap(), false, wait).unwrap_err();
            assert!(error.contains("--i-may"), "{error}");
        }
        let local = Target::find(&url("http://[::1]:9/").unwrap(), false, wait).unwrap();
        assert_eq!(local.address, "[::1]:9".parse().unwrap());
        assert_eq!(local.fill("{get}\r\n"), b"GET / HTTP/1.1\r\nHost: [::1]:9\r\n\r\n");
    }
}
