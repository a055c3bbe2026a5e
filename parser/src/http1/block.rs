//! Fields of a response, kept as they will stand on the wire.

use super::encode::{self, EncodeError};
use super::framing::{is_token, is_value_byte};
use super::head::Field;

/// The room that the first field makes, in bytes.
const FIRST: usize = 256;

/// Response fields, rendered and checked as they are added, so that writing them into a head is one
/// copy. Whatever framing needs (Content-Length, Connection, Date, …) is not among them: the encoder
/// writes that.
///
/// Looking a field up walks the lines: made for the handful of fields that a response has. The first
/// field makes room for several.
///
/// ```
/// use corelane_parser::http1::FieldBlock;
///
/// let mut fields = FieldBlock::new();
/// fields.add("Content-Type", b"text/html")?;
/// fields.set("content-type", b"text/plain")?;
/// assert_eq!(fields.as_bytes(), b"content-type: text/plain\r\n");
/// assert!(fields.add("X", b"a\r\nInjected: b").is_err());
/// assert_eq!(fields.get("Content-Type"), Some(&b"text/plain"[..]));
/// # Ok::<(), corelane_parser::http1::encode::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldBlock {
    /// INVARIANT: whole lines, `Name: value` and CRLF, each a valid field that is not reserved.
    lines: Vec<u8>,
}

impl FieldBlock {
    /// No fields. Allocates with the first one.
    pub const fn new() -> FieldBlock {
        FieldBlock { lines: Vec::new() }
    }

    /// Adds a field behind the others, also if there is one of that name.
    ///
    /// # Errors
    /// If the name is not a token or belongs to the encoder, or the value holds a control byte. The
    /// block is then as before.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        if !is_token(name.as_bytes()) {
            return Err(EncodeError::FieldName);
        }
        if encode::is_reserved(name.as_bytes()) {
            return Err(EncodeError::FieldReserved);
        }
        if !value.iter().fold(true, |good, &byte| good & is_value_byte(byte)) {
            return Err(EncodeError::FieldValue);
        }
        self.reserve(name.len() + value.len() + 4);
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Adds a field that was checked when the program was compiled.
    #[inline]
    pub fn add_line(&mut self, line: encode::FieldLine) {
        self.reserve(line.as_bytes().len());
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Adds all fields of another block, which were checked when they came into that.
    #[inline]
    pub fn append(&mut self, other: &FieldBlock) {
        self.reserve(other.lines.len());
        self.lines.extend_from_slice(&other.lines);
    }

    /// Puts a field in the place of all those of its name.
    ///
    /// # Errors
    /// As [`FieldBlock::add`]; the block is then as before.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        let before = self.lines.len();
        self.add(name, value)?;
        let line = self.lines.split_off(before);
        self.remove(name);
        self.lines.extend_from_slice(&line);
        Ok(())
    }

    /// Removes all fields of this name, in any case; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let mut at = 0;
        let mut found = false;
        while at < self.lines.len() {
            let line = line_bytes(&self.lines[at..]);
            if has_name(&self.lines[at..at + line], name) {
                self.lines.drain(at..at + line);
                found = true;
            } else {
                at += line;
            }
        }
        found
    }

    /// The value of the first field of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let line = self.lines().find(|line| has_name(line, name))?;
        line.get(name.len() + 2..line.len() - 2)
    }

    /// The fields as they stand on the wire, one whole line each.
    #[inline]
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.lines[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (line, after) = rest.split_at(line_bytes(rest));
            rest = after;
            Some(line)
        })
    }

    /// Whether there is a field of this name, in any case.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines().map(|line| {
            let name = name_of(line);
            let value = &line[name.len() + 2..line.len() - 2];
            // A token is ASCII.
            Field { name: std::str::from_utf8(name).unwrap_or_default(), value }
        })
    }

    /// The lines as they stand on the wire, without the empty one that ends a head.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }

    /// True if there is no field.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Makes room: at first for what most responses have, so that it need not grow with each field.
    #[inline]
    fn reserve(&mut self, bytes: usize) {
        let most = if self.lines.capacity() == 0 { FIRST } else { 0 };
        self.lines.reserve(bytes.max(most));
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.lines.clear();
    }
}

/// The length of the first line, with its CRLF. A value holds neither byte of that.
fn line_bytes(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1)
}

/// Whether this line begins with this name, in any case, and a colon.
fn has_name(line: &[u8], name: &str) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

fn name_of(line: &[u8]) -> &[u8] {
    &line[..memchr::memchr(b':', line).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::super::encode::FieldLine;
    use super::*;

    #[test]
    fn fields_of_one_name_are_found_replaced_and_removed() {
        let mut fields = FieldBlock::new();
        fields.add("Vary", b"Origin").unwrap();
        fields.add("X", b"").unwrap();
        fields.add("vary", b"Accept: Encoding").unwrap();
        fields.add_line(FieldLine::from_static("Server: corelane\r\n"));
        let seen: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        let expected: [(&str, &[u8]); 4] = [
            ("Vary", b"Origin"),
            ("X", b""),
            ("vary", b"Accept: Encoding"),
            ("Server", b"corelane"),
        ];
        assert_eq!(seen, expected);
        fields.set("VARY", b"*").unwrap();
        assert_eq!(fields.as_bytes(), b"X: \r\nServer: corelane\r\nVARY: *\r\n");
        assert!(fields.remove("x") && !fields.remove("x"));
        assert!(!fields.contains("X") && fields.contains("server"));
        let other = fields.clone();
        fields.append(&other);
        assert_eq!(fields.as_bytes(), [other.as_bytes(), other.as_bytes()].concat());
    }

    #[test]
    fn what_would_break_the_head_is_refused_and_changes_nothing() {
        let mut fields = FieldBlock::new();
        fields.add("A", b"b").unwrap();
        for (name, value, error) in [
            ("", &b"x"[..], EncodeError::FieldName),
            ("a b", b"x", EncodeError::FieldName),
            ("A", b"x\r\ny", EncodeError::FieldValue),
            ("A", b"\0", EncodeError::FieldValue),
            ("content-length", b"1", EncodeError::FieldReserved),
            ("Connection", b"close", EncodeError::FieldReserved),
        ] {
            assert_eq!(fields.add(name, value), Err(error));
            assert_eq!(fields.set(name, value), Err(error));
            assert_eq!(fields.as_bytes(), b"A: b\r\n");
        }
    }
}
