//! Links between documents, and the files that documents name.

use crate::finding::Finding;
use crate::layout::DIRECTORIES;
use crate::markdown::Markdown;
use crate::tree::Tree;

/// Checks every relative link of one document: the file exists, and has the heading.
pub fn check_links(tree: &Tree, path: &str, document: &Markdown) -> Vec<Finding> {
    let read = |target: &str| tree.text_if_any(target).map(|text| Markdown::parse(&text));
    let check = |(line, target): &(usize, String)| {
        check_link(path, document, target, |file| tree.contains(file), read)
            .map(|message| Finding::at(path, *line, message))
    };
    document.links.iter().filter_map(check).collect()
}

/// Checks every file of ours that one document names in a code span, e.g. `parser/src/lib.rs`.
pub fn check_mentions(tree: &Tree, path: &str, document: &Markdown) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, span) in &document.spans {
        if let Some(file) = mention(span).filter(|file| !tree.contains(file)) {
            let message = format!("names {file}, which does not exist: say where it is now");
            findings.push(Finding::at(path, *line, message));
        }
    }
    findings
}

fn check_link(
    path: &str,
    document: &Markdown,
    target: &str,
    exists: impl Fn(&str) -> bool,
    read: impl Fn(&str) -> Option<Markdown>,
) -> Option<String> {
    // Other hosts, and items of the code, which rustdoc checks.
    if target.contains("://") || target.starts_with("mailto:") || target.contains("::") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let anchors = if file.is_empty() {
        document.anchors()
    } else {
        let Some(resolved) = resolve(path, file) else {
            return Some(format!("links to {target}, which is outside the repository"));
        };
        if !exists(&resolved) {
            return Some(format!("links to {target}, but there is no {resolved}: mend the link"));
        }
        read(&resolved).map(|other| other.anchors()).unwrap_or_default()
    };
    if anchor.is_empty() || anchors.iter().any(|known| known == anchor) {
        return None;
    }
    Some(format!("links to {target}, but no heading there gives the anchor {anchor}"))
}

/// `target` seen from the folder of `path`, from the root; nothing when it leaves the repository.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The file that a code span names, if it names one of ours: a path from the root, perhaps with
/// a line or an item after it. Patterns and placeholders are not names.
fn mention(span: &str) -> Option<String> {
    let file = span.split("::").next()?;
    let file = file.split([':', '#']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let (top, rest) = file.split_once('/')?;
    let ours = DIRECTORIES.contains(&top) || [".ci", ".cargo", ".github"].contains(&top);
    let last = rest.trim_end_matches('/').rsplit('/').next()?;
    let is_file = last.contains('.') || file.ends_with('/') || top.starts_with('.');
    let shouted = |part: &str| part.len() > 1 && !part.contains('.') && part == part.to_uppercase();
    let placeholder = rest.split('/').any(|part| part.contains("NAME") || shouted(part));
    (ours && is_file && file.chars().all(plain) && !placeholder).then(|| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Option<String> {
        let here = Markdown::parse("# Own heading");
        let read = |file: &str| (file == "docs/A.md").then(|| Markdown::parse("# There"));
        let exists = |file: &str| ["docs/A.md", "docs", "LICENSE"].contains(&file);
        check_link("docs/B.md", &here, target, exists, read)
    }

    #[test]
    fn good_links_pass() {
        for target in [
            "A.md",
            "./A.md#there",
            "../LICENSE",
            "../docs/",
            "#own-heading",
            "https://example.org/a#b",
            "crate::Slab",
        ] {
            assert_eq!(link(target), None, "{target}");
        }
    }

    #[test]
    fn broken_links_are_found() {
        for target in ["C.md", "A.md#here", "#other", "../docs.md", "../../A.md", "../A.md"] {
            assert!(link(target).is_some(), "{target}");
        }
    }

    #[test]
    fn files_of_ours_are_recognised_in_spans() {
        let named = |span: &str| mention(span);
        assert_eq!(named("eventloop/src/lane.rs"), Some("eventloop/src/lane.rs".into()));
        assert_eq!(named("parser/src/lib.rs:12"), Some("parser/src/lib.rs".into()));
        assert_eq!(named("parser/src/lib.rs::Machine"), Some("parser/src/lib.rs".into()));
        assert_eq!(named("docs/decisions/"), Some("docs/decisions/".into()));
        assert_eq!(named(".ci/run"), Some(".ci/run".into()));
        for other in ["head/12 fields", "metrics/*.rs", "docs/NAME.md", "src/lib.rs", "a b/c.rs"] {
            assert_eq!(named(other), None, "{other}");
        }
        assert_eq!(named("server/src/FOO/a.rs"), None);
    }

    #[test]
    fn missing_file_in_a_span_is_found() {
        let tree = Tree::of_this_repository().expect("the repository can be read");
        let document = Markdown::parse("see `docs/src/links.rs`\nand `docs/src/gone.rs`");
        let findings = check_mentions(&tree, "docs/A.md", &document);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }
}
