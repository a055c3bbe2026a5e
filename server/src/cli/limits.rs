//! The process's limits, and sizes on the command line.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Failure;

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
) -> Result<usize, Failure> {
    let reserve = RESERVE + lanes * (RESERVE_PER_LANE + RESERVE_PER_LISTENER * listeners);
    let limit = raise_descriptors();
    let room = limit.saturating_sub(reserve);
    match wanted {
        None if room > 0 => Ok(room.min(USUAL_PER_LANE * lanes)),
        None => Err(Failure::Run(anyhow::anyhow!(
            "{lanes} loops with {listeners} listeners need {reserve} file descriptors besides \
             connections, but the limit is {limit}; use fewer --workers, or raise the hard limit \
             (`ulimit -Hn`, or LimitNOFILE= in a systemd unit)"
        ))),
        Some(wanted) if wanted <= room => Ok(wanted),
        Some(wanted) => Err(Failure::Run(anyhow::anyhow!(
            "--max-connections {wanted}: needs {} file descriptors ({reserve} of them for other \
             than connections), but the limit is {limit}; lower it to {room}, or raise the hard \
             limit (`ulimit -Hn`, or LimitNOFILE= in a systemd unit)",
            wanted + reserve,
        ))),
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

/// Reads a number of bytes: `4096`, `64K`, `512M`, `2G` (powers of 1024).
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: usize =
        number.parse().map_err(|_| "expected a size such as 4096, 64K, 512M or 2G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64K"), Ok(65_536));
        assert_eq!(bytes("2g"), Ok(2 << 30));
        for text in ["", "K", "-1", "1T", "99999999999999999999", "9999999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_refused_with_the_numbers() {
        let Err(Failure::Run(error)) = connections(Some(usize::MAX / 2), 1, 2) else {
            panic!("accepted");
        };
        assert!(error.to_string().contains("the limit is"), "{error}");
        assert!(connections(None, 1, 1).unwrap() <= 65_536);
    }
}
