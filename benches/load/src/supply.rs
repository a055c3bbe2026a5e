//! Which requests may be sent now, and since when they could have been.

use std::collections::VecDeque;

use crate::plan::{Pace, Plan, Stop};
use crate::schedule::Schedule;

/// Requests to be sent by one worker, in order.
#[derive(Debug)]
pub(crate) struct Supply {
    /// Requests that may still come: of a closed loop to be taken, of an open loop to arrive. `None`
    /// for any number.
    left: Option<u64>,
    /// Of an open loop.
    open: Option<Open>,
    /// Nothing is taken or arrives any more.
    closed: bool,
}

/// The requests of an open loop: a queue without memory, between two schedules that are the same.
#[derive(Debug)]
struct Open {
    /// The clock's time at the start of the schedules.
    epoch: u64,
    /// Gives the next one whose time has not come.
    arriving: Schedule,
    /// Gives the next one to be sent.
    leaving: Schedule,
    /// How many are between the two.
    waiting: u64,
    /// Requests that must be sent again: they come first.
    returned: VecDeque<Due>,
}

/// A request that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// When it was to be sent.
    pub(crate) intended: u64,
    /// Since when it can be: later, if it has to be sent again.
    pub(crate) since: u64,
}

impl Due {
    fn at(intended: u64) -> Self {
        Self { intended, since: intended }
    }
}

impl Supply {
    /// The share of worker `index`.
    pub(crate) fn new(plan: &Plan, index: usize) -> Self {
        let left = match plan.stop {
            Stop::After(_) => None,
            Stop::Requests(count) => Some(plan.share(count, index)),
        };
        let open = match plan.pace {
            Pace::Closed => None,
            Pace::Open { rate, arrivals } => {
                let schedule = Schedule::new(rate, arrivals, plan.seed, index, plan.threads);
                Some(Open {
                    epoch: 0,
                    arriving: schedule.clone(),
                    leaving: schedule,
                    waiting: 0,
                    returned: VecDeque::new(),
                })
            }
        };
        Self { left, open, closed: false }
    }

    /// A closed loop of so many requests.
    pub(crate) fn of(count: u64) -> Self {
        Self { left: Some(count), open: None, closed: false }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The run begins at this time.
    pub(crate) fn begin(&mut self, now: u64) {
        if let Some(open) = &mut self.open {
            open.epoch = now;
        }
    }

    /// Has those arrive whose time is before `until`: how many of them count, which are those from
    /// `opens` on.
    pub(crate) fn arrive(&mut self, until: u64, opens: u64) -> u64 {
        let Some(open) = self.open.as_mut().filter(|_| !self.closed) else { return 0 };
        let mut counted = 0;
        while self.left != Some(0) {
            let at = open.epoch.saturating_add(open.arriving.peek());
            if at >= until {
                break;
            }
            open.arriving.advance();
            open.waiting += 1;
            counted += u64::from(at >= opens);
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
        }
        counted
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> u64 {
        match &self.open {
            Some(open) if !self.closed && self.left != Some(0) => {
                open.epoch.saturating_add(open.arriving.peek())
            }
            _ => u64::MAX,
        }
    }

    /// How many wait whose time has come. Only an open loop has any.
    pub(crate) fn waiting(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.waiting + open.returned.len() as u64)
    }

    /// Whether there will ever be another.
    pub(crate) fn has_more(&self) -> bool {
        self.waiting() > 0 || (!self.closed && self.left != Some(0))
    }

    /// Whether a closed loop has more than so many.
    pub(crate) fn has_more_than(&self, count: u64) -> bool {
        !self.closed && self.left.is_none_or(|left| left > count)
    }

    /// Takes the next one. In a closed loop, its time is now.
    #[inline]
    pub(crate) fn take(&mut self, now: u64) -> Option<Due> {
        let Some(open) = &mut self.open else {
            if self.closed || self.left == Some(0) {
                return None;
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            return Some(Due::at(now));
        };
        if let Some(due) = open.returned.pop_front() {
            return Some(due);
        }
        open.waiting = open.waiting.checked_sub(1)?;
        let intended = open.epoch.saturating_add(open.leaving.peek());
        open.leaving.advance();
        Some(Due::at(intended))
    }

    /// Takes one back, now, that has to be sent again.
    pub(crate) fn put_back(&mut self, intended: u64, now: u64) {
        match &mut self.open {
            Some(open) => open.returned.push_back(Due { intended, since: now }),
            None => self.left = self.left.map(|left| left + 1),
        }
    }

    /// Nothing arrives any more; what waits can still be taken.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Ends it: how many there are that count and were never taken.
    pub(crate) fn end(&mut self, opens: u64) -> u64 {
        let mut unsent = 0;
        if self.open.is_none() {
            unsent = self.left.take().unwrap_or(0);
        }
        while let (true, Some(due)) = (self.is_open(), self.take(0)) {
            unsent += u64::from(due.intended >= opens);
        }
        self.closed = true;
        unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    fn plan(pace: Pace, stop: Stop) -> Plan {
        let request = Request::new("GET", "/", "a", &[], b"").unwrap();
        let target = ([127, 0, 0, 1], 80).into();
        Plan { pace, stop, ..Plan::closed(&[target], request) }
    }

    #[test]
    fn what_waits_is_taken_in_order_and_the_rest_is_told() {
        let pace = Pace::Open { rate: 1_000.0, arrivals: Default::default() };
        let mut supply = Supply::new(&plan(pace, Stop::After(Default::default())), 0);
        supply.begin(5_000_000);
        // Due at 5, 6, 7, … ms; those from 6 ms on count.
        assert_eq!(supply.arrive(8_000_000, 6_000_000), 2);
        assert_eq!((supply.waiting(), supply.next_at()), (3, 8_000_000));
        assert_eq!(supply.take(9_000_000), Some(Due::at(5_000_000)));
        assert_eq!(supply.take(9_000_000), Some(Due::at(6_000_000)));
        supply.put_back(6_000_000, 9_500_000);
        let again = Due { intended: 6_000_000, since: 9_500_000 };
        assert_eq!(supply.take(9_900_000), Some(again), "the generator was not late");
        supply.put_back(6_000_000, 9_900_000);
        supply.close();
        assert_eq!((supply.arrive(20_000_000, 0), supply.next_at()), (0, u64::MAX));
        assert!(supply.has_more());
        assert_eq!(supply.end(6_000_000), 2);
        assert_eq!((supply.has_more(), supply.take(0)), (false, None));
    }

    #[test]
    fn a_closed_loop_takes_now_as_often_as_it_may() {
        let mut supply = Supply::new(&plan(Pace::Closed, Stop::Requests(2)), 0);
        let taken = [7, 8, 9].map(|now| supply.take(now));
        assert_eq!(taken, [Some(Due::at(7)), Some(Due::at(8)), None]);
        supply.put_back(7, 9);
        assert_eq!((supply.waiting(), supply.has_more()), (0, true));
        assert_eq!((supply.has_more_than(0), supply.has_more_than(1)), (true, false));
        assert_eq!(supply.end(0), 1);
        assert_eq!(supply.take(9), None);
    }
}
