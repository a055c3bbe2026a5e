//! Where a head ends, found in linear time however the head arrives.
//!
//! A tokenizer that is restarted whenever a byte arrives reads an 8 KB head 8,000 times. So the
//! tokenizer runs once when the first bytes are there (most heads arrive whole, and this search
//! is then never used), and only a head that turned out incomplete is searched: for the next
//! CR or LF, from where the last search stopped. A byte is looked at once or twice in all.
//!
//! Looking at each line end rather than for `CRLF CRLF` costs nothing more and refuses a bare CR
//! or LF and an overlong line when they arrive instead of when the head is complete.

use memchr::memchr2;

use super::Limits;
use crate::Refusal;

/// Empty lines accepted before a request line (RFC 9112 §2.2 asks for "at least one").
pub const EMPTY_LINES_MAX: usize = 4;

/// How far the search for the end of a head has come. Plain data, 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadScan {
    /// Bytes of the input already searched.
    scanned: u32,
    /// Where the line that is still open begins; 0 as long as that is the first.
    line_start: u32,
}

/// A fault the search found, and the number of bytes before it: a fault that the tokenizer finds
/// earlier in the head goes first, so that the verdict does not depend on how the head was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) refusal: Refusal,
    pub(crate) at: usize,
}

impl HeadScan {
    /// A search that has not begun.
    pub const fn new() -> Self {
        Self { scanned: 0, line_start: 0 }
    }

    /// Bytes searched so far; 0 means never started.
    #[inline]
    pub fn scanned(&self) -> usize {
        self.scanned as usize
    }

    /// Whether the first line, which starts at `begin`, is still open.
    pub(crate) fn is_in_first_line(&self, begin: usize) -> bool {
        self.line_start as usize <= begin
    }

    /// Searches what `input` holds beyond the last call, and returns the length of the head once
    /// its end is there. `input` is all of the message so far, `begin` the length of the
    /// [empty lines](empty_lines) at its front.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        begin: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, Fault> {
        let mut line_start = begin.max(self.line_start as usize);
        let mut at = line_start.max(self.resume_at(input));
        #[cfg(test)]
        work::add(input.len() - at);
        while let Some(found) = memchr2(b'\r', b'\n', &input[at..]) {
            at += found;
            let limit = line_limit(line_start == begin, limits);
            if at - line_start > limit.bytes {
                return Err(limit.fault(line_start));
            }
            match (input[at], input.get(at + 1)) {
                (b'\n', _) => return Err(Fault { refusal: Refusal::BareLineFeed, at }),
                (_, None) => break,
                (_, Some(b'\n')) => {}
                (_, Some(_)) => {
                    return Err(Fault { refusal: Refusal::BareCarriageReturn, at: at + 1 });
                }
            }
            if at == line_start {
                return Ok(Some(at + 2));
            }
            at += 2;
            line_start = at;
        }
        let limit = line_limit(line_start == begin, limits);
        let open = &input[line_start..];
        if open.strip_suffix(b"\r").unwrap_or(open).len() > limit.bytes {
            return Err(limit.fault(line_start));
        }
        self.scanned = input.len() as u32;
        self.line_start = line_start as u32;
        Ok(None)
    }

    /// The first byte not yet judged: a CR at the end of the last input waits for its LF.
    fn resume_at(&self, input: &[u8]) -> usize {
        let scanned = self.scanned();
        match scanned.checked_sub(1) {
            Some(last) if input.get(last) == Some(&b'\r') => last,
            _ => scanned,
        }
    }
}

struct LineLimit {
    bytes: usize,
    refusal: Refusal,
}

impl LineLimit {
    fn fault(&self, line_start: usize) -> Fault {
        Fault { refusal: self.refusal, at: line_start + self.bytes }
    }
}

fn line_limit(first: bool, limits: &Limits) -> LineLimit {
    match first {
        true => {
            LineLimit { bytes: limits.request_line_bytes, refusal: Refusal::RequestLineTooLong }
        }
        false => LineLimit { bytes: limits.field_line_bytes, refusal: Refusal::FieldLineTooLong },
    }
}

/// The bytes that empty lines take at the front of `input`; `None` as long as nothing else is
/// there. At most [`EMPTY_LINES_MAX`] pass.
pub(crate) fn empty_lines(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut at = 0;
    loop {
        match input[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if at == EMPTY_LINES_MAX * 2 => return Err(Refusal::EmptyLines),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', ..] => return Err(Refusal::BareCarriageReturn),
            [b'\n', ..] => return Err(Refusal::BareLineFeed),
            _ => return Ok(Some(at)),
        }
    }
}

/// Counts the bytes that searches and tokenizers looked at, so that linearity can be tested by
/// work instead of time.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn add(bytes: usize) {
        BYTES.with(|sum| sum.set(sum.get() + bytes));
    }

    pub(crate) fn take() -> usize {
        BYTES.with(|sum| sum.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(input: &[u8], step: usize) -> Result<Option<usize>, Refusal> {
        let limits = Limits { request_line_bytes: 20, field_line_bytes: 10, ..Limits::default() };
        let mut scan = HeadScan::default();
        let mut end = 0;
        loop {
            end = (end + step).min(input.len());
            match scan.advance(&input[..end], 0, &limits) {
                Ok(None) if end < input.len() => {}
                other => return other.map_err(|fault| fault.refusal),
            }
        }
    }

    #[test]
    fn finds_the_end_and_the_faults_whatever_the_step() {
        for (input, expect) in [
            ("GET / HTTP/1.1\r\n\r\n", Ok(Some(18))),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\nrest", Ok(Some(24))),
            ("GET / HTTP/1.1\r\nA: b\r\n\r", Ok(None)),
            ("GET / HTTP/1.1\nA: b", Err(Refusal::BareLineFeed)),
            ("GET / HTTP/1.1\r\nA: b\r\n\n", Err(Refusal::BareLineFeed)),
            ("GET / HTTP/1.1\r\nA: b\r\r\n", Err(Refusal::BareCarriageReturn)),
            ("GET / HTTP/1.1\rA", Err(Refusal::BareCarriageReturn)),
            ("GET /3456 HTTP/1.1__\r\n\r\n", Ok(Some(24))),
            ("GET /3456 HTTP/1.1___\r\n\r\n", Err(Refusal::RequestLineTooLong)),
            ("GET /3456 HTTP/1.1___", Err(Refusal::RequestLineTooLong)),
            ("GET / HTTP/1.1\r\nA: 4567890\r\n\r\n", Ok(Some(30))),
            ("GET / HTTP/1.1\r\nA: 45678901\r\n\r\n", Err(Refusal::FieldLineTooLong)),
        ] {
            for step in 1..=input.len() {
                assert_eq!(scan(input.as_bytes(), step), expect, "{input:?} by {step}");
            }
        }
    }

    #[test]
    fn a_head_that_arrives_byte_by_byte_is_searched_once() {
        for size in [512, 2048, 8192] {
            let input = vec![b'a'; size];
            let limits = Limits { request_line_bytes: size, ..Limits::default() };
            let mut scan = HeadScan::default();
            work::take();
            for end in 1..=size {
                assert_eq!(scan.advance(&input[..end], 0, &limits), Ok(None));
            }
            assert_eq!(work::take(), size);
        }
    }

    #[test]
    fn empty_lines_are_skipped_up_to_a_limit() {
        assert_eq!(empty_lines(b"GET"), Ok(Some(0)));
        assert_eq!(empty_lines(b"\r\n\r\nGET"), Ok(Some(4)));
        assert_eq!(empty_lines(b"\r\n\r"), Ok(None));
        assert_eq!(empty_lines(b"\r\n\r\n\r\n\r\nG"), Ok(Some(8)));
        assert_eq!(empty_lines(b"\r\n\r\n\r\n\r\n\r\n"), Err(Refusal::EmptyLines));
        assert_eq!(empty_lines(b"\r\n\nG"), Err(Refusal::BareLineFeed));
        assert_eq!(empty_lines(b"\rG"), Err(Refusal::BareCarriageReturn));
    }
}
