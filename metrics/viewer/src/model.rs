//! What the viewer knows: the pure state that answers are added to.

use std::collections::VecDeque;
use std::time::Duration;

use corelane_metrics::HistogramSnapshot;

use crate::heat::{Heat, HeatAnswer};
use crate::interval::{Interval, LATENCY};
use crate::sample::Sample;

/// How many intervals are remembered for the line of rates.
pub const HISTORY_MAX: usize = 600;

/// What the thread that asks the server has to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// The server answered.
    Sample(Box<Sample>),
    /// The server answered with columns of its heat map.
    Heat(Box<HeatAnswer>),
    /// There is no heat map to be had, for this reason.
    NoHeat(String),
    /// The server did not answer, or not as it should.
    Trouble {
        /// What went wrong.
        why: String,
        /// When the next attempt will be made.
        retry: Duration,
    },
}

/// How it stands between viewer and server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing came yet.
    #[default]
    Connecting,
    /// The last question was answered.
    Live,
    /// The last question was not answered.
    Lost {
        /// What went wrong.
        why: String,
        /// When the next attempt will be made, after this one.
        retry: Duration,
        /// How many attempts failed.
        attempts: u64,
    },
}

/// What the viewer knows of a server. Memory is bounded, whatever comes and for however long.
#[derive(Clone, Debug, Default)]
pub struct Model {
    link: Link,
    sample: Option<Box<Sample>>,
    interval: Option<Interval>,
    heat: Heat,
    no_heat: Option<String>,
    rates: VecDeque<f64>,
    restarts: u64,
}

impl Model {
    /// Takes over what is new.
    pub fn add(&mut self, news: News) {
        match news {
            News::Sample(sample) => self.add_sample(sample),
            News::Heat(answer) => {
                self.no_heat = None;
                self.heat.add(*answer);
            }
            News::NoHeat(why) => self.no_heat = Some(why),
            News::Trouble { why, retry } => {
                let attempts = match self.link {
                    Link::Lost { attempts, .. } => attempts.saturating_add(1),
                    _ => 1,
                };
                self.link = Link::Lost { why, retry, attempts };
            }
        }
    }

    fn add_sample(&mut self, sample: Box<Sample>) {
        self.link = Link::Live;
        let Some(before) = self.sample.take() else {
            self.sample = Some(sample);
            return;
        };
        if before.instance != sample.instance {
            // Its counters began anew, and so do differences.
            self.restarts += 1;
            self.interval = None;
            self.rates.clear();
        } else if let Some(interval) = Interval::between(&before, &sample) {
            self.rates.push_back(interval.requests);
            if self.rates.len() > HISTORY_MAX {
                self.rates.pop_front();
            }
            self.interval = Some(interval);
        } else {
            // Not later than what is known.
            self.sample = Some(before);
            return;
        }
        self.sample = Some(sample);
    }

    /// How it stands between viewer and server.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The last answer.
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_deref()
    }

    /// What happened between the last two answers.
    pub fn interval(&self) -> Option<&Interval> {
        self.interval.as_ref()
    }

    /// The heat map.
    pub fn heat(&self) -> &Heat {
        &self.heat
    }

    /// Why there is no heat map, if the server said so.
    pub fn no_heat(&self) -> Option<&str> {
        self.no_heat.as_deref()
    }

    /// Requests per second of the last intervals, the latest last.
    pub fn rates(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator {
        self.rates.iter().copied()
    }

    /// How often another server was found at the same address.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The latency of all requests since the server started.
    pub fn latency(&self) -> HistogramSnapshot {
        let histogram = self.sample.as_ref().and_then(|sample| sample.histogram(LATENCY));
        histogram.map(|histogram| histogram.values.clone()).unwrap_or_default()
    }
}
