//! Runs at rising rates, one after the other, as one result.

use super::options::{Job, Options};
use super::values::Ramp;
use super::{Failure, Side, Stop, once};
use crate::record::{Discipline, End, Record};
use crate::{Arrivals, Pace, units};

pub(super) fn run(
    options: &Options,
    job: &Job,
    ramp: Ramp,
    stop: &Stop,
    side: &mut Side,
) -> Result<Record, Failure> {
    let plans = job.plan.ramp(ramp.from, ramp.to, ramp.steps);
    let plans = plans.map_err(|error| Failure::Usage(error.to_string()))?;
    let mut whole: Option<Record> = None;
    for plan in &plans {
        // Also while the step before waited for its last answers.
        if let (true, Some(whole)) = (stop.asked(), &mut whole) {
            whole.end = End::Interrupted;
            break;
        }
        let mut record = match (once(options, job, plan, stop, side), &mut whole) {
            (Ok(record), _) => record,
            (Err(error), None) => return Err(error.into()),
            // What the steps before have shown is what a ramp is for.
            (Err(error), Some(whole)) => {
                whole.end = End::Failed(format!("{error:#}"));
                break;
            }
        };
        if let Pace::Open { rate, .. } = plan.pace {
            record.become_step(rate);
        }
        let interrupted = record.end == End::Interrupted;
        match &mut whole {
            Some(whole) => whole.append(record),
            None => whole = Some(record),
        }
        if interrupted {
            break;
        }
    }
    let mut whole = whole.ok_or_else(|| Failure::Usage("a ramp without steps".to_owned()))?;
    let arrivals = match job.plan.pace {
        Pace::Open { arrivals: Arrivals::Poisson, .. } => "poisson",
        _ => "constant",
    };
    whole.load.discipline = Discipline::Open {
        rate: format!(
            "{}/s to {}/s in {} steps of {}",
            units::rate(ramp.from),
            units::rate(ramp.to),
            ramp.steps,
            units::time(ramp.step.as_nanos() as f64),
        ),
        arrivals: arrivals.to_owned(),
    };
    Ok(whole)
}
