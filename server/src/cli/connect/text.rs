//! What a server sends, as a terminal may show it.

/// The longest text that is shown as one line, in bytes.
const LINE_MAX: usize = 64 * 1024;

/// Turns bytes into text that leaves the terminal as it was: ends of lines, tabs and what can be seen.
///
/// Control characters, those that change the direction of text, and bytes that are no UTF-8 become `\x1b`
/// or `\u{9b}`. A backslash stays one, so such text may also have been sent as it is shown.
#[derive(Debug, Default)]
pub(super) struct Escaper {
    /// Control characters pass.
    raw: bool,
    /// The beginning of a character whose rest may come: at most three bytes.
    held: Vec<u8>,
    /// A carriage return that may be a part of the end of a line.
    held_return: bool,
}

impl Escaper {
    pub(super) fn new(raw: bool) -> Escaper {
        Escaper { raw, ..Escaper::default() }
    }

    /// Appends what `bytes` look like to `text`.
    pub(super) fn push(&mut self, bytes: &[u8], text: &mut String) {
        let joined;
        let mut rest = bytes;
        if !self.held.is_empty() {
            joined = [&self.held, bytes].concat();
            self.held.clear();
            rest = &joined;
        }
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => return self.push_text(valid, text),
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            // Checked just now.
            self.push_text(std::str::from_utf8(valid).unwrap_or_default(), text);
            let Some(len) = error.error_len() else {
                self.held.extend_from_slice(after);
                return;
            };
            let (invalid, after) = after.split_at(len);
            self.push_bytes(invalid, text);
            rest = after;
        }
    }

    /// Appends what was held back because its rest might come.
    pub(super) fn finish(&mut self, text: &mut String) {
        let held = std::mem::take(&mut self.held);
        self.push_bytes(&held, text);
        self.release_return(text);
    }

    fn push_text(&mut self, valid: &str, text: &mut String) {
        for character in valid.chars() {
            if character != '\n' {
                self.release_return(text);
            }
            self.held_return = false;
            match character {
                _ if self.raw => text.push(character),
                '\r' => self.held_return = true,
                '\n' | '\t' => text.push(character),
                '\0'..='\x1f' | '\x7f' => push_byte(character as u8, text),
                // The second set of control characters; what reorders or breaks lines.
                '\u{80}'..='\u{9f}'
                | '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => text.extend(character.escape_unicode()),
                _ => text.push(character),
            }
        }
    }

    fn push_bytes(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            self.release_return(text);
            push_byte(byte, text);
        }
    }

    /// Shows a carriage return that was none of the end of a line.
    fn release_return(&mut self, text: &mut String) {
        if std::mem::take(&mut self.held_return) {
            push_byte(b'\r', text);
        }
    }
}

fn push_byte(byte: u8, text: &mut String) {
    text.extend(['\\', 'x']);
    for digit in [byte >> 4, byte & 15] {
        text.extend(char::from_digit(digit.into(), 16));
    }
}

/// Cuts what is shown into whole lines, since the prompt stands below them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    escaper: Escaper,
    /// A line whose end has not come.
    pending: String,
}

impl Lines {
    pub(super) fn new(raw: bool) -> Lines {
        Lines { escaper: Escaper::new(raw), pending: String::new() }
    }

    /// The lines that `bytes` complete, with pieces of a line that is too long as lines of their own.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.escaper.push(bytes, &mut self.pending);
        let mut whole = String::new();
        let mut left = "";
        for mut line in self.pending.split_inclusive('\n') {
            while line.trim_end_matches('\n').len() > LINE_MAX {
                let (piece, rest) = line.split_at(line.floor_char_boundary(LINE_MAX));
                whole.extend([piece, "\n"]);
                line = rest;
            }
            match line.ends_with('\n') {
                true => whole.push_str(line),
                false => left = line,
            }
        }
        self.pending = left.to_owned();
        whole
    }

    /// The line whose end has not come: a question, perhaps.
    pub(super) fn quiet(&mut self) -> String {
        let mut line = std::mem::take(&mut self.pending);
        if !line.is_empty() {
            line.push('\n');
        }
        line
    }

    /// All that is left.
    pub(super) fn finish(&mut self) -> String {
        self.escaper.finish(&mut self.pending);
        self.quiet()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(parts: &[&[u8]], raw: bool) -> String {
        let mut escaper = Escaper::new(raw);
        let mut text = String::new();
        for part in parts {
            escaper.push(part, &mut text);
        }
        escaper.finish(&mut text);
        text
    }

    #[test]
    fn what_is_shown() {
        for (bytes, shown) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            ("grüße 🦀 e\u{301} 👩\u{200d}🚀\n".as_bytes(), "grüße 🦀 e\u{301} 👩\u{200d}🚀\n"),
            (b"one\r\ntwo\r\n", "one\ntwo\n"),
            (b"\rover\r\r\n\r", "\\x0dover\\x0d\n\\x0d"),
            (b"\x1b[2J\x07\x00\x7f", r"\x1b[2J\x07\x00\x7f"),
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            ("\u{202e}txt.exe\u{2028}".as_bytes(), r"\u{202e}txt.exe\u{2028}"),
            (b"\xff\xfe\x80a", r"\xff\xfe\x80a"),
            (b"cut \xf0\x9f", r"cut \xf0\x9f"),
        ] {
            assert_eq!(escaped(&[bytes], false), shown);
        }
        assert_eq!(escaped(&[b"\x1b[1mbold\r\n\xff"], true), "\x1b[1mbold\r\n\\xff");
    }

    #[test]
    fn lines_and_pieces() {
        let mut lines = Lines::new(false);
        assert_eq!(lines.push(b"one\ntwo\nthr"), "one\ntwo\n");
        assert_eq!(lines.push(b"ee\n"), "three\n");
        assert_eq!(lines.push(b"name: "), "");
        assert_eq!((lines.quiet(), lines.quiet()), ("name: \n".to_owned(), String::new()));
        let long = "é".repeat(LINE_MAX);
        let shown = lines.push(long.as_bytes()) + &lines.push(b"!\n");
        assert!(shown.lines().all(|line| line.len() <= LINE_MAX), "pieces");
        assert_eq!(shown.replace('\n', ""), long + "!");
        assert_eq!(lines.push(b"\xf0\x9f"), "");
        assert_eq!(lines.quiet(), "", "half a character is not shown");
        assert_eq!(lines.finish(), "\\xf0\\x9f\n");
    }

    proptest! {
        #[test]
        fn nothing_controls_the_terminal(bytes: Vec<u8>, cut: prop::sample::Index) {
            let shown = escaped(&[&bytes], false);
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
            // However it arrives.
            let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(&shown, &escaped(&[left, right], false));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(shown, escaped(&single, false));
        }

        #[test]
        fn text_stays(text in "[a-z\n äß🦀]*") {
            prop_assert_eq!(escaped(&[text.as_bytes()], false), text);
        }
    }
}
