//! How often each of many keys may do something: one table for the whole process.
//!
//! The algorithm is GCRA (ITU-T I.371, the virtual scheduling one): of each key one number is kept,
//! the theoretical arrival time (TAT), at which everything it has had would be paid for. A request is
//! allowed if that is not further ahead than the burst, and moves it on by the interval of one.
//!
//! The table is set-associative like a processor's cache: a key's hash names a bucket of eight slots,
//! and nothing is ever scanned or moved elsewhere. A key that is in its bucket is charged by compare
//! and swap, so that no number of threads can have more than the quota between them; a new one is put
//! in under one of a few locks, so that it never is there twice. It takes the slot whose TAT is
//! earliest: free, expired (which is the same as free), or else that of the key that owes least. So
//! those who are being held back are forgotten last, however many new keys come.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use corelane_eventloop::Nanos;

const WAYS: usize = 8;
const LOCKS: usize = 64;

/// So many requests in so much time, evenly, and how many of them may come at once.
///
/// ```
/// use std::time::Duration;
/// use corelane_http::middleware::Quota;
///
/// // One every 10 ms; after a pause up to 20 at once.
/// let quota = Quota::new(100, Duration::from_secs(1)).burst(20);
/// assert_eq!(quota.interval(), Duration::from_millis(10).into());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval: u64,
    burst: NonZeroU32,
}

impl Quota {
    /// So many requests (at least one) in this time, all of which may come at once.
    pub fn new(requests: u32, time: Duration) -> Quota {
        let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        let interval = Nanos::from(time).0 / u64::from(requests.get());
        Quota { interval: interval.max(1), burst: requests }
    }

    /// How many may come at once after a pause: at least one.
    pub fn burst(mut self, requests: u32) -> Quota {
        self.burst = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// The time that pays for one request.
    pub fn interval(&self) -> Nanos {
        Nanos(self.interval)
    }

    /// The time that pays for a whole burst.
    pub fn window(&self) -> Nanos {
        Nanos(self.interval.saturating_mul(u64::from(self.burst.get())))
    }

    /// How many may come at once.
    pub fn burst_requests(&self) -> u32 {
        self.burst.get()
    }

    /// What a key whose TAT is this has left. `allowed`: what became of a request, if there was one.
    fn allowance(&self, allowed: Option<bool>, tat: u64, now: u64) -> Allowance {
        let debt = tat.saturating_sub(now);
        let credit = self.window().0.saturating_sub(debt);
        let remaining = u32::try_from(credit / self.interval).unwrap_or(u32::MAX);
        Allowance {
            allowed: allowed.unwrap_or(remaining > 0),
            remaining,
            next: Nanos(self.interval.saturating_sub(credit)),
            full: Nanos(debt),
        }
    }
}

/// Whether a request is allowed, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whether it is: if it was only asked for, whether one would be.
    pub allowed: bool,
    /// How many more may come at once.
    pub remaining: u32,
    /// Time until the next one is allowed; zero if one is now.
    pub next: Nanos,
    /// Time until the whole burst is there again.
    pub full: Nanos,
}

/// Counts requests by key, for all lanes together. A clone is the same limiter.
///
/// ```
/// use std::time::Duration;
/// use corelane_eventloop::Nanos;
/// use corelane_http::middleware::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::new(2, Duration::from_secs(10)), 1_000);
/// let now = Nanos::from_secs(1_000);
/// assert!(limiter.check(&"ada", now).allowed);
/// assert!(limiter.check(&"ada", now).allowed);
/// let third = limiter.check(&"ada", now);
/// assert_eq!((third.allowed, third.next), (false, Nanos::from_secs(5)));
/// assert!(limiter.check(&"grace", now).allowed);
/// ```
///
/// # Costs
/// 16 bytes a key, allocated when it is made and never more. Where there are more keys in use than it
/// has room for (in one bucket of eight: with room for twice the number in use that is rare), the one
/// that owes least is forgotten, and starts anew when it comes back ([`RateLimiter::forgotten`]). A
/// request of a known key takes no lock.
///
/// Times are on one clock for all callers, in [`Nanos`] since any point: lanes use
/// [`Request::wall`](crate::web::Request::wall).
#[derive(Clone)]
pub struct RateLimiter(Arc<Table>);

struct Table {
    quota: Quota,
    /// A power of two of them.
    buckets: Box<[Bucket]>,
    /// Held while a key is put into a bucket.
    locks: [Mutex<()>; LOCKS],
    seed: OnceLock<u64>,
    refused: AtomicU64,
    forgotten: AtomicU64,
}

/// Two cache lines, which processors fetch together.
#[derive(Default)]
#[repr(align(128))]
struct Bucket([Slot; WAYS]);

#[derive(Default)]
struct Slot {
    /// The hash of the key; 0 if there never was one.
    key: AtomicU64,
    tat: AtomicU64,
}

impl RateLimiter {
    /// With room for at least so many keys: rounded up to a power of two, 512 at least.
    pub fn new(quota: Quota, keys: usize) -> RateLimiter {
        let buckets = keys.div_ceil(WAYS).next_power_of_two().max(LOCKS);
        RateLimiter(Arc::new(Table {
            quota,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            locks: std::array::from_fn(|_| Mutex::new(())),
            seed: OnceLock::new(),
            refused: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }))
    }

    /// Sets what makes hashes of keys hard to foresee, so that nobody can have his own key share the
    /// slot of another. Only the first call has an effect, and only before the first
    /// [`check`](RateLimiter::check). The middleware draws it from the lane's random numbers.
    pub fn seed(&self, seed: u64) {
        // Whoever was first has set it.
        let _ = self.0.seed.set(seed);
    }

    /// What is allowed.
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// Counts a request of this key, if it is allowed.
    pub fn check(&self, key: &(impl Hash + ?Sized), now: Nanos) -> Allowance {
        self.charge(self.hash(key), now)
    }

    /// What this key has left. Counts nothing.
    pub fn peek(&self, key: &(impl Hash + ?Sized), now: Nanos) -> Allowance {
        self.left(self.hash(key), now)
    }

    pub(crate) fn left(&self, hash: u64, now: Nanos) -> Allowance {
        let hash = hash.max(1);
        let (_, bucket) = self.bucket(hash);
        let tat = bucket.find(hash).map_or(0, |slot| slot.tat.load(Ordering::Relaxed));
        self.0.quota.allowance(None, tat, now.0)
    }

    /// How many requests were not allowed.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// How many keys were forgotten while something was counted for them. If this grows, there is room
    /// for too few.
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Ordering::Relaxed)
    }

    /// The room for keys.
    pub fn capacity(&self) -> usize {
        self.0.buckets.len() * WAYS
    }

    fn hash(&self, key: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = self.hasher();
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// What a key is written to, to become what [`charge`](RateLimiter::charge) takes.
    pub(crate) fn hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(*self.0.seed.get_or_init(|| 0));
        hasher
    }

    fn bucket(&self, hash: u64) -> (usize, &Bucket) {
        // The mask keeps it in range: their number is a power of two.
        let at = hash as usize & (self.0.buckets.len() - 1);
        (at, &self.0.buckets[at])
    }

    pub(crate) fn charge(&self, hash: u64, now: Nanos) -> Allowance {
        let hash = hash.max(1);
        let (at, bucket) = self.bucket(hash);
        let slot = match bucket.find(hash) {
            Some(slot) => slot,
            None => self.put(at, bucket, hash, now.0),
        };
        let Quota { interval, .. } = self.0.quota;
        let most = now.0.saturating_add(self.0.quota.window().0);
        let mut tat = slot.tat.load(Ordering::Relaxed);
        loop {
            let next = tat.max(now.0).saturating_add(interval);
            if next > most {
                self.0.refused.fetch_add(1, Ordering::Relaxed);
                return self.0.quota.allowance(Some(false), tat, now.0);
            }
            match slot.tat.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.0.quota.allowance(Some(true), next, now.0),
                Err(other) => tat = other,
            }
        }
    }

    /// Puts a key that was not found into its bucket. One that another thread evicts at once is charged
    /// to the other key: too much for that by one request.
    #[cold]
    fn put<'b>(&self, at: usize, bucket: &'b Bucket, hash: u64, now: u64) -> &'b Slot {
        let _held = self.0.locks[at % LOCKS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = bucket.find(hash) {
            return slot;
        }
        let [first, rest @ ..] = &bucket.0;
        let mut place = (first.tat.load(Ordering::Relaxed), first);
        for slot in rest {
            let tat = slot.tat.load(Ordering::Relaxed);
            if tat < place.0 {
                place = (tat, slot);
            }
        }
        let (tat, slot) = place;
        if tat > now {
            self.0.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        slot.tat.store(0, Ordering::Relaxed);
        slot.key.store(hash, Ordering::Release);
        slot
    }
}

impl Bucket {
    fn find(&self, hash: u64) -> Option<&Slot> {
        self.0.iter().find(|slot| slot.key.load(Ordering::Acquire) == hash)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_one_per_interval() {
        let limiter = RateLimiter::new(Quota::new(10, Duration::from_secs(1)).burst(3), 0);
        // Milliseconds, and what is expected: allowed, remaining, next, full.
        for (at, allowed, remaining, next, full) in [
            (0, true, 2, 0, 100),
            (0, true, 1, 0, 200),
            (0, true, 0, 100, 300),
            (0, false, 0, 100, 300),
            (99, false, 0, 1, 201),
            (100, true, 0, 100, 300),
            (250, true, 0, 50, 250),
            (1_000, true, 2, 0, 100),
        ] {
            let seen = limiter.check("key", Nanos::from_millis(1_000_000 + at));
            let expected = Allowance {
                allowed,
                remaining,
                next: Nanos::from_millis(next),
                full: Nanos::from_millis(full),
            };
            assert_eq!(seen, expected, "at {at}");
        }
        assert_eq!((limiter.refused(), limiter.forgotten()), (2, 0));
        assert_eq!(limiter.peek("key", Nanos::from_secs(2_000)).remaining, 3);
        assert_eq!(limiter.peek("other", Nanos::from_secs(1)).remaining, 3);
    }

    #[test]
    fn threads_share_one_quota() {
        const THREADS: usize = 8;
        const KEYS: u64 = 40;
        let quota = Quota::new(1_000, Duration::from_secs(1_000_000));
        let limiter = RateLimiter::new(quota, 4096);
        let now = Nanos::from_secs(2_000_000);
        let allowed: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for thread in 0..THREADS as u64 {
                let (limiter, allowed) = (limiter.clone(), &allowed);
                scope.spawn(move || {
                    for n in 0..300 * KEYS {
                        let key = (n + thread * 5) % KEYS;
                        if limiter.check(&key, now).allowed {
                            allowed[key as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // 2400 were tried of each.
        let allowed: Vec<u64> = allowed.into_iter().map(AtomicU64::into_inner).collect();
        assert_eq!(allowed, [1_000; KEYS as usize]);
        assert_eq!(limiter.refused(), KEYS * 1_400);
    }

    #[test]
    fn those_held_back_are_forgotten_last() {
        let limiter = RateLimiter::new(Quota::new(10, Duration::from_secs(10)), 512);
        let now = Nanos::from_secs(1_000);
        while limiter.check("greedy", now).allowed {}
        for key in 0..100_000_u32 {
            assert!(limiter.check(&key, now).allowed);
        }
        assert!(!limiter.check("greedy", now).allowed);
        assert_eq!(limiter.capacity(), 512);
        assert!(limiter.forgotten() >= 100_000 - 512);
        // Once their time is over, slots are free.
        let forgotten = limiter.forgotten();
        let later = now + Nanos::from_secs(11);
        assert!((0..512 / 8).all(|key: u32| limiter.check(&key, later).allowed));
        assert_eq!(limiter.forgotten(), forgotten);
    }

    #[test]
    fn seeds_move_keys_and_only_the_first_counts() {
        let hash = |seed: Option<u64>| {
            let limiter = RateLimiter::new(Quota::new(1, Duration::from_secs(1)), 1);
            seed.into_iter().for_each(|seed| limiter.seed(seed));
            limiter.check("x", Nanos::ZERO);
            limiter.seed(99);
            limiter.hash("x")
        };
        assert_eq!(hash(None), hash(Some(0)));
        assert_ne!(hash(Some(1)), hash(Some(2)));
    }

    proptest! {
        /// Beside the plainest bookkeeping: in no span are there more than a burst and what the span
        /// pays for.
        #[test]
        fn no_span_has_more_than_its_due(
            requests in 1_u32..50,
            millis in 1_u64..5_000,
            burst in 0_u32..20,
            steps in prop::collection::vec(0_u64..2_000, 1..120),
        ) {
            let quota = Quota::new(requests, Duration::from_millis(millis)).burst(burst);
            let limiter = RateLimiter::new(quota, 1);
            let mut now = Nanos::from_secs(9);
            let mut taken: Vec<u64> = Vec::new();
            for step in steps {
                now += Nanos::from_millis(step * millis / 2_000);
                let left = limiter.peek(&7, now);
                let seen = limiter.check(&7, now);
                prop_assert_eq!(seen.allowed, left.remaining > 0);
                prop_assert_eq!(seen.allowed, left.next == Nanos::ZERO);
                if seen.allowed {
                    taken.push(now.0);
                } else {
                    prop_assert!(limiter.peek(&7, now + seen.next).remaining >= 1);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let due = u64::from(quota.burst_requests()) + (end - start) / quota.interval().0;
                    prop_assert!((last - first + 1) as u64 <= due);
                }
            }
        }
    }
}
