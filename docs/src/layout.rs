//! The top level of the repository: eight directories, and files.

use crate::finding::Finding;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The directories of the top level. Anything new goes beneath the one whose subject it is.
pub const DIRECTORIES: [&str; 8] =
    ["acceptor", "benches", "docs", "eventloop", "mempool", "metrics", "parser", "server"];

/// Checks that the top level holds exactly [`DIRECTORIES`], beside files and dot-folders.
pub fn check(tree: &Tree) -> Vec<Finding> {
    check_paths(tree.files())
}

fn check_paths<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let found: BTreeSet<&str> = paths
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    let expected = BTreeSet::from(DIRECTORIES);
    let extra = found.difference(&expected).map(|folder| {
        let advice = "is not one of the eight directories of the top level: move it beneath the \
                      one whose subject it is";
        Finding::whole(folder, advice)
    });
    let missing = expected.difference(&found).map(|folder| {
        Finding::whole(folder, "is missing: the top level has eight directories, this is one")
    });
    extra.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 10] = [
        "README.md",
        ".ci/run",
        "acceptor/Cargo.toml",
        "benches/Cargo.toml",
        "docs/Cargo.toml",
        "eventloop/Cargo.toml",
        "mempool/Cargo.toml",
        "metrics/Cargo.toml",
        "parser/Cargo.toml",
        "server/Cargo.toml",
    ];

    #[test]
    fn eight_directories_and_files_pass() {
        assert_eq!(check_paths(GOOD.into_iter()), []);
    }

    #[test]
    fn ninth_directory_is_found() {
        let findings = check_paths(GOOD.into_iter().chain(["utils/src/lib.rs"]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "utils");
    }

    #[test]
    fn missing_directory_is_found() {
        let findings = check_paths(GOOD.into_iter().filter(|path| !path.starts_with("parser/")));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "parser");
    }
}
