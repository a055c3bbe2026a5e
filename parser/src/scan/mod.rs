//! The bytes of a head, classified up to 64 at a time, and the lines that follow from it.
//!
//! | file | what |
//! |---|---|
//! | `lines.rs` | cuts a head into lines and fields, from the classes of its bytes |
//! | `slots.rs` | the fields that were found, in memory that is not initialized before |
//! | `avx2.rs`, `sse2.rs`, `portable.rs` | the classes of 16, 32 or 64 bytes, one file for each kind of processor |
//!
//! Which instructions there are is found out once per head: code for all of it is made for each
//! kind of processor, so that nothing is called within. This module holds the parser's `unsafe`.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod lines;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;
mod slots;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use lines::{Line, Lines};
pub(crate) use slots::Slots;
pub(crate) use text::visible;

/// Which of some bytes, the first of them in the lowest bit, may stand where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    /// Within a field name: [`Classify::NAMES`] says how exact this is.
    name: u64,
    /// Not within a field value: control bytes but the tab.
    stop: u64,
}

impl Classes {
    /// These, and behind them those of bytes that begin `shift` bytes later.
    #[inline(always)]
    fn and(self, later: Classes, shift: usize) -> Classes {
        Classes { name: self.name | later.name << shift, stop: self.stop | later.stop << shift }
    }

    /// Without those of the first bytes; none at the other end may stand anywhere.
    #[inline(always)]
    fn skip(self, bytes: usize) -> Classes {
        Classes { name: self.name >> bytes, stop: self.stop >> bytes }
    }
}

/// A way to classify bytes. That a value of it exists shows that this processor can.
pub(crate) trait Classify: Copy {
    /// Whether the bytes of a name are exactly those of tokens (RFC 9110 §5.6.2). Otherwise they are
    /// all but the colon and those that end a value, and a name has to be looked at.
    const NAMES: bool;

    /// The classes of 16 bytes.
    fn sixteen(self, bytes: &[u8; 16]) -> Classes;

    /// The classes of 32 bytes.
    #[inline(always)]
    fn thirty_two(self, bytes: &[u8; 32]) -> Classes {
        let ([low, high], _) = bytes.as_chunks() else { return Classes { name: 0, stop: 0 } };
        self.sixteen(low).and(self.sixteen(high), 16)
    }

    /// The classes of 64 bytes.
    #[inline(always)]
    fn sixty_four(self, bytes: &[u8; 64]) -> Classes {
        let ([low, high], _) = bytes.as_chunks() else { return Classes { name: 0, stop: 0 } };
        self.thirty_two(low).and(self.thirty_two(high), 32)
    }
}

/// What is to be done with classified bytes, for any way to classify them.
pub(crate) trait Task {
    type Output;

    /// Does it. To be inlined, so that it is made of the instructions of `C`.
    fn run<C: Classify>(self, classify: C) -> Self::Output;
}

/// Runs `task` in the way that is fastest here.
#[inline(always)]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = avx2::Avx2::detect() {
        return avx2.run(task);
    }
    run_anywhere(task)
}

#[inline(never)]
fn run_anywhere<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    return task.run(sse2::Sse2);
    #[cfg(not(target_arch = "x86_64"))]
    task.run(portable::Portable)
}
