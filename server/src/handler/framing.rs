//! How bytes become messages, and messages bytes.

use std::ops::Range;

/// The longest encoding of a length as a varint that is accepted: five groups of seven bits.
const VARINT_BYTES_MAX: usize = 5;

/// Where a message ends in a stream of bytes. Each kind has a limit of size, in bytes; whoever sends
/// more is refused before more is kept.
///
/// What a handler writes is framed in the same way: a line gets its line feed, a prefixed message
/// its prefix.
///
/// ```
/// use corelane::handler::{Framing, Width};
///
/// let framing = Framing::prefixed(Width::U16, 64 * 1024 - 1);
/// let frame = framing.find(b"\0\x05hello\0", &mut 0)?.expect("one is whole");
/// assert_eq!((frame.message, frame.len), (2..7, 7));
/// # Ok::<(), corelane::handler::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No messages: a handler gets what has arrived, and its words are sent as they are.
    Raw,
    /// Lines that end with LF; a CR before it is not part of the message. Lines are sent with LF.
    Lines {
        /// The most bytes of a line, without its end.
        max: usize,
    },
    /// Messages that end with these bytes, of which there is at least one.
    Delimited {
        /// What stands behind each message.
        delimiter: &'static [u8],
        /// The most bytes of a message, without the delimiter.
        max: usize,
    },
    /// Messages of this many bytes each, at least one.
    Fixed {
        /// The length of each message.
        size: usize,
    },
    /// Messages behind their length in bytes, which does not count itself.
    Prefixed {
        /// How the length is written.
        width: Width,
        /// The most bytes of a message, without the length.
        max: usize,
    },
    /// [`EventHandler::is_data_complete`](super::EventHandler::is_data_complete) says where messages
    /// end. They are sent as the handler writes them.
    Custom {
        /// The most bytes of a whole message.
        max: usize,
    },
}

/// How the length before a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8,
    /// Two bytes, the higher one first.
    U16,
    /// Four bytes, the highest one first.
    U32,
    /// Groups of seven bits, the lowest one first, each but the last with the high bit set (LEB128, as
    /// in Protocol Buffers). At most five groups, and no more than are needed.
    Varint,
}

/// A message that has arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it is in the input.
    pub message: Range<usize>,
    /// How much of the input it takes, with what surrounds it.
    pub len: usize,
}

/// Bytes that are no message, or a message that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than the framing allows.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// The most bytes of a message.
        limit: usize,
    },
    /// A varint of more groups than it needs, or of more than five.
    #[error("a length that is no varint of 32 bits")]
    Varint,
    /// A message to be sent has another size than all must have.
    #[error("a message of {len} bytes where each has {size}")]
    Size {
        /// What it has.
        len: usize,
        /// What it must have.
        size: usize,
    },
    /// What a handler's own framing says.
    #[error("{0}")]
    Custom(&'static str),
}

impl Framing {
    /// Lines of at most `max` bytes.
    pub const fn lines(max: usize) -> Framing {
        Framing::Lines { max }
    }

    /// Messages of at most `max` bytes behind their length.
    pub const fn prefixed(width: Width, max: usize) -> Framing {
        Framing::Prefixed { width, max }
    }

    /// The most input that one message takes: a lane must be ready to keep that much.
    pub fn input_max(self) -> usize {
        match self {
            Framing::Raw => 1,
            Framing::Lines { max } => max.saturating_add(2),
            Framing::Delimited { delimiter, max } => max.saturating_add(delimiter.len()),
            Framing::Fixed { size } => size,
            Framing::Prefixed { max, .. } => max.saturating_add(VARINT_BYTES_MAX),
            Framing::Custom { max } => max,
        }
    }

    /// The first message of `input`, if it is whole.
    ///
    /// `searched` is how much of this input was searched before without finding an end; it is kept for
    /// the same input with more behind it, so that a message that comes byte by byte costs no more than
    /// one that comes at once.
    ///
    /// # Errors
    /// If the input begins with no message. [`Framing::Custom`] is not for here: it takes all there is.
    pub fn find(self, input: &[u8], searched: &mut usize) -> Result<Option<Frame>, FrameError> {
        match self {
            Framing::Raw | Framing::Custom { .. } if input.is_empty() => Ok(None),
            Framing::Raw | Framing::Custom { .. } => whole(0..input.len(), 0),
            Framing::Lines { max } => {
                let Some(end) = seek(input, b"\n", searched) else {
                    // The last byte may be the CR of a line that is just not too long.
                    let most = max.saturating_add(usize::from(input.last() == Some(&b'\r')));
                    return pending(input.len() <= most, max);
                };
                let text = end - usize::from(end > 0 && input[end - 1] == b'\r');
                if text > max {
                    return Err(FrameError::TooLong { limit: max });
                }
                Ok(Some(Frame { message: 0..text, len: end + 1 }))
            }
            Framing::Delimited { delimiter, max } => match seek(input, delimiter, searched) {
                Some(end) if end <= max => whole(0..end, delimiter.len()),
                Some(_) => Err(FrameError::TooLong { limit: max }),
                None => pending(input.len() < max.saturating_add(delimiter.len().max(1)), max),
            },
            Framing::Fixed { size } => {
                let size = size.max(1);
                if input.len() < size { Ok(None) } else { whole(0..size, 0) }
            }
            Framing::Prefixed { width, max } => {
                let Some((prefix, len)) = width.read(input)? else { return Ok(None) };
                if len > max {
                    return Err(FrameError::TooLong { limit: max });
                }
                let end = prefix + len;
                if input.len() < end { Ok(None) } else { whole(prefix..end, 0) }
            }
        }
    }

    /// What stands before a message of this length.
    ///
    /// # Errors
    /// If the framing has no message of this length.
    pub(super) fn head(self, len: usize) -> Result<Prefix, FrameError> {
        match self {
            Framing::Prefixed { max, .. } if len > max => Err(FrameError::TooLong { limit: max }),
            Framing::Prefixed { width, .. } => width.write(len),
            Framing::Fixed { size } if len != size.max(1) => Err(FrameError::Size { len, size }),
            _ => Ok(Prefix::default()),
        }
    }

    /// What stands behind every message.
    pub(super) fn tail(self) -> &'static [u8] {
        match self {
            Framing::Lines { .. } => b"\n",
            Framing::Delimited { delimiter, .. } => delimiter,
            _ => &[],
        }
    }
}

fn whole(message: Range<usize>, behind: usize) -> Result<Option<Frame>, FrameError> {
    let len = message.end + behind;
    Ok(Some(Frame { message, len }))
}

fn pending(fits: bool, limit: usize) -> Result<Option<Frame>, FrameError> {
    if fits { Ok(None) } else { Err(FrameError::TooLong { limit }) }
}

/// Where `delimiter` begins in `input`, of which `searched` bytes have been searched already.
fn seek(input: &[u8], delimiter: &[u8], searched: &mut usize) -> Option<usize> {
    // The end of what was searched may be the beginning of a delimiter.
    let from = searched.saturating_sub(delimiter.len().saturating_sub(1)).min(input.len());
    let found = match delimiter {
        [] => None,
        [one] => memchr::memchr(*one, &input[from..]),
        _ => memchr::memmem::find(&input[from..], delimiter),
    };
    *searched = if found.is_some() { 0 } else { input.len() };
    found.map(|at| from + at)
}

/// The encoding of a length.
#[derive(Default)]
pub(super) struct Prefix {
    bytes: [u8; VARINT_BYTES_MAX],
    len: usize,
}

impl Prefix {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn of(encoded: &[u8]) -> Prefix {
        let mut prefix = Prefix { len: encoded.len(), ..Prefix::default() };
        prefix.bytes[..encoded.len()].copy_from_slice(encoded);
        prefix
    }
}

impl Width {
    /// How long the length is and what it says, if it is whole.
    fn read(self, input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let read = match (self, input) {
            (Width::U8, [a, ..]) => (1, usize::from(*a)),
            (Width::U16, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
            (Width::U32, [a, b, c, d, ..]) => {
                let len = u32::from_be_bytes([*a, *b, *c, *d]);
                (4, usize::try_from(len).unwrap_or(usize::MAX))
            }
            (Width::Varint, _) => return varint(input),
            _ => return Ok(None),
        };
        Ok(Some(read))
    }

    fn write(self, len: usize) -> Result<Prefix, FrameError> {
        let too_long = |limit: u32| FrameError::TooLong { limit: limit as usize };
        match self {
            Width::U8 => {
                u8::try_from(len).map(|n| Prefix::of(&[n])).map_err(|_| too_long(u8::MAX.into()))
            }
            Width::U16 => u16::try_from(len)
                .map(|n| Prefix::of(&n.to_be_bytes()))
                .map_err(|_| too_long(u16::MAX.into())),
            Width::U32 | Width::Varint => {
                let mut n = u32::try_from(len).map_err(|_| too_long(u32::MAX))?;
                if self == Width::U32 {
                    return Ok(Prefix::of(&n.to_be_bytes()));
                }
                let mut prefix = Prefix::default();
                loop {
                    let more = n > 0x7f;
                    prefix.bytes[prefix.len] = (n & 0x7f) as u8 | u8::from(more) << 7;
                    prefix.len += 1;
                    n >>= 7;
                    if !more {
                        return Ok(prefix);
                    }
                }
            }
        }
    }
}

fn varint(input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut value: u64 = 0;
    for (at, byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let overlong = at > 0 && *byte == 0;
            return match u32::try_from(value) {
                Ok(value) if !overlong => Ok(Some((at + 1, value as usize))),
                _ => Err(FrameError::Varint),
            };
        }
    }
    if input.len() < VARINT_BYTES_MAX { Ok(None) } else { Err(FrameError::Varint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framings() -> Vec<Framing> {
        let mut framings = vec![
            Framing::lines(40),
            Framing::Delimited { delimiter: b"\r\n\r\n", max: 40 },
            Framing::Delimited { delimiter: b"aab", max: 40 },
            Framing::Fixed { size: 7 },
        ];
        let widths = [Width::U8, Width::U16, Width::U32, Width::Varint];
        framings.extend(widths.map(|width| Framing::prefixed(width, 200)));
        framings
    }

    fn encoded(framing: Framing, message: &[u8]) -> Vec<u8> {
        let mut bytes = framing.head(message.len()).unwrap().as_slice().to_vec();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(framing.tail());
        bytes
    }

    /// All messages of a stream that comes in pieces of these sizes.
    fn taken(framing: Framing, stream: &[u8], pieces: &[usize]) -> Vec<Vec<u8>> {
        let (mut messages, mut input, mut searched) = (Vec::new(), Vec::new(), 0);
        let mut rest = stream;
        for piece in pieces.iter().copied().chain(std::iter::repeat(1)) {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            input.extend_from_slice(now);
            while let Some(frame) = framing.find(&input, &mut searched).unwrap() {
                messages.push(input[frame.message].to_vec());
                input.drain(..frame.len);
            }
            rest = later;
            if rest.is_empty() {
                assert_eq!(input, b"", "left over");
                return messages;
            }
        }
        unreachable!("the pieces never end")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_however_it_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            pieces in prop::collection::vec(1usize..30, 0..20),
        ) {
            for framing in framings() {
                let messages: Vec<Vec<u8>> = messages.iter().map(|message| match framing {
                    Framing::Fixed { size } => message.iter().copied().cycle().take(size)
                        .chain(std::iter::repeat(b'x')).take(size).collect(),
                    // What would end a message early, or lose a CR at its end, is left out.
                    Framing::Lines { .. } | Framing::Delimited { .. } =>
                        message.iter().copied().filter(|b| !b"\r\nab".contains(b)).collect(),
                    _ => message.clone(),
                }).collect();
                let stream: Vec<u8> = messages.iter().flat_map(|m| encoded(framing, m)).collect();
                prop_assert_eq!(taken(framing, &stream, &pieces), messages);
            }
        }

        #[test]
        fn garbage_is_refused_or_taken_but_never_kept_beyond_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            for framing in framings() {
                if let Ok(None) = framing.find(&bytes, &mut 0) {
                    prop_assert!(bytes.len() < framing.input_max());
                }
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        let line = |n: usize, end: &str| ["x".repeat(n), end.into()].concat();
        let lines = Framing::lines(5);
        for end in ["\n", "\r\n"] {
            assert!(lines.find(line(5, end).as_bytes(), &mut 0).unwrap().is_some());
            let error = lines.find(line(6, end).as_bytes(), &mut 0);
            assert_eq!(error, Err(FrameError::TooLong { limit: 5 }));
        }
        assert_eq!(lines.find(b"xxxxx\r", &mut 0), Ok(None));
        assert!(lines.find(b"xxxxxx", &mut 0).is_err());
        let prefixed = Framing::prefixed(Width::U32, 5);
        assert!(prefixed.find(&[0, 0, 0, 6], &mut 0).is_err(), "before a byte of it has come");
        assert!(Framing::prefixed(Width::U8, 300).head(256).is_err());
        assert!(Framing::Fixed { size: 3 }.head(2).is_err());
    }

    #[test]
    fn a_delimiter_of_no_bytes_ends_nothing() {
        let framing = Framing::Delimited { delimiter: b"", max: 3 };
        assert_eq!(framing.find(b"", &mut 0), Ok(None));
        assert_eq!(framing.find(b"abcd", &mut 0), Err(FrameError::TooLong { limit: 3 }));
    }

    #[test]
    fn varints_have_one_form() {
        for n in [0usize, 1, 127, 128, 16_383, 16_384, u32::MAX as usize] {
            let prefix = Width::Varint.write(n).unwrap();
            let len = prefix.as_slice().len();
            assert_eq!(varint(prefix.as_slice()), Ok(Some((len, n))));
            assert_eq!(varint(&prefix.as_slice()[..len - 1]), Ok(None));
        }
        for wrong in [&[0x80, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x10], &[0x80; 5]] {
            assert_eq!(varint(wrong), Err(FrameError::Varint), "{wrong:?}");
        }
    }
}
