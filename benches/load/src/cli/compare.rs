//! `corelane load compare`.

use std::path::PathBuf;

use super::{Failure, print, read, values};
use crate::compare::compare;

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Compares the rate and the quantiles of response time, second by second: a difference \
    counts if chance alone would make seconds as unequal less than once in a hundred times, and, for the exit \
    code, if it is at least --threshold. Runs of different loads are refused.\n\n\
    Two runs are two moments of a machine: alternate runs of both, and repeat.\n\n\
    Exit code: 0 if the second is not worse, 1 if it is (or has more faults), 2 if they cannot be read or compared."
)]
pub(super) struct CompareArgs {
    /// What was written with --json by the run before
    first: PathBuf,
    /// What was written by the run after
    second: PathBuf,
    /// How much worse the second may be: 0.05 or 5%
    #[arg(long, value_name = "SHARE", value_parser = values::share, default_value = "5%")]
    threshold: f64,
}

pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let result = |path| read(path).map_err(|error| Failure::Usage(format!("{error:#}")));
    let (first, second) = (result(&args.first)?, result(&args.second)?);
    let found = compare(&first, &second).map_err(|unlike| Failure::Usage(unlike.to_string()))?;
    print(&found.to_text());
    let worse: Vec<_> = found.regressions(args.threshold).map(|figure| figure.name).collect();
    let limit = args.threshold * 100.0;
    let verdict = match (worse.is_empty(), found.has_more_faults()) {
        (true, false) => format!("not worse by {limit} % or more\n"),
        (false, _) => format!("worse by {limit} % or more: {}\n", worse.join(", ")),
        (true, true) => "more faults\n".to_owned(),
    };
    print(&format!("\n{verdict}"));
    if worse.is_empty() && !found.has_more_faults() { Ok(()) } else { Err(Failure::Result) }
}
