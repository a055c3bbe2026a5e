//! [`Source`]: a Rust file taken apart into code and comments.

/// A Rust file taken apart, so that a word in a comment or in a string is not mistaken for code.
///
/// Both parts have the lines of the original; what belongs to the other part is blank. Strings
/// and characters are code, with their contents blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The text without comments and without the contents of strings.
    pub code: String,
    /// The comments only.
    pub comments: String,
}

impl Source {
    /// Takes `text` apart. Never fails: text that is not Rust comes out as some code.
    pub fn parse(text: &str) -> Self {
        let mut splitter = Splitter {
            chars: text.chars().collect(),
            at: 0,
            source: Self { code: String::new(), comments: String::new() },
        };
        splitter.run();
        splitter.source
    }

    /// The code with every item under `#[cfg(test)]` blank.
    pub fn code_without_tests(&self) -> String {
        let mut code: Vec<char> = self.code.chars().collect();
        let mut from = 0;
        while let Some(start) = find_test_attribute(&code, from) {
            let end = end_of_item(&code, start);
            for c in &mut code[start..end] {
                if *c != '\n' {
                    *c = ' ';
                }
            }
            from = end;
        }
        code.into_iter().collect()
    }
}

/// The line that `offset` (in characters) is on, counted from one.
pub fn line_of(text: &[char], offset: usize) -> usize {
    1 + text[..offset.min(text.len())].iter().filter(|c| **c == '\n').count()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Hidden,
}

struct Splitter {
    chars: Vec<char>,
    at: usize,
    source: Source,
}

impl Splitter {
    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if self.starts_raw_string() => self.raw_string(),
                ('\'', _) => self.character_or_lifetime(),
                _ => self.take(Kind::Code),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Moves one character to its part and keeps the other part aligned.
    fn take(&mut self, kind: Kind) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.source.code.push(if kind == Kind::Code { c } else { blank });
        self.source.comments.push(if kind == Kind::Comment { c } else { blank });
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.peek(0) {
            let pair = (c, self.peek(1));
            if pair == ('/', Some('*')) {
                depth += 1;
                self.take(Kind::Comment);
            } else if pair == ('*', Some('/')) {
                depth -= 1;
                self.take(Kind::Comment);
            }
            self.take(Kind::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Code);
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.take(Kind::Code),
                '\\' => {
                    self.take(Kind::Hidden);
                    self.take(Kind::Hidden);
                }
                _ => self.take(Kind::Hidden),
            }
        }
    }

    /// At an `r`: a raw string, unless it ends a longer word or begins a raw identifier.
    fn starts_raw_string(&self) -> bool {
        let before = self.at.checked_sub(1).map(|at| self.chars[at]);
        let prefix = match before {
            // `br` and `cr`: the word must be exactly that.
            Some('b' | 'c') => self.at.checked_sub(2).map(|at| self.chars[at]),
            other => other,
        };
        if prefix.is_some_and(is_word) {
            return false;
        }
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        self.peek(1 + hashes) == Some('"')
    }

    fn raw_string(&mut self) {
        self.take(Kind::Code);
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.take(Kind::Code);
        }
        self.take(Kind::Code);
        while let Some(c) = self.peek(0) {
            let closes = c == '"' && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            if closes {
                for _ in 0..=hashes {
                    self.take(Kind::Code);
                }
                return;
            }
            self.take(Kind::Hidden);
        }
    }

    fn character_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.take(Kind::Code);
        }
        self.take(Kind::Code);
        if escaped {
            self.take(Kind::Hidden);
        }
        self.take(Kind::Hidden);
        while self.peek(0).is_some_and(|c| c != '\'' && c != '\n') {
            self.take(Kind::Hidden);
        }
        self.take(Kind::Code);
    }
}

/// Whether `c` can stand inside an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find_test_attribute(code: &[char], from: usize) -> Option<usize> {
    (from..code.len()).find(|&at| {
        code[at] == '#' && {
            let head: String =
                code[at..].iter().filter(|c| !c.is_whitespace()).take(24).collect::<String>();
            ["#[cfg(test)]", "#[cfg(all(test,", "#[test]"].iter().any(|a| head.starts_with(a))
        }
    })
}

/// One past the item that starts at `start`: its closing brace, or its semicolon.
fn end_of_item(code: &[char], start: usize) -> usize {
    let (mut braces, mut others) = (0usize, 0usize);
    for (at, c) in code.iter().enumerate().skip(start) {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return at + 1,
            '}' => braces -= 1,
            ';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let source = Source::parse(text);
        assert_eq!(source.code.chars().count(), text.chars().count(), "the parts stay aligned");
        assert_eq!(source.code.lines().count(), text.lines().count());
        source.code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code("a // unsafe\nb"), "a b");
        assert_eq!(code("a /* x /* unsafe */ y */ b"), "a b");
        assert_eq!(Source::parse("a // note").comments.trim(), "// note");
    }

    #[test]
    fn contents_of_strings_are_not_code() {
        assert_eq!(code(r#"f("unsafe // \" x", y)"#), "f(\" \", y)");
        assert_eq!(code(r##"f(r#"unsafe " x"#, br"\", y)"##), "f(r#\" \"#, br\" \", y)");
        assert_eq!(code("let r#type = for_r;"), "let r#type = for_r;");
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        assert_eq!(code(r"f('a', '\'', '\u{7f}', '/')"), "f(' ', ' ', ' ', ' ')");
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
        assert_eq!(code("('\"', unsafe_word)"), "(' ', unsafe_word)");
    }

    #[test]
    fn test_items_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c[0; 1] } }\nfn d() {}\n\
                    #[cfg(test)]\nmod more;\nfn e() {}";
        let rest = Source::parse(text).code_without_tests();
        assert_eq!(
            rest.split_whitespace().collect::<Vec<_>>(),
            ["fn", "a()", "{}", "fn", "d()", "{}", "fn", "e()", "{}"]
        );
        assert_eq!(rest.lines().count(), text.lines().count());
    }

    #[test]
    fn semicolon_in_an_array_type_does_not_end_the_item() {
        let text = "#[cfg(test)]\nfn a(x: [u8; 3]) { b }\nc";
        assert_eq!(Source::parse(text).code_without_tests().trim(), "c");
    }

    #[test]
    fn unfinished_text_does_not_panic() {
        for text in ["\"", "r#\"", "/*", "'", "'\\", "#[cfg(test)]", "b'"] {
            Source::parse(text).code_without_tests();
        }
    }
}
