//! Recycled buffers in size classes.
//!
//! # Theory of operation
//! A request is rounded up to a power of two, its *class*. Each class keeps the buffers that came
//! back on a stack: the one that came back last is lent first, because its memory is the likeliest
//! to be in the cache. When the stack is empty, memory is taken from the system and charged to the
//! budget; when the stack is full, memory goes back to the system. Requests above the largest class
//! get exactly what they asked for, and are never kept.

use std::sync::Arc;

use crate::budget::{Budget, OutOfBudget};
use crate::buf::{Buf, Memory};

/// How a [`Pool`] is set up.
///
/// ```
/// use corelane_mempool::{Budget, Pool, PoolConfig};
/// let process = Budget::new(64 << 20);
/// let pool = Pool::new(PoolConfig { budget: process.clone(), ..PoolConfig::default() });
/// # let _ = pool;
/// ```
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Capacity of the smallest buffers, in bytes; rounded up to a power of two. Default 1 KiB.
    pub class_min: usize,
    /// Capacity of the largest buffers that are kept for reuse; rounded up to a power of two, and
    /// not below `class_min`. Default 64 KiB.
    pub class_max: usize,
    /// Bytes that each class keeps for reuse. What comes back beyond that is freed. Default 4 MiB.
    pub free_bytes_max: usize,
    /// What the pool's memory is charged to, usually shared by all lanes. Default unlimited.
    pub budget: Arc<Budget>,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            class_min: 1 << 10,
            class_max: 64 << 10,
            free_bytes_max: 4 << 20,
            budget: Budget::unlimited(),
        }
    }
}

/// What a [`Pool`] holds and has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PoolStats {
    /// Bytes in buffers that are out: lent, or dropped into someone else's hands.
    pub lent_bytes: usize,
    /// Bytes in buffers kept for reuse.
    pub free_bytes: usize,
    /// Buffers made from memory of the system.
    pub allocations: u64,
    /// Buffers lent again.
    pub reuses: u64,
    /// Requests that the budget refused.
    pub refusals: u64,
}

/// Lends and takes back [`Buf`]s. One per lane; it is not meant to be shared between threads.
///
/// Growth is lazy: a new pool holds no memory. Lending and taking back cost a few nanoseconds and
/// neither allocate nor clear memory, as long as what comes back covers what is asked for.
///
/// ```
/// use corelane_mempool::{Pool, PoolConfig};
///
/// let mut pool = Pool::new(PoolConfig::default());
/// let buf = pool.allocate(10_000)?;
/// assert_eq!(buf.capacity(), 16 << 10);
/// pool.deallocate(buf);
/// let again = pool.allocate(16 << 10)?;
/// let stats = pool.stats();
/// assert_eq!((stats.allocations, stats.reuses, stats.lent_bytes), (1, 1, 16 << 10));
/// drop(again); // Also allowed: the memory is freed and the budget knows.
/// assert_eq!(pool.stats().lent_bytes, 0);
/// # Ok::<(), corelane_mempool::OutOfBudget>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    classes: Box<[Class]>,
    class_min_log2: u32,
    /// This pool's own account within the configured budget: what it has charged and does not
    /// hold free is lent, whoever has it.
    budget: Arc<Budget>,
    allocations: u64,
    reuses: u64,
    refusals: u64,
}

#[derive(Debug)]
struct Class {
    /// Bytes of each buffer.
    capacity: usize,
    /// Blocks of memory kept, at most.
    free_max: usize,
    free: Vec<Memory>,
}

impl Pool {
    /// A pool without any memory yet.
    pub fn new(config: PoolConfig) -> Pool {
        let largest = (Buf::CAPACITY_MAX >> 1) + 1;
        let class_min_log2 = ceil_log2(config.class_min.clamp(1, largest));
        let class_max_log2 = ceil_log2(config.class_max.clamp(1, largest)).max(class_min_log2);
        let class = |log2: u32| {
            let capacity = 1 << log2;
            Class { capacity, free_max: config.free_bytes_max / capacity, free: Vec::new() }
        };
        Pool {
            classes: (class_min_log2..=class_max_log2).map(class).collect(),
            class_min_log2,
            budget: Budget::within(&config.budget, usize::MAX),
            allocations: 0,
            reuses: 0,
            refusals: 0,
        }
    }

    /// Lends an empty buffer with room for at least `min_capacity` bytes.
    ///
    /// # Errors
    /// [`OutOfBudget`] if new memory is needed and refused even after the pool has given back all
    /// memory that it kept for reuse.
    #[inline]
    pub fn allocate(&mut self, min_capacity: usize) -> Result<Buf, OutOfBudget> {
        let class = self.class_of(min_capacity);
        let memory = match self.classes.get_mut(class).and_then(|class| class.free.pop()) {
            Some(memory) => {
                self.reuses += 1;
                memory
            }
            None => self.charge(min_capacity)?,
        };
        Ok(Buf::over(memory))
    }

    /// Takes a buffer back, to be lent again; whatever it contains is dropped.
    ///
    /// A buffer of another pool, or one more than the class may keep, is freed instead.
    #[inline]
    pub fn deallocate(&mut self, buf: Buf) {
        let memory = buf.into_memory();
        let class = self.class_of(memory.capacity());
        if let Some(class) = self.classes.get_mut(class)
            && class.capacity == memory.capacity()
            && class.free.len() < class.free_max
            && memory.is_charged_to(&self.budget)
        {
            class.free.push(memory);
        }
    }

    /// Exchanges a buffer for one with room for at least `min_capacity` bytes, or for its content
    /// if that is more. The content is kept and starts at the front. A smaller class is chosen if
    /// it suffices; the same class costs no more than [`Buf::compact`].
    ///
    /// # Errors
    /// The buffer as it was, and [`OutOfBudget`] if the new one was refused. While the content is
    /// copied both exist, so the budget must have room for both.
    pub fn resize(&mut self, mut buf: Buf, min_capacity: usize) -> Result<Buf, (Buf, OutOfBudget)> {
        let min_capacity = min_capacity.max(buf.len());
        if self.rounded(min_capacity) == buf.capacity() {
            buf.compact();
            return Ok(buf);
        }
        match self.allocate(min_capacity) {
            Ok(mut resized) => {
                resized.extend(&buf);
                self.deallocate(buf);
                Ok(resized)
            }
            Err(refused) => Err((buf, refused)),
        }
    }

    /// Makes sure that `count` buffers of the class of `capacity` are free, their pages supplied
    /// by the kernel, and that the class may keep that many.
    ///
    /// # Errors
    /// [`OutOfBudget`] if the budget is too small; buffers made until then stay.
    ///
    /// # Panics
    /// If `capacity` is above the largest class: such buffers are never kept.
    pub fn preallocate(&mut self, capacity: usize, count: usize) -> Result<(), OutOfBudget> {
        let class = self.class_of(capacity);
        assert!(class < self.classes.len(), "{capacity} bytes is above the largest class");
        let class = &mut self.classes[class];
        class.free_max = class.free_max.max(count);
        class.free.reserve(count.saturating_sub(class.free.len()));
        while class.free.len() < count {
            let mut memory = Memory::charge(class.capacity, &self.budget)?;
            memory.touch_pages();
            class.free.push(memory);
            self.allocations += 1;
        }
        Ok(())
    }

    /// Gives the memory of all free buffers back to the system, for instance when a lane falls idle.
    pub fn trim(&mut self) {
        for class in &mut self.classes {
            class.free = Vec::new();
        }
    }

    /// What the pool holds and has done. Walks the classes, not the buffers.
    pub fn stats(&self) -> PoolStats {
        let free_bytes = self.classes.iter().map(|class| class.free.len() * class.capacity).sum();
        PoolStats {
            // Another thread may be dropping a buffer of ours just now, but never a free one.
            lent_bytes: self.budget.used() - free_bytes,
            free_bytes,
            allocations: self.allocations,
            reuses: self.reuses,
            refusals: self.refusals,
        }
    }

    /// Buffers made from memory of the system so far: what [`PoolStats::allocations`] says, for those
    /// who only want to know whether the pool has grown.
    #[inline]
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// This pool's account within the budget it was configured with.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    #[cold]
    #[inline(never)]
    fn charge(&mut self, min_capacity: usize) -> Result<Memory, OutOfBudget> {
        let capacity = self.rounded(min_capacity);
        let memory = Memory::charge(capacity, &self.budget).or_else(|_| {
            // Free memory of other classes must not starve this one.
            self.trim();
            Memory::charge(capacity, &self.budget)
        });
        match memory {
            Ok(_) => self.allocations += 1,
            Err(_) => self.refusals += 1,
        }
        memory
    }

    /// The capacity a buffer gets if at least `min_capacity` is asked for.
    fn rounded(&self, min_capacity: usize) -> usize {
        let class = self.classes.get(self.class_of(min_capacity));
        class.map_or(min_capacity, |class| class.capacity)
    }

    /// The class that holds `capacity`; beyond the last if it is above all classes.
    #[inline]
    fn class_of(&self, capacity: usize) -> usize {
        ceil_log2(capacity).saturating_sub(self.class_min_log2) as usize
    }
}

/// The exponent of the smallest power of two that is not below `n`.
#[inline]
fn ceil_log2(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn limited(limit: usize) -> Pool {
        Pool::new(PoolConfig { budget: Budget::new(limit), ..PoolConfig::default() })
    }

    #[test]
    fn requests_are_rounded_to_classes_and_exact_above() {
        let mut pool = limited(usize::MAX);
        for (wanted, capacity) in [
            (0, KIB),
            (1, KIB),
            (KIB, KIB),
            (KIB + 1, 2 * KIB),
            (64 * KIB, 64 * KIB),
            (64 * KIB + 1, 64 * KIB + 1),
        ] {
            assert_eq!(pool.allocate(wanted).unwrap().capacity(), capacity, "{wanted}");
        }
    }

    #[test]
    fn odd_class_limits_are_rounded() {
        let config = PoolConfig { class_min: 3_000, class_max: 0, ..PoolConfig::default() };
        let mut pool = Pool::new(config);
        assert_eq!(pool.allocate(1).unwrap().capacity(), 4_096);
        assert_eq!(pool.allocate(5_000).unwrap().capacity(), 5_000);
    }

    #[test]
    fn the_last_buffer_back_is_the_first_lent_and_comes_empty() {
        let mut pool = limited(usize::MAX);
        let (first, mut second) = (pool.allocate(1).unwrap(), pool.allocate(1).unwrap());
        second.extend(b"secret");
        let address = second.spare_mut().as_ptr() as usize - 6;
        pool.deallocate(first);
        pool.deallocate(second);
        let mut again = pool.allocate(1).unwrap();
        assert!(again.is_empty());
        assert_eq!(again.spare_mut().as_ptr() as usize, address);
    }

    #[test]
    fn a_class_keeps_no_more_than_its_cap() {
        let config = PoolConfig { free_bytes_max: 2 * KIB, ..PoolConfig::default() };
        let mut pool = Pool::new(config);
        let lent: Vec<Buf> = (0..5).map(|_| pool.allocate(KIB).unwrap()).collect();
        lent.into_iter().for_each(|buf| pool.deallocate(buf));
        let stats = pool.stats();
        assert_eq!((stats.free_bytes, stats.lent_bytes), (2 * KIB, 0));
    }

    #[test]
    fn other_classes_give_way_before_a_request_is_refused() {
        let mut pool = limited(8 * KIB);
        let small: Vec<Buf> = (0..4).map(|_| pool.allocate(KIB).unwrap()).collect();
        small.into_iter().for_each(|buf| pool.deallocate(buf));
        let large = pool.allocate(8 * KIB).unwrap();
        let refused = pool.allocate(1).unwrap_err();
        assert_eq!(refused, OutOfBudget { wanted: KIB, used: 8 * KIB, limit: 8 * KIB });
        assert_eq!(pool.stats().refusals, 1);
        drop(large);
        assert!(pool.allocate(1).is_ok());
    }

    #[test]
    fn a_buffer_of_another_pool_is_freed_and_its_owner_credited() {
        let process = Budget::unlimited();
        let config = PoolConfig { budget: process.clone(), ..PoolConfig::default() };
        let (mut ours, mut theirs) = (Pool::new(config.clone()), Pool::new(config));
        let buf = theirs.allocate(KIB).unwrap();
        assert_eq!(process.used(), KIB);
        ours.deallocate(buf);
        assert_eq!((ours.stats().free_bytes, theirs.stats().lent_bytes), (0, 0));
        assert_eq!(process.used(), 0);
    }

    #[test]
    fn resize_keeps_the_content_both_ways() {
        let mut pool = limited(usize::MAX);
        let mut buf = pool.allocate(KIB).unwrap();
        buf.extend(&[7; KIB]);
        buf.consume(1_000);
        let buf = pool.resize(buf, 100 * KIB).unwrap();
        assert_eq!((buf.capacity(), &buf[..]), (100 * KIB, &[7; 24][..]));
        let buf = pool.resize(buf, 0).unwrap();
        assert_eq!((buf.capacity(), &buf[..], buf.spare_len()), (KIB, &[7; 24][..], KIB - 24));
        pool.deallocate(buf);
        assert_eq!(pool.stats().lent_bytes, 0);
    }

    #[test]
    fn resize_never_cuts_and_returns_the_buffer_if_refused() {
        let mut pool = limited(3 * KIB);
        let mut buf = pool.allocate(2 * KIB).unwrap();
        buf.extend(&[1; 1_500]);
        buf.consume(100);
        let buf = pool.resize(buf, 10).unwrap();
        assert_eq!((buf.capacity(), buf.len(), buf.spare_len()), (2 * KIB, 1_400, 648));
        let (buf, refused) = pool.resize(buf, 3 * KIB).unwrap_err();
        assert_eq!((buf.len(), refused.wanted), (1_400, 4 * KIB));
    }

    #[test]
    fn preallocated_buffers_need_no_memory_later() {
        let mut pool = limited(usize::MAX);
        pool.preallocate(64 * KIB, 100).unwrap();
        assert_eq!(pool.stats().free_bytes, 6_400 * KIB, "above the default cap, on purpose");
        pool.preallocate(64 * KIB, 100).unwrap();
        let lent: Vec<Buf> = (0..100).map(|_| pool.allocate(40 * KIB).unwrap()).collect();
        lent.into_iter().for_each(|buf| pool.deallocate(buf));
        assert_eq!((pool.stats().allocations, pool.stats().free_bytes), (100, 6_400 * KIB));
        assert!(limited(10 * KIB).preallocate(KIB, 11).is_err());
    }

    #[test]
    fn an_absurd_size_is_refused() {
        let mut pool = limited(usize::MAX);
        assert!(pool.allocate(usize::MAX).is_err());
        assert_eq!(pool.stats().lent_bytes, 0);
    }
}
