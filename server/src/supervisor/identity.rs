//! Which start of a server this is.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Tells one start of a server from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    instance: Arc<str>,
    started: Instant,
}

impl Identity {
    /// That of a server that starts now.
    pub(super) fn now() -> Identity {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Seeded by the system's randomness; it is no secret.
        let number = RandomState::new().hash_one((std::process::id(), now));
        Identity { instance: format!("{number:016x}").into(), started: Instant::now() }
    }

    /// Differs for every start: whoever compares two readings of counters sees whether they began anew
    /// between them.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How long ago it started, by a clock that nobody sets.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
