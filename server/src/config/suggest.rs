//! What somebody may have meant.

/// The candidate that is near enough to be a slip of the pen.
pub(super) fn closest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Longer words are nobody's keys, and the distance takes time by the square.
    if word.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_strangers_are_not() {
        let keys = ["host", "port", "static_dir", "max_body"];
        for (word, meant) in [
            ("prot", Some("port")),
            ("hots", Some("host")),
            ("staticDir", Some("static_dir")),
            ("static-dir", Some("static_dir")),
            ("max_bdoy", Some("max_body")),
            ("PORT", Some("port")),
            ("upstream", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, keys), meant, "{word}");
        }
        assert_eq!(closest(&"x".repeat(10_000), keys), None);
    }
}
