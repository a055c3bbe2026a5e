//! Listeners that a service manager opened before it started this process.

use std::fmt;
use std::io;

use listenfd::ListenFd;

use crate::{Address, Listener};

/// A listener that somebody else opened, and keeps open beyond this process.
///
/// It is one queue of connections, shared by whoever accepts from it, also from process to process:
/// none is lost while a server is restarted.
#[derive(Debug)]
pub struct Inherited {
    /// What the service manager calls it (`FileDescriptorName=` in systemd).
    pub name: Option<String>,
    /// Where it listens. A Unix socket without a file is shown with an `@` before its abstract name.
    pub address: Address,
    /// The socket, non-blocking and closed on exec. [`Listener::configure`] sets the rest.
    pub listener: Listener,
}

/// A descriptor that was passed as a listener, and is none.
#[derive(Debug)]
pub struct InheritError {
    /// Its number, from 3.
    pub descriptor: usize,
    /// What the service manager calls it.
    pub name: Option<String>,
    /// What is wrong with it.
    pub source: io::Error,
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inherited descriptor {}", self.descriptor)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        write!(f, ": {}; pass listening stream sockets only, TCP or Unix", self.source)
    }
}

impl std::error::Error for InheritError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The first descriptor that is passed, by the protocol of `sd_listen_fds(3)`.
const FIRST: usize = 3;

/// As many sockets as one process is passed at most.
const INHERITED_MAX: usize = 1024;

/// The listeners that a service manager passed to this process, by the environment variables
/// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` of `sd_listen_fds(3)`. None if the variables are not
/// there or are meant for another process.
///
/// To be called once, before the first thread: it takes the descriptors, and `LISTEN_FDS` and
/// `LISTEN_PID` out of the environment, so that no child takes them for its own.
///
/// ```
/// // This process was started by nobody who passes sockets.
/// assert!(corelane_acceptor::inherited()?.is_empty());
/// # Ok::<(), corelane_acceptor::InheritError>(())
/// ```
///
/// # Errors
/// If one of the descriptors is no listening TCP or Unix socket.
pub fn inherited() -> Result<Vec<Inherited>, InheritError> {
    let variable = |name| std::env::var(name).ok();
    let pid = variable("LISTEN_PID").and_then(|pid| pid.parse().ok());
    let count = variable("LISTEN_FDS").and_then(|count| count.parse::<usize>().ok());
    if pid != Some(std::process::id()) || count.is_none_or(|count| count > INHERITED_MAX) {
        return Ok(Vec::new());
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|n| !n.is_empty()));
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let name = names.next().flatten();
            take(&mut passed, index)
                .map_err(|source| InheritError {
                    descriptor: FIRST + index,
                    name: name.clone(),
                    source,
                })
                .map(|(listener, address)| Inherited { name, address, listener })
        })
        .collect()
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<(Listener, Address)> {
    let listener = match passed.take_tcp_listener(index) {
        Ok(Some(listener)) => Listener::Tcp(listener),
        _ => match passed.take_unix_listener(index) {
            Ok(Some(listener)) => Listener::Unix(listener),
            _ => return Err(io::Error::other("not a stream socket")),
        },
    };
    if !listener.is_listening()? {
        return Err(io::Error::other("a socket that does not listen"));
    }
    listener.set_nonblocking()?;
    let address = listener.shown_address()?;
    Ok((listener, address))
}
