//! Fields of a response, kept as they will stand on the wire.

use std::borrow::Cow;

use super::encode::{self, EncodeError};
use super::framing::{is_token, is_value};
use super::head::Field;

/// The room that is made when there is none yet, in bytes.
const FIRST: usize = 512;

/// Response fields, rendered and checked as they are added, so that writing them into a head is one
/// copy. Whatever framing needs (Content-Length, Connection, Date, …) is not among them: the encoder
/// writes that.
///
/// Looking a field up walks the lines, made for the handful of fields that a response has; what is not
/// there is mostly known without that. A block allocates once there is more in it than one field that was
/// checked when the program was compiled, and then makes room for several.
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
#[derive(Clone, Debug, Default)]
pub struct FieldBlock {
    /// INVARIANT: whole lines, `Name: value` and CRLF, each a valid field that is not reserved.
    lines: Cow<'static, [u8]>,
    /// INVARIANT: has the [`mark`] of the name of every line; perhaps others, too.
    marks: u64,
}

impl FieldBlock {
    /// No fields.
    pub const fn new() -> FieldBlock {
        FieldBlock { lines: Cow::Borrowed(&[]), marks: 0 }
    }

    /// Adds a field behind the others, also if there is one of that name.
    ///
    /// # Errors
    /// If the name is not a token or belongs to the encoder, or the value holds a control byte. The
    /// block is then as before.
    #[inline]
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        // Inlined for the mark, which is known when the program is compiled if the name is.
        self.put(name, value, mark(name.as_bytes()), false)
    }

    /// Adds a field that was checked when the program was compiled.
    #[inline]
    pub fn add_line(&mut self, line: encode::FieldLine) {
        self.marks |= line.mark();
        match self.lines.is_empty() {
            true => self.lines = Cow::Borrowed(line.as_bytes()),
            false => self.room(line.as_bytes().len()).extend_from_slice(line.as_bytes()),
        }
    }

    /// Adds all fields of another block, which were checked when they came into that.
    #[inline]
    pub fn append(&mut self, other: &FieldBlock) {
        self.marks |= other.marks;
        self.room(other.lines.len()).extend_from_slice(&other.lines);
    }

    /// Adds those fields of another block of whose names there is none here.
    #[inline]
    pub fn append_missing(&mut self, other: &FieldBlock) {
        match self.marks & other.marks {
            0 => self.append(other),
            _ => self.append_chosen(other),
        }
    }

    fn append_chosen(&mut self, other: &FieldBlock) {
        let before = self.lines.len();
        for line in other.lines() {
            let name = name_of(line);
            if !lines(&self.lines[..before]).any(|line| has_name(line, name)) {
                self.marks |= mark(name);
                self.room(line.len()).extend_from_slice(line);
            }
        }
    }

    /// Puts a field in the place of all those of its name.
    ///
    /// # Errors
    /// As [`FieldBlock::add`]; the block is then as before.
    #[inline]
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        self.put(name, value, mark(name.as_bytes()), true)
    }

    /// Removes all fields of this name, in any case; says whether there was one.
    #[inline]
    pub fn remove(&mut self, name: &str) -> bool {
        self.marks & mark(name.as_bytes()) != 0 && self.remove_lines(name)
    }

    fn remove_lines(&mut self, name: &str) -> bool {
        let lines = self.lines.to_mut();
        let before = lines.len();
        let mut at = 0;
        while at < lines.len() {
            let line = line_bytes(&lines[at..]);
            if has_name(&lines[at..at + line], name.as_bytes()) {
                lines.drain(at..at + line);
            } else {
                at += line;
            }
        }
        lines.len() < before
    }

    /// The value of the first field of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        if self.marks & mark(name.as_bytes()) == 0 {
            return None;
        }
        let line = self.lines().find(|line| has_name(line, name.as_bytes()))?;
        line.get(name.len() + 2..line.len() - 2)
    }

    /// The fields as they stand on the wire, one whole line each.
    #[inline]
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.lines)
    }

    /// Whether there is a field of this name, in any case.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.marks & mark(name.as_bytes()) != 0 && self.get(name).is_some()
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

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        match &mut self.lines {
            Cow::Owned(lines) => lines.clear(),
            lines => *lines = Cow::Borrowed(&[]),
        }
        self.marks = 0;
    }

    /// Checks a field and adds it, perhaps in the place of others.
    fn put(
        &mut self,
        name: &str,
        value: &[u8],
        mark: u64,
        replaces: bool,
    ) -> Result<(), EncodeError> {
        check(name, value)?;
        if replaces && self.marks & mark != 0 {
            self.remove_lines(name);
        }
        self.marks |= mark;
        let lines = self.room(name.len() + value.len() + 4);
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The lines, with room for so many bytes behind them.
    #[inline]
    fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        if let Cow::Borrowed(line) = self.lines {
            let mut lines = Vec::with_capacity((line.len() + bytes).max(FIRST));
            lines.extend_from_slice(line);
            self.lines = Cow::Owned(lines);
        }
        let lines = self.lines.to_mut();
        lines.reserve(bytes);
        lines
    }
}

/// By their fields and the order of those.
impl PartialEq for FieldBlock {
    fn eq(&self, other: &FieldBlock) -> bool {
        self.lines == other.lines
    }
}

impl Eq for FieldBlock {}

/// Whether this can be a field of ours.
fn check(name: &str, value: &[u8]) -> Result<(), EncodeError> {
    if !is_token(name.as_bytes()) {
        return Err(EncodeError::FieldName);
    }
    if encode::is_reserved(name.as_bytes()) {
        return Err(EncodeError::FieldReserved);
    }
    if !is_value(value) {
        return Err(EncodeError::FieldValue);
    }
    Ok(())
}

/// One bit of 64 by which names are told apart without looking at them: the same in any case, and for
/// different names mostly another.
#[inline]
pub(super) const fn mark(name: &[u8]) -> u64 {
    let [first, .., last] = name else { return 1 };
    let folded = (name.len() as u64) << 10
        ^ (*first as u64 | 0x20) << 5
        ^ (name[name.len() / 2] as u64 | 0x20) << 2
        ^ (*last as u64 | 0x20);
    // Fibonacci hashing: the upper bits depend on all of them.
    1 << (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// The lines of a block, one by one.
#[inline]
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = rest.split_at(line_bytes(rest));
        rest = after;
        Some(line)
    })
}

/// The length of the first line, with its CRLF. A value holds neither byte of that.
fn line_bytes(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1)
}

/// Whether this line begins with this name, in any case, and a colon.
fn has_name(line: &[u8], name: &[u8]) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
}

fn name_of(line: &[u8]) -> &[u8] {
    &line[..memchr::memchr(b':', line).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode::FieldLine;
    use super::*;

    const NAMES: [&str; 8] = ["A", "a", "Vary", "VARY", "X-Id", "x-it", "Etag", "Content-Type"];
    const TYPE: FieldLine = FieldLine::from_static("Content-Type: x\r\n");

    proptest! {
        /// Beside a list of pairs, which needs no marks.
        #[test]
        fn blocks_are_lists_of_fields(steps in proptest::collection::vec((0..5u8, 0..8usize), 0..20)) {
            let (mut block, mut other) = (FieldBlock::new(), FieldBlock::new());
            let (mut list, mut others) = (Vec::new(), Vec::new());
            for (n, (step, name)) in steps.into_iter().enumerate() {
                let (name, value) = (NAMES[name], n.to_string());
                let is = |field: &(&str, String)| field.0.eq_ignore_ascii_case(name);
                match step {
                    0 => {
                        block.add_line(TYPE);
                        list.push(("Content-Type", "x".to_owned()));
                    }
                    1 => {
                        block.set(name, value.as_bytes()).unwrap();
                        list.retain(|field| !is(field));
                        list.push((name, value));
                    }
                    2 => {
                        prop_assert_eq!(block.remove(name), list.iter().any(is));
                        list.retain(|field| !is(field));
                    }
                    3 => {
                        other.add(name, value.as_bytes()).unwrap();
                        others.push((name, value));
                    }
                    _ => {
                        block.append_missing(&other);
                        let had = list.clone();
                        let missing = |field: &&(&str, String)| {
                            !had.iter().any(|known| known.0.eq_ignore_ascii_case(field.0))
                        };
                        list.extend(others.iter().filter(missing).cloned());
                    }
                }
                for name in NAMES {
                    let first = list.iter().find(|field| field.0.eq_ignore_ascii_case(name));
                    prop_assert_eq!(block.get(name), first.map(|field| field.1.as_bytes()));
                }
            }
            let lines: String =
                list.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            prop_assert_eq!(block.as_bytes(), lines.as_bytes());
        }
    }

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
