//! A run as it goes on, seen from outside.

use std::time::{Duration, SystemTime};

use corelane_metrics::HistogramSnapshot;

use crate::meters::{Meters, Sample};
use crate::outcome::{Interval, Late};
use crate::plan::{Pace, Plan, Stop};
use crate::result::Part;
use crate::tally::Faults;

/// Intervals of one run at most.
const INTERVAL_COUNT_MAX: usize = 600;

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Progress<'run> {
    /// What it does now.
    pub phase: Phase,
    /// Since measuring began.
    pub elapsed: Duration,
    /// How much of the planned time or number of requests is done, 0 to 1.
    pub share: f64,
    /// Requests whose time has come.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Whole responses, right or wrong.
    pub answered: u64,
    /// Requests sent that will have no response.
    pub lost: u64,
    /// What went wrong.
    pub faults: Faults,
    /// Sends that the generator itself made too late.
    pub late: Late,
    /// Requests sent and not answered, now.
    pub in_flight: u64,
    /// Requests whose time has come and that wait for a connection, now.
    pub backlog: u64,
    /// Connections, now.
    pub connections: u64,
    /// Bytes received since measuring began.
    pub bytes_received: u64,
    /// Bytes sent since then.
    pub bytes_sent: u64,
    /// As [`Outcome::response_time`](crate::Outcome::response_time), so far.
    pub response_time: &'run HistogramSnapshot,
    /// As [`Outcome::service_time`](crate::Outcome::service_time), so far.
    pub service_time: &'run HistogramSnapshot,
    /// The intervals that are over.
    pub intervals: &'run [Interval],
}

/// What a run does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It sends, and counts nothing.
    WarmUp,
    /// It sends and counts.
    Measuring,
    /// It sends nothing more, and waits for what is in flight.
    Draining,
}

/// Looks at the cells of a run and keeps what happened between two looks.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) began_at: SystemTime,
    /// Of an interval. Doubled whenever there would be too many.
    width: Duration,
    duration: Option<Duration>,
    requests: Option<u64>,
    is_open: bool,
    /// The cells at the end of the last interval, and now.
    before: Sample,
    pub(crate) now: Sample,
    pub(crate) intervals: Vec<Interval>,
    /// Where the present interval began.
    at: Duration,
}

impl Monitor {
    pub(crate) fn new(plan: &Plan, began_at: SystemTime) -> Self {
        let (duration, requests) = match plan.stop {
            Stop::After(duration) => (Some(duration), None),
            Stop::Requests(count) => (None, Some(count)),
        };
        let seconds = duration.map_or(0, |duration| duration.as_secs());
        let width = Duration::from_secs(seconds.div_ceil(INTERVAL_COUNT_MAX as u64).max(1));
        Self {
            began_at,
            width,
            duration,
            requests,
            is_open: matches!(plan.pace, Pace::Open { .. }),
            before: Sample::default(),
            now: Sample::default(),
            intervals: Vec::new(),
            at: Duration::ZERO,
        }
    }

    /// How long after `elapsed` the present interval ends.
    pub(crate) fn until_interval(&self, elapsed: Duration) -> Duration {
        (self.at + self.width).saturating_sub(elapsed)
    }

    /// Looks at the cells. `elapsed` is since measuring began, `None` before.
    pub(crate) fn look(&mut self, meters: &Meters, elapsed: Option<Duration>) -> Progress<'_> {
        self.now = meters.sample();
        if let Some(elapsed) = elapsed
            && elapsed >= self.at + self.width
        {
            self.close_interval(elapsed);
        }
        self.progress(elapsed)
    }

    fn progress(&self, elapsed: Option<Duration>) -> Progress<'_> {
        let now = &self.now;
        let part = |done: f64, whole: f64| (done / whole).clamp(0.0, 1.0);
        let share = match (self.duration, self.requests, elapsed) {
            (Some(duration), _, Some(elapsed)) => {
                part(elapsed.as_secs_f64(), duration.as_secs_f64())
            }
            (_, Some(requests), _) => part((now.answered + now.lost) as f64, requests as f64),
            _ => 0.0,
        };
        let over = self.duration.is_some_and(|duration| elapsed.is_some_and(|at| at >= duration))
            || self.requests.is_some_and(|requests| now.sent >= requests);
        let phase = match elapsed {
            None => Phase::WarmUp,
            Some(_) if over => Phase::Draining,
            Some(_) => Phase::Measuring,
        };
        Progress {
            phase,
            elapsed: elapsed.unwrap_or_default(),
            share,
            intended: now.intended,
            sent: now.sent,
            answered: now.answered,
            lost: now.lost,
            faults: now.faults,
            late: self.late(),
            in_flight: now.in_flight,
            backlog: now.backlog,
            connections: now.connections,
            bytes_received: now.bytes_received,
            bytes_sent: now.bytes_sent,
            response_time: &now.response_time,
            service_time: &now.service_time,
            intervals: &self.intervals,
        }
    }

    /// A closed loop has no times at which to send.
    pub(crate) fn late(&self) -> Late {
        if self.is_open { self.now.late } else { Late::default() }
    }

    fn close_interval(&mut self, elapsed: Duration) {
        let (now, before) = (&self.now, &self.before);
        self.intervals.push(Interval {
            at: self.at,
            length: elapsed.saturating_sub(self.at),
            intended: now.intended.saturating_sub(before.intended),
            sent: now.sent.saturating_sub(before.sent),
            answered: now.answered.saturating_sub(before.answered),
            faults: now.faults.since(&before.faults),
            late: if self.is_open { now.late.count.saturating_sub(before.late.count) } else { 0 },
            bytes_received: now.bytes_received.saturating_sub(before.bytes_received),
            bytes_sent: now.bytes_sent.saturating_sub(before.bytes_sent),
            response_time: now.response_time.delta(&before.response_time),
        });
        self.at = elapsed;
        self.before = self.now.clone();
        if self.intervals.len() >= INTERVAL_COUNT_MAX {
            let pairs = self.intervals.chunks(2);
            self.intervals =
                pairs.map(|pair| pair.iter().skip(1).fold(pair[0].clone(), join)).collect();
            self.width *= 2;
        }
    }

    /// The workers have ended: takes in what is left.
    pub(crate) fn finish(mut self, meters: &Meters, parts: &[Part<'_>]) -> Self {
        self.now = meters.sample();
        let elapsed = parts.iter().map(|part| part.elapsed).max().unwrap_or_default();
        self.close_interval(elapsed.max(self.at));
        join_scrap(&mut self.intervals, self.width);
        self
    }
}

/// A last interval of less than half the width belongs to the one before: it can be as short as the
/// watcher was early, and a rate over no time is none.
fn join_scrap(intervals: &mut Vec<Interval>, width: Duration) {
    if intervals.len() > 1
        && let Some(scrap) = intervals.pop_if(|last| last.length < width / 2)
        && let Some(whole) = intervals.last_mut()
    {
        *whole = join(std::mem::take(whole), &scrap);
    }
}

/// Two intervals, one after the other, as one.
fn join(first: Interval, second: &Interval) -> Interval {
    let (mine, theirs) = (first.faults.kinds(), second.faults.kinds());
    let faults = std::array::from_fn(|kind| mine[kind].1 + theirs[kind].1);
    let mut response_time = first.response_time;
    response_time.merge(&second.response_time);
    Interval {
        at: first.at,
        length: first.length + second.length,
        intended: first.intended + second.intended,
        sent: first.sent + second.sent,
        answered: first.answered + second.answered,
        faults: Faults::from_counts(faults),
        late: first.late + second.late,
        bytes_received: first.bytes_received + second.bytes_received,
        bytes_sent: first.bytes_sent + second.bytes_sent,
        response_time,
    }
}
