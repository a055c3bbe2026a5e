//! Read-only bytes that many can hold.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

use crate::buf::Buf;

/// Read-only bytes with many holders: a clone or a slice counts a reference and copies nothing.
///
/// They can come from the program text, or from any owner that can show a slice: a `Vec`, a boxed
/// slice, an `Arc`'d one, a [`Buf`] (whose budget is credited when the last holder lets go), or a
/// mapped file by way of [`from_owner`](Shared::from_owner).
///
/// ```
/// use corelane_mempool::Shared;
///
/// let page = Shared::from(b"<html>hello</html>".to_vec());
/// let word = page.slice(6..11);
/// assert_eq!(word, *b"hello");
/// drop(page); // The slice keeps the bytes alive.
/// assert_eq!(&word[..], b"hello");
/// ```
#[derive(Clone)]
pub struct Shared(Source);

#[derive(Clone)]
enum Source {
    Static(&'static [u8]),
    // INVARIANT: start <= end <= the owner's length at the time of construction.
    Owned { owner: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, end: usize },
}

impl Shared {
    /// No bytes.
    pub const EMPTY: Shared = Shared::from_static(&[]);

    /// Bytes of the program text. Never allocates.
    #[inline]
    pub const fn from_static(bytes: &'static [u8]) -> Shared {
        Shared(Source::Static(bytes))
    }

    /// The bytes that `owner` shows, which is dropped with the last holder. Allocates once, for
    /// the owner itself, and copies none of its bytes.
    ///
    /// This is also how to share a mapped file: give the mapping as the owner.
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Shared {
        let end = owner.as_ref().len();
        Shared(Source::Owned { owner: Arc::new(owner), start: 0, end })
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Source::Static(bytes) => bytes,
            // An owner that shows less than it did is not worth a panic.
            Source::Owned { owner, start, end } => {
                (**owner).as_ref().get(*start..*end).unwrap_or_default()
            }
        }
    }

    /// A part of the bytes, held on its own. Copies nothing.
    ///
    /// # Panics
    /// If the range is out of bounds or ends before it starts, as with slices.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Shared {
        let from = match range.start_bound() {
            Bound::Included(n) => *n,
            Bound::Excluded(n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(n) => n.saturating_add(1),
            Bound::Excluded(n) => *n,
            Bound::Unbounded => self.len(),
        };
        let len = self.len();
        assert!(from <= to && to <= len, "range {from}..{to} is out of bounds of {len} bytes");
        Shared(match &self.0 {
            Source::Static(bytes) => Source::Static(&bytes[from..to]),
            Source::Owned { owner, start, .. } => {
                Source::Owned { owner: Arc::clone(owner), start: start + from, end: start + to }
            }
        })
    }
}

impl Deref for Shared {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Shared {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Default for Shared {
    fn default() -> Shared {
        Shared::EMPTY
    }
}

impl From<&'static [u8]> for Shared {
    fn from(bytes: &'static [u8]) -> Shared {
        Shared::from_static(bytes)
    }
}

impl From<&'static str> for Shared {
    fn from(text: &'static str) -> Shared {
        Shared::from_static(text.as_bytes())
    }
}

impl From<Vec<u8>> for Shared {
    fn from(bytes: Vec<u8>) -> Shared {
        Shared::from_owner(bytes)
    }
}

impl From<String> for Shared {
    fn from(text: String) -> Shared {
        Shared::from_owner(text)
    }
}

impl From<Box<[u8]>> for Shared {
    fn from(bytes: Box<[u8]>) -> Shared {
        Shared::from_owner(bytes)
    }
}

impl From<Arc<[u8]>> for Shared {
    fn from(bytes: Arc<[u8]>) -> Shared {
        Shared::from_owner(bytes)
    }
}

impl From<Buf> for Shared {
    /// The buffer's content. It stays charged to its budget until the last holder lets go, and is
    /// freed then rather than returned to its pool.
    fn from(buf: Buf) -> Shared {
        Shared::from_owner(buf)
    }
}

impl Eq for Shared {}

impl PartialEq for Shared {
    fn eq(&self, other: &Shared) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl PartialEq<[u8]> for Shared {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_slice() == other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Shared {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.as_slice() == other
    }
}

impl fmt::Debug for Shared {
    /// The size only: content may be private, and is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::buf::Memory;

    #[test]
    fn no_larger_than_a_buffer() {
        assert_eq!(size_of::<Shared>(), 32);
    }

    #[test]
    fn every_source_shows_its_bytes_where_they_are() {
        let vec = b"abc".to_vec();
        let address = vec.as_ptr();
        let shared = Shared::from(vec);
        assert_eq!(shared.as_ptr(), address, "not copied");
        assert_eq!(shared.slice(1..).as_ptr(), address.wrapping_add(1));
        let boxed: Box<[u8]> = Box::from(&b"abc"[..]);
        let counted: Arc<[u8]> = Arc::from(&b"abc"[..]);
        let text = Shared::from(String::from("abc"));
        for other in [boxed.into(), counted.into(), text, "abc".into(), b"abc"[..].into()] {
            assert_eq!(shared, other);
        }
        assert_ne!(shared, Shared::default());
    }

    #[test]
    fn a_buffer_is_credited_when_the_last_holder_lets_go() {
        let budget = Budget::new(8);
        let mut buf = Buf::over(Memory::charge(8, &budget).unwrap());
        buf.extend(b"message");
        let all = Shared::from(buf);
        let part = all.slice(..3);
        drop(all);
        assert_eq!((&part[..], budget.used()), (&b"mes"[..], 8));
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    #[should_panic(expected = "range 2..4 is out of bounds of 3 bytes")]
    fn slicing_out_of_bounds_is_a_bug() {
        let _ = Shared::from_static(b"abc").slice(2..4);
    }

    #[test]
    fn slicing_to_the_very_end_is_not() {
        let shared = Shared::from_static(b"abc");
        assert!(shared.slice(3..).is_empty());
        assert_eq!(shared.slice(1..=2), *b"bc");
        assert_eq!(shared.slice((Bound::Excluded(0), Bound::Unbounded)), *b"bc");
    }
}
