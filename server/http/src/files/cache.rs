//! What a lane remembers of files: nothing that a request needs has to be asked of the kernel while
//! it is fresh.
//!
//! 1. A path has one set of [`WAYS`] places, found by its hash; the one of them that was not used
//!    lately gives way. So there is no list to keep in order, and the number of entries has a limit.
//! 2. Memory and open files have budgets of their own. Over either, a hand goes round the places
//!    (the clock algorithm): who was used since it last came by is spared once.
//! 3. Nothing invalidates an entry but looking at the file again; who looks, and when, is the
//!    service's business.

use std::hash::{BuildHasher, Hasher};

use corelane_eventloop::Nanos;
use foldhash::fast::FixedState;

use super::resource::Resource;

/// How many places a path can be at.
const WAYS: usize = 8;

/// What an entry costs besides its path, fields and contents: about what its allocations take.
const ENTRY_BYTES: usize = 512;

/// How much the endpoint of one lane remembers of files. A server has as many as it has lanes, times
/// the directories that it serves.
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::files::{CacheLimits, StaticFiles};
///
/// let limits = CacheLimits { bytes: 1 << 20, fresh: Nanos::ZERO, ..CacheLimits::default() };
/// let files = StaticFiles::new(0).cache(limits);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Memory for paths, fields and contents, in bytes. Default 16 MiB; 0 turns the cache off.
    pub bytes: usize,
    /// Paths; rounded up to a power of two of at least 8. Default 4,096.
    pub entries: usize,
    /// Files that are kept open. Default 128. They are closed when the process can open no more.
    pub open_files: usize,
    /// Files up to this length are kept in memory, larger ones open. Default 16 KiB.
    pub memory_file: usize,
    /// For how long a file is not looked at again. Default 1 s; 0 looks at it for every request.
    pub fresh: Nanos,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits {
            bytes: 16 << 20,
            entries: 4096,
            open_files: 128,
            memory_file: 16 << 10,
            fresh: Nanos::from_secs(1),
        }
    }
}

/// The entries of one lane.
pub(crate) struct Cache {
    places: Vec<Option<Box<Entry>>>,
    limits: CacheLimits,
    bytes: usize,
    open_files: usize,
    hand: usize,
}

/// A path that was looked up.
pub(crate) struct Entry {
    path: Box<str>,
    /// There is one in its path, so that an encoded path that looks the same is another.
    has_percent: bool,
    pub(crate) resource: Resource,
    /// When its files were looked at, by the lane's clock.
    pub(crate) checked: Nanos,
    used: bool,
    cost: (usize, usize),
}

impl Entry {
    pub(crate) fn new(path: &str, resource: Resource, checked: Nanos) -> Entry {
        let has_percent = path.contains('%');
        Entry { path: path.into(), has_percent, resource, checked, used: true, cost: (0, 0) }
    }
}

impl Cache {
    pub(crate) fn new(limits: CacheLimits) -> Cache {
        Cache { places: Vec::new(), limits, bytes: 0, open_files: 0, hand: 0 }
    }

    /// The place of a path, and whether what it knows is fresh.
    #[inline]
    pub(crate) fn find(&self, path: &str, now: Nanos) -> Option<(usize, bool)> {
        self.set(path)?.find_map(|at| {
            let entry = self.places[at].as_ref().filter(|entry| *entry.path == *path)?;
            Some((at, now.since(entry.checked) < self.limits.fresh))
        })
    }

    /// What is known and fresh of a path that is still encoded. It needs no second look: what is
    /// remembered was decoded, and this is what it is decoded to.
    #[inline]
    pub(crate) fn fresh(&mut self, raw: &str, now: Nanos) -> Option<&Resource> {
        let (place, is_fresh) = self.find(raw, now)?;
        let entry = self.at(place)?;
        (is_fresh && !entry.has_percent).then_some(&entry.resource)
    }

    /// The entry at a place, which counts as used.
    #[inline]
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Entry> {
        let entry = self.places.get_mut(place)?.as_mut()?;
        entry.used = true;
        Some(entry)
    }

    /// Remembers an entry, in the place of one of its path or of one that can be done without.
    pub(crate) fn put(&mut self, entry: Entry) {
        if self.limits.bytes == 0 {
            return;
        }
        if self.places.is_empty() {
            let places = self.limits.entries.clamp(WAYS, 1 << 24).next_power_of_two();
            self.places.resize_with(places, || None);
        }
        let Some(set) = self.set(&entry.path) else { return };
        let ways = &self.places[set.clone()];
        let known = ways
            .iter()
            .position(|place| place.as_ref().is_some_and(|other| other.path == entry.path));
        let free = || ways.iter().position(Option::is_none);
        let unused =
            || ways.iter().position(|place| place.as_ref().is_some_and(|entry| !entry.used));
        let way = known.or_else(free).or_else(unused).unwrap_or_else(|| {
            // All were used: from now on none of them was.
            self.places[set.clone()].iter_mut().flatten().for_each(|entry| entry.used = false);
            0
        });
        let at = set.start + way;
        self.remove(at);
        self.places[at] = Some(Box::new(entry));
        self.weigh(at);
    }

    /// Counts what the entry at a place costs by now, and makes room if that is too much.
    pub(crate) fn weigh(&mut self, place: usize) {
        let Some(Some(entry)) = self.places.get_mut(place) else { return };
        let cost = entry.resource.variants.iter().map(|variant| variant.cost()).fold(
            (ENTRY_BYTES + entry.path.len() + entry.resource.located.file.len(), 0),
            |(bytes, open), cost| (bytes + cost.0, open + cost.1),
        );
        let before = std::mem::replace(&mut entry.cost, cost);
        self.bytes = self.bytes + cost.0 - before.0;
        self.open_files = self.open_files + cost.1 - before.1;
        // Twice round: the first time everybody may be spared.
        for _ in 0..2 * self.places.len() {
            if self.bytes <= self.limits.bytes && self.open_files <= self.limits.open_files {
                return;
            }
            let at = self.hand;
            self.hand = (self.hand + 1) % self.places.len();
            match &mut self.places[at] {
                Some(entry) if entry.used => entry.used = false,
                Some(_) => self.remove(at),
                None => {}
            }
        }
    }

    /// Forgets all entries that hold files open; says whether there were any.
    pub(crate) fn close_files(&mut self) -> bool {
        let before = self.open_files;
        for at in 0..self.places.len() {
            if self.places[at].as_ref().is_some_and(|entry| entry.cost.1 > 0) {
                self.remove(at);
            }
        }
        before > 0
    }

    /// Forgets the entry at a place.
    pub(crate) fn remove(&mut self, place: usize) {
        if let Some(entry) = self.places.get_mut(place).and_then(Option::take) {
            self.bytes -= entry.cost.0;
            self.open_files -= entry.cost.1;
        }
    }

    /// The places where a path can be. The hash needs no secret: only paths of files that exist get
    /// here, and a set that is full costs no more than its ways.
    #[inline]
    fn set(&self, path: &str) -> Option<std::ops::Range<usize>> {
        let sets = self.places.len() / WAYS;
        if sets == 0 {
            return None;
        }
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(path.as_bytes());
        let start = (hasher.finish() as usize & (sets - 1)) * WAYS;
        Some(start..start + WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::super::resource::Located;
    use super::*;

    fn entry(path: &str) -> Entry {
        let located = Located { file: path.to_owned(), variants: Vec::new() };
        Entry::new(path, Resource::of(located, &Options::new(0), Nanos::ZERO), Nanos::ZERO)
    }

    fn paths(cache: &Cache) -> usize {
        cache.places.iter().flatten().count()
    }

    #[test]
    fn entries_are_found_until_they_are_stale() {
        let mut cache = Cache::new(CacheLimits::default());
        assert!(cache.find("a", Nanos::ZERO).is_none());
        cache.put(entry("a"));
        let (place, fresh) = cache.find("a", Nanos::from_millis(999)).unwrap();
        assert!(fresh && !cache.find("a", Nanos::from_secs(1)).unwrap().1);
        assert!(cache.find("b", Nanos::ZERO).is_none());
        cache.at(place).unwrap().checked = Nanos::from_secs(1);
        assert!(cache.find("a", Nanos::from_secs(1)).unwrap().1);
        cache.put(entry("a"));
        assert_eq!(paths(&cache), 1, "in the place of the other");
        cache.remove(place);
        assert_eq!((paths(&cache), cache.bytes), (0, 0));
    }

    #[test]
    fn budgets_hold_and_the_used_ones_stay() {
        let limits = CacheLimits { bytes: 20 * (ENTRY_BYTES + 6), ..CacheLimits::default() };
        let mut cache = Cache::new(limits);
        cache.put(entry("hot"));
        for n in 0..500 {
            let (hot, _) = cache.find("hot", Nanos::ZERO).unwrap();
            cache.at(hot);
            cache.put(entry(&format!("{n:03}")));
            assert!(cache.bytes <= cache.limits.bytes);
        }
        assert!(paths(&cache) >= 19, "{} of 20", paths(&cache));
        let all: usize = cache.places.iter().flatten().map(|entry| entry.cost.0).sum();
        assert_eq!(all, cache.bytes);
    }

    #[test]
    fn the_number_of_entries_has_a_limit() {
        let mut cache = Cache::new(CacheLimits { entries: 10, ..CacheLimits::default() });
        for n in 0..100 {
            cache.put(entry(&n.to_string()));
        }
        assert_eq!((cache.places.len(), paths(&cache)), (16, 16));
        let mut off = Cache::new(CacheLimits { bytes: 0, ..CacheLimits::default() });
        off.put(entry("a"));
        assert!(off.find("a", Nanos::ZERO).is_none());
    }
}
