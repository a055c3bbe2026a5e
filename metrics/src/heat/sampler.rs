//! A heat map of a histogram that only grows: fed by the differences of its snapshots.

use std::time::Duration;

use super::HeatMap;
use crate::histogram::HistogramSnapshot;

/// Makes a heat map of successive snapshots of one histogram, at no cost to whoever records in it.
///
/// It reads no clock. Call [`Self::sample`] shortly after each border between columns, which
/// [`Self::wait`] tells of; the times must come from a clock that does not jump, such as the time
/// of day at the start and what has elapsed since.
///
/// ```
/// use std::time::Duration;
///
/// use corelane_metrics::heat::{HeatMap, HeatSampler};
/// use corelane_metrics::{Histogram, HistogramSnapshot};
///
/// let latency = Histogram::new();
/// let start = Duration::from_millis(1_700_000_000_250);
/// let mut sampler = HeatSampler::new(HeatMap::default(), start, HistogramSnapshot::default());
/// assert_eq!(sampler.wait(start), Duration::from_millis(750));
///
/// latency.record_n(18_000, 70);
/// sampler.sample(Duration::from_millis(1_700_000_001_001), latency.reader().snapshot());
/// latency.record_n(19_000, 30);
/// sampler.sample(Duration::from_millis(1_700_000_002_002), latency.reader().snapshot());
///
/// let columns: Vec<_> = sampler.map().columns().map(|c| (c.at().as_secs(), c.count())).collect();
/// assert_eq!(columns, [(1_700_000_000, 70), (1_700_000_001, 30)]);
/// ```
#[derive(Clone, Debug)]
pub struct HeatSampler {
    map: HeatMap,
    last_at: Duration,
    last: HistogramSnapshot,
}

impl HeatSampler {
    /// Begins at `at`, when the histogram held `baseline`: nothing, or what is not to be shown.
    pub fn new(map: HeatMap, at: Duration, baseline: HistogramSnapshot) -> Self {
        Self { map, last_at: at, last: baseline }
    }

    /// Adds what was recorded since the last sample to the column in which the middle of that time
    /// lies; of a time longer than a column, the middle of the end that is as long as one. So a
    /// sample that comes a little early or late does not change the column.
    ///
    /// Where `now` holds fewer values than before in a bucket (the histogram is another one), that
    /// bucket counts as unchanged: see [`Self::restart`].
    pub fn sample(&mut self, at: Duration, now: HistogramSnapshot) {
        let span = at.saturating_sub(self.last_at).min(self.map.width());
        self.map.add(at.saturating_sub(span / 2), &now.delta(&self.last));
        (self.last_at, self.last) = (at, now);
    }

    /// Goes on with another histogram, of a server that was restarted, say. The map is kept.
    pub fn restart(&mut self, at: Duration, baseline: HistogramSnapshot) {
        (self.last_at, self.last) = (at, baseline);
    }

    /// How long after `at` the next sample is due.
    pub fn wait(&self, at: Duration) -> Duration {
        self.map.until_next(at)
    }

    /// The map so far.
    pub fn map(&self) -> &HeatMap {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn columns(sampler: &HeatSampler) -> Vec<(u64, u64)> {
        sampler.map().columns().map(|column| (column.at().as_secs(), column.count())).collect()
    }

    #[test]
    fn samples_fall_into_the_column_they_are_of() {
        let mut histogram = HistogramSnapshot::default();
        let mut sampler = HeatSampler::new(HeatMap::default(), at(0), histogram.clone());
        // On time, late, early, doubled, and after a stall of three seconds.
        let times = [1_001, 2_300, 2_999, 3_001, 3_050, 4_001, 7_400];
        for (milliseconds, count) in times.into_iter().zip(1..) {
            histogram.record_n(20_000, count);
            sampler.sample(at(milliseconds), histogram.clone());
        }
        let expected = [(0, 1), (1, 2), (2, 3), (3, 4 + 5 + 6), (4, 0), (5, 0), (6, 7)];
        assert_eq!(columns(&sampler), expected);
        assert_eq!(sampler.map().count() + sampler.map().expired(), histogram.count());
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut histogram = HistogramSnapshot::default();
        let mut sampler = HeatSampler::new(HeatMap::default(), at(9_000), histogram.clone());
        for milliseconds in [10_001, 5_001, 0, 6_001] {
            histogram.record_n(20_000, 1);
            sampler.sample(at(milliseconds), histogram.clone());
        }
        assert_eq!(sampler.map().count(), 4);
    }

    #[test]
    fn another_histogram_starts_from_its_own_baseline() {
        let mut first = HistogramSnapshot::default();
        first.record_n(20_000, 100);
        let mut sampler = HeatSampler::new(HeatMap::default(), at(0), first.clone());
        first.record_n(20_000, 1);
        sampler.sample(at(1_001), first);
        let mut second = HistogramSnapshot::default();
        second.record_n(20_000, 4);
        sampler.restart(at(2_001), second.clone());
        second.record_n(20_000, 2);
        sampler.sample(at(3_001), second);
        assert_eq!(columns(&sampler), [(0, 1), (1, 0), (2, 2)]);
    }
}
