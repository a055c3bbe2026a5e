//! The bytes of a head, looked at many at a time, and the lines that follow from it.
//!
//! | file | what |
//! |---|---|
//! | `blocks.rs` | lines by the classes of 64 bytes at a time, from AVX2 |
//! | `avx2.rs` | the classes of 16, 32 or 64 bytes |
//! | `walk.rs` | lines one after the other, on any processor |
//! | `text.rs` | parts of a head whose bytes are of one class |
//! | `slots.rs` | the fields that were found, in memory that is not initialized before |
//!
//! Which instructions there are is asked once per head: the code for all of it is made for each
//! [`Way`], so that nothing is called within. This module holds the parser's `unsafe`.

#![allow(unsafe_code)]

use std::hint::assert_unchecked;

use httparse::Header;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod blocks;
mod slots;
#[cfg(test)]
mod tests;
mod text;
mod walk;

pub(crate) use slots::{Filled, Filling, Slots};
pub(crate) use text::{front_in, text_in};
pub(crate) use walk::front_of;

/// The fewest bytes that are looked at. No head is shorter: a method, a target and a version with the
/// line ends behind it are 18 bytes.
const BYTES_MIN: usize = 16;

/// A way to look at bytes. That a value of it exists shows that this processor can.
pub(crate) trait Way: Copy {
    type Lines<'i>: Lines<'i>;

    /// The first line at the front of `input`, without its end, and those behind it. None if it does
    /// not end in CRLF, or holds another control byte than a tab.
    fn lines(self, input: &[u8]) -> Option<(&[u8], Self::Lines<'_>)>;

    /// Which of 32 bytes are in a class. None where that is no quicker than to look at them one by one.
    #[inline(always)]
    fn in_class(self, _bytes: &[u8; 32], _class: Class) -> Option<u32> {
        None
    }
}

/// The lines of a head behind the first, one by one.
pub(crate) trait Lines<'i> {
    /// The next line. None if it is not complete, or not a field line without any fault.
    fn next(&mut self) -> Option<Line<'i>>;
}

/// What stands in a line.
pub(crate) enum Line<'i> {
    Field(Header<'i>),
    /// Nothing: the head ends there, after so many bytes.
    End(usize),
}

/// Bytes that stand somewhere; none is beyond ASCII.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// In the name of a host.
    Host,
    /// In a target, wherever it is.
    Target,
}

/// What is to be done with a head, in any way.
pub(crate) trait Task {
    type Output;

    /// Does it. To be inlined, so that it is made of the instructions of `W`.
    fn run<W: Way>(self, way: W) -> Self::Output;
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
    task.run(walk::Portable)
}

/// The field of a line that begins at `start`.
///
/// # Safety
/// - `start < colon < end < input.len()`: a name, a colon, perhaps a value, and one byte behind it
///   that no value may hold
/// - all bytes of the name are ASCII
#[inline(always)]
unsafe fn field(input: &[u8], start: usize, colon: usize, end: usize) -> Header<'_> {
    // SAFETY: the caller's.
    unsafe { assert_unchecked(start < colon && colon < end && end < input.len()) };
    // SAFETY: ASCII is UTF-8.
    let name = unsafe { str::from_utf8_unchecked(&input[start..colon]) };
    let begin = colon + 1 + usize::from(input[colon + 1] == b' ');
    let value = match input[begin] <= b' ' || input[end - 1] <= b' ' {
        // White space, which is mostly one space in front, or no value at all.
        true => trim(&input[colon + 1..end]),
        false => &input[begin..end],
    };
    Header { name, value }
}

/// Without the white space around it (RFC 9112 §5).
#[cold]
#[inline(never)]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
