//! Dense storage whose keys outlive their values without ever reaching another one.

use std::fmt;

/// Names one value in one [`Slab`], for ever: once the value is removed, its key names nothing.
///
/// Eight bytes: the index of a place, and the generation of its tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The generation above, the index below: one number, so that a key travels in one register.
    bits: u64,
}

impl Key {
    #[inline]
    const fn new(index: usize, generation: u32) -> Key {
        Key { bits: (generation as u64) << 32 | index as u64 }
    }

    /// The place: dense from 0, reused after removal, always below `u32::MAX`.
    #[inline]
    pub const fn index(self) -> usize {
        self.bits as u32 as usize
    }

    /// How many tenants the place has had, this one included.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.bits >> 32) as u32
    }

    /// The key as one number, for instance to travel through the kernel.
    ///
    /// It is never 0, nor does its lower half ever hold `u32::MAX`: those are free for other uses.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.bits
    }

    /// The reverse of [`to_bits`](Key::to_bits). Any other number gives a key that names nothing,
    /// or what it happens to name: a lookup is safe either way.
    #[inline]
    pub const fn from_bits(bits: u64) -> Key {
        Key { bits }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

/// The slab has reached its limit; the value that did not fit comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the slab is full; remove something, or raise its limit")
    }
}

impl<T: fmt::Debug> std::error::Error for Full<T> {}

/// Values in reused places, found by [`Key`] in constant time.
///
/// A stale key never reaches a new tenant: each place counts its tenants, and a key holds the
/// count it was issued with. The count has 32 bits, which a busy place can exhaust within days (it
/// is the last place freed that is filled first); such a place is then retired for good rather than
/// starting over, at the cost of one dead entry per four billion tenants.
///
/// Built over the [`slab`] crate, which keeps the free list; four bytes per place are added for
/// the count.
///
/// ```
/// use corelane_mempool::Slab;
///
/// let mut slab = Slab::with_limit(10);
/// let ann = slab.insert("ann").unwrap();
/// assert_eq!(slab.remove(ann), Some("ann"));
/// let bob = slab.insert("bob").unwrap();
/// assert_eq!(bob.index(), ann.index(), "the place is reused");
/// assert_eq!(slab.get(ann), None, "but not by the old key");
/// assert_eq!(slab.get(bob), Some(&"bob"));
/// ```
pub struct Slab<T> {
    places: slab::Slab<Place<T>>,
    /// By index, the generation of the tenant, or of the next one while the place is vacant.
    /// Not beside the value: taking a value out would have to cut it out of what was written.
    generations: Vec<u32>,
    /// The generation of the first tenant of a place.
    first: u32,
    retired: usize,
    limit: usize,
}

/// What the inner slab holds. A retired place stays occupied, so that it is never handed out.
enum Place<T> {
    Occupied(T),
    Retired,
}

/// Generations count from here, so that no valid key is all zeros.
const FIRST: u32 = 1;

/// Places that can exist: `u32::MAX` itself is left free as an index.
const PLACES_MAX: usize = (u32::MAX - 1) as usize;

impl<T> Slab<T> {
    /// An empty slab, limited only by the size of an index.
    pub const fn new() -> Slab<T> {
        Slab::with_limit(PLACES_MAX)
    }

    /// An empty slab that refuses to hold more than `limit` values. Allocates nothing yet.
    pub const fn with_limit(limit: usize) -> Slab<T> {
        Slab { places: slab::Slab::new(), generations: Vec::new(), first: FIRST, retired: 0, limit }
    }

    /// Counts generations from here instead of 1, so that keys of an earlier slab, whose values are gone
    /// without having been removed, name nothing in this one. 0 counts as 1.
    ///
    /// # Panics
    /// If values were stored already: a bug of the caller.
    pub fn with_first_generation(mut self, first: u32) -> Slab<T> {
        assert!(self.generations.is_empty(), "generations are chosen before the first value");
        self.first = first.max(FIRST);
        self
    }

    /// An empty slab with memory for `capacity` values, to which it is not limited.
    pub fn with_capacity(capacity: usize) -> Slab<T> {
        let mut slab = Slab::new();
        slab.reserve(capacity);
        slab
    }

    /// Makes sure that `additional` more values need no memory.
    pub fn reserve(&mut self, additional: usize) {
        self.places.reserve(additional);
        let places = self.places.len() + additional;
        self.generations.reserve(places.saturating_sub(self.generations.len()));
    }

    /// Stores a value.
    ///
    /// # Errors
    /// [`Full`] with the value, at the limit.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Key, Full<T>> {
        match self.vacant_key() {
            Some(key) => {
                self.places.insert(Place::Occupied(value));
                Ok(key)
            }
            None => Err(Full(value)),
        }
    }

    /// Stores a value that is made knowing its key.
    ///
    /// # Errors
    /// [`Full`] at the limit; `make` is not called then.
    #[inline]
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Result<Key, Full<()>> {
        let key = self.vacant_key().ok_or(Full(()))?;
        self.places.insert(Place::Occupied(make(key)));
        Ok(key)
    }

    /// The value of this key, unless it has been removed.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        if !self.is_current(key) {
            return None;
        }
        match self.places.get(key.index()) {
            Some(Place::Occupied(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of this key, to be changed, unless it has been removed.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        if !self.is_current(key) {
            return None;
        }
        match self.places.get_mut(key.index()) {
            Some(Place::Occupied(value)) => Some(value),
            _ => None,
        }
    }

    /// Two values at once; `None` if either is gone, or if both keys are the same.
    pub fn get2_mut(&mut self, first: Key, second: Key) -> Option<(&mut T, &mut T)> {
        if first.index() == second.index() || !self.is_current(first) || !self.is_current(second) {
            return None;
        }
        match self.places.get2_mut(first.index(), second.index())? {
            (Place::Occupied(one), Place::Occupied(two)) => Some((one, two)),
            _ => None,
        }
    }

    /// True if the value of this key has not been removed.
    #[inline]
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Removes and returns the value of this key. From now on the key names nothing.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        if !self.is_current(key) {
            return None;
        }
        if key.generation() == u32::MAX {
            return self.retire(key.index());
        }
        match self.places.try_remove(key.index()) {
            Some(Place::Occupied(value)) => {
                self.generations[key.index()] = key.generation() + 1;
                Some(value)
            }
            _ => None,
        }
    }

    /// The key of whoever lives at `index` now.
    #[inline]
    pub fn key_at(&self, index: usize) -> Option<Key> {
        match self.places.get(index) {
            Some(Place::Occupied(_)) => Some(key_of(&self.generations, index)),
            _ => None,
        }
    }

    /// Values stored now.
    #[inline]
    pub fn len(&self) -> usize {
        self.places.len() - self.retired
    }

    /// True if no value is stored.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that may be stored at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// All values with their keys, by index. Walks every place that was ever used.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().filter_map(|(index, place)| match place {
            Place::Occupied(value) => Some((key_of(&self.generations, index), value)),
            Place::Retired => None,
        })
    }

    /// All values, to be changed, with their keys, by index. Walks every place that was ever used.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let Slab { places, generations, .. } = self;
        places.iter_mut().filter_map(|(index, place)| match place {
            Place::Occupied(value) => Some((key_of(generations, index), value)),
            Place::Retired => None,
        })
    }

    /// The keys of all values, by index. Walks every place that was ever used.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().map(|(key, _)| key)
    }

    /// Removes all values; their keys name nothing from now on. Memory is kept.
    pub fn clear(&mut self) {
        for index in 0..self.generations.len() {
            if let Some(key) = self.key_at(index) {
                self.remove(key);
            }
        }
    }

    /// The key that the next value will have, if there is room for one.
    #[inline]
    fn vacant_key(&mut self) -> Option<Key> {
        if self.len() >= self.limit || self.places.len() >= PLACES_MAX {
            return None;
        }
        let index = self.places.vacant_key();
        if index == self.generations.len() {
            self.generations.push(self.first);
        }
        Some(key_of(&self.generations, index))
    }

    /// True for the key of a tenant, and for the one that a vacant place will issue next.
    #[inline]
    fn is_current(&self, key: Key) -> bool {
        self.generations.get(key.index()) == Some(&key.generation())
    }

    #[cold]
    fn retire(&mut self, index: usize) -> Option<T> {
        match self.places.get_mut(index) {
            Some(place @ Place::Occupied(_)) => {
                self.retired += 1;
                match std::mem::replace(place, Place::Retired) {
                    Place::Occupied(value) => Some(value),
                    Place::Retired => None,
                }
            }
            _ => None,
        }
    }
}

#[inline]
fn key_of(generations: &[u32], index: usize) -> Key {
    Key::new(index, generations[index])
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_place_needs_no_tag_of_its_own() {
        // As large as the inner slab's own entry, with one more state in it.
        assert_eq!(size_of::<Option<Place<u64>>>(), size_of::<Option<u64>>());
        assert_eq!(size_of::<Key>(), 8);
    }

    #[test]
    fn refuses_at_the_limit_and_returns_the_value() {
        let mut slab = Slab::with_limit(2);
        let first = slab.insert('a').unwrap();
        slab.insert('b').unwrap();
        assert_eq!(slab.insert('c'), Err(Full('c')));
        assert_eq!(slab.insert_with(|_| unreachable!()), Err(Full(())));
        slab.remove(first);
        assert!(slab.insert('c').is_ok());
        assert_eq!((slab.len(), slab.limit()), (2, 2));
    }

    #[test]
    fn a_value_can_know_its_key() {
        let mut slab = Slab::new();
        let key = slab.insert_with(|key| key.to_bits()).unwrap();
        assert_eq!(slab.get(key), Some(&key.to_bits()));
        assert_eq!(Key::from_bits(key.to_bits()), key);
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new();
        let old = slab.insert(1).unwrap();
        assert_eq!(slab.remove(old), Some(1));
        let new = slab.insert(2).unwrap();
        assert_eq!(old.index(), new.index());
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert!(!slab.contains(old) && slab.contains(new));
        assert_eq!(slab.key_at(new.index()), Some(new));
    }

    #[test]
    fn arbitrary_numbers_are_safe_keys() {
        let mut slab = Slab::new();
        let current = slab.insert(1).unwrap();
        let next = slab.insert(2).unwrap();
        slab.remove(next);
        let unissued = Key::new(next.index(), next.generation() + 1);
        assert_eq!(slab.get(unissued), None);
        assert_eq!(slab.remove(unissued), None);
        assert_eq!(slab.insert(3), Ok(unissued), "asking for it has not disturbed its issue");
        assert_eq!(slab.get(current), Some(&1));
        for bits in [0, 1, u64::MAX, u64::from(u32::MAX), 5 << 32 | 7] {
            assert_eq!(slab.get(Key::from_bits(bits)), None, "{bits:#x}");
        }
    }

    #[test]
    fn an_exhausted_place_is_retired() {
        let mut slab = Slab::with_limit(2);
        let key = slab.insert("first").unwrap();
        slab.remove(key);
        slab.generations[key.index()] = u32::MAX;
        let last = slab.insert("last").unwrap();
        assert_eq!(last.generation(), u32::MAX);
        assert_eq!(slab.remove(last), Some("last"));
        assert_eq!((slab.len(), slab.keys().count()), (0, 0));

        let (one, two) = (slab.insert("one").unwrap(), slab.insert("two").unwrap());
        assert!(one.index() != last.index() && two.index() != last.index());
        assert_eq!(slab.insert("three"), Err(Full("three")), "the limit counts values only");
        assert_eq!((slab.get(last), slab.key_at(last.index())), (None, None));
        slab.clear();
        assert_ne!(slab.insert("after clear").unwrap().index(), last.index());
    }

    #[test]
    fn clearing_makes_every_key_stale() {
        let mut slab = Slab::with_capacity(3);
        let keys: Vec<Key> = (0..3).map(|n| slab.insert(n).unwrap()).collect();
        slab.clear();
        assert!(slab.is_empty());
        let again = (0..3).map(|n| slab.insert(n).unwrap().index()).collect::<Vec<_>>();
        assert!(keys.iter().all(|key| again.contains(&key.index())));
        assert!(keys.iter().all(|key| slab.get(*key).is_none()));
    }

    #[test]
    fn two_values_can_be_changed_together() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert(1).unwrap(), slab.insert(2).unwrap());
        let (one, two) = slab.get2_mut(a, b).unwrap();
        std::mem::swap(one, two);
        assert_eq!((slab.get(a), slab.get(b)), (Some(&2), Some(&1)));
        assert_eq!(slab.get2_mut(a, a), None);
        slab.remove(b);
        assert_eq!(slab.get2_mut(a, b), None);
        slab.iter_mut().for_each(|(_, value)| *value += 10);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(a, &12)]);
    }
}
