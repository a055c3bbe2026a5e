//! Where the admin listener of a server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the admin pages are when nobody says: what `--admin` of the server's guide names.
pub const DEFAULT: &str = "127.0.0.1:9080";

/// Where the admin listener of a server is.
///
/// | text | is |
/// |---|---|
/// | `127.0.0.1:9080`, `[::1]:9080`, `localhost:9080` | a host and a port |
/// | `http://127.0.0.1:9080/` | the same |
/// | `9080`, `:9080` | that port of this machine |
/// | `127.0.0.1`, `localhost` | port 9080 of that host |
/// | `unix:/run/admin.sock`, `/run/admin.sock` | a Unix socket |
///
/// ```
/// use corelane_viewer::Target;
///
/// let target: Target = "http://localhost:9080/".parse()?;
/// assert_eq!(target.to_string(), "localhost:9080");
/// # Ok::<(), corelane_viewer::TargetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host, as a name or an address, and a port: `HOST:PORT`.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A text that names no admin listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {why}; write HOST:PORT, such as {DEFAULT}, or unix:PATH")]
pub struct TargetError {
    text: String,
    why: &'static str,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let error = |why| TargetError { text: text.to_owned(), why };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(error("no path"))
            } else {
                Ok(Target::Unix(path.into()))
            };
        }
        if text.starts_with(['/', '.']) {
            return Ok(Target::Unix(text.into()));
        }
        if text.starts_with("https:") {
            return Err(error("the admin pages are not served over TLS"));
        }
        let host = text.strip_prefix("http://").unwrap_or(text);
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.is_empty() {
            return Err(error("no host"));
        }
        if host.contains(|c: char| c == '/' || c == '@' || !c.is_ascii_graphic()) {
            return Err(error("not a host and a port"));
        }
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_port(host) {
            return Ok(Target::Tcp(format!("127.0.0.1:{host}")));
        }
        match host.rsplit_once(':') {
            Some(("", port)) if is_port(port) => Ok(Target::Tcp(format!("127.0.0.1:{port}"))),
            Some((name, port)) if is_port(port) && is_host(name) => {
                Ok(Target::Tcp(host.to_owned()))
            }
            None if is_host(host) => Ok(Target::Tcp(format!("{host}:9080"))),
            _ if host.starts_with('[') && host.ends_with(']') => {
                Ok(Target::Tcp(format!("{host}:9080")))
            }
            _ => Err(error("not a host and a port")),
        }
    }
}

/// Whether a name has no colon, unless in brackets as IPv6 addresses have them.
fn is_host(name: &str) -> bool {
    !name.is_empty() && (!name.contains(':') || (name.starts_with('[') && name.ends_with(']')))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(host) => f.write_str(host),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, expected) in [
            ("127.0.0.1:9080", "127.0.0.1:9080"),
            ("http://[::1]:9080/", "[::1]:9080"),
            ("localhost", "localhost:9080"),
            ("[::1]", "[::1]:9080"),
            ("1234", "127.0.0.1:1234"),
            (":1234", "127.0.0.1:1234"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
            ("/run/admin.sock", "unix:/run/admin.sock"),
            ("./admin.sock", "unix:./admin.sock"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), expected);
        }
        for text in [
            "",
            "http://",
            "host:0",
            "host:99999",
            "host:x",
            "a:b:1",
            "https://host",
            "unix:",
            "h/x",
            "user@host",
            "a b",
            "h\x1b",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
