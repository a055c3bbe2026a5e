//! What the fixed documents must hold: README, CHANGELOG, decisions, compiled snippets.

use crate::finding::Finding;
use crate::markdown::{Fence, Markdown};
use crate::tree::Tree;

/// The headings of a decision, in order.
pub const DECISION: [&str; 4] = ["Context", "Decision", "Evidence", "What would change our mind"];

/// The folder of the decisions.
pub const DECISIONS: &str = "docs/decisions/";

/// The line by which a library takes its README as its documentation.
const CRATE_DOC: &str = "#![doc = include_str!(\"../README.md\")]";

/// The last line on which the README's first block of commands may begin.
const README_LINES_MAX: usize = 40;

/// Checks that the README shows, near its top, one block with exactly two commands: the one that
/// runs the server and the one that passes every test.
pub fn check_readme(path: &str, document: &Markdown) -> Vec<Finding> {
    let advice = "the first `sh` block must hold exactly two commands, `cargo run --release …` \
                  and `cargo test …`, and begin near the top";
    let Some(fence) = first_commands(document) else {
        return vec![Finding::whole(path, advice)];
    };
    let commands = commands(&fence.text);
    let expected = matches!(commands.as_slice(), [run, test]
        if run.starts_with("cargo run --release") && test.starts_with("cargo test"));
    if expected && fence.line <= README_LINES_MAX {
        return Vec::new();
    }
    vec![Finding::at(path, fence.line, format!("shows {commands:?}: {advice}"))]
}

/// The first block of commands: a picture may stand before it.
fn first_commands(document: &Markdown) -> Option<&Fence> {
    document.fences.iter().find(|fence| fence.language == "sh")
}

/// Checks that `.ci/run` passes the tests by the very command the README shows.
pub fn check_ci(path: &str, script: &str, readme: &Markdown) -> Vec<Finding> {
    let shown = first_commands(readme).map(|fence| commands(&fence.text)).unwrap_or_default();
    let test = shown.into_iter().find(|command| command.starts_with("cargo test"));
    match test {
        Some(test) if script.lines().any(|line| line.trim_end().ends_with(&test)) => Vec::new(),
        Some(test) => {
            let message = format!("does not run `{test}`, the README's test command");
            vec![Finding::whole(path, message)]
        }
        None => vec![Finding::whole(path, "the README shows no test command to run")],
    }
}

/// Checks that the change log has a section for what is not yet released.
pub fn check_changelog(path: &str, document: &Markdown) -> Vec<Finding> {
    let unreleased = |heading: &str| heading.trim_matches(['[', ']']) == "Unreleased";
    if document.headings.iter().any(|(_, heading)| unreleased(heading)) {
        return Vec::new();
    }
    vec![Finding::whole(path, "has no section `## [Unreleased]`: add one at the top")]
}

/// Checks one decision: its headings, and that the index links to it.
pub fn check_decision(path: &str, document: &Markdown, index: &Markdown) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sections: Vec<&str> = document
        .headings
        .iter()
        .map(|(_, heading)| heading.as_str())
        .filter(|heading| DECISION.contains(heading))
        .collect();
    if sections != DECISION {
        let message = format!("has the sections {sections:?}, expected {DECISION:?} in this order");
        findings.push(Finding::whole(path, message));
    }
    let file = path.trim_start_matches(DECISIONS);
    if !index.links.iter().any(|(_, target)| target == file) {
        let message = format!("is not listed: add it to {DECISIONS}README.md");
        findings.push(Finding::whole(path, message));
    }
    findings
}

/// Checks that a document that shows Rust is compiled: named in `docs/src/lib.rs`, given as
/// `library`, or the crate doc of its own package.
pub fn check_snippets(tree: &Tree, library: &str, path: &str, document: &Markdown) -> Vec<Finding> {
    let shows_rust = document.fences.iter().any(|fence| is_rust(&fence.language));
    let folder = path.strip_suffix("README.md").unwrap_or("docs/");
    let crate_doc = || {
        let root = tree.text_if_any(&format!("{folder}src/lib.rs")).unwrap_or_default();
        path.ends_with("README.md") && root.contains(CRATE_DOC)
    };
    if !shows_rust || is_included(library, path) || crate_doc() {
        return Vec::new();
    }
    let message = "shows Rust that nothing compiles: add it to `snippets` in docs/src/lib.rs";
    vec![Finding::whole(path, message)]
}

/// Checks that a library's README is its documentation, given the text of its root.
pub fn check_crate_doc(path: &str, text: &str) -> Vec<Finding> {
    if text.contains(CRATE_DOC) {
        return Vec::new();
    }
    vec![Finding::at(path, 1, format!("does not show its README: begin with {CRATE_DOC}"))]
}

fn is_included(library: &str, path: &str) -> bool {
    let from_source = match path.strip_prefix("docs/") {
        Some(rest) => format!("\"../{rest}\""),
        None => format!("\"../../{path}\""),
    };
    library.contains(&from_source)
}

/// Whether rustdoc would compile a fence of this language: none at all counts, too.
fn is_rust(language: &str) -> bool {
    let mut words = language.split([',', ' ']).filter(|word| !word.is_empty()).peekable();
    words.peek().is_none()
        || words.any(|word| ["rust", "no_run", "should_panic", "compile_fail"].contains(&word))
}

/// The commands of a block: its lines without prompts, comments and empty lines.
fn commands(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim().trim_start_matches("$ "))
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme(block: &str) -> Markdown {
        Markdown::parse(&format!("# corelane\n```sh\n{block}\n```"))
    }

    const COMMANDS: &str = "cargo run --release -- fixed  # serve\ncargo test";

    #[test]
    fn readme_shows_two_commands() {
        assert_eq!(check_readme("README.md", &readme(COMMANDS)), []);
        for bad in ["cargo test", "cargo test\ncargo run --release", "make\ncargo test", ""] {
            assert_eq!(check_readme("README.md", &readme(bad)).len(), 1, "{bad}");
        }
        let late = Markdown::parse(&format!("{}```sh\n{COMMANDS}\n```", "\n".repeat(50)));
        assert_eq!(check_readme("README.md", &late).len(), 1);
        assert_eq!(check_readme("README.md", &Markdown::parse("# corelane")).len(), 1);
    }

    #[test]
    fn ci_runs_the_command_of_the_readme() {
        let readme = readme(COMMANDS);
        assert_eq!(check_ci(".ci/run", "stage tests cargo test\n", &readme), []);
        assert_eq!(check_ci(".ci/run", "stage tests cargo test --lib\n", &readme).len(), 1);
    }

    #[test]
    fn changelog_has_a_section_for_the_next_release() {
        let good = Markdown::parse("# Changes\n## [Unreleased]");
        assert_eq!(check_changelog("CHANGELOG.md", &good), []);
        let bad = Markdown::parse("# Changes\n## 1.0");
        assert_eq!(check_changelog("CHANGELOG.md", &bad).len(), 1);
    }

    #[test]
    fn decision_has_its_sections_and_is_listed() {
        let index = Markdown::parse("[one](0001-one.md)");
        let good = "# 1\n## Context\n## Decision\n## Evidence\n## What would change our mind";
        let path = "docs/decisions/0001-one.md";
        assert_eq!(check_decision(path, &Markdown::parse(good), &index), []);
        let short = Markdown::parse(&good.replace("## Evidence\n", ""));
        assert_eq!(check_decision(path, &short, &index).len(), 1);
        let path = "docs/decisions/0002-two.md";
        assert_eq!(check_decision(path, &Markdown::parse(good), &index).len(), 1);
    }

    #[test]
    fn library_shows_its_readme() {
        assert_eq!(check_crate_doc("a/src/lib.rs", &format!("{CRATE_DOC}\nmod b;")), []);
        assert_eq!(check_crate_doc("a/src/lib.rs", "//! A crate.\nmod b;").len(), 1);
    }

    #[test]
    fn rust_fences_are_told_from_others() {
        for rust in ["rust", "rust,no_run", "no_run", ""] {
            assert!(is_rust(rust), "{rust}");
        }
        for other in ["sh", "text", "toml", "mermaid", "ignore"] {
            assert!(!is_rust(other), "{other}");
        }
        let library = "#[doc = include_str!(\"../A.md\")] #[doc = include_str!(\"../../B.md\")]";
        assert!(is_included(library, "docs/A.md") && is_included(library, "B.md"));
        assert!(!is_included(library, "docs/B.md") && !is_included(library, "A.md"));
    }
}
