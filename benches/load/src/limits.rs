//! File descriptors and cores.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::error::Error;

/// Descriptors that a run needs beside its connections.
const SPARE: u64 = 32;

/// Raises the soft limit of file descriptors to the hard one and checks that `connections` fit.
pub(crate) fn raise_descriptors(connections: usize) -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let needed = connections as u64 + SPARE;
    if needed > hard {
        return Err(Error::Descriptors { connections, needed, limit: hard });
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(Error::system("setrlimit"))
}

/// Binds the calling thread to one core.
///
/// # Errors
/// When there is no such core, or the process may not use it.
pub fn pin(core: usize) -> Result<(), Error> {
    if core >= CpuSet::MAX_CPU {
        let value = core as u64;
        return Err(Error::Range { name: "core", value, range: "below 1024" });
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(Error::system("sched_setaffinity"))
}
