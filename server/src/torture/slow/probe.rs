//! A well-behaved client that measures how it is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::torture::report::Grade;
use crate::torture::target::Target;
use crate::torture::wire::Wire;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// Where one answer in a hundred takes longer than this, others are not served at normal latency.
const LATENCY_P99_MAX_MS: f64 = 1000.0;

/// Latencies of answered requests, in ascending order, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    sorted: Vec<Duration>,
    failures: usize,
    /// The first of them.
    failure: String,
}

/// A probe at work.
pub(super) struct Probe {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Latencies>,
}

impl Probe {
    /// Measures for a while, undisturbed. The error is a failure of the first request.
    pub(super) fn measure(target: &Target, time: Duration) -> Result<Latencies, String> {
        let deadline = Instant::now() + time;
        let latencies = run(target, || Instant::now() < deadline);
        if latencies.sorted.is_empty() { Err(latencies.failure) } else { Ok(latencies) }
    }

    /// Measures until it is told to stop.
    pub(super) fn start(target: Target) -> Probe {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        let thread = std::thread::spawn(move || run(&target, || !flag.load(Ordering::Relaxed)));
        Probe { stopped, thread }
    }

    pub(super) fn stop(self) -> Latencies {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Latencies {
            failures: 1,
            failure: "the probe itself failed".to_owned(),
            ..Latencies::default()
        })
    }
}

/// Requests by turns on a kept and on a new connection.
fn run(target: &Target, goes_on: impl Fn() -> bool) -> Latencies {
    let mut latencies = Latencies::default();
    let mut kept: Option<Wire> = None;
    let mut fresh = false;
    loop {
        let begun = Instant::now();
        let wire = if fresh { None } else { kept.take() };
        match wire.map_or_else(|| target.connect(), Ok).and_then(|wire| ask(target, wire)) {
            Ok((wire, closes)) => {
                latencies.sorted.push(begun.elapsed());
                if !fresh && !closes {
                    kept = Some(wire);
                }
            }
            Err(failure) => {
                if latencies.failures == 0 {
                    latencies.failure = failure;
                }
                latencies.failures += 1;
            }
        }
        fresh = !fresh;
        if !goes_on() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    latencies.sorted.sort();
    latencies
}

/// One request; whether the connection ends with its answer.
fn ask(target: &Target, mut wire: Wire) -> Result<(Wire, bool), String> {
    let _ = wire.send(target.fill("{get}\r\n"));
    match wire.last_answer(false) {
        Ok(answer) if answer.is_refusal() => Err(format!("answered with {}", answer.status)),
        Ok(answer) => Ok((wire, answer.connection("close"))),
        Err(lack) => Err(format!("not answered: {lack}")),
    }
}

impl Latencies {
    /// In milliseconds; `share` is between 0 and 1.
    fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// Everything must have been answered, in time.
pub(super) fn judge(idle: &Latencies, busy: &Latencies) -> (Grade, String) {
    let mut got = format!(
        "{} answered, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; before: p50 {:.1}, p99 {:.1} ms",
        busy.sorted.len(),
        busy.quantile_ms(0.5),
        busy.quantile_ms(0.99),
        busy.quantile_ms(1.0),
        idle.quantile_ms(0.5),
        idle.quantile_ms(0.99),
    );
    if busy.failures > 0 {
        got += &format!("; {} failed: {}", busy.failures, busy.failure);
    }
    let late = busy.sorted.is_empty() || busy.quantile_ms(0.99) > LATENCY_P99_MAX_MS;
    let grade = if busy.failures > 0 || late { Grade::Violation } else { Grade::Ok };
    (grade, got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(millis: &[u64], failures: usize) -> Latencies {
        let sorted = millis.iter().map(|ms| Duration::from_millis(*ms)).collect();
        Latencies { sorted, failures, failure: "no answer".to_owned() }
    }

    #[test]
    fn late_and_missing_answers_are_violations() {
        let idle = latencies(&[1], 0);
        assert_eq!(judge(&idle, &latencies(&[1, 2, 900], 0)).0, Grade::Ok);
        for bad in [latencies(&[1, 1001], 0), latencies(&[1], 1), latencies(&[], 0)] {
            assert_eq!(judge(&idle, &bad).0, Grade::Violation, "{bad:?}");
        }
    }

    #[test]
    fn quantiles() {
        let hundred: Vec<u64> = (1..=101).collect();
        let latencies = latencies(&hundred, 0);
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|q| latencies.quantile_ms(q)),
            [1.0, 51.0, 100.0, 101.0]
        );
    }
}
