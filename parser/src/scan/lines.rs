//! A head cut into lines, and field lines into names and values.
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

use httparse::Header;

use super::{Classes, Classify};
use crate::http1::framing::is_token;

/// The lines at the front of `input`.
pub(crate) struct Lines<'i, C> {
    input: &'i [u8],
    classify: C,
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

/// What stands in the next line.
pub(crate) enum Line<'i> {
    Field(Header<'i>),
    /// Nothing: the head ends there, after so many bytes.
    End(usize),
}

/// The fewest bytes that can be searched.
const BYTES_MIN: usize = 16;

impl<'i, C: Classify> Lines<'i, C> {
    /// The first line, without its end, and those behind it. None if it does not end in CRLF.
    #[inline(always)]
    pub(crate) fn new(input: &'i [u8], classify: C) -> Option<(&'i [u8], Self)> {
        if input.len() < BYTES_MIN {
            return None;
        }
        let mut lines =
            Self { input, classify, block: 0, marks: 0, line: 0, carry: Carry::default() };
        lines.enter_block();
        let end = lines.next_mark()?;
        lines.end_line(end)?;
        Some((input.get(..end)?, lines))
    }

    /// The next line. None if it is not complete, or not a field line without any fault.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Line<'i>> {
        let start = self.line;
        let colon = self.next_mark()?;
        if self.input.get(colon) != Some(&b':') || colon == start {
            let is_end = self.input.get(start..)?.starts_with(b"\r\n");
            return is_end.then_some(Line::End(start + 2));
        }
        let end = self.next_mark()?;
        self.end_line(end)?;
        let name = self.input.get(start..colon)?;
        if !C::NAMES && !is_token(name) {
            return None;
        }
        // SAFETY: a token is ASCII, and so this is: by the comparison above, or because the mark at
        // its end is the first byte behind `start` that no name may hold.
        let name = unsafe { str::from_utf8_unchecked(name) };
        let line = self.input.get(..end)?;
        let begin = colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '));
        let value = line.get(begin..)?;
        // What is no more than a space, is a space or a tab.
        match value {
            [b'!'..=0xff, .., b'!'..=0xff] => Some(Line::Field(Header { name, value })),
            _ => Some(Line::Field(Header { name, value: trim(value) })),
        }
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
            self.enter_block();
        }
        let mark = self.block + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(mark)
    }

    /// Finds the marks of a block.
    #[inline(always)]
    fn enter_block(&mut self) {
        let Classes { name, stop } = self.classes();
        let ends = stop & !(stop << 1 | self.carry.stop);
        let starts = ends << 2 | self.carry.starts;
        let (sum, over) = name.overflowing_add(starts);
        self.marks = sum & !name | ends;
        self.carry = Carry { starts: ends >> 62 | u64::from(over), stop: stop >> 63 };
    }

    /// The classes of the block's bytes. Behind the input are some that may stand nowhere.
    #[inline(always)]
    fn classes(&self) -> Classes {
        match self.input[self.block..].first_chunk() {
            Some(bytes) => self.classify.sixty_four(bytes),
            None => self.last_classes(),
        }
    }

    /// Nothing behind the input may be read, so the last bytes are read with some before them.
    #[inline(always)]
    fn last_classes(&self) -> Classes {
        let (input, classify) = (self.input, self.classify);
        if let Some(last) = input.last_chunk() {
            classify.sixty_four(last).skip(64 - (input.len() - self.block))
        } else if let (Some(first), Some(last)) = (input.first_chunk(), input.last_chunk()) {
            classify.thirty_two(first).and(classify.thirty_two(last), input.len() - 32)
        } else if let (Some(first), Some(last)) = (input.first_chunk(), input.last_chunk()) {
            classify.sixteen(first).and(classify.sixteen(last), input.len() - 16)
        } else {
            Classes { name: 0, stop: 0 }
        }
    }
}

/// Without the white space around it (RFC 9112 §5).
#[inline(never)]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
