//! What every manifest of the workspace says.

use crate::finding::Finding;
use crate::tree::Tree;
use toml::{Table, Value};

/// The manifest of a folder: `Cargo.toml` in it.
pub fn path_of(folder: &str) -> String {
    format!("{folder}/Cargo.toml")
}

/// Reads one manifest.
///
/// # Errors
/// A finding when it is missing or is not TOML.
pub fn read(tree: &Tree, path: &str) -> Result<Table, Finding> {
    let text = tree.text(path).map_err(|error| Finding::whole(path, error.to_string()))?;
    text.parse::<Table>().map_err(|error| Finding::whole(path, error.to_string()))
}

/// The folders of the workspace's packages, from the root manifest.
pub fn members(root: &Table) -> Vec<String> {
    list(root, "members")
}

/// Checks that each manifest in the tree is a member, is excluded by name, or is a workspace of
/// its own, and so is never built by accident.
pub fn check_members(tree: &Tree, root: &Table) -> Vec<Finding> {
    let known: Vec<String> =
        members(root).into_iter().chain(list(root, "exclude")).map(|f| path_of(&f)).collect();
    let stands_alone =
        |path: &str| read(tree, path).is_ok_and(|manifest| manifest.contains_key("workspace"));
    tree.files_ending("/Cargo.toml")
        .filter(|path| !known.iter().any(|k| k == path) && !stands_alone(path))
        .map(|path| {
            Finding::whole(path, "is neither a member nor excluded: name it in the root Cargo.toml")
        })
        .collect()
}

/// Checks what one member's manifest says, given which of its files exist.
pub fn check(path: &str, manifest: &Table, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut messages = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table).cloned().unwrap_or_default();
    for key in ["version", "edition", "rust-version", "license", "repository"] {
        if !inherits(package.get(key)) {
            messages.push(format!("add `{key}.workspace = true` to [package]"));
        }
    }
    if package.get("description").and_then(Value::as_str).is_none_or(|text| text.len() < 20) {
        messages.push("add a description of one sentence to [package]".to_owned());
    }
    if !manifest.get("lints").is_some_and(|lints| inherits(Some(lints))) {
        messages.push("add `[lints] workspace = true`".to_owned());
    }
    if !exists("README.md") {
        messages.push("add a README.md beside it".to_owned());
    }
    let library = manifest.get("lib");
    if exists("src/lib.rs") && library.is_none_or(benches) {
        messages
            .push("add `bench = false` to [lib], so that `cargo bench` can pass options".into());
    }
    let bins = manifest.get("bin").and_then(Value::as_array).cloned().unwrap_or_default();
    if bins.iter().any(benches) || (exists("src/main.rs") && bins.is_empty()) {
        messages.push("add a [[bin]] with `bench = false` for each binary".to_owned());
    }
    messages.into_iter().map(|message| Finding::whole(path, message)).collect()
}

/// Whether a target has not said `bench = false`.
fn benches(target: &Value) -> bool {
    target.get("bench").and_then(Value::as_bool) != Some(false)
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn list(root: &Table, key: &str) -> Vec<String> {
    let values = root.get("workspace").and_then(|w| w.get(key)).and_then(Value::as_array);
    let values = values.into_iter().flatten();
    values.filter_map(|value| value.as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        [package]
        name = 'corelane-parser'
        description = 'HTTP/1.1 on plain slices.'
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        repository.workspace = true
        [lib]
        bench = false
        [lints]
        workspace = true";

    fn count(text: &str, files: &[&str]) -> usize {
        let manifest: Table = text.parse().unwrap();
        check("a/Cargo.toml", &manifest, |file| files.contains(&file)).len()
    }

    #[test]
    fn good_manifest_passes() {
        assert_eq!(count(GOOD, &["README.md", "src/lib.rs"]), 0);
        let binary = format!("{GOOD}\n[[bin]]\nname = 'a'\nbench = false");
        assert_eq!(count(&binary, &["README.md", "src/lib.rs", "src/main.rs"]), 0);
    }

    #[test]
    fn each_missing_line_is_found() {
        let lines: Vec<&str> = GOOD.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.contains("name =") {
                let bad = [&lines[..at], &lines[at + 1..]].concat().join("\n");
                assert_eq!(count(&bad, &["README.md", "src/lib.rs"]), 1, "without {line}");
            }
        }
        assert_eq!(count(GOOD, &["src/lib.rs"]), 1);
    }

    #[test]
    fn binary_that_benches_is_found() {
        assert_eq!(count(GOOD, &["README.md", "src/lib.rs", "src/main.rs"]), 1);
        let bad = format!("{GOOD}\n[[bin]]\nname = 'a'");
        assert_eq!(count(&bad, &["README.md", "src/lib.rs"]), 1);
    }

    #[test]
    fn members_and_exclusions_are_read() {
        let root: Table = "[workspace]\nmembers = ['a', 'b/c']\nexclude = ['d']".parse().unwrap();
        assert_eq!(members(&root), ["a", "b/c"]);
        assert_eq!(list(&root, "exclude"), ["d"]);
    }
}
