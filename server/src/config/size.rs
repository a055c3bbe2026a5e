//! Sizes as text.

/// Reads a number of bytes: `4096`, `64K`, `512M`, `2G` (powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: usize =
        number.parse().map_err(|_| "expected a size such as 4096, 64K, 512M or 2G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is out of range"))
}

/// The shortest text that [`bytes`] reads as this number.
pub(crate) fn text(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}G", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64K"), Ok(65_536));
        assert_eq!(bytes("2g"), Ok(2 << 30));
        for text in ["", "K", "-1", "1T", "99999999999999999999", "9999999999999G", "é", "5é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_read_as_what_they_were() {
        for (size, expected) in
            [(0, "0"), (1, "1"), (1025, "1025"), (65_536, "64K"), (3 << 20, "3M"), (2 << 30, "2G")]
        {
            assert_eq!(text(size), expected);
            assert_eq!(bytes(expected), Ok(size as usize));
        }
    }
}
