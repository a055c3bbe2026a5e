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
}
