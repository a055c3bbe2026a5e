//! Reading a filter of the program's log, with messages for those who mistyped it.

use std::fmt;

use tracing_subscriber::EnvFilter;

/// Levels, from the quietest.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The longest filter.
pub const BYTES_MAX: usize = 1024;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

/// Reads a filter: a level (`info`), levels by target (`warn,corelane_http=debug`), or anything else
/// that [`EnvFilter`] knows.
///
/// Stricter than [`EnvFilter`] in one case: a word alone is a level. There it would also be a target,
/// so that a mistyped level switches off everything.
///
/// # Errors
/// A filter that is empty, longer than [`BYTES_MAX`], or wrong; the message names the part.
pub fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FilterError(format!("empty; write {}", expected())));
    }
    if text.len() > BYTES_MAX {
        return Err(FilterError(format!("longer than {BYTES_MAX} bytes")));
    }
    // Within the brackets of a span, a comma separates its fields.
    if !text.contains('[') {
        for directive in text.split(',').map(str::trim) {
            let (target, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            if target.is_empty() && directive.contains('=') {
                return Err(FilterError(format!("`{directive}` names no target")));
            }
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                return Err(FilterError(format!("`{level}` is no level; write {}", expected())));
            }
        }
    }
    EnvFilter::try_new(text).map_err(|error| FilterError(format!("{error}; write {}", expected())))
}

fn expected() -> String {
    format!("one of {}, or levels by target: warn,corelane_http=debug", LEVELS.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_hold() {
        for text in ["info", "OFF", " warn ", "warn,corelane_http=debug", "a[span{x=1}]=trace"] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "empty"),
            (" ", "empty"),
            ("inof", "`inof` is no level; write one of off, error"),
            ("warn,corelane_http", "`corelane_http` is no level"),
            ("corelane=loud", "`loud` is no level"),
            ("=info", "names no target"),
            ("info,", "`` is no level"),
            ("a[=]=info=x", "; write one of"),
            (&"x".repeat(2000), "longer than"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
