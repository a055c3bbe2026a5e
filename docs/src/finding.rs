//! [`Finding`]: one thing that is not in order.

use std::fmt;

/// One thing that is not in order: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root of the repository.
    pub path: String,
    /// The line, counted from one; zero when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// A finding about one line.
    pub fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }

    /// A finding about a whole file or folder.
    pub fn whole(path: &str, message: impl Into<String>) -> Self {
        Self::at(path, 0, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Fails the calling test with one line per finding.
///
/// # Panics
/// When there is any finding; that is its purpose.
pub fn assert_clean(findings: &[Finding]) {
    let list: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    assert!(findings.is_empty(), "{} not in order:{list}", findings.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_shown_when_known() {
        assert_eq!(Finding::at("a.rs", 3, "wrong").to_string(), "a.rs:3: wrong");
        assert_eq!(Finding::whole("a.rs", "wrong").to_string(), "a.rs: wrong");
    }

    #[test]
    #[should_panic(expected = "1 not in order")]
    fn findings_fail_the_test() {
        assert_clean(&[Finding::whole("a.rs", "wrong")]);
    }
}
