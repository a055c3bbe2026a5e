//! Where to listen, as text.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An address to listen on.
///
/// | text | listens on |
/// |---|---|
/// | `127.0.0.1:8080` | that IPv4 address |
/// | `[::1]:8080` | that IPv6 address |
/// | `8080`, `:8080`, `*:8080` | every IPv4 interface (`0.0.0.0`) |
/// | `[::]:8080` | every interface, IPv4 included unless [`ListenConfig::ipv6_only`] |
/// | `localhost:8080` | what the name resolves to: the first IPv4 address, else the first |
/// | `unix:/run/app.sock` | a Unix socket at that path |
///
/// Port 0 lets the kernel choose; [`Listener::local_address`] then tells which. Parsing a host name
/// asks the system's resolver and may therefore block; every other form is parsed without a system
/// call.
///
/// ```
/// use corelane_acceptor::Address;
/// let address: Address = ":8080".parse()?;
/// assert_eq!(address.to_string(), "0.0.0.0:8080");
/// let address: Address = "unix:/run/app.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/app.sock");
///
/// let error = "127.0.0.1".parse::<Address>().unwrap_err();
/// assert_eq!(error.to_string(), "address \"127.0.0.1\": no port; write HOST:PORT, such as 127.0.0.1:8080");
/// # Ok::<(), corelane_acceptor::AddressError>(())
/// ```
///
/// [`ListenConfig::ipv6_only`]: crate::ListenConfig::ipv6_only
/// [`Listener::local_address`]: crate::Listener::local_address
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

impl Address {
    /// The socket address; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        parse(text).map_err(|kind| AddressError { text: text.to_owned(), kind })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that names no address to listen on: which text, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub kind: AddressErrorKind,
}

/// What is wrong with the text of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// Nothing was written.
    Empty,
    /// A host without a port.
    NoPort,
    /// The port is not a number from 0 to 65535.
    BadPort,
    /// An IPv6 address without brackets, or with something other than one between them.
    BadIpv6,
    /// The resolver knows no address for the host, or could not be asked.
    Unresolved(io::ErrorKind),
    /// The path of a Unix socket is missing, holds a NUL byte, or is too long for the kernel.
    BadPath,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {:?}: ", self.text)?;
        match self.kind {
            AddressErrorKind::Empty => f.write_str("empty; write HOST:PORT or unix:PATH"),
            AddressErrorKind::NoPort => {
                f.write_str("no port; write HOST:PORT, such as 127.0.0.1:8080")
            }
            AddressErrorKind::BadPort => f.write_str("the port must be a number from 0 to 65535"),
            AddressErrorKind::BadIpv6 => {
                f.write_str("write an IPv6 address in brackets, such as [::1]:8080")
            }
            AddressErrorKind::Unresolved(why) => {
                write!(f, "cannot resolve the host ({why}); write an IP address or fix the name")
            }
            AddressErrorKind::BadPath => {
                f.write_str("a Unix socket needs a path of 1 to about 100 bytes without NUL")
            }
        }
    }
}

impl std::error::Error for AddressError {}

fn parse(text: &str) -> Result<Address, AddressErrorKind> {
    if text.is_empty() {
        return Err(AddressErrorKind::Empty);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_unix(Path::new(path));
    }
    if let Ok(address) = text.parse() {
        return Ok(Address::Tcp(address));
    }
    if text.starts_with('[') {
        return Err(why_not_ipv6(text));
    }
    // Digits alone are a port, so that `--bind 8080` does what it seems to do.
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(every_ipv4(parse_port(text)?));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(AddressErrorKind::NoPort);
    };
    if host.contains(':') {
        return Err(AddressErrorKind::BadIpv6);
    }
    let port = parse_port(port)?;
    if host.is_empty() || host == "*" { Ok(every_ipv4(port)) } else { resolve(host, port) }
}

fn parse_unix(path: &Path) -> Result<Address, AddressErrorKind> {
    // An empty path would make the kernel choose an abstract name that no client knows.
    if path.as_os_str().is_empty() {
        return Err(AddressErrorKind::BadPath);
    }
    std::os::unix::net::SocketAddr::from_pathname(path).map_err(|_| AddressErrorKind::BadPath)?;
    Ok(Address::Unix(path.to_owned()))
}

/// Tells a wrong port from a wrong address in `[address]:port`.
fn why_not_ipv6(text: &str) -> AddressErrorKind {
    match text.rsplit_once(']') {
        Some((_, "")) => AddressErrorKind::NoPort,
        Some((_, rest)) if rest.strip_prefix(':').is_none_or(|port| parse_port(port).is_err()) => {
            AddressErrorKind::BadPort
        }
        _ => AddressErrorKind::BadIpv6,
    }
}

fn parse_port(text: &str) -> Result<u16, AddressErrorKind> {
    // `u16::from_str` would accept a plus sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressErrorKind::BadPort);
    }
    text.parse().map_err(|_| AddressErrorKind::BadPort)
}

fn every_ipv4(port: u16) -> Address {
    Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
}

/// Prefers IPv4, because `localhost` often names both families and clients try IPv4 in any case.
fn resolve(host: &str, port: u16) -> Result<Address, AddressErrorKind> {
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|e| {
            // Resolver failures have no kind of their own in std: they all come as `Uncategorized`.
            match e.kind() {
                kind @ (io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => kind,
                _ => io::ErrorKind::NotFound,
            }
        })
        .map_err(AddressErrorKind::Unresolved)?;
    let mut first = None;
    for address in found {
        if address.is_ipv4() {
            return Ok(Address::Tcp(address));
        }
        first.get_or_insert(address);
    }
    first.map(Address::Tcp).ok_or(AddressErrorKind::Unresolved(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, AddressErrorKind>) {
        let parsed = text.parse::<Address>();
        let shown = parsed.as_ref().map(Address::to_string).map_err(|e| e.kind);
        assert_eq!(shown, expect.map(str::to_owned), "{text:?}");
        if let Ok(address) = parsed {
            assert_eq!(address.to_string().parse(), Ok(address), "{text:?} shown and parsed again");
        }
    }

    #[test]
    fn literals() {
        check("127.0.0.1:8080", Ok("127.0.0.1:8080"));
        check("[::1]:8080", Ok("[::1]:8080"));
        check("[::]:0", Ok("[::]:0"));
        check("[fe80::1%3]:80", Ok("[fe80::1%3]:80"));
        check("8080", Ok("0.0.0.0:8080"));
        check(":8080", Ok("0.0.0.0:8080"));
        check("*:8080", Ok("0.0.0.0:8080"));
    }

    #[test]
    fn unix_paths() {
        check("unix:/run/a.sock", Ok("unix:/run/a.sock"));
        check("unix:relative:with:colons", Ok("unix:relative:with:colons"));
        check("unix:", Err(AddressErrorKind::BadPath));
        check("unix:/a\0b", Err(AddressErrorKind::BadPath));
        check(&format!("unix:/{}", "x".repeat(200)), Err(AddressErrorKind::BadPath));
    }

    #[test]
    fn mistakes() {
        check("", Err(AddressErrorKind::Empty));
        check("127.0.0.1", Err(AddressErrorKind::NoPort));
        check("localhost", Err(AddressErrorKind::NoPort));
        check("[::1]", Err(AddressErrorKind::NoPort));
        check("65536", Err(AddressErrorKind::BadPort));
        check(":", Err(AddressErrorKind::BadPort));
        check("127.0.0.1:+80", Err(AddressErrorKind::BadPort));
        check("127.0.0.1:99999", Err(AddressErrorKind::BadPort));
        check("[::1]:http", Err(AddressErrorKind::BadPort));
        check("[::1]8080", Err(AddressErrorKind::BadPort));
        check("::1:8080", Err(AddressErrorKind::BadIpv6));
        check("[::g]:80", Err(AddressErrorKind::BadIpv6));
        check("[::1:80", Err(AddressErrorKind::BadIpv6));
    }

    #[test]
    fn names() {
        let address: Address = "localhost:8080".parse().unwrap();
        assert!(address.tcp().unwrap().ip().is_loopback());
        assert_eq!(address.tcp().unwrap().port(), 8080);
        // A space can be in no name, so that no resolver is asked over a network.
        let error = "no such host:80".parse::<Address>().unwrap_err();
        assert!(matches!(error.kind, AddressErrorKind::Unresolved(_)));
        assert!(error.to_string().contains("\"no such host:80\": cannot resolve"), "{error}");
    }
}
