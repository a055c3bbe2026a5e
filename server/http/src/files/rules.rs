//! Cache-Control by glob.

/// Which files are sent with which Cache-Control: the first rule whose glob matches counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct CacheRules(Vec<(String, String)>);

impl CacheRules {
    pub(crate) fn add(&mut self, glob: &str, value: &str) {
        self.0.push((glob.trim_start_matches('/').to_owned(), value.to_owned()));
    }

    /// The value for a file. A glob without a slash is about its name alone.
    pub(crate) fn of(&self, path: &str) -> Option<&str> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let matches =
            |glob: &str| fast_glob::glob_match(glob, if glob.contains('/') { path } else { name });
        self.0.iter().find(|(glob, _)| matches(glob)).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let mut rules = CacheRules::default();
        rules.add("/assets/**/*.{js,css}", "immutable");
        rules.add("*.html", "no-cache");
        rules.add("a/*", "max-age=60");
        for (path, expected) in [
            ("index.html", Some("no-cache")),
            ("a/b.html", Some("no-cache")),
            ("a/b.txt", Some("max-age=60")),
            ("a/b/c.txt", None),
            ("assets/app.js", Some("immutable")),
            ("assets/x/y.css", Some("immutable")),
            ("assets/app.png", None),
            ("app.js", None),
        ] {
            assert_eq!(rules.of(path), expected, "{path}");
        }
    }
}
