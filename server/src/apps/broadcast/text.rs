//! What others may be shown of what somebody wrote.

/// The most characters of a name.
const NAME_MAX: usize = 24;

/// A line as it may be shown on somebody else's terminal.
///
/// ASCII control characters become `^` and a letter, as `cat -v` shows them; a tab stays. What else could
/// command a terminal or turn a line around (C1 controls, bidirectional overrides, separators of lines),
/// and what is no UTF-8, becomes U+FFFD.
pub(super) fn visible(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => text.push(c),
                '\0'..='\x1f' | '\x7f' => {
                    text.push('^');
                    text.push(char::from(c as u8 ^ 0x40));
                }
                '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    text.push(char::REPLACEMENT_CHARACTER)
                }
                _ => text.push(c),
            }
        }
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// Says what is wrong with a name, if anything.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    match () {
        () if name.is_empty() => Err("is missing: /nick NAME"),
        () if name.chars().count() > NAME_MAX => Err("has at most 24 characters"),
        // The one ends the name in a line, the other begins what the server says.
        () if name.contains([':', '*']) => Err("has no : and no *"),
        () if !name.chars().all(is_printable) => Err("has no spaces, only what can be seen"),
        () => Ok(()),
    }
}

fn is_printable(c: char) -> bool {
    // `Debug` escapes what is not, and these three; behind another character, it spares accents.
    matches!(c, '"' | '\'' | '\\')
        || (!c.is_whitespace() && format!("x{c}").escape_debug().eq(['x', c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_passed_on() {
        for (line, expected) in [
            (&b"plain \xc3\xa9 \xf0\x9f\xa6\x80"[..], "plain é 🦀"),
            (b"\x1b[2J\x1b]0;title\x07", "^[[2J^[]0;title^G"),
            (b"a\rb\x08c\x7fd\0", "a^Mb^Hc^?d^@"),
            (b"a\tb", "a\tb"),
            // Control sequence introducer: as one byte, and as a character.
            (b"\x9b31m \xc2\x9b31m", "\u{fffd}31m \u{fffd}31m"),
            ("x\u{202e}y\u{2066}z\u{2028}".as_bytes(), "x\u{fffd}y\u{fffd}z\u{fffd}"),
            // Joiners hold words and emoji together.
            ("a\u{200d}b".as_bytes(), "a\u{200d}b"),
            (b"cut \xe2\x82", "cut \u{fffd}"),
        ] {
            let shown = visible(line);
            assert_eq!(shown, expected);
            assert!(!shown.chars().any(|c| c.is_control() && c != '\t'));
        }
    }

    #[test]
    fn names() {
        for name in
            ["a", "Ada", "guest-7", "zoë", "李", "o'brien", "e\u{301}", "🦀", &"x".repeat(24)]
        {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            &"x".repeat(25),
            "a b",
            "a\u{a0}b",
            "a\tb",
            "a:",
            "*",
            "\u{1b}[31m",
            "a\u{200b}b",
            "a\u{202e}b",
            "\u{ad}",
            "\u{e000}",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
