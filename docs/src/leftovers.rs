//! Things left over from writing the code.

use crate::finding::Finding;
use crate::source::{Source, is_word};

/// Code that must not be committed, spelled in pieces so that a plain search of this repository
/// finds none.
const CODE: [(&str, &str); 4] = [
    (concat!("todo", "!"), "write it, or leave it out"),
    (concat!("unimplemented", "!"), "write it, or leave it out"),
    (concat!("dbg", "!"), "remove it"),
    (concat!("#[", "ignore"), "a test runs always, or belongs to .ci/run"),
];

/// Notes that must not be committed.
const NOTES: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Checks a Rust file: its code (tests included) and its comments.
pub fn check_rust(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::parse(text);
    let code = source.code.lines().enumerate().flat_map(|(index, line)| {
        let squeezed: String = line.split_whitespace().collect();
        let found = CODE.iter().filter(move |(pattern, _)| has_word(&squeezed, pattern));
        found.map(move |(pattern, advice)| {
            Finding::at(path, index + 1, format!("{pattern} is a left-over: {advice}"))
        })
    });
    code.chain(check_notes(path, &source.comments)).collect()
}

/// Checks any other text for notes.
pub fn check_notes(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for note in NOTES.iter().filter(|note| has_word(line, note)) {
            let message = format!("{note} is a left-over: do it, or open an issue and say which");
            findings.push(Finding::at(path, index + 1, message));
        }
    }
    findings
}

/// Whether `pattern` stands in `line`, not as the end or the beginning of a longer word.
fn has_word(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + pattern.len()..].chars().next();
        let starts = !pattern.starts_with(is_word) || !before.is_some_and(is_word);
        starts && (!pattern.ends_with(is_word) || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_overs_in_code_are_found() {
        for (pattern, _) in CODE {
            let text = format!("fn f() {{\n    {pattern}\n}}");
            assert_eq!(check_rust("a.rs", &text).len(), 1, "{pattern}");
            assert_eq!(check_rust("a.rs", &text)[0].line, 2);
            assert_eq!(check_rust("a.rs", &format!("fn f() {{ g(\"{pattern}\") }}")), []);
        }
        assert_eq!(check_rust("a.rs", "my_dbg!(x)"), []);
    }

    #[test]
    fn notes_are_found_in_comments_and_text() {
        for note in NOTES {
            assert_eq!(check_rust("a.rs", &format!("// {note}: later")).len(), 1, "{note}");
            assert_eq!(check_notes("a.md", &format!("a\n{note} b")).len(), 1, "{note}");
            assert_eq!(check_notes("a.md", &format!("mkdtemp(\"a{note}X\")")), [], "{note}");
        }
    }
}
