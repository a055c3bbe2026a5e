//! The messages: lines that say who sent them and when they are due in order.
//!
//! A letter for the sender, eight for the sequence number, filler, and LF. Nothing in it but the end
//! is LF, so the length of a line is seen at one place.

/// The usual length.
pub(crate) const LINE_BYTES: usize = 64;
/// The length under which buffers fill sooner.
pub(crate) const LONG_LINE_BYTES: usize = 1024;
/// There are as many letters.
pub(crate) const SENDER_COUNT_MAX: usize = 26;

const HEAD_BYTES: usize = 9;
const FILLER: [u8; LONG_LINE_BYTES] = filler();

const fn filler() -> [u8; LONG_LINE_BYTES] {
    let mut bytes = [0; LONG_LINE_BYTES];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = b'a' + (index % 26) as u8;
        index += 1;
    }
    bytes
}

/// Writes line `sequence` of `sender`, as long as `line` is.
pub(crate) fn write(line: &mut [u8], sender: usize, sequence: u32) {
    let end = line.len() - 1;
    line[0] = b'A' + sender as u8;
    // Four bits in each byte, behind '@'.
    let mut wide = u64::from(sequence);
    wide = (wide | wide << 16) & 0x0000_FFFF_0000_FFFF;
    wide = (wide | wide << 8) & 0x00FF_00FF_00FF_00FF;
    wide = (wide | wide << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    line[1..HEAD_BYTES].copy_from_slice(&(wide | 0x4040_4040_4040_4040).to_be_bytes());
    line[HEAD_BYTES..end].copy_from_slice(&FILLER[HEAD_BYTES..end]);
    line[end] = b'\n';
}

/// Sender and sequence number; `None` if any byte is not what it must be.
pub(crate) fn read(line: &[u8]) -> Option<(usize, u32)> {
    if line.len() != LINE_BYTES && line.len() != LONG_LINE_BYTES {
        return None;
    }
    let end = line.len() - 1;
    let sender = usize::from(line[0].wrapping_sub(b'A'));
    let wide = u64::from_be_bytes(line[1..HEAD_BYTES].try_into().ok()?);
    let right = wide & 0xF0F0_F0F0_F0F0_F0F0 == 0x4040_4040_4040_4040
        && sender < SENDER_COUNT_MAX
        && line[HEAD_BYTES..end] == FILLER[HEAD_BYTES..end]
        && line[end] == b'\n';
    let mut narrow = wide & 0x0F0F_0F0F_0F0F_0F0F;
    narrow = (narrow | narrow >> 4) & 0x00FF_00FF_00FF_00FF;
    narrow = (narrow | narrow >> 8) & 0x0000_FFFF_0000_FFFF;
    narrow |= narrow >> 16;
    right.then_some((sender, narrow as u32))
}

/// Cuts a stream that arrives in pieces into lines.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// The beginning of a line that has not arrived whole.
    held: Vec<u8>,
}

impl Cutter {
    /// Calls `take` with every line that is whole now, its end included. A line without an end
    /// comes in pieces that are longer than any line, so that it is noticed.
    pub(crate) fn feed(&mut self, mut arrived: &[u8], mut take: impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            let (rest, next) = arrived.split_at(search_end(arrived).unwrap_or(arrived.len()));
            self.held.extend_from_slice(rest);
            arrived = next;
            if self.held.last() != Some(&b'\n') && self.held.len() <= LONG_LINE_BYTES {
                return;
            }
            take(&self.held);
            self.held.clear();
        }
        while let Some(end) = line_end(arrived) {
            take(&arrived[..end]);
            arrived = &arrived[end..];
        }
        self.held.extend_from_slice(arrived);
    }
}

/// Where the line at the beginning ends. Right ones have one of two lengths.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let ends = |length: &usize| bytes.get(length - 1) == Some(&b'\n');
    [LINE_BYTES, LONG_LINE_BYTES].into_iter().find(ends).or_else(|| search_end(bytes))
}

/// Where the first line ends, of whatever length.
fn search_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize, sender: usize, sequence: u32) -> Vec<u8> {
        let mut line = vec![0; length];
        write(&mut line, sender, sequence);
        line
    }

    #[test]
    fn what_is_written_is_read_and_any_changed_byte_is_noticed() {
        for length in [LINE_BYTES, LONG_LINE_BYTES] {
            for (sender, sequence) in [(0, 0), (7, 1), (25, u32::MAX), (3, 0x1234_5678)] {
                let mut line = line(length, sender, sequence);
                assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(length - 1));
                assert_eq!(read(&line), Some((sender, sequence)));
                for index in 0..length {
                    line[index] ^= 0x80;
                    assert_eq!(read(&line), None, "byte {index}");
                    line[index] ^= 0x80;
                }
                assert_eq!(read(&line[..length - 1]), None);
            }
        }
    }

    #[test]
    fn a_stream_is_cut_into_the_same_lines_however_it_arrives() {
        let lines: Vec<_> = (0..40)
            .map(|index| line([LINE_BYTES, LONG_LINE_BYTES][usize::from(index % 7 == 0)], 1, index))
            .collect();
        let stream = lines.concat();
        for piece in [1, 9, 63, 64, 65, 640, 1024, 5000, stream.len()] {
            let (mut cutter, mut seen) = (Cutter::default(), Vec::new());
            for arrived in stream.chunks(piece) {
                cutter.feed(arrived, |line| seen.push(line.to_vec()));
            }
            assert!(seen == lines, "in pieces of {piece}");
        }
    }

    #[test]
    fn lines_of_a_wrong_length_or_without_an_end_are_noticed() {
        for stream in [&b"a\n"[..], b"\n", &[b'a'; 200], &[b'a'; 20_000]] {
            let (mut cutter, mut wrong) = (Cutter::default(), 0);
            let mut take = |line: &[u8]| wrong += u32::from(read(line).is_none());
            cutter.feed(stream, &mut take);
            cutter.feed(&line(LINE_BYTES, 0, 0), &mut take);
            assert!(wrong > 0, "{}", stream.len());
        }
    }
}
