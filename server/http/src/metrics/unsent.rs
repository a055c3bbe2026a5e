//! Answers of one connection that are in the output, and that the kernel has not taken yet.

use corelane_eventloop::Nanos;

use super::METERED;
use super::counters::{HttpCounters, Kind};

/// Kinds that are told apart in one flush of one connection.
const GROUPS_MAX: usize = 64;

/// Answers of one kind whose requests began at the same time.
#[derive(Clone, Copy, Debug)]
struct Group {
    since: Nanos,
    kind: Kind,
    count: u32,
}

/// What waits for the next flush, in groups: nearly always one. Plain data, since every connection has
/// it; further groups take memory only while they wait.
#[derive(Debug)]
pub(crate) struct Unsent {
    first: Group,
    more: Option<Box<Groups>>,
}

#[derive(Debug, Default)]
struct Groups(Vec<Group>);

impl Unsent {
    pub(crate) const NONE: Unsent =
        Unsent { first: Group { since: Nanos::ZERO, kind: Kind::NONE, count: 0 }, more: None };

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.count == 0
    }

    /// An answer is in the output, to a request that began then.
    #[inline]
    pub(crate) fn add(&mut self, kind: Kind, since: Nanos) {
        let first = &mut self.first;
        if !METERED || first.count == 0 {
            *first = Group { since, kind, count: 1 };
        } else if first.kind == kind && first.since == since {
            first.count += 1;
        } else {
            self.add_other(kind, since);
        }
    }

    /// Beyond so many groups an answer goes with one of its kind, if there is one, and else with the
    /// first: its latency is that of an earlier request then.
    #[cold]
    fn add_other(&mut self, kind: Kind, since: Nanos) {
        let groups = &mut self.more.get_or_insert_default().0;
        if let Some(group) = groups.iter_mut().find(|g| g.kind == kind && g.since == since) {
            group.count += 1;
        } else if groups.len() < GROUPS_MAX {
            groups.push(Group { since, kind, count: 1 });
        } else if let Some(group) = groups.iter_mut().find(|group| group.kind == kind) {
            group.count += 1;
        } else {
            self.first.count += 1;
        }
    }

    /// The kernel has taken them all.
    #[inline]
    pub(crate) fn sent(&mut self, now: Nanos, counters: &mut HttpCounters) {
        let Group { since, kind, count } = self.first;
        self.first.count = 0;
        if METERED && count > 0 {
            counters.latency(now.since(since), kind, count);
            if self.more.is_some() {
                self.others_sent(now, counters);
            }
        }
    }

    #[cold]
    fn others_sent(&mut self, now: Nanos, counters: &mut HttpCounters) {
        for Group { since, kind, count } in self.more.take().into_iter().flat_map(|more| more.0) {
            counters.latency(now.since(since), kind, count);
        }
    }

    /// The connection ended: how many answers it kept.
    pub(crate) fn take(&mut self) -> u32 {
        let more = self.more.take().into_iter().flat_map(|more| more.0);
        std::mem::take(&mut self.first.count) + more.map(|group| group.count).sum::<u32>()
    }
}
