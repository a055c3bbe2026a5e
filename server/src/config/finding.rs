//! What is wrong with a configuration, and where values come from.

use std::fmt;
use std::path::PathBuf;

use super::Environment;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file, at this place; both count from 1, columns in characters. Line 0 is the whole file.
    File {
        /// Its path as it was given.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// This environment variable.
    Variable(String),
    /// This option of the command line.
    Flag(String),
    /// The default in this environment.
    Default(Environment),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
            Origin::Default(environment) => write!(f, "default in {environment}"),
        }
    }
}

/// One thing that is wrong, or doubtful.
///
/// ```
/// # use corelane::config::{Finding, Origin};
/// let origin = Origin::File { path: "site.json".into(), line: 3, column: 5 };
/// let message = "unknown key; did you mean `port`?".to_owned();
/// let finding = Finding { origin, path: "prot".to_owned(), message };
/// assert_eq!(finding.to_string(), "site.json:3:5: prot: unknown key; did you mean `port`?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where the value comes from.
    pub origin: Origin,
    /// Which key, as `hosts[0].routes[2].static.dir`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        // An option is the name of its key on the command line, but for the one that sets any of them.
        let is_named = matches!(&self.origin, Origin::Flag(name) if name != "--set");
        if !self.path.is_empty() && !is_named {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a configuration: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Finding::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Findings {}

/// So many findings of one kind are collected; who has more has another problem.
pub(super) const FINDINGS_MAX: usize = 200;

/// The path of a key below `path`.
pub(super) fn key_path(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    match (path, plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[\"{}\"]", key.escape_debug()),
    }
}

/// The path of an element of the list at `path`.
pub(super) fn index_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// The path above `path`: its key or index taken away. `None` at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    // A key of the user's may hold dots and brackets, but no unescaped quote.
    if let Some(head) = path.strip_suffix("\"]") {
        return Some(head.rfind("[\"").map_or("", |at| &path[..at]));
    }
    Some(path.rfind(['.', '[']).map_or("", |at| &path[..at]))
}

/// Whether `path` is `outer`, or something in it. Nothing counts as within the top.
pub(super) fn is_within(path: &str, outer: &str) -> bool {
    !outer.is_empty()
        && path
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_parents() {
        let errors = key_path(&index_path(&key_path("", "routes"), 2), "errors");
        for (path, above) in [
            ("".to_owned(), None),
            ("routes".to_owned(), Some("")),
            (errors.clone(), Some("routes[2]")),
            (key_path(&errors, "404"), Some("routes[2].errors")),
            (key_path(&errors, "a.b[c"), Some("routes[2].errors")),
            (key_path(&errors, ""), Some("routes[2].errors")),
            (key_path("", "\"] x"), Some("")),
        ] {
            assert_eq!(parent(&path), above, "{path}");
        }
    }
}
