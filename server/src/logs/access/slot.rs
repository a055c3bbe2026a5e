//! The access log in force, which a reload replaces.

use std::sync::{Arc, Mutex, PoisonError};

use corelane_acceptor::Address;

use super::writer::Shared;
use super::{AccessLog, read};

/// A place for the access log in force, which may be empty, and filled again by a reload. Clones are the
/// same place. For what happens rarely; lanes keep their ends.
#[derive(Clone, Default)]
pub struct AccessLogSlot(Arc<Mutex<Place>>);

/// What all logs have counted that were ever in a [slot](AccessLogSlot): it only goes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessCounts {
    /// Records written.
    pub written: u64,
    /// Records dropped because too much waited already.
    pub dropped: u64,
    /// Failed writes. What they were to write is tried again.
    pub errors: u64,
}

#[derive(Default)]
struct Place {
    log: Option<AccessLog>,
    /// Logs that were replaced and have lines to write yet.
    retired: Vec<Arc<Shared>>,
    /// What those counted that are done.
    done: AccessCounts,
    /// There was a log once.
    is_used: bool,
    /// Where the server listens, once that is known.
    addresses: Vec<Address>,
}

impl AccessLogSlot {
    /// Puts a log there, or none.
    pub fn set(&self, log: Option<AccessLog>) {
        let mut place = self.lock();
        if let Some(log) = log.as_ref().filter(|_| !place.addresses.is_empty()) {
            log.listening_on(&place.addresses);
        }
        let before = std::mem::replace(&mut place.log, log);
        place.is_used |= place.log.is_some();
        if let Some(before) = &before
            && !place.log.as_ref().is_some_and(|log| log.is(before))
        {
            place.retired.push(before.0.shared.clone());
        }
        place.settle();
        drop(place);
        // Outside of the lock: the last handle of a log waits for its end to be written.
        drop(before);
    }

    /// Tells the log that is there, and every later one, where the server listens
    /// ([`AccessLog::listening_on`]).
    pub fn listening_on(&self, addresses: &[Address]) {
        let mut place = self.lock();
        place.addresses = addresses.to_vec();
        if let Some(log) = &place.log {
            log.listening_on(addresses);
        }
    }

    /// The log that is there.
    pub fn get(&self) -> Option<AccessLog> {
        self.lock().log.clone()
    }

    /// What this log and all those before it have counted; `None` if there never was one.
    pub fn counts(&self) -> Option<AccessCounts> {
        let place = self.lock();
        let live = place.retired.iter().chain(place.log.as_ref().map(|log| &log.0.shared));
        let sum = live.fold(place.done, AccessCounts::with);
        place.is_used.then_some(sum)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Keeps nothing but the counts of logs that are done: those that nobody else holds.
    fn settle(&mut self) {
        let (done, live) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|log| Arc::strong_count(log) == 1);
        let done: Vec<Arc<Shared>> = done;
        self.done = done.iter().fold(self.done, AccessCounts::with);
        self.retired = live;
    }
}

impl AccessCounts {
    fn with(self, log: &Arc<Shared>) -> AccessCounts {
        AccessCounts {
            written: self.written + read(&log.written),
            dropped: self.dropped + read(&log.dropped),
            errors: self.errors + read(&log.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::logs::{AccessConfig, AccessRecord, AccessTarget};

    #[test]
    fn counts_go_on_when_a_log_replaces_another() {
        let slot = AccessLogSlot::default();
        assert_eq!(slot.counts(), None);
        let name = format!("corelane-slot-{}.log", std::process::id());
        let path = std::env::temp_dir().join(name);
        for number in 1..=4 {
            let log = AccessLog::open(AccessConfig::new(AccessTarget::File(path.clone()))).unwrap();
            slot.set(Some(log.clone()));
            let written = || slot.counts().unwrap().written;
            assert_eq!(written(), number - 1);
            // A reload that leaves the log alone puts the same one there.
            slot.set(Some(log.clone()));
            let mut lane = log.lane();
            lane.record(&AccessRecord::default());
            lane.flush();
            assert!(log.flush(Duration::from_secs(10)));
            assert_eq!(written(), number, "what is in force, and those before");
        }
        slot.set(None);
        assert_eq!(slot.counts().unwrap().written, 4);
        std::fs::remove_file(path).unwrap();
    }
}
