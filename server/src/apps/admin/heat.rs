//! `/heat.json`: latency over time, as a map.
//!
//! A sampler takes what the latency histogram has grown by each second. So it costs the lanes nothing,
//! and has a fixed size.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corelane_eventloop::{Files, Nanos};
use corelane_http::Wakes;
use corelane_http::web::{App, Endpoint, Request, Response};
use corelane_metrics::expose::json;
use corelane_metrics::heat::{HeatMap, HeatSampler};
use corelane_metrics::{HistogramId, HistogramSnapshot, Registry};
use serde_json::json;

use super::fresh;
use super::subject::Pages;
use crate::apps::kept::Upkeep;

pub(super) fn page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |request: &Request<'_>| {
        let since = match request.query().map(since) {
            Some(Err(why)) => return fresh(Response::problem(400, why)),
            Some(Ok(since)) => since,
            None => None,
        };
        let heat = pages.heat.borrow();
        let empty = HeatMap::default();
        let map = heat.as_ref().map_or(&empty, |heat| heat.sampler.map());
        let mut value = json::heat(map, since);
        value["instance"] = json!(pages.subject.identity.instance());
        fresh(Response::json(&value))
    })
}

/// Reads `since=UNIX_MS`; other parameters are passed over.
fn since(query: &str) -> Result<Option<Duration>, &'static str> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("since="));
    let milliseconds = text.map(str::parse).transpose();
    let since = milliseconds.map_err(|_| "since is a time in milliseconds since 1970")?;
    Ok(since.map(Duration::from_millis))
}

/// The map, and when it grows next.
pub(super) struct Heat {
    sampler: HeatSampler,
    latency: HistogramId,
    /// What the lane's clock lacks to the time of day: that of the first turn, so that small corrections
    /// of the time of day move no column.
    offset: Nanos,
    next: Nanos,
}

impl Heat {
    /// Begins with all there is, since the first turn may come after the first requests; `anew` with what
    /// comes from now on: when there was a map before.
    fn begin(
        latency: HistogramId,
        registry: &Registry,
        anew: bool,
        now: Nanos,
        wall: Nanos,
    ) -> Heat {
        let offset = wall.since(now);
        let at = Duration::from(now + offset);
        let before = if anew { registry.histogram_merged(latency) } else { Default::default() };
        let sampler = HeatSampler::new(HeatMap::default(), at, before);
        let next = now + Nanos::from(sampler.wait(at));
        Heat { sampler, latency, offset, next }
    }

    /// The time of day was set, or the machine slept: the columns have times that nobody looks for.
    fn is_astray(&self, now: Nanos, wall: Nanos) -> bool {
        let expected = now + self.offset;
        Duration::from(wall.since(expected).max(expected.since(wall))) > self.sampler.map().width()
    }

    fn sample(&mut self, now: Nanos, latency: HistogramSnapshot) {
        let at = Duration::from(now + self.offset);
        self.sampler.sample(at, latency);
        self.next = now + Nanos::from(self.sampler.wait(at));
    }
}

/// Samples when it is time.
pub(super) struct Sampling(pub(super) Rc<Pages>);

impl Upkeep for Sampling {
    fn before_request(&mut self, _: &mut App, _: &mut dyn Files) {}

    fn before_turn(&mut self, _: &mut App, wakes: &mut Wakes<'_, '_>) {
        let Pages { subject, heat } = &*self.0;
        let Some(latency) = subject.latency else { return };
        let now = wakes.now();
        let mut heat = heat.borrow_mut();
        let begin = |anew| Heat::begin(latency, &subject.registry, anew, now, wakes.wall());
        let heat =
            heat.get_or_insert_with(|| begin(subject.is_mapped.swap(true, Ordering::Relaxed)));
        if heat.is_astray(now, wakes.wall()) {
            *heat = begin(true);
        } else if now >= heat.next {
            heat.sample(now, subject.registry.histogram_merged(heat.latency));
        }
        wakes.wake_at(heat.next);
    }
}

/// Where the pages keep it: empty until the first turn, or where the server has no latency.
pub(super) type Slot = RefCell<Option<Heat>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_query() {
        for (query, expected) in [
            ("since=1700000000000", Ok(Some(Duration::from_secs(1_700_000_000)))),
            ("a=b&since=5&since=7", Ok(Some(Duration::from_millis(5)))),
            ("", Ok(None)),
            ("sincere=1", Ok(None)),
        ] {
            assert_eq!(since(query), expected, "{query}");
        }
        for wrong in ["since=", "since=-1", "since=1.5", "since=99999999999999999999999"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
