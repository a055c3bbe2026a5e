//! Words that tie the project to one machine or one registry.

use crate::finding::Finding;

/// Folders of one machine. Spelled in pieces, so that this file passes its own check.
const FOLDERS: [&str; 4] = [
    concat!("/", "root/"),
    concat!("/", "work/"),
    concat!("/tmp/", "target"),
    concat!("/tmp/", "brief"),
];

/// Hosts of package registries: which one a build uses is its owner's choice.
const HOSTS: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".com"),
    concat!("npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("rubygems", ".org"),
];

/// Checks one text file of ours. `Cargo.lock` is cargo's and is not checked.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if path.rsplit('/').next() == Some("Cargo.lock") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(folder) = FOLDERS.iter().find(|folder| has_folder(line, folder)) {
            let message = format!("{folder} exists on one machine only: use a relative path");
            findings.push(Finding::at(path, index + 1, message));
        }
        if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
            let message = format!("names the registry {host}: say the name of the package instead");
            findings.push(Finding::at(path, index + 1, message));
        }
    }
    findings
}

/// Whether an absolute path into `folder` stands in `line`; `net/work/` is not one.
fn has_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in FOLDERS {
            assert_eq!(check("a.md", &format!("run {folder}x")).len(), 1, "{folder}");
            assert_eq!(check("a.md", &format!("run net{folder}x")), [], "{folder}");
        }
    }

    #[test]
    fn registries_are_found_except_in_the_lock_file() {
        for host in HOSTS {
            let text = format!("from https://{host}/a");
            assert_eq!(check("a.md", &text).len(), 1, "{host}");
            assert_eq!(check("benches/rivals/Cargo.lock", &text), [], "{host}");
        }
    }
}
