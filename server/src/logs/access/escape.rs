//! Writing values that peers chose, so that no byte of theirs ends a value, a field or a line.

/// Bytes of a value that are written; the rest is cut off.
pub(super) const VALUE_BYTES_MAX: usize = 4096;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Where a value stands, which decides what could break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between the quotes of a line of text: quotes, backslashes and all but printable ASCII become
    /// `\xHH`, as in nginx.
    Quoted,
    /// In a line of text, outside quotes: spaces too.
    Bare,
    /// In a JSON string.
    Json,
}

/// Writes a value. Cost: for plain ASCII, a pass of eight bytes at a time, and a copy.
pub(super) fn put(out: &mut Vec<u8>, value: &[u8], place: Place) {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    match place {
        _ if is_plain(value, place) => out.extend_from_slice(value),
        Place::Quoted | Place::Bare => value.iter().for_each(|&byte| put_text(out, byte, place)),
        Place::Json => put_json(out, value),
    }
}

/// Whether no byte needs an escape: eight bytes at a time, the last eight over again.
#[inline]
fn is_plain(value: &[u8], place: Place) -> bool {
    // The first byte that passes, apart from those named.
    let first = if place == Place::Bare { b'!' } else { b' ' };
    let Some(last) = value.last_chunk() else {
        return value
            .iter()
            .all(|&byte| (first..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\'));
    };
    let words = value.as_chunks().0.iter();
    words.fold(special(last, first), |any, word| any | special(word, first)) == 0
}

/// Not 0 if one of the bytes is below `first`, above `~`, a quote or a backslash.
///
/// Borrows between bytes come from bytes that are found anyway ("Determine if a word has a byte less than
/// n", Sean Anderson, Bit Twiddling Hacks).
#[inline]
fn special(bytes: &[u8; 8], first: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(*bytes);
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    // Adding one makes 0x7F the first with its top bit set.
    (below(word, first) | is(b'"') | is(b'\\') | word | word.wrapping_add(ONES)) & TOPS
}

fn put_text(out: &mut Vec<u8>, byte: u8, place: Place) {
    match byte {
        b'"' | b'\\' => {}
        b' ' if place == Place::Quoted => return out.push(byte),
        b'!'..=b'~' => return out.push(byte),
        _ => {}
    }
    out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte)]);
}

/// Bytes that are no UTF-8 become U+FFFD.
#[cold]
fn put_json(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..b' ' | 0x7f => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[hex(byte >> 4), hex(byte)]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn hex(nibble: u8) -> u8 {
    HEX[usize::from(nibble & 15)]
}

/// The numbers from 00 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Writes a number in decimal, two digits at a time.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        return out.push(b'0' + number as u8);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes the last three digits of a number.
pub(super) fn put_thousandths(out: &mut Vec<u8>, number: u64) {
    let digit = |place: u64| b'0' + (number / place % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &[u8], place: Place) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value, place);
        out
    }

    #[test]
    fn values() {
        let hostile = b"a\"b\\c\r\n\x00\x1b \x7f\xff\xc3\xa4";
        for (place, expect) in [
            (Place::Quoted, r#"a\x22b\x5Cc\x0D\x0A\x00\x1B \x7F\xFF\xC3\xA4"#),
            (Place::Bare, r#"a\x22b\x5Cc\x0D\x0A\x00\x1B\x20\x7F\xFF\xC3\xA4"#),
            (Place::Json, "a\\\"b\\\\c\\r\\n\\u0000\\u001B \\u007F\u{fffd}ä"),
        ] {
            assert_eq!(String::from_utf8(written(hostile, place)).unwrap(), expect, "{place:?}");
            assert_eq!(written(b"/a~!", place), b"/a~!");
            assert_eq!(written(b"", place), b"");
        }
        // Wherever the byte stands in a value of any length, it is found.
        for length in 1..50 {
            for at in 0..length {
                let mut value = vec![b'x'; length];
                assert_eq!(written(&value, Place::Bare), value);
                value[at] = b'"';
                assert_eq!(written(&value, Place::Quoted).len(), length + 3);
                value[at] = b' ';
                assert_eq!(written(&value, Place::Bare).len(), length + 3);
                assert_eq!(written(&value, Place::Json).len(), length);
                for byte in 0..=255_u8 {
                    value[at] = byte;
                    let plain = matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
                    assert_eq!(is_plain(&value, Place::Bare), plain, "{byte} at {at} of {length}");
                    let plain = plain || byte == b' ';
                    assert_eq!(is_plain(&value, Place::Json), plain, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(written(&[b'x'; 5000], Place::Quoted).len(), VALUE_BYTES_MAX);
        // A character cut in two is no character.
        let long = "ä".repeat(5000);
        let cut = written(&long.as_bytes()[1..], Place::Json);
        assert!(String::from_utf8(cut).unwrap().ends_with("ä\u{fffd}"));
    }

    #[test]
    fn no_byte_breaks_a_line_or_leaves_its_place() {
        for byte in 0..=255_u8 {
            for pair in [[byte, b'a'], [b'\\', byte], [byte, byte]] {
                let quoted = written(&pair, Place::Quoted);
                assert!(quoted.iter().all(|&b| (b' '..=b'~').contains(&b) && b != b'"'), "{byte}");
                assert!(written(&pair, Place::Bare).iter().all(|&b| b.is_ascii_graphic()));
                let json = [b"\"", &written(&pair, Place::Json)[..], b"\""].concat();
                assert!(!json.contains(&b'\n'));
                let read: String = serde_json::from_slice(&json).unwrap();
                assert_eq!(read, String::from_utf8_lossy(&pair));
            }
        }
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 99, 100, 101, 999, 1000, 1_000_000, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
        let mut out = Vec::new();
        put_thousandths(&mut out, 12_007);
        assert_eq!(out, b"007");
    }
}
