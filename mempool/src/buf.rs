//! An owned byte buffer of fixed capacity with a filled range.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::budget::{Budget, OutOfBudget};

/// A byte buffer of fixed capacity, lent by a [`Pool`](crate::Pool).
///
/// Content sits in one range: what arrives is written behind it ([`spare_mut`](Buf::spare_mut),
/// then [`advance`](Buf::advance)), what has been dealt with is dropped from its front
/// ([`consume`](Buf::consume)). Nothing moves unless [`compact`](Buf::compact) is called, and
/// nothing allocates.
///
/// ```text
///      consumed        content          spare
///    |-----------|==================|-----------|
///    0         start               end      capacity
/// ```
///
/// Best handed back with [`Pool::deallocate`](crate::Pool::deallocate), but it may be dropped
/// anywhere, on any thread: it knows the budget it was charged to and returns its bytes there.
///
/// Memory is not cleared between two uses, which is why only the content can be read as such: the
/// spare room may hold what an earlier user left, and is there to be written.
///
/// ```
/// use corelane_mempool::{Pool, PoolConfig};
///
/// let mut pool = Pool::new(PoolConfig::default());
/// let mut buf = pool.allocate(4)?;
/// assert_eq!(buf.extend(b"GET / HTTP/1.1"), 14);
/// buf.consume(4);
/// assert_eq!(&buf[..], b"/ HTTP/1.1");
/// pool.deallocate(buf);
/// # Ok::<(), corelane_mempool::OutOfBudget>(())
/// ```
pub struct Buf {
    memory: Memory,
    /// Where the content starts (lower half) and ends (upper half).
    // INVARIANT: start <= end <= capacity, and start == end only at 0.
    // 32 bits each keep the whole struct at half a cache line. One field rather than two, because
    // the compiler then moves a buffer in whole words: with two halves, lending costs twice as much.
    range: u64,
}

impl Buf {
    /// The largest capacity a buffer can have, in bytes.
    pub const CAPACITY_MAX: usize = u32::MAX as usize;

    /// An empty buffer over `memory`, whatever that holds.
    #[inline]
    pub(crate) fn over(memory: Memory) -> Buf {
        Buf { memory, range: 0 }
    }

    /// Gives the memory up, to be used again.
    #[inline]
    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// Bytes of memory behind this buffer.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.memory.bytes.len()
    }

    /// Bytes of content.
    #[inline]
    pub fn len(&self) -> usize {
        self.end() - self.start()
    }

    /// True if there is no content.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.range == 0
    }

    /// The content.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory.bytes[self.start()..self.end()]
    }

    /// The content, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let range = self.start()..self.end();
        &mut self.memory.bytes[range]
    }

    /// Bytes that can be written behind the content without [`compact`](Buf::compact).
    #[inline]
    pub fn spare_len(&self) -> usize {
        self.memory.bytes.len() - self.end()
    }

    /// The room behind the content, to be followed by [`advance`](Buf::advance). What it holds
    /// before it is written means nothing.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let end = self.end();
        &mut self.memory.bytes[end..]
    }

    /// Makes the first `n` bytes of [`spare_mut`](Buf::spare_mut) part of the content.
    ///
    /// # Panics
    /// If `n` exceeds [`spare_len`](Buf::spare_len): a bug of the caller.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.spare_len(), "advanced past the capacity");
        self.range += (n as u64) << 32;
    }

    /// Drops the first `n` bytes of the content. Costs the same for any `n`: nothing moves.
    ///
    /// # Panics
    /// If `n` exceeds [`len`](Buf::len): a bug of the caller.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consumed more than there is");
        self.range = if n == self.len() { 0 } else { self.range + n as u64 };
    }

    /// Moves the content to the front, so that all free memory is spare. Copies [`len`](Buf::len)
    /// bytes, or nothing if they are there already.
    pub fn compact(&mut self) {
        let (start, end) = (self.start(), self.end());
        if start > 0 {
            self.memory.bytes.copy_within(start..end, 0);
            self.range = ((end - start) as u64) << 32;
        }
    }

    /// Copies as much of `bytes` as fits behind the content; returns how much that was.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let n = bytes.len().min(spare.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.range += (n as u64) << 32;
        n
    }

    /// Drops all content.
    #[inline]
    pub fn clear(&mut self) {
        self.range = 0;
    }

    #[inline]
    fn start(&self) -> usize {
        self.range as u32 as usize
    }

    #[inline]
    fn end(&self) -> usize {
        (self.range >> 32) as usize
    }
}

impl Deref for Buf {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Buf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Buf {
    /// Sizes only: content may be private, and is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} of {} bytes)", self.len(), self.capacity())
    }
}

/// Charged memory: what a buffer consists of, and what a pool keeps of it.
///
/// Apart from the range, so that a pool moves only what has not just been written. (Moving a struct
/// reads it in larger pieces than its fields were written in, which a processor cannot do until the
/// writes have reached the cache: three times the cost of the rest.)
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: Box<[u8]>,
    budget: Arc<Budget>,
}

impl Memory {
    /// Takes zeroed memory from the system, charged to `budget`.
    pub(crate) fn charge(capacity: usize, budget: &Arc<Budget>) -> Result<Memory, OutOfBudget> {
        if capacity > Buf::CAPACITY_MAX {
            let limit = Buf::CAPACITY_MAX;
            return Err(OutOfBudget { wanted: capacity, used: budget.used(), limit });
        }
        budget.try_charge(capacity)?;
        let bytes = vec![0; capacity].into_boxed_slice();
        Ok(Memory { bytes, budget: Arc::clone(budget) })
    }

    /// Makes the kernel supply the pages now: memory from the system has none until written.
    pub(crate) fn touch_pages(&mut self) {
        for page in self.bytes.chunks_mut(4096) {
            page[0] = 1;
        }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn is_charged_to(&self, budget: &Arc<Budget>) -> bool {
        Arc::ptr_eq(&self.budget, budget)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.release(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buf(capacity: usize) -> Buf {
        Buf::over(Memory::charge(capacity, &Budget::unlimited()).unwrap())
    }

    #[test]
    fn half_a_cache_line_with_or_without_option() {
        assert_eq!(size_of::<Buf>(), 32);
        assert_eq!(size_of::<Option<Buf>>(), 32);
    }

    #[test]
    fn content_is_what_was_written_less_what_was_consumed() {
        let mut buf = buf(8);
        assert_eq!(buf.extend(b"abcdef"), 6);
        buf.consume(4);
        assert_eq!((&buf[..], buf.spare_len()), (&b"ef"[..], 2));
        assert_eq!(buf.extend(b"ghijk"), 2, "only what fits behind the content");
        buf.compact();
        assert_eq!((&buf[..], buf.spare_len()), (&b"efgh"[..], 4));
        buf.spare_mut()[..2].copy_from_slice(b"ij");
        buf.advance(2);
        buf[0] = b'E';
        assert_eq!(buf.as_slice(), b"Efghij");
    }

    #[test]
    fn consuming_everything_frees_all_room() {
        let mut buf = buf(4);
        buf.extend(b"abcd");
        buf.consume(4);
        assert!(buf.is_empty());
        assert_eq!(buf.spare_len(), 4);
    }

    #[test]
    #[should_panic(expected = "consumed more than there is")]
    fn consuming_too_much_is_a_bug() {
        let mut buf = buf(4);
        buf.extend(b"ab");
        buf.consume(3);
    }

    #[test]
    #[should_panic(expected = "advanced past the capacity")]
    fn advancing_too_far_is_a_bug() {
        buf(4).advance(5);
    }

    #[test]
    fn dropping_on_another_thread_returns_the_bytes() {
        let budget = Budget::new(64);
        let buf = Buf::over(Memory::charge(64, &budget).unwrap());
        assert_eq!(budget.used(), 64);
        std::thread::spawn(move || drop(buf)).join().unwrap();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_capacity_beyond_32_bits_is_refused_before_anything_is_charged() {
        let budget = Budget::unlimited();
        let refused = Memory::charge(Buf::CAPACITY_MAX + 1, &budget).unwrap_err();
        assert_eq!((refused.limit, budget.used()), (Buf::CAPACITY_MAX, 0));
    }
}
