//! Pinning a lane's thread to one core.

use std::io;

/// The cores this process may run on, in ascending order: what the scheduler's affinity mask, and so
/// a container's cpuset, leaves of the machine. Empty where the system does not say.
pub fn available() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
    }
    Vec::new()
}

/// Pins the calling thread to `core`.
///
/// # Errors
/// If the core does not exist, may not be used, or the system has no such notion.
pub fn pin(core: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        if core >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut set = CpuSet::new();
        set.set(core);
        Ok(sched_setaffinity(None, &set)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = core;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_each_available_core() {
        let cores = available();
        assert!(!cores.is_empty());
        for core in cores {
            std::thread::spawn(move || {
                pin(core).unwrap();
                assert_eq!(available(), [core]);
            })
            .join()
            .unwrap();
        }
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        assert!(pin(1_023).is_err());
        assert!(pin(1_000_000).is_err());
    }
}
