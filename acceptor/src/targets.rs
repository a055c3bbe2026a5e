//! What the acceptor and the loops know of each other: who is up, and how busy.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// The state of all targets (loops), shared between them, the acceptor and whoever supervises.
///
/// Loads are kept by the loops: the one who hands a connection over calls
/// [`connected`](Targets::connected) *before* it does, the loop calls
/// [`disconnected`](Targets::disconnected) when it has closed. So connections on their way are counted,
/// and a burst does not all go to the loop that happened to be the least busy.
///
/// ```
/// use corelane_acceptor::Targets;
/// let targets = Targets::new(2);
/// targets.connected(1);
/// assert_eq!((targets.load(0), targets.load(1)), (0, 1));
/// targets.set_up(0, false);
/// assert!(!targets.is_up(0));
/// ```
#[derive(Debug)]
pub struct Targets {
    targets: Box<[Target]>,
    /// Raised at each change of who is up, so that a reader can see at a glance that nothing changed.
    version: AtomicUsize,
}

/// Alone on its pair of cache lines: each loop writes its own.
#[derive(Debug)]
#[repr(align(128))]
struct Target {
    load: AtomicUsize,
    up: AtomicBool,
}

impl Targets {
    /// `count` targets, all up and without connections.
    pub fn new(count: usize) -> Targets {
        let target = || Target { load: AtomicUsize::new(0), up: AtomicBool::new(true) };
        Targets {
            targets: std::iter::repeat_with(target).take(count).collect(),
            version: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.targets.len()
    }

    /// Connections of a target; 0 for an index out of range.
    pub fn load(&self, target: usize) -> usize {
        self.targets.get(target).map_or(0, |target| target.load.load(Relaxed))
    }

    /// A connection goes to this target.
    pub fn connected(&self, target: usize) {
        if let Some(target) = self.targets.get(target) {
            target.load.fetch_add(1, Relaxed);
        }
    }

    /// A connection of this target is closed, or could not be handed over.
    pub fn disconnected(&self, target: usize) {
        if let Some(target) = self.targets.get(target) {
            target.load.fetch_sub(1, Relaxed);
        }
    }

    /// Is this target given connections? `false` for an index out of range.
    pub fn is_up(&self, target: usize) -> bool {
        self.targets.get(target).is_some_and(|target| target.up.load(Relaxed))
    }

    /// Takes a target out, or back in; the acceptor follows within one turn.
    pub fn set_up(&self, target: usize, up: bool) {
        if let Some(target) = self.targets.get(target) {
            target.up.store(up, Relaxed);
            // `Release`, with `Acquire` in `version`: who sees the number sees the change.
            self.version.fetch_add(1, Release);
        }
    }

    /// Changes whenever [`set_up`](Targets::set_up) was called.
    pub fn version(&self) -> usize {
        self.version.load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_exact_across_threads() {
        let targets = Targets::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..10_000 {
                        targets.connected(round % 3);
                        if round % 2 == 0 {
                            targets.disconnected(round % 3);
                        }
                    }
                });
            }
        });
        assert_eq!((0..3).map(|target| targets.load(target)).sum::<usize>(), 20_000);
    }

    #[test]
    fn an_index_out_of_range_is_down_and_idle() {
        let targets = Targets::new(1);
        let version = targets.version();
        targets.connected(1);
        targets.disconnected(1);
        targets.set_up(1, true);
        assert_eq!((targets.load(1), targets.is_up(1), targets.version()), (0, false, version));
        targets.set_up(0, false);
        assert_ne!(targets.version(), version);
    }
}
