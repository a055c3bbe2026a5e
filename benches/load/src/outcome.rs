//! What a run has shown, as plain data.

use std::time::{Duration, SystemTime};

use corelane_metrics::HistogramSnapshot;
use corelane_metrics::heat::HeatMap;

use crate::process::Cpu;
use crate::record::per;
use crate::tally::Faults;

/// A send later than this after its time counts as late.
pub const LATE: Duration = Duration::from_millis(1);
/// A generator that is busier than this share of the time may be what limits the rate.
pub const BUSY_MAX: f64 = 0.9;
/// As [`BUSY_MAX`]: the share of late sends.
pub const LATE_SHARE_MAX: f64 = 0.01;

/// What a run has shown: only requests whose time came while it was measured, none of the warm-up.
///
/// Every one of them is accounted for: `intended = sent + faults.unsent` and `sent = answered + lost`.
/// All histograms are of nanoseconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When measuring began.
    pub began_at: SystemTime,
    /// From then on to the end, or to the last response if that came later.
    pub elapsed: Duration,
    /// The run was told to end before its time.
    pub interrupted: bool,
    /// Requests sent in the warm-up, which count nowhere else.
    pub warm_up_sent: u64,
    /// Requests whose time came; in a closed loop, those that were sent and those of
    /// [`Stop::Requests`](crate::Stop::Requests) that never were.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Whole responses, right or wrong.
    pub answered: u64,
    /// Requests sent that got no whole response: given up, or their connection ended.
    pub lost: u64,
    /// Those of [`lost`](Self::lost) that were in flight when a run that was told to end early ended: what
    /// would have become of them is not known.
    pub cut_off: u64,
    /// What went wrong, by kind.
    pub faults: Faults,
    /// Sends that the generator itself made too late.
    pub late: Late,
    /// From the moment at which a request was to be sent to the receive that completed its response.
    /// In a closed loop that moment is the send itself or, for a request with a connection of its
    /// own, the start of the handshake.
    pub response_time: HistogramSnapshot,
    /// From the actual send of a request to the receive that completed its response.
    pub service_time: HistogramSnapshot,
    /// Response times by the time at which requests were to be sent, counted from the beginning of the
    /// measurement: a server that stands still shows where it does.
    pub heat: HeatMap,
    /// What happened in each interval, one after the other: a second each, or so many that there are
    /// no more than 600. Their sums are the figures above.
    pub intervals: Vec<Interval>,
    /// Responses by status, ascending.
    pub statuses: Vec<(u16, u64)>,
    /// What each of the plan's requests had, in the plan's order.
    pub requests: Vec<RequestOutcome>,
    /// Connections opened.
    pub connections_opened: u64,
    /// Bytes received, heads included.
    pub bytes_received: u64,
    /// Bytes sent, heads included.
    pub bytes_sent: u64,
    /// Threads of the generator.
    pub threads: usize,
    /// CPU time of all of them.
    pub client_cpu: Duration,
    /// The share of the time in which the busiest of them was not waiting, 0 to 1: its CPU time, or,
    /// when it never sleeps, the time between its polls.
    pub busy: f64,
    /// What the watched process used.
    pub server: Option<Watched>,
}

/// What happened in one interval of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// When it began, counted from the beginning of the measurement.
    pub at: Duration,
    /// How long it was; the last may be shorter.
    pub length: Duration,
    /// Requests whose time came.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Responses that came.
    pub answered: u64,
    /// What went wrong.
    pub faults: Faults,
    /// Sends that were late.
    pub late: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Response times of the responses that came in it. Minimum and maximum are good to 1/64.
    pub response_time: HistogramSnapshot,
}

/// Sends that the generator itself made too late: not those for which every connection was busy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Late {
    /// Sends more than [`LATE`] after they could have been made.
    pub count: u64,
    /// The latest: how much after.
    pub worst: Duration,
    /// By how much all sends together were after that moment.
    pub total: Duration,
}

/// What one of the plan's requests had.
#[derive(Clone, Debug)]
pub struct RequestOutcome {
    /// Its name.
    pub name: String,
    /// How often it was sent.
    pub sent: u64,
    /// Whole responses, right or wrong.
    pub answered: u64,
    /// Responses that were not as expected.
    pub wrong: u64,
    /// As [`Outcome::response_time`].
    pub response_time: HistogramSnapshot,
}

/// What the watched process and its children used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// CPU time, and time spent waiting for a core.
    pub cpu: Cpu,
    /// The time in which they used it.
    pub elapsed: Duration,
}

impl Watched {
    /// Cores kept busy: 1.0 is one core without a pause.
    #[must_use]
    pub fn cores(&self) -> f64 {
        per(self.cpu.ran_nanos as f64, self.elapsed.as_nanos() as f64)
    }

    /// How many of its threads, on average, wanted to run while something else had their core: many may
    /// wait for one.
    #[must_use]
    pub fn waiting(&self) -> f64 {
        per(self.cpu.waited_nanos as f64, self.elapsed.as_nanos() as f64)
    }
}

impl Outcome {
    /// Whole responses per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per(self.answered as f64, self.elapsed.as_secs_f64())
    }

    /// The generator may be what limited the rate, or distorted the times: it was busy for more than
    /// [`BUSY_MAX`] of the time, or more than [`LATE_SHARE_MAX`] of the sends were late.
    ///
    /// Of a closed loop that is to find the highest rate of a server on another core, it says that the
    /// server might be faster.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.busy > BUSY_MAX || self.late.count as f64 > LATE_SHARE_MAX * self.sent as f64
    }

    /// Cores the generator kept busy.
    #[must_use]
    pub fn client_cores(&self) -> f64 {
        per(self.client_cpu.as_secs_f64(), self.elapsed.as_secs_f64())
    }

    /// CPU time of the generator for each response, in microseconds. `None` without response.
    #[must_use]
    pub fn client_cpu_micros(&self) -> Option<f64> {
        self.per_response(self.client_cpu)
    }

    /// CPU time of the watched process for each response, in microseconds. `None` without response
    /// or watched process.
    #[must_use]
    pub fn server_cpu_micros(&self) -> Option<f64> {
        self.per_response(Duration::from_nanos(self.server?.cpu.ran_nanos))
    }

    fn per_response(&self, cpu: Duration) -> Option<f64> {
        (self.answered > 0).then(|| cpu.as_secs_f64() * 1e6 / self.answered as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_wait_for_one_core_keep_no_others_busy() {
        let cpu = Cpu { ran_nanos: 1_000_000_000, waited_nanos: 59_000_000_000 };
        let watched = Watched { cpu, elapsed: Duration::from_secs(1) };
        assert_eq!((watched.cores(), watched.waiting()), (1.0, 59.0));
    }
}
