//! JSON with places: `serde_json` decides what is JSON; then one walk over the text, which is known
//! to be well-formed, notes where each key and value begins.

use super::document::{Fault, Offset, Offsets, Reading};
use super::finding::{index_path, key_path};

pub(super) fn read(text: &str) -> Reading {
    match serde_json::from_str(text) {
        Ok(tree) => {
            let mut walk = Walk { text, at: 0, offsets: Offsets::new(), faults: Vec::new() };
            walk.space();
            walk.offsets.insert(String::new(), walk.at);
            walk.value("");
            Ok((tree, walk.offsets, walk.faults))
        }
        Err(error) => {
            let offset = offset(text, error.line(), error.column());
            Err(Fault::new(offset, "", explain(text, offset, &error.to_string())))
        }
    }
}

/// The byte at this line and column, which counts bytes, as `serde_json` does.
fn offset(text: &str, line: usize, column: usize) -> Offset {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

/// What is wrong, without the place, and what is meant where it is a usual slip.
fn explain(text: &str, offset: Offset, message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let rest = text.as_bytes().get(offset..).unwrap_or(&[]);
    let hint = if text.trim().is_empty() {
        "the file is empty; the least it can hold is {}"
    } else if message.starts_with("trailing comma") {
        "take the comma away"
    } else if rest.starts_with(b"//") || rest.starts_with(b"/*") || rest.starts_with(b"#") {
        "JSON has no comments; TOML has, in a file that ends in .toml"
    } else if message.starts_with("key must be a string") || rest.starts_with(b"'") {
        "write keys and texts in double quotes"
    } else if message.starts_with("expected `,`") {
        "perhaps a comma is missing on the line before"
    } else if message.starts_with("EOF") {
        "the file ends too early; perhaps a bracket is not closed"
    } else {
        return format!("not JSON: {message}");
    };
    format!("not JSON: {message}: {hint}")
}

struct Walk<'t> {
    text: &'t str,
    at: Offset,
    offsets: Offsets,
    faults: Vec<Fault>,
}

impl<'t> Walk<'t> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// Whether this byte is next, and passes it.
    fn passes(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes one value. The depth is bounded: `serde_json` reads no deeper than 128.
    fn value(&mut self, path: &str) {
        self.space();
        match self.peek() {
            b'{' => {
                self.at += 1;
                while !self.passes(b'}') && self.at < self.text.len() {
                    self.member(path);
                    self.passes(b',');
                }
            }
            b'[' => {
                self.at += 1;
                let mut index = 0;
                while !self.passes(b']') && self.at < self.text.len() {
                    let path = index_path(path, index);
                    self.offsets.insert(path.clone(), self.at);
                    self.value(&path);
                    self.passes(b',');
                    index += 1;
                }
            }
            b'"' => {
                self.string();
            }
            _ => {
                let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
                let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
                self.at += rest.iter().position(ends).unwrap_or(rest.len()).max(1);
            }
        }
    }

    fn member(&mut self, path: &str) {
        self.space();
        let start = self.at;
        let key: String = serde_json::from_str(self.string()).unwrap_or_default();
        let path = key_path(path, &key);
        if self.offsets.insert(path.clone(), start).is_some() {
            let message = "given twice; only the last would count: take one away";
            self.faults.push(Fault::new(start, &path, message));
        }
        self.passes(b':');
        self.value(&path);
    }

    /// Passes a string; returns it with its quotes.
    fn string(&mut self) -> &'t str {
        let start = self.at;
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.text.len());
        self.text.get(start..self.at).unwrap_or_default()
    }
}
