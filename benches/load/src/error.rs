//! Why a run could not start or go on.

use std::net::SocketAddr;

/// Why a run could not start or go on. What goes wrong *between* client and server during a run is
/// no `Error`: it is counted in [`Faults`](crate::Faults).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request template does not make one valid request.
    #[error("request {part} {value:?} contains bytes that would break the request's framing")]
    Request {
        /// Which part of the request.
        part: &'static str,
        /// What it was.
        value: String,
    },
    /// A number of the plan is outside its range.
    #[error("{name} is {value}, but must be {range}")]
    Range {
        /// Which number.
        name: &'static str,
        /// What it was.
        value: u64,
        /// What it may be, in words.
        range: &'static str,
    },
    /// The rate is outside its range.
    #[error("the rate is {rate} requests per second, but must be 0.001 to 10,000,000")]
    Rate {
        /// What it was.
        rate: f64,
    },
    /// A URL is none that can be asked for.
    #[error("{url}: {reason}")]
    Url {
        /// What it was.
        url: String,
        /// Why not.
        reason: &'static str,
    },
    /// A host has no address.
    #[error("cannot resolve {authority:?}: write HOST or HOST:PORT")]
    Resolve {
        /// What it was.
        authority: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process may not open as many sockets as the plan has connections.
    #[error(
        "{connections} connections need {needed} file descriptors but the hard limit is {limit}: \
         raise it (ulimit -Hn {needed}) or use fewer connections"
    )]
    Descriptors {
        /// Connections asked for.
        connections: usize,
        /// Descriptors they need.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// No connection at all could be opened.
    #[error("cannot connect to {target} (is the server listening there?)")]
    Unreachable {
        /// Where to.
        target: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process to watch cannot be read.
    #[error("cannot read the CPU time of process {process}")]
    Watch {
        /// The process.
        process: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// A system call that should not fail did.
    #[error("{call} failed")]
    System {
        /// Which call.
        call: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: names the system call that failed.
    pub(crate) fn system<E: Into<std::io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { call, source: source.into() }
    }

    /// What a run counts with could not be made: this is a mistake of ours.
    pub(crate) fn cells(error: &dyn std::fmt::Display) -> Self {
        Self::system("a metrics registry")(std::io::Error::other(error.to_string()))
    }

    /// A mesh of one lane has no place: this is a mistake of ours.
    pub(crate) fn no_post() -> Self {
        Self::system("a mesh of one lane")(std::io::Error::from(std::io::ErrorKind::NotFound))
    }
}
