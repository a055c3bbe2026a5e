//! The chunked transfer coding (RFC 9112 §7.1), decoded in place.
//!
//! ```text
//! chunked-body = *chunk last-chunk trailer-section CRLF
//! chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-size   = 1*HEXDIG                                      here at most 16
//! last-chunk   = 1*"0" [ chunk-ext ] CRLF
//! chunk-ext    = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//! ```
//! | state | byte | next |
//! |---|---|---|
//! | Size | hex digit | Size |
//! | Size | CR, space or tab, `;` | SizeLf, BeforeSemicolon, BeforeName |
//! | BeforeSemicolon | space or tab, `;` | BeforeSemicolon, BeforeName |
//! | BeforeName | space or tab, token | BeforeName, Name |
//! | Name | token, `=`, space or tab, `;`, CR | Name, BeforeValue, AfterName, BeforeName, SizeLf |
//! | AfterName | space or tab, `=`, `;` | AfterName, BeforeValue, BeforeName |
//! | BeforeValue | space or tab, `"`, token | BeforeValue, Quoted, Value |
//! | Value | token, `;`, space or tab, CR | Value, BeforeName, BeforeSemicolon, SizeLf |
//! | Quoted | `"`, `\`, other | AfterQuoted, Escaped, Quoted |
//! | Escaped | any | Quoted |
//! | AfterQuoted | `;`, space or tab, CR | BeforeName, BeforeSemicolon, SizeLf |
//! | SizeLf | LF | Data, or TrailerStart if the size is 0 |
//! | Data | so many bytes | DataCr |
//! | DataCr, DataLf | CR, LF | DataLf, Size |
//! | TrailerStart | CR, token | EndLf, TrailerName |
//! | TrailerName | token, `:` | TrailerName, TrailerValue |
//! | TrailerValue | value byte, CR | TrailerValue, TrailerLf |
//! | TrailerLf | LF | TrailerStart |
//! | EndLf | LF | done |
//!
//! Any other byte is a refusal: every CR has its LF, white space stands around `;` and `=` only
//! (RFC 9110 §5.6.3), and never before a size or a CR (policy: some take it for part of the size).
//! Trailer fields are parsed and dropped (RFC 9112 §7.1.2). Framing is paid from an allowance that data earns: without it a
//! peer could send 20 bytes of framing for each byte of data, forever.

use super::framing::{is_token_byte, is_value_byte};
use super::{BodyStep, Limits};
use crate::Refusal;

/// Digits of a chunk size, leading zeros included: none can overflow (RFC 9112 §7.1), and zeros
/// are no way to send without end (policy).
const DIGITS_MAX: u8 = 16;

/// Bytes of framing a body may have before any data, and the most it can save up (policy, which
/// RFC 9112 §7.1.1 asks for).
const ALLOWANCE_BYTES: u16 = 16 * 1024;

/// Bytes of framing each byte of data pays for. Chunks of one byte need five.
const ALLOWANCE_PER_BYTE: usize = 8;

/// A chunked body being decoded. Plain data, 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    /// The size being read, or the bytes left of the chunk.
    left: u64,
    /// Bytes of data that the limit still allows.
    room: u64,
    /// Bytes of framing still allowed.
    allowance: u16,
    /// Bytes of this chunk's extensions, or of the trailer section.
    extra: u16,
    /// Digits of the size read so far.
    digits: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    BeforeSemicolon,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Chunked {
    pub(super) fn new(body_bytes: u64) -> Self {
        Self {
            left: 0,
            room: body_bytes,
            allowance: ALLOWANCE_BYTES,
            extra: 0,
            digits: 0,
            state: State::Size,
        }
    }

    /// See [`Body::advance`](super::Body::advance).
    pub(super) fn advance<'b>(
        &mut self,
        input: &'b [u8],
        limits: &Limits,
    ) -> Result<BodyStep<'b>, Refusal> {
        let mut consumed = 0;
        loop {
            if self.state == State::Data {
                return Ok(self.data(input, consumed));
            }
            let Some(&byte) = input.get(consumed) else {
                return Ok(BodyStep::NeedMore { consumed });
            };
            consumed += 1;
            let end = self.state == State::EndLf;
            self.state = match self.state {
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf => self.trailer(byte, limits)?,
                _ => self.line(byte, limits)?,
            };
            if end {
                return Ok(BodyStep::Done { consumed });
            }
        }
    }

    /// Takes what is there of the chunk's data.
    #[inline]
    fn data<'b>(&mut self, input: &'b [u8], framing: usize) -> BodyStep<'b> {
        let available = &input[framing..];
        let take = available.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if take == 0 {
            return BodyStep::NeedMore { consumed: framing };
        }
        self.left -= take as u64;
        let earned = take.min(usize::from(ALLOWANCE_BYTES)) * ALLOWANCE_PER_BYTE;
        let saved = usize::from(self.allowance) + earned;
        self.allowance = saved.min(usize::from(ALLOWANCE_BYTES)) as u16;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        BodyStep::Data { data: &available[..take], consumed: framing + take }
    }

    /// One byte of a chunk's framing.
    #[inline]
    fn line(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        self.allowance = self.allowance.checked_sub(1).ok_or(Refusal::ChunkOverhead)?;
        match (self.state, byte) {
            (State::Size, b'0'..=b'9') => self.digit(byte - b'0'),
            (State::Size, b'a'..=b'f' | b'A'..=b'F') => self.digit((byte | 0x20) - b'a' + 10),
            (State::Size, b'\r' | b';' | b' ' | b'\t') if self.digits != 0 => {
                self.digits = 0;
                self.extra = 0;
                match byte {
                    b'\r' => Ok(State::SizeLf),
                    b';' => Ok(State::BeforeName),
                    _ => Ok(State::BeforeSemicolon),
                }
            }
            (State::Size, _) => Err(Refusal::ChunkSize),
            (State::SizeLf, b'\n') => self.begin_data(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::SizeLf, _) => Err(Refusal::ChunkLineEnd),
            (State::DataCr | State::DataLf, _) => Err(Refusal::ChunkEnd),
            (state, byte) => {
                if self.extra == limits.chunk_extension_bytes {
                    return Err(Refusal::ChunkExtensionTooLong);
                }
                self.extra += 1;
                extension(state, byte).ok_or(Refusal::ChunkExtension)
            }
        }
    }

    #[inline]
    fn digit(&mut self, digit: u8) -> Result<State, Refusal> {
        if self.digits == DIGITS_MAX {
            return Err(Refusal::ChunkSize);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    #[inline]
    fn begin_data(&mut self) -> Result<State, Refusal> {
        if self.left == 0 {
            self.extra = 0;
            return Ok(State::TrailerStart);
        }
        // Refused before the chunk's first byte is handed out, not after its last that fits.
        self.room = self.room.checked_sub(self.left).ok_or(Refusal::BodyTooLarge)?;
        Ok(State::Data)
    }

    /// One byte of the trailer section: `*( field-line CRLF ) CRLF`.
    fn trailer(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => return Ok(State::EndLf),
            (State::EndLf, b'\n') => return Ok(State::EndLf),
            (State::EndLf, _) => return Err(Refusal::ChunkLineEnd),
            _ => {}
        }
        if self.extra == limits.trailer_bytes {
            return Err(Refusal::TrailersTooLarge);
        }
        self.extra += 1;
        match (self.state, byte) {
            (State::TrailerStart | State::TrailerName, byte) if is_token_byte(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, byte) if is_value_byte(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::TrailerLf, _) => Err(Refusal::ChunkLineEnd),
            _ => Err(Refusal::TrailerField),
        }
    }
}

/// One byte of a chunk extension.
fn extension(state: State, byte: u8) -> Option<State> {
    let blank = matches!(byte, b' ' | b'\t');
    let token = is_token_byte(byte);
    match (state, byte) {
        (State::BeforeSemicolon | State::AfterName | State::Name, b';') => Some(State::BeforeName),
        (State::Value | State::AfterQuoted, b';') => Some(State::BeforeName),
        (State::BeforeSemicolon, _) if blank => Some(State::BeforeSemicolon),
        (State::BeforeName, _) if blank => Some(State::BeforeName),
        (State::BeforeName | State::Name, _) if token => Some(State::Name),
        (State::Name | State::AfterName, b'=') => Some(State::BeforeValue),
        (State::Name | State::AfterName, _) if blank => Some(State::AfterName),
        (State::BeforeValue, _) if blank => Some(State::BeforeValue),
        (State::BeforeValue, b'"') => Some(State::Quoted),
        (State::BeforeValue | State::Value, _) if token => Some(State::Value),
        (State::Value | State::AfterQuoted, _) if blank => Some(State::BeforeSemicolon),
        (State::Name | State::Value | State::AfterQuoted, b'\r') => Some(State::SizeLf),
        (State::Quoted, b'"') => Some(State::AfterQuoted),
        (State::Quoted, b'\\') => Some(State::Escaped),
        (State::Quoted | State::Escaped, _) if is_value_byte(byte) => Some(State::Quoted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, BodyKind};
    use super::*;

    /// The data, or the refusal, of a chunked body fed `step` bytes at a time.
    fn decode(input: &[u8], step: usize, limits: &Limits) -> Result<(Vec<u8>, bool), Refusal> {
        let mut body = Body::new(BodyKind::Chunked, limits);
        let mut out = Vec::new();
        for piece in input.chunks(step) {
            let mut rest = piece;
            loop {
                let step = body.advance(rest, limits)?;
                rest = &rest[step.consumed()..];
                match step {
                    BodyStep::Data { data, .. } => out.extend_from_slice(data),
                    BodyStep::NeedMore { .. } => break,
                    BodyStep::Done { .. } => return Ok((out, true)),
                }
            }
        }
        Ok((out, false))
    }

    fn check(input: &str, limits: &Limits, expect: Result<(&str, bool), Refusal>) {
        for step in [1, 2, 3, 5, 7, input.len()] {
            let got = decode(input.as_bytes(), step, limits);
            let expect = expect.map(|(data, done)| (data.as_bytes().to_vec(), done));
            assert_eq!(got, expect, "by {step}");
        }
    }

    #[test]
    fn the_state_fits_in_its_size() {
        assert_eq!(size_of::<Chunked>(), 24);
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let limits = Limits {
            body_bytes: 4,
            chunk_extension_bytes: 4,
            trailer_bytes: 6,
            ..Limits::default()
        };
        check("4\r\nabcd\r\n0\r\n\r\n", &limits, Ok(("abcd", true)));
        check("2\r\nab\r\n3\r\n", &limits, Err(Refusal::BodyTooLarge));
        check("FFFFFFFFFFFFFFFF\r\n", &limits, Err(Refusal::BodyTooLarge));
        check("4;abc\r\nabcd\r\n0\r\n\r\n", &limits, Ok(("abcd", true)));
        check("4;abcd\r\n", &limits, Err(Refusal::ChunkExtensionTooLong));
        check("0\r\nA:bc\r\n\r\n", &limits, Ok(("", true)));
        check("0\r\nA:bcd\r\n\r\n", &limits, Err(Refusal::TrailersTooLarge));
    }

    #[test]
    fn framing_may_not_outweigh_data() {
        let limits = Limits::default();
        let small = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(10_000));
        check(&small, &limits, Ok((&"x".repeat(10_000), true)));
        let zeros = "0000000000000001\r\nx\r\n".repeat(2000);
        let got = decode(zeros.as_bytes(), zeros.len(), &limits);
        assert_eq!(got, Err(Refusal::ChunkOverhead));
        assert_eq!(decode(zeros.as_bytes(), 1, &limits), Err(Refusal::ChunkOverhead));
    }
}
