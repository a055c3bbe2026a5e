//! The state machine of a circuit breaker, which reads no clock.

use corelane_eventloop::Nanos;

/// Into how many slices the window is cut: what is older than the window is forgotten a slice at a
/// time.
const SLICES: usize = 10;

/// When a breaker opens and closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// The time over which the rate of failures is taken, forgotten a tenth at a time. Default 10 s; at
    /// least 10 ns.
    pub window: Nanos,
    /// Fewer calls than this within the window open nothing. Default 20; at least 1.
    pub calls_min: u32,
    /// The breaker opens when so many in a hundred calls of the window have failed. Default 50; 0 is
    /// taken as 1.
    pub failure_percent: u32,
    /// How long it stays open before it lets trials through. Default 5 s.
    pub open_time: Nanos,
    /// Up to so many hundredths of `open_time` are added by chance, so that the lanes and servers that
    /// saw one failure together do not come back together. Default 20.
    pub jitter_percent: u32,
    /// How many calls are let through on trial; all of them must succeed to close it. Default 3; at
    /// least 1.
    pub trials: u32,
}

impl Default for BreakerConfig {
    fn default() -> BreakerConfig {
        BreakerConfig {
            window: Nanos::from_secs(10),
            calls_min: 20,
            failure_percent: 50,
            open_time: Nanos::from_secs(5),
            jitter_percent: 20,
            trials: 3,
        }
    }
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Lets them through.
    Closed,
    /// Refuses them.
    Open,
    /// Lets a few through, to see whether it can close.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half-open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// What a breaker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerCounts {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that were dropped before they had an outcome.
    pub abandoned: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// How often it opened.
    pub opened: u64,
    /// Calls within the window, while it is closed.
    pub window_calls: u32,
    /// Those of them that failed.
    pub window_failures: u32,
}

/// The breaker is open, or its trials are all under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("calls are suspended after failures, for {} ms at least", retry_after.as_millis())]
pub struct CallRefused {
    /// How long at least it is of no use to try again; zero while trials are under way.
    pub retry_after: Nanos,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It succeeded.
    Success,
    /// It failed in a way that says something about the upstream server.
    Failure,
    /// It was given up: nothing is known.
    Abandoned,
}

/// Leave to make one call, given back with its outcome.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "its outcome is to be reported to Circuit::finish"]
pub struct CallPermit {
    epoch: u64,
}

/// A circuit breaker as a state machine: every step is told the time. Made to be tested, simulated and
/// embedded; [`Breaker`](super::Breaker) is the convenient form.
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::breaker::{BreakerConfig, BreakerState, CallOutcome, Circuit};
///
/// let config = BreakerConfig { calls_min: 2, jitter_percent: 0, ..BreakerConfig::default() };
/// let mut circuit = Circuit::new(config, 1);
/// let now = Nanos::from_secs(100);
/// for _ in 0..2 {
///     let permit = circuit.begin(now)?;
///     circuit.finish(permit, CallOutcome::Failure, now);
/// }
/// assert_eq!(circuit.state(), BreakerState::Open);
/// assert_eq!(circuit.begin(now).unwrap_err().retry_after, Nanos::from_secs(5));
/// assert!(circuit.begin(now + Nanos::from_secs(5)).is_ok(), "on trial");
/// # Ok::<(), corelane_http::breaker::CallRefused>(())
/// ```
#[derive(Debug)]
pub struct Circuit {
    config: BreakerConfig,
    phase: Phase,
    /// Changes with the phase: what began in an earlier one says nothing about this one.
    epoch: u64,
    counts: BreakerCounts,
    random: u64,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open {
        until: Nanos,
    },
    HalfOpen {
        /// When trials that have not ended are given up.
        until: Nanos,
        running: u32,
        succeeded: u32,
    },
}

/// Calls and failures of the latest slices of time.
#[derive(Debug, Default)]
struct Window {
    slices: [(u32, u32); SLICES],
    /// The number of the latest slice since the beginning of time.
    latest: u64,
}

impl Window {
    /// Forgets what has become too old by this slice.
    fn advance(&mut self, slice: u64) {
        let passed = slice.saturating_sub(self.latest);
        for step in 0..passed.min(SLICES as u64) {
            self.slices[((slice - step) % SLICES as u64) as usize] = (0, 0);
        }
        self.latest = self.latest.max(slice);
    }

    fn add(&mut self, failed: bool) {
        let (calls, failures) = &mut self.slices[(self.latest % SLICES as u64) as usize];
        *calls = calls.saturating_add(1);
        *failures = failures.saturating_add(u32::from(failed));
    }

    fn sum(&self) -> (u32, u32) {
        self.slices.iter().fold((0, 0), |(calls, failures), slice| {
            (calls.saturating_add(slice.0), failures.saturating_add(slice.1))
        })
    }
}

impl Circuit {
    /// Closed. What is left to chance follows from the seed.
    pub fn new(config: BreakerConfig, seed: u64) -> Circuit {
        Circuit {
            config,
            phase: Phase::Closed(Window::default()),
            epoch: 0,
            counts: BreakerCounts::default(),
            random: seed,
        }
    }

    /// Asks for leave to make a call.
    ///
    /// # Errors
    /// If calls are suspended.
    pub fn begin(&mut self, now: Nanos) -> Result<CallPermit, CallRefused> {
        let trials = self.config.trials.max(1);
        match &mut self.phase {
            Phase::Closed(_) => return Ok(CallPermit { epoch: self.epoch }),
            Phase::HalfOpen { running, succeeded, .. } if *running + *succeeded < trials => {
                *running += 1;
                return Ok(CallPermit { epoch: self.epoch });
            }
            Phase::Open { until } if now < *until => {
                let retry_after = until.since(now);
                self.counts.refused += 1;
                return Err(CallRefused { retry_after });
            }
            Phase::HalfOpen { until, .. } if now < *until => {
                self.counts.refused += 1;
                return Err(CallRefused { retry_after: Nanos::ZERO });
            }
            // It is time; or the trials do not end, and others are tried.
            Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
        let until = now + self.config.open_time;
        self.enter(Phase::HalfOpen { until, running: 1, succeeded: 0 });
        Ok(CallPermit { epoch: self.epoch })
    }

    /// Reports how a call has ended. What began before the state last changed is counted, and changes
    /// nothing.
    pub fn finish(&mut self, permit: CallPermit, outcome: CallOutcome, now: Nanos) {
        match outcome {
            CallOutcome::Success => self.counts.successes += 1,
            CallOutcome::Failure => self.counts.failures += 1,
            CallOutcome::Abandoned => self.counts.abandoned += 1,
        }
        if permit.epoch != self.epoch {
            return;
        }
        let slice = now.0 / (self.config.window.0 / SLICES as u64).max(1);
        match (&mut self.phase, outcome) {
            (Phase::Open { .. }, _) | (Phase::Closed(_), CallOutcome::Abandoned) => {}
            (Phase::Closed(window), outcome) => {
                window.advance(slice);
                window.add(outcome == CallOutcome::Failure);
                let (calls, failures) = window.sum();
                let limit = u64::from(calls) * u64::from(self.config.failure_percent.max(1));
                if outcome == CallOutcome::Failure
                    && calls >= self.config.calls_min
                    && u64::from(failures) * 100 >= limit
                {
                    self.open(now);
                }
            }
            (Phase::HalfOpen { .. }, CallOutcome::Failure) => self.open(now),
            (Phase::HalfOpen { running, succeeded, .. }, outcome) => {
                *running -= 1;
                *succeeded += u32::from(outcome == CallOutcome::Success);
                if *succeeded >= self.config.trials.max(1) {
                    self.enter(Phase::Closed(Window { latest: slice, ..Window::default() }));
                }
            }
        }
    }

    /// The state. An open breaker becomes half-open with the first call after its time, not before.
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// What was counted; the window as of the last call that ended.
    pub fn counts(&self) -> BreakerCounts {
        let (window_calls, window_failures) = match &self.phase {
            Phase::Closed(window) => window.sum(),
            _ => (0, 0),
        };
        BreakerCounts { window_calls, window_failures, ..self.counts }
    }

    fn open(&mut self, now: Nanos) {
        // As `corelane_eventloop::Random`: splitmix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.random;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        let most =
            u128::from(self.config.open_time.0) * u128::from(self.config.jitter_percent) / 100;
        let jitter = (u128::from(drawn) * (most + 1)) >> 64;
        let jitter = Nanos(u64::try_from(jitter).unwrap_or(u64::MAX));
        self.counts.opened += 1;
        self.enter(Phase::Open { until: now + self.config.open_time + jitter });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}
