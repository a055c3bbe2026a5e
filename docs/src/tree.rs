//! [`Tree`]: the files of the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// The files of the repository: those git tracks or would track. In an unpacked archive, where
/// there is no git, every file that is not build output.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Tree {
    /// Lists the files below `root`.
    ///
    /// # Errors
    /// When a folder below `root` cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let listed = match root.join(".git").exists() {
            true => list_with_git(&root),
            false => None,
        };
        let files = match listed {
            Some(files) => files,
            None => {
                let mut files = BTreeSet::new();
                walk(&root, "", &mut files)?;
                files
            }
        };
        Ok(Self { root, files })
    }

    /// The repository this crate was compiled in.
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub fn of_this_repository() -> io::Result<Self> {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
    }

    /// Every file, relative to the root, with `/` between folders, in order.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Every file whose name ends so, e.g. `.rs`.
    pub fn files_ending(&self, ending: &str) -> impl Iterator<Item = &str> {
        self.files().filter(move |path| path.ends_with(ending))
    }

    /// Whether `path` is a file of the tree, or a folder that holds one.
    pub fn contains(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.files.contains(path) {
            return true;
        }
        let folder = format!("{path}/");
        self.files.range(folder.clone()..).next().is_some_and(|next| next.starts_with(&folder))
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8; the message names the file.
    pub fn text(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(path))
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    /// The text of a file, or nothing when it is missing or is not text.
    pub fn text_if_any(&self, path: &str) -> Option<String> {
        self.text(path).ok()
    }
}

/// Tracked files and new ones that are not ignored, so that a check fails before the commit.
fn list_with_git(root: &Path) -> Option<BTreeSet<String>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let names = String::from_utf8(output.stdout).ok()?;
    // A file deleted but not yet committed is still listed.
    let there = |name: &&str| !name.is_empty() && root.join(name).is_file();
    Some(names.split('\0').filter(there).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.insert(path);
        } else if kind.is_dir() && name != "target" && name != ".git" {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_git_is_walked_without_build_output() {
        let root = std::env::temp_dir().join(format!("corelane-tree-{}", std::process::id()));
        fs::create_dir_all(root.join("target/debug")).unwrap();
        fs::create_dir_all(root.join("parser/src")).unwrap();
        fs::write(root.join("target/debug/out"), "").unwrap();
        fs::write(root.join("parser/src/lib.rs"), "text").unwrap();
        let tree = Tree::read(&root).unwrap();
        let files: Vec<&str> = tree.files().collect();
        let text = tree.text("parser/src/lib.rs");
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(files, ["parser/src/lib.rs"]);
        assert_eq!(text.unwrap(), "text");
        assert!(tree.contains("parser") && tree.contains("parser/src/"));
        assert!(!tree.contains("parse") && !tree.contains("target"));
    }

    #[test]
    fn missing_file_is_named() {
        let tree = Tree::of_this_repository().unwrap();
        assert!(tree.text("no/such").unwrap_err().to_string().starts_with("no/such: "));
    }
}
