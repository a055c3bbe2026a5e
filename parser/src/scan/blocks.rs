//! Lines found in blocks of 64 bytes, whose bytes are classified at once.
//!
//! A head without faults is text between marks:
//!
//! ```text
//! GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\nwhat follows
//!               L      N            L        N     L   E
//! ```
//! L is the first of some bytes that no value may hold: a line's CR, if nothing is wrong. A name begins
//! two bytes behind it and ends at the next byte that no name may hold: N, a colon; or at once: E, the
//! CR of the empty line. From the classes of 64 bytes, as bits of one integer, all their marks come by
//! a few operations, whatever the lines are like: adding the bit where a name begins to the bits of
//! bytes that may stand in it carries through them to the first that may not.
//!
//! Between an N and the next L, and between an L and the N or E behind it, no byte can be wrong, since
//! it would be a mark itself; so looking at the bytes under the marks is all that is left to do.

use super::avx2::{Avx2, Classes};
use super::{BYTES_MIN, Line, Lines, field};

/// The lines at the front of `input`.
pub(crate) struct Blocks<'i> {
    input: &'i [u8],
    avx2: Avx2,
    /// Where the block begins that is being taken apart.
    block: usize,
    /// The marks of the block that have not been visited.
    marks: u64,
    /// Where the next line begins.
    line: usize,
    carry: Carry,
}

/// What a block leaves to the next, in the lowest bits.
#[derive(Default)]
struct Carry {
    /// Where lines begin, or the rest of a name.
    starts: u64,
    /// Whether the last byte was one that no value may hold.
    stop: u64,
}

impl<'i> Blocks<'i> {
    #[inline(always)]
    pub(super) fn new(input: &'i [u8], avx2: Avx2) -> Option<(&'i [u8], Self)> {
        if input.len() < BYTES_MIN {
            return None;
        }
        let mut lines = Self { input, avx2, block: 0, marks: 0, line: 0, carry: Carry::default() };
        lines.mark_block(classes_of_first(input, avx2));
        let end = lines.next_mark()?;
        lines.end_line(end)?;
        Some((input.get(..end)?, lines))
    }

    /// Ends a line at a CRLF.
    #[inline(always)]
    fn end_line(&mut self, at: usize) -> Option<()> {
        self.line = at + 2;
        (self.input.get(at..at + 2)? == b"\r\n").then_some(())
    }

    /// Where the next mark is; it may be one just behind the input.
    #[inline(always)]
    fn next_mark(&mut self) -> Option<usize> {
        while self.marks == 0 {
            self.block += 64;
            if self.block >= self.input.len() {
                return None;
            }
            self.mark_block(self.classes());
        }
        let mark = self.block + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(mark)
    }

    /// Finds the marks of a block.
    #[inline(always)]
    fn mark_block(&mut self, Classes { name, stop }: Classes) {
        let ends = stop & !(stop << 1 | self.carry.stop);
        let starts = ends << 2 | self.carry.starts;
        let (sum, over) = name.overflowing_add(starts);
        self.marks = sum & !name | ends;
        self.carry = Carry { starts: ends >> 62 | u64::from(over), stop: stop >> 63 };
    }

    /// The classes of the bytes of a block that is not the first. Behind the input are some that may
    /// stand nowhere; nothing is read there, but some bytes before the last.
    #[inline(always)]
    fn classes(&self) -> Classes {
        if let Some(bytes) = self.input[self.block..].first_chunk() {
            return self.avx2.sixty_four(bytes);
        }
        match self.input.last_chunk() {
            Some(last) => self.avx2.sixty_four(last).skip(64 - (self.input.len() - self.block)),
            None => Classes::NONE,
        }
    }
}

impl<'i> Lines<'i> for Blocks<'i> {
    #[inline(always)]
    fn next(&mut self) -> Option<Line<'i>> {
        let (input, start) = (self.input, self.line);
        let colon = self.next_mark()?;
        if colon <= start || input.get(colon) != Some(&b':') {
            let is_end = input.get(start..)?.starts_with(b"\r\n");
            return is_end.then_some(Line::End(start + 2));
        }
        let end = self.next_mark()?;
        self.end_line(end)?;
        // SAFETY: `colon` was compared with `start`; `end` is the mark behind it, and a CRLF was found
        // there. The mark at `colon` is the first byte behind `start` that no name may hold.
        Some(Line::Field(unsafe { field(input, start, colon, end) }))
    }
}

/// The classes of the first 64 bytes, or of less if there are no more.
#[inline(always)]
fn classes_of_first(input: &[u8], avx2: Avx2) -> Classes {
    if let Some(bytes) = input.first_chunk() {
        avx2.sixty_four(bytes)
    } else if let (Some(first), Some(last)) = (input.first_chunk(), input.last_chunk()) {
        avx2.thirty_two(first).and(avx2.thirty_two(last), input.len() - 32)
    } else if let (Some(first), Some(last)) = (input.first_chunk(), input.last_chunk()) {
        avx2.sixteen(first).and(avx2.sixteen(last), input.len() - 16)
    } else {
        Classes::NONE
    }
}
