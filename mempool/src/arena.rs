//! Memory that lives as long as one request.

use bumpalo::Bump;

use crate::budget::OutOfBudget;

/// Bump allocation for the small objects of one request, all freed at once.
///
/// An allocation moves a pointer; [`reset`](Arena::reset) moves it back and keeps one block of
/// memory for the next request, so a steady stream of requests allocates nothing from the system.
/// Built over [`bumpalo`], to which it adds two limits: on what one request may take, and on what
/// is kept between requests.
///
/// Values are forgotten, never dropped. A type that needs dropping would leak what it owns, so it
/// does not compile:
///
/// ```compile_fail
/// corelane_mempool::Arena::new(1024, 1024).alloc(String::from("leaks")).unwrap();
/// ```
///
/// ```
/// use corelane_mempool::Arena;
///
/// let mut arena = Arena::new(64 << 10, 4 << 10);
/// let path = arena.alloc_str("/index.html")?;
/// let ports = arena.alloc_slice_copy(&[80, 443])?;
/// assert_eq!((&*path, &*ports), ("/index.html", &[80, 443][..]));
/// arena.reset(); // `path` and `ports` cannot be used from here on: the borrow checker sees to it.
/// # Ok::<(), corelane_mempool::OutOfBudget>(())
/// ```
#[derive(Debug)]
pub struct Arena {
    bump: Bump,
    limit: usize,
    keep: usize,
}

impl Arena {
    /// An arena that takes at most `limit` bytes from the system, and keeps at most about `keep`
    /// of them when it is reset. Allocates nothing yet.
    ///
    /// Blocks double in size, and the limit counts blocks, not objects. Memory is counted here
    /// only, not in a [`Budget`](crate::Budget): reserve `limit` there if it has to be.
    pub fn new(limit: usize, keep: usize) -> Arena {
        Arena { bump: bump(0, limit), limit, keep: keep.min(limit) }
    }

    /// Moves a value into the arena.
    ///
    /// # Errors
    /// [`OutOfBudget`] if that would pass the limit.
    #[inline]
    pub fn alloc<T>(&self, value: T) -> Result<&mut T, OutOfBudget> {
        const { assert!(!std::mem::needs_drop::<T>(), "an arena never drops its values") };
        match self.bump.try_alloc(value) {
            Ok(place) => Ok(place),
            Err(_) => Err(self.refusal(size_of::<T>())),
        }
    }

    /// Copies a slice into the arena.
    ///
    /// # Errors
    /// [`OutOfBudget`] if that would pass the limit.
    #[inline]
    pub fn alloc_slice_copy<T: Copy>(&self, values: &[T]) -> Result<&mut [T], OutOfBudget> {
        match self.bump.try_alloc_slice_copy(values) {
            Ok(place) => Ok(place),
            Err(_) => Err(self.refusal(size_of_val(values))),
        }
    }

    /// Copies a string into the arena.
    ///
    /// # Errors
    /// [`OutOfBudget`] if that would pass the limit.
    #[inline]
    pub fn alloc_str(&self, text: &str) -> Result<&mut str, OutOfBudget> {
        match self.bump.try_alloc_str(text) {
            Ok(place) => Ok(place),
            Err(_) => Err(self.refusal(text.len())),
        }
    }

    /// Forgets every value and keeps one block for the next request, the largest if it is within
    /// what may be kept.
    pub fn reset(&mut self) {
        self.bump.reset();
        // What is left is one block, so this is its size.
        if self.bump.allocated_bytes() > self.keep {
            self.bump = bump(0, self.limit);
        }
    }

    /// Bytes taken from the system: blocks, not objects.
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }

    /// The most bytes that may be taken from the system.
    pub fn limit(&self) -> usize {
        self.limit
    }

    #[cold]
    fn refusal(&self, wanted: usize) -> OutOfBudget {
        OutOfBudget { wanted, used: self.allocated_bytes(), limit: self.limit }
    }
}

fn bump(capacity: usize, limit: usize) -> Bump {
    let bump = Bump::with_capacity(capacity);
    bump.set_allocation_limit(Some(limit));
    bump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_are() {
        let arena = Arena::new(1 << 20, 0);
        let values: Vec<&mut u64> = (0..10_000).map(|n| arena.alloc(n).unwrap()).collect();
        assert!(values.iter().enumerate().all(|(n, value)| **value == n as u64));
        assert_eq!(arena.alloc_slice_copy::<u8>(&[]).unwrap(), &[]);
    }

    #[test]
    fn the_limit_refuses_and_reset_makes_room() {
        let mut arena = Arena::new(8 << 10, 8 << 10);
        let mut count = 0;
        let refused = loop {
            match arena.alloc_slice_copy(&[0_u8; 100]) {
                Ok(_) => count += 1,
                Err(refused) => break refused,
            }
        };
        assert!(count >= 30, "{count} objects of 100 bytes in 8 KiB");
        assert_eq!((refused.wanted, refused.limit), (100, 8 << 10));
        assert!(arena.allocated_bytes() <= arena.limit());
        arena.reset();
        assert!(arena.alloc_str("fits again").is_ok());
    }

    #[test]
    fn one_block_within_the_cap_is_kept() {
        let mut arena = Arena::new(1 << 20, 4 << 10);
        arena.alloc_slice_copy(&[0_u8; 1_000]).unwrap();
        let before = arena.allocated_bytes();
        arena.reset();
        assert_eq!(arena.allocated_bytes(), before);

        arena.alloc_slice_copy(&[0_u8; 100_000]).unwrap();
        arena.reset();
        assert!(arena.allocated_bytes() <= 4 << 10);
        assert!(arena.alloc_slice_copy(&[0_u8; 1 << 21]).is_err(), "the limit survives a reset");
    }
}
