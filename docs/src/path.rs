//! [`Use`]: the paths that code names, with nested imports written out.

use crate::source::is_word;

/// One path that code names, e.g. `std::net::TcpStream`, and the line it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The segments in order. An import of everything ends in `*`.
    pub segments: Vec<String>,
    /// The line, counted from one.
    pub line: usize,
}

impl Use {
    /// Whether `path` (segments between `::`) stands somewhere in this path. The segment that
    /// follows it, if any, may be one of `except`.
    pub fn names(&self, path: &str, except: &[&str]) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        self.segments.windows(wanted.len()).enumerate().any(|(at, window)| {
            let next = self.segments.get(at + wanted.len());
            window == wanted && !next.is_some_and(|next| except.contains(&next.as_str()))
        })
    }
}

/// Every path in `code`, which must be free of comments and of the contents of strings
/// (see [`crate::source::Source`]). `use a::{b, c::d};` gives `a::b` and `a::c::d`, and after it
/// `d::e` gives `a::c::d::e`.
pub fn paths(code: &str) -> Vec<Use> {
    let mut reader = Reader { tokens: tokens(code), at: 0, imports: Vec::new(), plain: Vec::new() };
    while reader.at < reader.tokens.len() {
        match reader.word() {
            Some("use") => {
                reader.at += 1;
                reader.import(&mut Vec::new());
            }
            Some(_) => reader.plain(),
            None => reader.at += 1,
        }
    }
    let Reader { imports, mut plain, .. } = reader;
    for path in plain.iter_mut().filter(|path| path.segments.len() > 1) {
        let short = path.segments.first();
        if let Some(full) = imports.iter().find(|import| import.segments.last() == short) {
            path.segments.splice(..1, full.segments.iter().cloned());
        }
    }
    let mut found = imports;
    found.extend(plain);
    found.sort_by_key(|path| path.line);
    found
}

/// A word, `::`, or one other character.
struct Token {
    text: String,
    line: usize,
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    imports: Vec<Use>,
    plain: Vec<Use>,
}

impl Reader {
    fn text(&self) -> Option<&str> {
        self.tokens.get(self.at).map(|token| token.text.as_str())
    }

    fn word(&self) -> Option<&str> {
        self.text().filter(|text| text.starts_with(is_word))
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |token| token.line)
    }

    /// A path outside an import.
    fn plain(&mut self) {
        let line = self.line();
        let mut segments = Vec::new();
        while let Some(word) = self.word() {
            segments.push(word.to_owned());
            self.at += 1;
            let follows = self.tokens.get(self.at + 1).is_some_and(|t| t.text.starts_with(is_word));
            if self.text() != Some("::") || !follows {
                break;
            }
            self.at += 1;
        }
        self.plain.push(Use { segments, line });
    }

    /// One tree of an import below `prefix`, up to but without its `,`, `}` or `;`.
    fn import(&mut self, prefix: &mut Vec<String>) {
        let depth = prefix.len();
        let line = self.line();
        let mut grouped = false;
        while let Some(text) = self.text() {
            match text {
                "," | "}" | ";" => break,
                "::" => self.at += 1,
                "{" => {
                    grouped = true;
                    self.group(prefix);
                }
                "as" => self.at += 2,
                // `{self}` names the prefix itself.
                "self" if !prefix.is_empty() => self.at += 1,
                _ => {
                    prefix.push(text.to_owned());
                    self.at += 1;
                }
            }
        }
        if !grouped {
            self.imports.push(Use { segments: prefix.clone(), line });
        }
        prefix.truncate(depth);
    }

    fn group(&mut self, prefix: &mut Vec<String>) {
        self.at += 1;
        while let Some(text) = self.text() {
            match text {
                "}" => {
                    self.at += 1;
                    return;
                }
                "," => self.at += 1,
                ";" => return,
                _ => self.import(prefix),
            }
        }
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut in_word = false;
    let mut after_colon = false;
    for c in code.chars() {
        match tokens.last_mut() {
            Some(last) if in_word && is_word(c) => last.text.push(c),
            Some(last) if after_colon && c == ':' => last.text.push(c),
            _ if !c.is_whitespace() => tokens.push(Token { text: c.to_string(), line }),
            _ => {}
        }
        after_colon = c == ':' && !after_colon;
        in_word = is_word(c);
        line += usize::from(c == '\n');
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        paths(code).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn nested_imports_are_written_out() {
        assert_eq!(
            found("use std::{fs, net::{self, TcpStream as T}, io::*};"),
            ["std::fs", "std::net", "std::net::TcpStream", "std::io::*"]
        );
        assert_eq!(found("pub use a::b;\nc b"), ["a::b", "pub", "c", "b"]);
        assert_eq!(found("use a::{b as c};\nb::d; c::d"), ["a::b", "a::b::d", "c::d"]);
    }

    #[test]
    fn plain_paths_keep_their_segments() {
        assert_eq!(
            found("let x = std::time::Instant::now();"),
            ["let", "x", "std::time::Instant::now"]
        );
        assert_eq!(found("Vec::<u8>::new()"), ["Vec", "u8", "new"]);
        assert_eq!(found("a: B"), ["a", "B"]);
    }

    #[test]
    fn lines_are_counted() {
        let lines: Vec<usize> = paths("a\nuse b::{\n c,\n d};").iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }

    #[test]
    fn names_matches_whole_segments() {
        let path = &paths("std::net::SocketAddr")[0];
        assert!(path.names("std::net", &[]));
        assert!(path.names("SocketAddr", &[]));
        assert!(!path.names("std::net", &["SocketAddr"]));
        assert!(!path.names("net::Socket", &[]));
        assert!(paths("use std::net;")[0].names("std::net", &["SocketAddr"]));
    }

    #[test]
    fn unfinished_code_ends() {
        for code in ["use", "use a::{", "use {{", "::", "a::", "use a as"] {
            paths(code);
        }
    }
}
