//! Whether two results differ by more than chance.
//!
//! The unit is not the request but a stretch of time: requests of the same moment share their luck (a
//! pause, a busy neighbour), so a test that took each for a draw of its own would find a difference in
//! any two runs. Each result is cut into up to [`BLOCKS_MAX`] blocks of whole seconds, and each block has
//! its own rate and quantiles. If nothing has changed, it does not matter which run a block belongs to: so
//! the blocks are put in order by a figure, and dealt out anew many times (the test of Mann and Whitney,
//! by permutation); the difference is significant if fewer than one deal in a hundred gives the two runs
//! places as unequal as they are. How large the difference is, is told of the whole runs, with an
//! interval: the blocks of each run are drawn anew with replacement (a bootstrap), and of the ratios so
//! found the middle 99 of 100 are told. Both use a fixed seed: the same files give the same answer.
//!
//! What it cannot tell: two runs are two samples of a machine, each with the conditions of its own
//! minutes. A difference between them may be one between two moments. Alternate the runs, and repeat.

mod alike;
mod resample;

use std::fmt::Write;

use crate::record::{Record, per};
use crate::units;

pub use alike::Unlike;

/// Blocks of a result at most.
pub const BLOCKS_MAX: usize = 60;
/// Fewer blocks of a result prove nothing: of 5 and 5 there are only 252 deals.
const BLOCKS_MIN: usize = 8;
/// A deal of the test, or a draw of the interval, each so many times.
const ROUNDS: usize = 2_000;
/// One in a hundred for each of five figures: less than one in twenty for any of them by chance.
const SIGNIFICANCE: f64 = 0.01;
/// The quantiles that are compared, where both results have ten values beyond them.
const COMPARED: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What came of comparing two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Each figure that both results have.
    pub figures: Vec<Figure>,
    /// [Shares of requests that failed](Record::failed_share), of the first and of the second.
    pub fault_shares: [f64; 2],
    /// All faults of both, those of connections included.
    pub fault_counts: [u64; 2],
    /// As many for each request whose time came.
    pub fault_rates: [f64; 2],
    /// What else may explain a difference: machine, cores, times, a generator at its limit.
    pub conditions: Vec<String>,
}

/// One figure of two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it is in the first and in the second result: nanoseconds, or responses per second.
    pub values: [f64; 2],
    /// The second divided by the first, and the interval in which that ratio may lie.
    pub ratio: f64,
    /// See [`ratio`](Self::ratio).
    pub interval: [f64; 2],
    /// How often chance alone would make the blocks of the two as unequal.
    pub chance: f64,
    /// Whether less of it is better.
    pub less_is_better: bool,
}

impl Figure {
    /// Whether the difference is more than chance.
    #[must_use]
    pub fn is_significant(&self) -> bool {
        self.chance < SIGNIFICANCE
    }

    /// By which share the second is worse than the first: 0.1 is 10 %; negative if it is better.
    #[must_use]
    pub fn worse_by(&self) -> f64 {
        if self.less_is_better { self.ratio - 1.0 } else { 1.0 - self.ratio }
    }
}

impl Comparison {
    /// Figures in which the second is worse than the first by more than chance and by at least
    /// `threshold` (0.05 is 5 %).
    pub fn regressions(&self, threshold: f64) -> impl Iterator<Item = &Figure> {
        self.figures
            .iter()
            .filter(move |figure| figure.is_significant() && figure.worse_by() >= threshold)
    }

    /// Whether more requests of the second failed, or it had more faults, of connections too: by at least one
    /// for a thousand requests.
    #[must_use]
    pub fn has_more_faults(&self) -> bool {
        [self.fault_shares, self.fault_rates].iter().any(|[first, second]| second - first >= 0.001)
    }

    /// A table for people, with what has to be known to read it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        if self.fault_shares != [0.0, 0.0] || self.fault_counts != [0, 0] {
            let [first, second] = [0, 1].map(|which| {
                let count = units::several(self.fault_counts[which], "fault");
                format!("{count} and {:.3} % of the requests", self.fault_shares[which] * 100.0)
            });
            let _ = writeln!(out, "failed: {first} in the first, {second} in the second\n");
        }
        let _ = writeln!(
            out,
            "{:<12}{:>12}{:>12}{:>10}  {:<20}{:>8}  verdict",
            "", "first", "second", "change", "interval", "chance",
        );
        for figure in &self.figures {
            let values = figure.values.map(|value| match figure.less_is_better {
                true => units::time(value),
                false => format!("{}/s", units::rate(value)),
            });
            let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
            let interval = figure.interval.map(percent).join(" to ");
            let verdict = match (figure.is_significant(), figure.worse_by() > 0.0) {
                (false, _) => "no difference found",
                (true, true) => "WORSE",
                (true, false) => "better",
            };
            let _ = writeln!(
                out,
                "{:<12}{:>12}{:>12}{:>10}  {:<20}{:>8.3}  {verdict}",
                figure.name,
                values[0],
                values[1],
                percent(figure.ratio),
                interval,
                figure.chance,
            );
        }
        for condition in &self.conditions {
            let _ = writeln!(out, "\nbeside the server: {condition}");
        }
        out += "\nchance: how often the seconds of both runs, dealt out anew, would be as unequal by this figure \
                if\nnothing had changed. interval: of the change, 99 %. Both take the seconds of a run as \
                exchangeable;\nwhat lasted for a whole run (another neighbour, another boot) they cannot tell \
                from a change of the\nserver: alternate runs, and repeat.\n";
        out
    }
}

/// Compares two results of the same load.
///
/// # Errors
/// [`Unlike`] when the loads differ, or a result is too short to say anything.
pub fn compare(first: &Record, second: &Record) -> Result<Comparison, Unlike> {
    alike::check(first, second)?;
    let quantiles: Vec<_> = COMPARED
        .into_iter()
        .filter(|(_, quantile)| {
            [first, second]
                .iter()
                .all(|record| crate::record::supports(&record.response_time, *quantile))
        })
        .collect();
    let samples = [first, second].map(resample::Blocks::of);
    for (which, sample) in ["first", "second"].into_iter().zip(&samples) {
        if sample.len() < BLOCKS_MIN {
            return Err(Unlike::Short { which, seconds: sample.len() });
        }
    }
    let names = ["rate"].into_iter().chain(quantiles.iter().map(|(name, _)| *name));
    let shares: Vec<f64> = quantiles.iter().map(|(_, quantile)| *quantile).collect();
    let figures = resample::compare(&samples, &shares, ROUNDS)
        .into_iter()
        .zip(names)
        .map(|(found, name)| Figure {
            name,
            values: found.values,
            ratio: found.ratio,
            interval: found.interval,
            chance: found.chance,
            less_is_better: name != "rate",
        })
        .collect();
    Ok(Comparison {
        figures,
        fault_shares: [first, second].map(Record::failed_share),
        fault_counts: [first, second].map(Record::fault_count),
        fault_rates: [first, second]
            .map(|record| per(record.fault_count() as f64, record.sends.intended as f64)),
        conditions: alike::conditions(first, second),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Discipline, sample};

    #[test]
    fn a_known_difference_is_found_and_its_size_told() {
        let (first, second) =
            (sample::made(20, 100_000, None, 1), sample::made(20, 200_000, None, 2));
        let found = compare(&first, &second).unwrap();
        for figure in found.figures.iter().filter(|figure| figure.name != "rate") {
            assert!(figure.is_significant() && figure.worse_by() > 0.5, "{figure:?}");
            let [low, high] = figure.interval;
            // Values are known to 1/64.
            assert!(low <= 2.0 * 65.0 / 64.0 && 2.0 * 63.0 / 64.0 <= high, "{figure:?}");
        }
        // A fifth more is seen at least where most requests are.
        let fifth = compare(&first, &sample::made(20, 120_000, None, 2)).unwrap();
        let seen: Vec<_> = fifth.regressions(0.1).map(|figure| figure.name).collect();
        assert_eq!(seen[..2], ["p50", "p90"]);
        assert_eq!(found.figures[0].ratio, 1.0, "the rate is the same");
        assert!(!found.figures[0].is_significant());
        assert_eq!((found.regressions(0.05).count(), found.regressions(2.0).count()), (4, 0));
        let back = compare(&second, &first).unwrap();
        assert_eq!(back.regressions(0.0).count(), 0, "what is better is no regression");
        assert_eq!(found, compare(&first, &second).unwrap(), "the same files, the same answer");
        assert!(found.to_text().contains("WORSE"), "{}", found.to_text());
    }

    #[test]
    fn equal_servers_are_rarely_called_different() {
        // 60 pairs with five figures each, of which one in a hundred may be called different by chance.
        // The binomial distribution has more than 10 of 300 once in a thousand such trials.
        let mut called = 0;
        for seed in 0..60 {
            let pair =
                [2 * seed, 2 * seed + 1].map(|seed| sample::made(10, 100_000, None, 1_000 + seed));
            let found = compare(&pair[0], &pair[1]).unwrap();
            called += found.figures.iter().filter(|figure| figure.is_significant()).count();
        }
        assert!(called <= 10, "{called} of 300");
    }

    #[test]
    fn one_bad_second_is_not_taken_for_a_thousand_bad_requests() {
        let (first, mut second) =
            (sample::made(20, 100_000, None, 1), sample::made(20, 100_000, Some(4), 2));
        second.lost = 3;
        let found = compare(&first, &second).unwrap();
        let p99 = found.figures.iter().find(|figure| figure.name == "p99").unwrap();
        assert!(
            p99.ratio > 100.0 && !p99.is_significant(),
            "one block in 40 may fall on either: {p99:?}"
        );
        assert!(found.fault_shares[1] > 0.0 && !found.has_more_faults());
    }

    #[test]
    fn faults_of_connections_count_though_no_request_failed() {
        let first = sample::made(20, 100_000, None, 1);
        for (faults, more) in [(0, false), (19, false), (20, true), (5_000, true)] {
            let mut second = sample::made(20, 100_000, None, 1);
            second.faults[0].count = faults;
            let found = compare(&first, &second).unwrap();
            assert_eq!((found.fault_shares, found.has_more_faults()), ([0.0; 2], more), "{faults}");
            let told = "failed: 0 faults and 0.000 % of the requests in the first";
            assert_eq!(found.to_text().contains(told), faults > 0, "{}", found.to_text());
            assert!(!compare(&second, &first).unwrap().has_more_faults());
        }
    }

    #[test]
    fn a_last_second_that_was_closed_late_counts_and_a_part_of_one_does_not() {
        let first = sample::made(20, 100_000, None, 1);
        let found = |last: f64, answered: u64| {
            let mut second = sample::made(20, 100_000, None, 1);
            let end = second.seconds.last_mut().unwrap();
            (end.length_seconds, end.answered) = (last, answered);
            compare(&first, &second).unwrap().figures.remove(0)
        };
        // At the same rate it is no difference, however long it is.
        assert_eq!(found(1.3, 1_300).ratio, 1.0);
        assert!(!found(1.3, 1_300).is_significant());
        // It is not left out: what it lacks is told, 300 of 20,300, and is chance.
        let late = found(1.3, 1_000);
        assert!((late.ratio - 20.0 / 20.3).abs() < 1e-9 && !late.is_significant(), "{late:?}");
        // A part of a second is left out, whatever was in it.
        assert_eq!(found(0.3, 1).ratio, 1.0);
    }

    #[test]
    fn a_single_stall_of_a_second_is_told_and_called_chance() {
        let (first, second) =
            (sample::made(20, 100_000, None, 1), sample::made(20, 100_000, Some(7), 2));
        let there = compare(&first, &second).unwrap();
        let back = compare(&second, &first).unwrap();
        for name in ["p99", "p99.9"] {
            let of = |found: &Comparison| {
                found.figures.iter().find(|figure| figure.name == name).unwrap().clone()
            };
            let (there, back) = (of(&there), of(&back));
            // Some draws have the stall, others have not: the interval says so.
            assert!(there.ratio > 100.0 && there.interval[0] < 2.0, "{there:?}");
            assert!(!there.is_significant() && !back.is_significant(), "{there:?} {back:?}");
        }
        assert_eq!(there.regressions(0.0).count(), 0);
    }

    #[test]
    fn unlike_runs_and_short_ones_are_refused() {
        let first = sample::made(20, 100_000, None, 1);
        let refused = |change: &dyn Fn(&mut Record)| {
            let mut second = first.clone();
            change(&mut second);
            compare(&first, &second)
                .map(|found| found.conditions)
                .map_err(|unlike| unlike.to_string())
        };
        for (change, word) in [
            (&(|r: &mut Record| r.load.connections = 17) as &dyn Fn(&mut Record), "connections"),
            (&|r: &mut Record| r.load.discipline = Discipline::Closed, "loop"),
            (&|r: &mut Record| r.load.urls[0] = "http://127.0.0.1:8080/other".to_owned(), "URLs"),
            (&|r: &mut Record| r.load.pipeline = 2, "in flight"),
            (&|r: &mut Record| r.seconds.truncate(5), "5 seconds"),
        ] {
            let said = refused(change).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        // Another server on another port may be compared, and another machine is told.
        let moved = |r: &mut Record| {
            r.load.urls[0] = "http://127.0.0.1:9090/</script>".to_owned();
            r.environment.processor = "Another".to_owned();
        };
        assert_eq!(refused(&moved).unwrap(), ["processor: A processor, Another"]);
        let mut first = first.clone();
        first.load.fields = vec!["Accept: a".to_owned(), "Cookie: (not kept)".to_owned()];
        let said = compare(&first, &first).unwrap().conditions;
        assert_eq!(said, ["values of credentials, which were not compared: Cookie: (not kept)"]);
    }
}
