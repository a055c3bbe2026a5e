//! The length of files.

use crate::finding::Finding;

/// The most lines a Rust file may have before its tests.
pub const LINES_MAX: usize = 600;

/// Checks the length of one Rust file, up to its first `#[cfg(test)]` at the left margin.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    let message = format!(
        "has {lines} lines before its tests, {LINES_MAX} are allowed: split it by owner (one noun \
         per file)"
    );
    vec![Finding::whole(path, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_is_found_and_long_tests_are_not() {
        assert_eq!(check("a.rs", &"x\n".repeat(LINES_MAX)), []);
        assert_eq!(check("a.rs", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
        let tested = format!("x\n#[cfg(test)]\n{}", "y\n".repeat(2 * LINES_MAX));
        assert_eq!(check("a.rs", &tested), []);
    }
}
