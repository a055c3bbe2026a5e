//! The patterns of routes, and the normal form of paths.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What stands in no path as it is. Everything beyond ASCII is encoded as well.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

/// What stands for parameters in the shape of a pattern: in its text, such bytes are encoded.
const PARAM: char = '\x01';
const REST: char = '\x02';

/// A pattern that is well-formed.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
    /// Without the names of its parameters.
    shape: String,
}

#[derive(Clone, Debug)]
enum Piece {
    /// In its normal form.
    Text(String),
    Param(String),
    Rest(String),
}

impl Pattern {
    /// Reads a pattern; what is wrong with it is said for its author.
    pub(super) fn parse(text: &str, bytes: usize, params: usize) -> Result<Pattern, String> {
        if !text.starts_with('/') {
            return Err("a path begins with `/`: put one before it".to_owned());
        }
        if text.len() > bytes {
            return Err(format!("it has more than {bytes} bytes"));
        }
        if let Some(byte) = text.chars().find(|byte| matches!(byte, '?' | '#' | '\\')) {
            return Err(format!("`{byte}` stands in no path: leave it out, or encode it"));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(next) = chars.next() {
            match next {
                '{' | '}' if chars.next_if_eq(&next).is_some() => plain.push(next),
                '}' => return Err("a `}` closes nothing: double it if it is meant".to_owned()),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(other) if other != '{' && other != '/' => name.push(other),
                            _ => return Err("a `{` is not closed: double it if it is meant".into()),
                        }
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(match name.strip_prefix('*') {
                        Some(name) => Piece::Rest(name.to_owned()),
                        None => Piece::Param(name),
                    });
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        check(&pieces, params)?;
        for piece in &mut pieces {
            if let Piece::Text(text) = piece {
                let encoded = utf8_percent_encode(text, ENCODED).to_string();
                *text = normalised(&encoded).into_owned();
            }
        }
        let shape = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(_) => PARAM.to_string(),
            Piece::Rest(_) => REST.to_string(),
        });
        let shape = shape.collect();
        Ok(Pattern { text: text.to_owned(), pieces, shape })
    }

    /// The path, if it is a whole one.
    pub(super) fn whole(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What stands before its only parameter, if that is a `{*name}`, and the name.
    pub(super) fn rest(&self) -> Option<(&str, &str)> {
        match self.pieces.as_slice() {
            [Piece::Text(text), Piece::Rest(name)] => Some((text, name)),
            _ => None,
        }
    }

    /// The pattern in its normal form, for the tree.
    pub(super) fn normal(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Piece::Param(name) => format!("{{{name}}}"),
            Piece::Rest(name) => format!("{{*{name}}}"),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Whether it stands for the same paths as another.
    pub(super) fn is_same(&self, other: &Pattern) -> bool {
        self.shape == other.shape
    }

    /// Whether the tree would miss paths of one of the two: where it has tried a parameter with text
    /// behind it, and what follows does not fit, it tries no other parameter of that segment.
    pub(super) fn hides(&self, other: &Pattern) -> bool {
        let mut one = self.shape.split('/').peekable();
        let mut two = other.shape.split('/').peekable();
        while let (Some(this), Some(that)) = (one.next(), two.next()) {
            if this != that {
                let goes_on = |segment: &str, more: bool| more && !segment.ends_with(PARAM);
                return this.contains(PARAM)
                    && that.contains(PARAM)
                    && (goes_on(this, one.peek().is_some())
                        || goes_on(that, two.peek().is_some()));
            }
        }
        false
    }

    /// The pattern that the tree cannot tell from this one.
    pub(super) fn rival<'p>(&self, others: &'p [Pattern]) -> Option<&'p Pattern> {
        others.iter().find(|other| {
            let mut tree = matchit::Router::new();
            other.whole().is_none()
                && tree.insert(other.normal(), ()).is_ok()
                && tree.insert(self.normal(), ()).is_err()
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What can be wrong with the pieces of a pattern.
fn check(pieces: &[Piece], params: usize) -> Result<(), String> {
    let mut names: Vec<&str> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let name = match piece {
            Piece::Param(name) | Piece::Rest(name) => name,
            Piece::Text(text) => {
                foreign(text, at + 1 == pieces.len())?;
                continue;
            }
        };
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || !name.bytes().all(harmless) {
            return Err(format!(
                "`{{{name}}}` is no name: it takes letters, digits, `_` and `-`; double the braces \
                 if they are meant"
            ));
        }
        if names.contains(&name.as_str()) {
            return Err(format!("there are two parameters `{name}`: rename one"));
        }
        names.push(name);
        let before = at.checked_sub(1).and_then(|before| pieces.get(before));
        match (piece, before) {
            (Piece::Rest(_), _) if at + 1 < pieces.len() => {
                return Err(format!("`{{*{name}}}` takes all that follows: it stands at the end"));
            }
            (Piece::Rest(_), Some(Piece::Text(text))) if text.ends_with('/') => {}
            (Piece::Rest(_), _) => {
                return Err(format!("`{{*{name}}}` takes whole segments: put a `/` before it"));
            }
            (_, Some(Piece::Text(text))) if text.contains('/') => {}
            _ => return Err("a segment has one parameter at most".to_owned()),
        }
    }
    if names.len() > params {
        return Err(format!("it has more than {params} parameters"));
    }
    Ok(())
}

/// Refuses the parameters of other routers, which would be taken for text.
fn foreign(text: &str, last: bool) -> Result<(), String> {
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let whole = last || segments.peek().is_some();
        let name = segment.strip_prefix([':', '*']);
        if let Some(name) = name.filter(|name| whole && !name.is_empty()) {
            let star = if segment.starts_with('*') { "*" } else { "" };
            return Err(format!("a parameter is written `{{{star}{name}}}` here, not `{segment}`"));
        }
    }
    Ok(())
}

/// What an encoded octet stands for, at the beginning of this text.
fn octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Whether it means the same when it is encoded (RFC 3986 §2.3). Braces stand in no URI as they are;
/// where they are sent so, they can mean nothing else.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'{' | b'}')
}

/// The normal form of a path: nothing is encoded without need, and what is, with capitals (RFC 3986
/// §6.2.2).
pub(super) fn normalised(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(percent) = rest.find('%') {
        let (before, from) = rest.split_at(percent);
        normal.push_str(before);
        let length = match octet(from.as_bytes()) {
            Some(byte) if is_unreserved(byte) => {
                normal.push(char::from(byte));
                3
            }
            Some(_) => {
                normal.push_str(&from[..3].to_ascii_uppercase());
                3
            }
            None => {
                normal.push('%');
                1
            }
        };
        rest = &from[length..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// The place in a path that became this place of its normal form.
pub(super) fn sent(path: &str, normal: usize) -> usize {
    let bytes = path.as_bytes();
    let (mut at, mut seen) = (0, 0);
    while seen < normal && at < bytes.len() {
        let unneeded = octet(&bytes[at..]).is_some_and(is_unreserved);
        at += if unneeded { 3 } else { 1 };
        seen += 1;
    }
    at
}
