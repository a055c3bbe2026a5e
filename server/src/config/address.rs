//! Addresses that may leave their port to a default.

use corelane_acceptor::{Address, AddressError};

/// Reads an address; `port` is taken where it names none. A host name asks the system's resolver.
///
/// ```
/// use corelane::config::address;
/// assert_eq!(address::parse("127.0.0.1", 80)?.to_string(), "127.0.0.1:80");
/// assert_eq!(address::parse("::1", 80)?.to_string(), "[::1]:80");
/// assert_eq!(address::parse(":8080", 80)?.to_string(), "0.0.0.0:8080");
/// assert_eq!(address::parse("8080", 80)?.to_string(), "0.0.0.0:8080");
/// assert_eq!(address::parse("unix:/run/site.sock", 80)?.to_string(), "unix:/run/site.sock");
/// # Ok::<(), corelane_acceptor::AddressError>(())
/// ```
///
/// # Errors
/// If the text is no address, or its host cannot be resolved.
pub fn parse(text: &str, port: u16) -> Result<Address, AddressError> {
    if names_port(text) { text.parse() } else { with_port(text, port).parse() }
}

/// Whether an address has its own port, or needs none.
pub(super) fn names_port(text: &str) -> bool {
    let is_ip = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let is_port = text.bytes().all(|b| b.is_ascii_digit());
    !is_ip && (is_port || text.starts_with("unix:") || text.contains(':'))
}

fn with_port(text: &str, port: u16) -> String {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) => format!("{text}:{port}"),
    }
}
