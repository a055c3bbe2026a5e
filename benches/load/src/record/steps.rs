//! Several runs, one after the other at rising rates, as one result.

use corelane_metrics::HistogramSnapshot;
use serde::{Deserialize, Serialize};

use super::histogram::highest_of_both;
use super::{End, Record, histogram, per};
use crate::units;

/// A server keeps up as long as so much of what is asked is answered in time,
const ANSWERED_SHARE: f64 = 0.99;
/// and as long as its p99 is below so many times that of the first step; where one of them has too few
/// answers for that, the highest quantile that both have.
const FACTOR: u64 = 10;

/// One rate of a ramp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests per second asked for.
    pub rate: f64,
    /// The measured time.
    pub elapsed_seconds: f64,
    /// Requests whose time came.
    pub intended: u64,
    /// Whole responses.
    pub answered: u64,
    /// What went wrong.
    pub fault_count: u64,
    /// Requests that the generator itself sent late.
    pub late: u64,
    /// The share of time in which the busiest thread of the generator was not waiting.
    pub saturation: Option<f64>,
    /// As in [`Record::response_time`].
    #[serde(with = "histogram")]
    pub response_time: HistogramSnapshot,
}

impl Step {
    /// Responses per second.
    #[must_use]
    pub fn answered_rate(&self) -> f64 {
        per(self.answered as f64, self.elapsed_seconds)
    }
}

impl Record {
    /// Makes this run, at one rate, the first step of a ramp. One that was ended early becomes none: it
    /// does not tell whether the server keeps up.
    pub fn become_step(&mut self, rate: f64) {
        if self.end != End::Complete {
            return;
        }
        self.steps = vec![Step {
            rate,
            elapsed_seconds: self.elapsed_seconds,
            intended: self.sends.intended,
            answered: self.answered,
            fault_count: self.fault_count(),
            late: self.sends.late,
            saturation: self.client.saturation,
            response_time: self.response_time.clone(),
        }];
    }

    /// Adds a run that came after this one, as if it had begun when this one ended. Of one that ended in
    /// its warm-up only that is kept: it has measured nothing.
    ///
    /// What the server used is known of the whole only if it is known of both.
    pub fn append(&mut self, later: Self) {
        if later.end != End::Complete {
            self.end = later.end;
        }
        if later.elapsed_seconds == 0.0 {
            return;
        }
        let (before, offset_ms) =
            (self.elapsed_seconds, (self.elapsed_seconds * 1e3).round() as u64);
        self.seconds.extend(later.seconds.into_iter().map(|mut second| {
            second.at_seconds += before;
            second
        }));
        self.heat.append(later.heat, offset_ms);
        self.elapsed_seconds += later.elapsed_seconds;
        self.service_time.merge(&later.service_time);
        self.response_time.merge(&later.response_time);
        for (fault, more) in self.faults.iter_mut().zip(later.faults) {
            fault.count += more.count;
        }
        for (status, count) in later.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (target, more) in self.targets.iter_mut().zip(later.targets) {
            target.sent += more.sent;
            target.answered += more.answered;
            target.wrong += more.wrong;
            target.response_time.merge(&more.response_time);
        }
        let mean = |ours: f64, sent: u64, theirs: f64, more: u64| {
            per(ours * sent as f64 + theirs * more as f64, (sent + more) as f64)
        };
        let (ours, theirs) = (self.sends, later.sends);
        self.sends.late_mean = mean(ours.late_mean, ours.sent, theirs.late_mean, theirs.sent);
        self.sends.intended += theirs.intended;
        self.sends.sent += theirs.sent;
        self.sends.late += theirs.late;
        self.sends.late_max = ours.late_max.max(theirs.late_max);
        self.answered += later.answered;
        self.lost += later.lost;
        self.cut_off += later.cut_off;
        self.connections_opened += later.connections_opened;
        self.bytes_received += later.bytes_received;
        self.bytes_sent += later.bytes_sent;
        self.client.add(later.client, before, later.elapsed_seconds);
        self.server = self.server.zip(later.server).map(|(mut ours, theirs)| {
            ours.add(theirs, before, later.elapsed_seconds);
            ours
        });
        self.steps.extend(later.steps);
    }

    /// The first step of a ramp at which the server no longer kept up: less than 99 % of what was asked
    /// was answered, something failed, or p99 (of few answers p90 or p50) was more than ten times that of the
    /// first step.
    #[must_use]
    pub fn knee(&self) -> Option<usize> {
        (0..self.steps.len()).find(|index| !self.shortfalls(*index).is_empty())
    }

    /// In what the server did not keep up at a step, in words; empty if it did, or if there is no such step.
    pub(crate) fn shortfalls(&self, index: usize) -> Vec<String> {
        let (Some(first), Some(step)) = (self.steps.first(), self.steps.get(index)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if step.fault_count > 0 {
            found.push(units::several(step.fault_count, "fault"));
        }
        let asked = per(step.intended as f64, step.elapsed_seconds);
        if step.answered_rate() < asked * ANSWERED_SHARE {
            let answered = units::rate(step.answered_rate());
            found.push(format!("{answered}/s were answered of {}/s asked", units::rate(asked)));
        }
        let times = [first, step].map(|step| &step.response_time);
        if let Some((name, quantile)) = highest_of_both(times, 0.99) {
            let [usual, now] = times.map(|times| times.quantile(quantile));
            if now > usual.saturating_mul(FACTOR) {
                let [usual, now] = [usual, now].map(|time| units::time(time as f64));
                found.push(format!(
                    "a {name} of {now}, more than {FACTOR} times the {usual} of the first step"
                ));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{End, Usage, sample};
    use crate::report::text;

    #[test]
    fn a_step_that_was_ended_early_is_none() {
        let mut whole = sample::made(5, 100_000, None, 1);
        whole.become_step(1_000.0);
        assert!(text(&whole).contains("\nIt kept up at every rate, up to 1,000/s.\n"));
        for warmed_up in [true, false] {
            let mut record = whole.clone();
            let mut later = sample::made(5, 100_000, None, 2);
            later.end = End::Interrupted;
            if !warmed_up {
                (later.elapsed_seconds, later.answered, later.sends.intended) = (0.0, 0, 0);
            }
            later.become_step(2_000.0);
            record.append(later);
            assert_eq!((record.steps.len(), &record.end), (1, &End::Interrupted));
            assert_eq!(record.elapsed_seconds, if warmed_up { 10.0 } else { 5.0 });
            let told = "\nOf the 1 step that was run, it kept up at every rate, up to 1,000/s.\n";
            assert!(text(&record).contains(told), "{}", text(&record));
        }
    }

    #[test]
    fn what_the_server_used_is_known_of_all_steps_or_not_at_all() {
        let used = Usage { cpu_seconds: 1.0, cores: 0.2, ..Usage::default() };
        let run = |server| {
            let mut record = sample::made(5, 100_000, None, 1);
            record.server = server;
            record
        };
        for (first, second, both) in [
            (Some(used), Some(used), Some(2.0)),
            (Some(used), None, None),
            (None, Some(used), None),
        ] {
            let mut whole = run(first);
            whole.append(run(second));
            assert_eq!(whole.server.map(|server| server.cpu_seconds), both);
        }
        // A step that ended in its warm-up takes nothing away.
        let (mut whole, mut later) = (run(Some(used)), run(None));
        (later.end, later.elapsed_seconds) = (End::Interrupted, 0.0);
        whole.append(later);
        assert_eq!(whole.server, Some(used));
    }

    #[test]
    fn two_runs_are_one_after_the_other_and_the_knee_is_where_it_hurts() {
        let (mut whole, mut later) = (sample::made(5, 100_000, None, 1), sample::stalled());
        whole.become_step(1_000.0);
        later.become_step(2_000.0);
        let (first, second) = (whole.clone(), later.clone());
        whole.append(later);
        assert_eq!(whole.answered, first.answered + second.answered);
        assert_eq!(whole.elapsed_seconds, 17.0);
        assert_eq!(whole.response_time.count(), 17_000);
        assert_eq!(whole.heat.count(), 17_000);
        let starts: Vec<_> = whole.seconds.iter().map(|second| second.at_seconds).collect();
        assert!(starts.iter().enumerate().all(|(index, at)| *at == index as f64), "{starts:?}");
        let columns = whole.heat.columns.iter().map(|column| column.at_ms);
        assert!(columns.eq((0..17).map(|second| second * 1_000)));
        assert_eq!((whole.sends.late, whole.fault_count()), (999, 3));
        assert_eq!(
            whole.steps.iter().map(|step| step.rate).collect::<Vec<_>>(),
            [1_000.0, 2_000.0]
        );
        assert_eq!((whole.knee(), first.knee()), (Some(1), None));
    }

    #[test]
    fn each_reason_of_the_knee_is_told_alone_and_with_others() {
        let mut record = sample::made(5, 100_000, None, 1);
        record.become_step(1_000.0);
        let mut later = sample::made(5, 100_000, None, 2);
        later.become_step(2_000.0);
        record.append(later);
        assert_eq!((record.knee(), record.shortfalls(1).len()), (None, 0));
        assert!(record.shortfalls(2).is_empty(), "there is no such step");
        record.steps[1].fault_count = 1;
        assert_eq!(record.shortfalls(1), ["1 fault"]);
        record.steps[1].fault_count = 0;
        record.steps[1].answered = 4_940;
        assert_eq!(record.shortfalls(1), ["988/s were answered of 1,000/s asked"]);
        record.steps[1].response_time.record_n(5_000_000, 1_000);
        let found = record.shortfalls(1);
        assert_eq!(found.len(), 2);
        assert!(
            found[1].starts_with("a p99 of 5.") && found[1].contains("ms, more than 10 times the "),
            "{found:?}"
        );
        assert_eq!(record.knee(), Some(1));
    }

    #[test]
    fn one_slow_answer_of_few_is_no_knee() {
        let step = |fast, slow| {
            let mut record = sample::made(1, 100_000, None, 1);
            record.response_time = Default::default();
            record.response_time.record_n(100_000, fast);
            record.response_time.record_n(5_000_000, slow);
            record.become_step(1_000.0);
            record
        };
        for (fast, slow, knee) in [(98, 2, None), (80, 20, Some("p90")), (5, 5, None)] {
            let mut record = step(100, 0);
            record.append(step(fast, slow));
            assert_eq!(record.knee(), knee.map(|_| 1), "{fast} and {slow}");
            let found = record.shortfalls(1).join(" ");
            assert!(knee.is_none_or(|name| found.starts_with(&format!("a {name} of "))), "{found}");
        }
        // Nor has a table a p99 of them.
        assert!(text(&step(98, 2)).lines().any(|line| {
            line.split_ascii_whitespace().collect::<Vec<_>>()[..].get(4..6) == Some(&["–", "5.00"])
        }));
    }
}
