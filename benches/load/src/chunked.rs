//! The chunked transfer coding (RFC 9112, section 7.1), as far as a client that only counts needs it.

/// Where a chunked body ends, found piece by piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chunked {
    /// In the hexadecimal size; the digits so far.
    Size { value: u64, digits: u8 },
    /// In a chunk extension, which is skipped.
    Extension { value: u64 },
    /// At the line feed that ends the size line.
    SizeEnd { value: u64 },
    /// In chunk data; the bytes still to come.
    Data { left: u64 },
    /// At the carriage return after chunk data.
    DataReturn,
    /// At the line feed after chunk data.
    DataEnd,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
    /// At the line feed that ends the trailer section.
    LastEnd,
}

/// The body is not valid chunked coding.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Invalid;

impl Chunked {
    pub(crate) const START: Self = Self::Size { value: 0, digits: 0 };

    /// Reads from the front of `input`, giving chunk data to `data`: how many bytes were read, and
    /// whether the body ended with them.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Invalid> {
        let mut at = 0;
        while at < input.len() {
            if let Self::Data { left } = *self {
                let here = left.min((input.len() - at) as u64);
                // `here` is at most a slice's length, so it fits.
                data(&input[at..at + here as usize]);
                at += here as usize;
                *self =
                    if here == left { Self::DataReturn } else { Self::Data { left: left - here } };
                continue;
            }
            let byte = input[at];
            at += 1;
            match self.next(byte)? {
                Some(next) => *self = next,
                None => return Ok((at, true)),
            }
        }
        Ok((at, false))
    }

    /// The state after one byte of framing; `None` after the last.
    fn next(self, byte: u8) -> Result<Option<Self>, Invalid> {
        let next = match (self, byte) {
            (Self::Size { digits: 1.., value }, b'\r') => Self::SizeEnd { value },
            (Self::Size { digits: 1.., value }, b';' | b' ' | b'\t') => Self::Extension { value },
            (Self::Size { value, digits }, _) => {
                let digit = (byte as char).to_digit(16).ok_or(Invalid)?;
                if digits == 16 {
                    return Err(Invalid);
                }
                Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Extension { value }, b'\r') => Self::SizeEnd { value },
            (Self::Extension { .. }, b'\n') => return Err(Invalid),
            (Self::Extension { value }, _) => Self::Extension { value },
            (Self::SizeEnd { value: 0 }, b'\n') => Self::TrailerStart,
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::TrailerStart, b'\r') => Self::LastEnd,
            (Self::TrailerStart | Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (Self::LastEnd, b'\n') => return Ok(None),
            _ => return Err(Invalid),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(wire: &[u8], cut: usize) -> Result<(Vec<u8>, usize), Invalid> {
        let (mut body, mut read, mut state) = (Vec::new(), 0, Chunked::START);
        for piece in wire.chunks(cut) {
            let (used, ended) = state.read(piece, |data| body.extend_from_slice(data))?;
            read += used;
            if ended {
                return Ok((body, read));
            }
        }
        Err(Invalid)
    }

    #[test]
    fn every_cut_finds_the_same_end() {
        let wire = b"5;a=b\r\nhello\r\n00b \r\n, the world\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1";
        for cut in 1..wire.len() {
            let (body, read) = decode(wire, cut).unwrap();
            assert_eq!((body.as_slice(), read), (&b"hello, the world"[..], wire.len() - 8));
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        for wire in [
            &b"\r\n"[..],
            b"g\r\n",
            b"5\nhello",
            b"5\r\nhello0\r\n",
            b"11111111111111111\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
        ] {
            assert_eq!(decode(wire, 64), Err(Invalid), "{}", wire.escape_ascii());
        }
    }
}
