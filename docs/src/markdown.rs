//! [`Markdown`]: what the checks need to know of a document.

use std::collections::BTreeMap;

/// What the checks need to know of a document: its links, headings, code spans and fences.
///
/// Reads the plain part of the language that this project writes: fenced code, `#` headings,
/// inline links and images, link definitions, code spans on one line.
#[derive(Debug, Default)]
pub struct Markdown {
    /// Every target of a link or an image, with its line.
    pub links: Vec<(usize, String)>,
    /// Every heading's text without its marks, with its line.
    pub headings: Vec<(usize, String)>,
    /// Every code span outside headings, with its line.
    pub spans: Vec<(usize, String)>,
    /// Every fenced block.
    pub fences: Vec<Fence>,
}

/// A fenced block of code.
#[derive(Debug, PartialEq, Eq)]
pub struct Fence {
    /// The line of the opening fence.
    pub line: usize,
    /// What follows the opening fence, e.g. `rust` or `sh`.
    pub language: String,
    /// The lines between the fences.
    pub text: String,
}

impl Markdown {
    /// Reads a document.
    pub fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut open: Option<(Fence, String)> = None;
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            if let Some((fence, marks)) = &mut open {
                if trimmed.starts_with(marks.as_str())
                    && trimmed.trim_matches(['`', '~']).is_empty()
                {
                    document.fences.extend(open.take().map(|(fence, _)| fence));
                } else {
                    fence.text.push_str(line);
                    fence.text.push('\n');
                }
            } else if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
                let language = trimmed.trim_start_matches(['`', '~']);
                let marks = trimmed[..trimmed.len() - language.len()].to_owned();
                let language = language.trim().to_owned();
                open = Some((Fence { line: index + 1, language, text: String::new() }, marks));
            } else {
                document.read_line(index + 1, line);
            }
        }
        document.fences.extend(open.map(|(fence, _)| fence));
        document
    }

    /// The names that links can point at: each heading as GitHub turns it into an anchor.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let name = |(_, heading): &(usize, String)| {
            let anchor = anchor_of(heading);
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        };
        self.headings.iter().map(name).collect()
    }

    fn read_line(&mut self, number: usize, line: &str) {
        let (text, spans) = split_spans(line);
        let level = line.chars().take_while(|c| *c == '#').count();
        if (1..=6).contains(&level) && line[level..].starts_with(' ') {
            self.headings.push((number, line[level..].trim().to_owned()));
        } else {
            self.spans.extend(spans.into_iter().map(|span| (number, span)));
        }
        for (at, _) in text.match_indices("](") {
            if let Some(target) = target(&text[at + 2..]) {
                self.links.push((number, target));
            }
        }
        if let Some((_, target)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            let target = target.split_whitespace().next().unwrap_or_default();
            self.links.push((number, target.to_owned()));
        }
    }
}

/// The target of an inline link, given what follows its opening parenthesis: up to the
/// parenthesis that closes it, without a title.
fn target(text: &str) -> Option<String> {
    let mut depth = 1;
    let end = text.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let target = text[..end.0].split_whitespace().next()?;
    Some(target.trim_matches(['<', '>']).to_owned())
}

/// The line with its code spans emptied, and the spans.
fn split_spans(line: &str) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut spans = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].chars().take_while(|c| *c == '`').count();
        let (before, after) = rest.split_at(start + ticks);
        let Some(end) = after.find(&"`".repeat(ticks)) else { break };
        text.push_str(before);
        spans.push(after[..end].trim().to_owned());
        rest = &after[end..];
        let (close, after) = rest.split_at(ticks);
        text.push_str(close);
        rest = after;
    }
    text.push_str(rest);
    (text, spans)
}

/// Lower case; letters, digits, hyphens and underscores stay, spaces become hyphens, the rest goes.
fn anchor_of(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_outside_code_only() {
        let text = "[a](b.md) and ![c](d.png \"title\") `[e](f)`\n```sh\n[g](h)\n```\n[i]: j#k\n\
                    [l](m_(n).md)";
        let links: Vec<(usize, String)> = Markdown::parse(text).links;
        let expected = [(1, "b.md"), (1, "d.png"), (5, "j#k"), (6, "m_(n).md")];
        assert_eq!(links, expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn anchors_follow_the_headings() {
        let document = Markdown::parse("# A first: `b_c`!\n## Same\n### Same\n#no\n```\n# d\n```");
        assert_eq!(document.anchors(), ["a-first-b_c", "same", "same-1"]);
    }

    #[test]
    fn fences_keep_language_and_text() {
        let document = Markdown::parse("```rust,no_run\nlet a;\n```\n````md\n```\nb\n```\n````");
        let fences: Vec<(&str, &str)> =
            document.fences.iter().map(|f| (f.language.as_str(), f.text.as_str())).collect();
        assert_eq!(fences, [("rust,no_run", "let a;\n"), ("md", "```\nb\n```\n")]);
    }

    #[test]
    fn spans_are_read_outside_headings() {
        let document = Markdown::parse("# `a`\n`b` and ``c ` d`` and ` e");
        let spans: Vec<&str> = document.spans.iter().map(|(_, span)| span.as_str()).collect();
        assert_eq!(spans, ["b", "c ` d"]);
    }
}
