//! Medians and paired ratios, and how they are shown.

/// Middle, least and greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Of an even count, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// The spread of `values`; `None` if there are none.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some(Spread { median, min, max })
}

/// The spread of `ours / theirs` over the rounds that have both. What drifts between rounds
/// cancels inside one, so this is steadier than the ratio of two medians.
pub fn paired_ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Spread> {
    let pairs = ours.iter().zip(theirs).filter_map(|pair| match pair {
        (Some(ours), Some(theirs)) if *theirs > 0.0 => Some(ours / theirs),
        _ => None,
    });
    spread(pairs)
}

/// The median with so many digits behind the point; a dash if there is none.
#[must_use]
pub fn median(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
}

/// Least and greatest.
#[must_use]
pub fn range(spread: Option<Spread>, digits: usize) -> String {
    let text = |spread: Spread| format!("{:.digits$}–{:.digits$}", spread.min, spread.max);
    spread.map_or_else(|| "–".to_owned(), text)
}

/// `text` with its unit, unless it is the dash.
#[must_use]
pub fn with_unit(text: String, unit: &str) -> String {
    if text == "–" { text } else { format!("{text} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        let odd = spread([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(odd, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(spread([4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
        assert_eq!(spread([]), None);
    }

    #[test]
    fn ratios_are_paired_by_round() {
        // The machine became twice as slow after the first round; the ratio did not change.
        let ours = [Some(3.0), Some(6.0), None, Some(6.0)];
        let theirs = [Some(2.0), Some(4.0), Some(4.0), Some(4.0)];
        let ratio = paired_ratio(&ours, &theirs).unwrap();
        assert_eq!(ratio, Spread { median: 1.5, min: 1.5, max: 1.5 });
        assert_eq!(paired_ratio(&[None], &[Some(1.0)]), None);
    }
}
