//! Where a URL leads.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::Error;

/// A URL of the `http` scheme, taken apart.
///
/// # Examples
/// ```
/// use corelane_load::Url;
///
/// let url = Url::parse("http://127.0.0.1:8080/a?b")?;
/// assert_eq!((url.authority(), url.target()), ("127.0.0.1:8080", "/a?b"));
/// assert_eq!(url.resolve()?, ["127.0.0.1:8080".parse().expect("an address")]);
/// assert!(Url::parse("https://example.com/").is_err());
/// # Ok::<(), corelane_load::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    authority: String,
    target: String,
}

impl Url {
    /// Takes a URL apart; the scheme may be left out. What stands behind `#` is not sent.
    ///
    /// # Errors
    /// [`Error::Url`] for another scheme than `http` (TLS is not supported), and without a host.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Url { url: url.to_owned(), reason };
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(refused("TLS is not supported: give an http:// address"));
            }
            Some(_) => return Err(refused("the scheme is not http")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.starts_with(':') {
            return Err(refused("there is no host"));
        }
        if authority.contains('@') {
            return Err(refused("a user in the URL is not supported: add a header field"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { authority: authority.to_owned(), target: format!("{slash}{target}") })
    }

    /// Host and port, as they were given: the value for `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query: the request's target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// All addresses of the host; the port is 80 unless given. Asks the system's resolver, and blocks
    /// for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Resolve`] when there is none.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        let authority = &self.authority;
        let has_port = match authority.rsplit_once(':') {
            Some((host, _)) => !host.contains(':') || host.ends_with(']'),
            None => false,
        };
        let name = if has_port { authority.clone() } else { format!("{authority}:80") };
        let failed = |source| Error::Resolve { authority: authority.clone(), source };
        let addresses: Vec<_> = name.to_socket_addrs().map_err(failed)?.collect();
        match addresses.is_empty() {
            true => Err(failed(std::io::ErrorKind::NotFound.into())),
            false => Ok(addresses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, authority, target) in [
            ("http://a:1/b/c", "a:1", "/b/c"),
            ("HTTP://a", "a", "/"),
            ("a:1", "a:1", "/"),
            ("a?b=c", "a", "/?b=c"),
            ("http://[::1]:80/x#y", "[::1]:80", "/x"),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!((url.authority(), url.target()), (authority, target));
        }
        for url in ["https://a", "ftp://a", "http://", "http:///a", ":80", "http://u@a/"] {
            assert!(matches!(Url::parse(url), Err(Error::Url { .. })), "{url}");
        }
    }

    #[test]
    fn every_address_of_a_host_is_found() {
        let resolve = |url| Url::parse(url).unwrap().resolve().unwrap();
        assert_eq!(resolve("[::1]"), ["[::1]:80".parse().unwrap()]);
        assert_eq!(resolve("127.0.0.1"), ["127.0.0.1:80".parse().unwrap()]);
        assert!(resolve("localhost:7").iter().all(|address| address.port() == 7));
        assert!(matches!(Url::parse("a:b").unwrap().resolve(), Err(Error::Resolve { .. })));
    }
}
