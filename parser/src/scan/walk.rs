//! Lines found from one to the next, eight bytes at a time, on any processor.

use super::{BYTES_MIN, Line, Lines, Way, field};
use crate::http1::framing::TOKEN_BYTES;

/// The way that is open everywhere.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Way for Portable {
    type Lines<'i> = Walk<'i>;

    #[inline(always)]
    fn lines(self, input: &[u8]) -> Option<(&[u8], Walk<'_>)> {
        if input.len() < BYTES_MIN {
            return None;
        }
        let mut lines = Walk { input, line: 0 };
        let end = lines.end_line(0)?;
        Some((input.get(..end)?, lines))
    }
}

/// The lines at the front of `input`.
pub(crate) struct Walk<'i> {
    input: &'i [u8],
    /// Where the next line begins.
    line: usize,
}

impl Walk<'_> {
    /// Finds the CRLF at the end of a line of whose first bytes some are known.
    #[inline(always)]
    fn end_line(&mut self, known: usize) -> Option<usize> {
        let end = known + bytes_of_value(self.input.get(known..)?);
        self.line = end + 2;
        self.input.get(end..)?.starts_with(b"\r\n").then_some(end)
    }
}

impl<'i> Lines<'i> for Walk<'i> {
    #[inline(always)]
    fn next(&mut self) -> Option<Line<'i>> {
        let (input, start) = (self.input, self.line);
        let colon = start + front_of(input.get(start..)?, &TOKEN_BYTES);
        if colon == start || input.get(colon) != Some(&b':') {
            let is_end = input.get(start..)?.starts_with(b"\r\n");
            return is_end.then_some(Line::End(start + 2));
        }
        let end = self.end_line(colon + 1)?;
        // SAFETY: the name has a byte and is followed by a colon, from where a CRLF was searched and
        // found. All bytes of a token are ASCII.
        Some(Line::Field(unsafe { field(input, start, colon, end) }))
    }
}

/// How many bytes at the front of `bytes` are in `table`.
#[inline(always)]
pub(crate) fn front_of(bytes: &[u8], table: &[bool; 256]) -> usize {
    let is_in = |byte: u8| table[usize::from(byte)];
    let (fours, _) = bytes.as_chunks();
    let fours = fours.iter().take_while(|&&[a, b, c, d]| is_in(a) & is_in(b) & is_in(c) & is_in(d));
    let mut count = 4 * fours.count();
    while let Some(&byte) = bytes.get(count)
        && is_in(byte)
    {
        count += 1;
    }
    count
}

/// How many bytes at the front of `bytes` a value may hold.
#[inline(always)]
fn bytes_of_value(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match first_control(u64::from_le_bytes(eight)) {
            None => at += 8,
            Some(control) => {
                at += control;
                if bytes[at] != b'\t' {
                    return at;
                }
                at += 1;
            }
        }
    }
    let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    at + bytes[at..].iter().take_while(|byte| is_value(byte)).count()
}

/// Which of eight bytes, the lowest first, is the first control byte.
#[inline(always)]
fn first_control(eight: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    // Each difference sets the highest bit of a byte that is less, if it was not set before. What a
    // byte borrows from the next only ever makes one that is behind the first found be found too.
    let low = eight.wrapping_sub(ONES * 0x20) & !eight;
    let delete = eight ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    let found = (low | delete) & HIGH;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}
