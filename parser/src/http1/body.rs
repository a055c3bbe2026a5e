//! Message bodies: how their end is found, and the machine that finds it.

use super::Limits;
use super::chunked::Chunked;
use crate::Refusal;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// There is no body, or one of length 0.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// All until the connection closes: responses only.
    UntilClose,
}

/// One body being received: plain data, 24 bytes. The default is a body that is done.
///
/// ```
/// use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits};
///
/// let limits = Limits::default();
/// let mut body = Body::new(BodyKind::Chunked, &limits);
/// let mut input = &b"3\r\nabc\r\n0\r\n\r\nGET /"[..];
///
/// let step = body.advance(input, &limits).unwrap();
/// assert_eq!(step, BodyStep::Data { data: b"abc", consumed: 6 });
/// input = &input[step.consumed()..];
/// assert_eq!(body.advance(input, &limits).unwrap(), BodyStep::Done { consumed: 7 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Done,
    Length {
        left: u64,
    },
    Chunked(Chunked),
    UntilClose,
}

/// What one call found. `consumed` counts the bytes at the front of the input that the body has
/// taken, framing and data, and that must not be shown to it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep<'b> {
    /// The next bytes of the body, at least one. There may be more in the same input.
    Data {
        /// The bytes, in place; they are the last of those consumed.
        data: &'b [u8],
        /// See above.
        consumed: usize,
    },
    /// The input is used up, and the body is not complete.
    NeedMore {
        /// See above: all of the input.
        consumed: usize,
    },
    /// The body is complete; what follows belongs to the next message.
    Done {
        /// See above.
        consumed: usize,
    },
}

impl BodyStep<'_> {
    /// The bytes to drop from the front of the input.
    #[inline]
    pub fn consumed(&self) -> usize {
        match *self {
            BodyStep::Data { consumed, .. }
            | BodyStep::NeedMore { consumed }
            | BodyStep::Done { consumed } => consumed,
        }
    }
}

impl Body {
    /// The body that follows a head.
    #[inline]
    pub fn new(kind: BodyKind, limits: &Limits) -> Self {
        let state = match kind {
            BodyKind::None | BodyKind::Length(0) => State::Done,
            BodyKind::Length(left) => State::Length { left },
            BodyKind::Chunked => State::Chunked(Chunked::new(limits.body_bytes)),
            BodyKind::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether nothing more belongs to this body.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The bytes of data still to come, where they are known: not for chunks.
    #[inline]
    pub fn bytes_left(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length { left } => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// Takes the next piece of the body from the front of `input`. Call until it is
    /// [`BodyStep::NeedMore`] or [`BodyStep::Done`]; how the input is cut changes how the data
    /// is cut, never the data.
    ///
    /// Cost: constant for data, whatever its size; about a nanosecond for each byte of chunk
    /// framing.
    ///
    /// # Errors
    /// A [`Refusal`] of the chunked framing, or a body or its framing above a limit. The
    /// connection is then of no further use, nor is this body.
    #[inline]
    pub fn advance<'b>(
        &mut self,
        input: &'b [u8],
        limits: &Limits,
    ) -> Result<BodyStep<'b>, Refusal> {
        match &mut self.state {
            State::Done => Ok(BodyStep::Done { consumed: 0 }),
            State::Length { left } => {
                let take = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(data_or_more(&input[..take]))
            }
            State::Chunked(chunked) => {
                let step = chunked.advance(input, limits)?;
                if let BodyStep::Done { .. } = step {
                    self.state = State::Done;
                }
                Ok(step)
            }
            State::UntilClose => Ok(data_or_more(input)),
        }
    }
}

#[inline]
fn data_or_more(data: &[u8]) -> BodyStep<'_> {
    match data.len() {
        0 => BodyStep::NeedMore { consumed: 0 },
        consumed => BodyStep::Data { data, consumed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small() {
        assert_eq!(size_of::<Body>(), 24);
    }

    #[test]
    fn a_length_takes_exactly_its_bytes() {
        let limits = Limits::default();
        let mut body = Body::new(BodyKind::Length(5), &limits);
        assert_eq!(body.advance(b"", &limits), Ok(BodyStep::NeedMore { consumed: 0 }));
        let step = BodyStep::Data { data: b"abc", consumed: 3 };
        assert_eq!(body.advance(b"abc", &limits), Ok(step));
        assert_eq!(body.bytes_left(), Some(2));
        let step = BodyStep::Data { data: b"de", consumed: 2 };
        assert_eq!(body.advance(b"deGET", &limits), Ok(step));
        assert!(body.is_done());
        assert_eq!(body.advance(b"GET", &limits), Ok(BodyStep::Done { consumed: 0 }));
    }

    #[test]
    fn until_close_takes_everything() {
        let limits = Limits::default();
        let mut body = Body::new(BodyKind::UntilClose, &limits);
        let step = BodyStep::Data { data: b"abc", consumed: 3 };
        assert_eq!(body.advance(b"abc", &limits), Ok(step));
        assert_eq!(body.advance(b"", &limits), Ok(BodyStep::NeedMore { consumed: 0 }));
        assert!(!body.is_done());
    }
}
