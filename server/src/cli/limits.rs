//! The process's limits, and sizes on the command line.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) use crate::config::size::bytes;

/// Descriptors for everything that is neither a connection nor a loop's: the admin pages, StatsD, logs.
const RESERVE: usize = 64;
/// Per loop: a poll and a waker.
const RESERVE_PER_LANE: usize = 4;
/// Per loop and listener: the loop's and the supervisor's.
const RESERVE_PER_LISTENER: usize = 2;
/// Connections per loop, where descriptors are no limit.
const USUAL_PER_LANE: usize = 65_536;

/// How many connections the process may have, given the limit of descriptors, which is raised as far
/// as it may be. `wanted` must be possible; without it, as many as possible up to 65,536 per loop.
pub(super) fn connections(
    wanted: Option<usize>,
    lanes: usize,
    listeners: usize,
) -> Result<usize, String> {
    let reserve = RESERVE + lanes * (RESERVE_PER_LANE + RESERVE_PER_LISTENER * listeners);
    let limit = raise_descriptors();
    let room = limit.saturating_sub(reserve);
    match wanted {
        None if room > 0 => Ok(room.min(USUAL_PER_LANE * lanes)),
        None => Err(format!(
            "{lanes} loops with {listeners} listeners need {reserve} file descriptors besides \
             connections, but the limit is {limit}; use fewer loops, or raise the hard limit \
             (`ulimit -Hn`, or LimitNOFILE= in a systemd unit)"
        )),
        Some(wanted) if wanted <= room => Ok(wanted),
        Some(wanted) => Err(format!(
            "{wanted} need {} file descriptors ({reserve} of them for other than connections), but \
             the limit is {limit}; lower it to {room}, or raise the hard limit (`ulimit -Hn`, or \
             LimitNOFILE= in a systemd unit)",
            wanted.saturating_add(reserve),
        )),
    }
}

/// Raises the soft limit of descriptors to the hard one; returns what is in force.
fn raise_descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Reads a size of memory that a server can work with.
pub(super) fn buffer_memory(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        enough if enough >= 1 << 20 => Ok(enough),
        _ => Err("too little to serve with: at least 1M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused_with_the_numbers() {
        let error = connections(Some(usize::MAX / 2), 1, 2).expect_err("accepted");
        assert!(error.contains("the limit is"), "{error}");
        assert!(connections(None, 1, 1).unwrap() <= 65_536);
    }
}
