//! Answers of one connection that are in the output, and that the kernel has not taken yet.

use corelane_eventloop::Nanos;
use corelane_metrics::METERED;

use super::counters::{HttpCounters, Kind};

/// Groups that wait on one connection, besides the latest.
const GROUPS_MAX: usize = 64;

/// Answers of one kind and one length, next to each other in the output, whose requests came at the same
/// time. So where one ends says where all of them do.
#[derive(Clone, Copy, Debug)]
struct Group {
    since: Nanos,
    kind: Kind,
    /// Where one more of them would end, in bytes of output since the connection began.
    next: u64,
    /// Of one answer, in bytes; the lower half if that is too large, which then is the first of them. 0 if
    /// they differ.
    len: u32,
    count: u32,
}

/// What waits for the kernel, in the order of the output, in groups: nearly always one. Plain data, since
/// every connection has it; further groups take memory only while they wait.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// The latest; its kind is [`Kind::NONE`] if nothing waits.
    last: Group,
    earlier: Option<Box<Groups>>,
}

#[derive(Debug, Default)]
struct Groups(Vec<Group>);

impl Group {
    const NONE: Group = Group { since: Nanos::ZERO, kind: Kind::NONE, next: 0, len: 0, count: 0 };

    /// One answer.
    #[inline]
    fn one(kind: Kind, since: Nanos, end: u64, len: u64) -> Group {
        let len = len as u32;
        Group { since, kind, next: end + u64::from(len), len, count: 1 }
    }

    /// Where the last of them ends.
    #[inline]
    fn end(&self) -> u64 {
        self.next - u64::from(self.len)
    }

    /// How many of them end at or before `sent`.
    fn ended(&self, sent: u64) -> u32 {
        let left = self.end().saturating_sub(sent);
        match left.checked_div(u64::from(self.len)) {
            _ if left == 0 => self.count,
            Some(whole) if whole < u64::from(self.count) => {
                self.count - left.div_ceil(u64::from(self.len)) as u32
            }
            _ => 0,
        }
    }
}

impl Unsent {
    pub(crate) const NONE: Unsent = Unsent { last: Group::NONE, earlier: None };

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.last.kind == Kind::NONE
    }

    /// An answer to a request that came at `since` is in the output, which now ends at `end` and of which
    /// `pending` bytes wait: asked for only if no answer waited before.
    #[inline]
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        since: Nanos,
        end: u64,
        pending: impl FnOnce() -> u64,
    ) {
        let last = &mut self.last;
        if METERED && last.kind == kind && last.since == since && last.next == end {
            last.next += u64::from(last.len);
            last.count += 1;
        } else if !METERED || last.kind == Kind::NONE {
            *last = Group::one(kind, since, end, pending());
        } else {
            self.add_other(kind, since, end);
        }
    }

    /// Beyond so many groups an answer goes with others of its kind, if there are any, and else with the
    /// last: it counts as sent when they all are, and as having come with the first of them.
    #[cold]
    fn add_other(&mut self, kind: Kind, since: Nanos, end: u64) {
        let last = &mut self.last;
        let earlier = &mut self.earlier.get_or_insert_default().0;
        if earlier.len() < GROUPS_MAX {
            let group = Group::one(kind, since, end, end - last.end());
            earlier.push(std::mem::replace(last, group));
            return;
        }
        if last.kind != kind
            && let Some(at) = earlier.iter().rposition(|group| group.kind == kind)
        {
            let group = earlier.remove(at);
            earlier.push(std::mem::replace(last, group));
        }
        (last.next, last.len) = (end, 0);
        last.count += 1;
    }

    /// The kernel has taken this much of the output.
    #[inline]
    pub(crate) fn sent(&mut self, sent: u64, now: Nanos, counters: &mut HttpCounters) {
        let Group { since, kind, count, .. } = self.last;
        if self.earlier.is_some() || self.last.end() > sent {
            return self.sent_in_part(sent, now, counters);
        }
        if METERED && kind != Kind::NONE {
            counters.latency(now.since(since), kind, count);
        }
        self.last.kind = Kind::NONE;
    }

    #[cold]
    #[inline(never)]
    fn sent_in_part(&mut self, sent: u64, now: Nanos, counters: &mut HttpCounters) {
        if !METERED {
            return;
        }
        let mut front = &mut self.last;
        if let Some(Groups(earlier)) = self.earlier.as_deref_mut() {
            let whole = earlier.iter().take_while(|group| group.end() <= sent).count();
            record(&earlier[..whole], now, counters);
            earlier.drain(..whole);
            if let Some(group) = earlier.first_mut() {
                front = group;
            }
        }
        let count = front.ended(sent);
        if count > 0 {
            front.count -= count;
            counters.latency(now.since(front.since), front.kind, count);
        }
        if self.last.count == 0 {
            self.last.kind = Kind::NONE;
        }
        if self.earlier.as_ref().is_some_and(|earlier| earlier.0.is_empty()) {
            self.earlier = None;
        }
    }

    /// The connection ended when the kernel had taken this much: what was not recorded is, if it was sent,
    /// and the others are counted.
    pub(crate) fn end(&mut self, sent: u64, now: Nanos, counters: &mut HttpCounters) {
        if self.is_empty() {
            return;
        }
        self.sent_in_part(sent, now, counters);
        let earlier = self.earlier.take().into_iter().flat_map(|earlier| earlier.0);
        let last = std::mem::replace(&mut self.last, Group::NONE);
        counters.unsent(earlier.chain([last]).map(|group| u64::from(group.count)).sum());
    }
}

fn record(groups: &[Group], now: Nanos, counters: &mut HttpCounters) {
    for &Group { since, kind, count, .. } in groups {
        counters.latency(now.since(since), kind, count);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use corelane_eventloop::Origin;
    use corelane_metrics::{HistogramSnapshot, Registry};
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{HttpMetrics, RouteId, tests};
    use crate::reply::{Fault, Replied};

    fn kind(status: u16) -> Kind {
        let replied = Replied { status, route: RouteId::default(), fault: Fault::None };
        Kind::of(replied, 0, Origin::Accepted(0))
    }

    fn latencies(registry: &Registry, lane: &mut HttpCounters) -> HistogramSnapshot {
        lane.publish_latencies();
        registry.snapshot().histogram(HttpMetrics::LATENCY, &[]).unwrap().merged().clone()
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Answer {
            status: u16,
            len: u64,
            repeated: u64,
        },
        Receive,
        /// So many of 16 parts of what waits.
        Send(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let statuses = prop::sample::select(vec![200, 200, 404]);
        let lens = prop::sample::select(vec![100, 100, 101, 1, 5_000, 5_000_000_000]);
        let answer = (statuses, lens, 1..4_u64);
        prop_oneof![
            4 => answer.prop_map(|(status, len, repeated)| Step::Answer { status, len, repeated }),
            1 => Just(Step::Receive),
            3 => (0..=16_u64).prop_map(Step::Send),
        ]
    }

    proptest! {
        /// Whatever is sent in which pieces: the answers that are recorded are those that left whole, each
        /// once, with its own time.
        #[test]
        fn answers_are_recorded_as_they_leave(steps in prop::collection::vec(step(), 0..64)) {
            let (registry, mut lane) = tests::rig(&[]);
            let (mut unsent, mut waiting) = (Unsent::NONE, VecDeque::new());
            let (mut now, mut since, mut put, mut sent) = (Nanos(1_000), Nanos(500), 0, 0);
            let (mut count, mut sum) = (0, 0);
            for step in steps {
                match step {
                    Step::Answer { status, len, repeated } => for _ in 0..repeated {
                        put += len;
                        unsent.add(kind(status), since, put, || put - sent);
                        waiting.push_back((since, put));
                    },
                    Step::Receive => since = now,
                    Step::Send(share) => {
                        now += Nanos(7);
                        sent += (put - sent) * share / 16;
                        unsent.sent(sent, now, &mut lane);
                        while let Some((since, _)) = waiting.pop_front_if(|(_, end)| *end <= sent) {
                            (count, sum) = (count + 1, sum + now.since(since).0);
                        }
                    }
                }
                prop_assert_eq!(unsent.is_empty(), waiting.is_empty());
                let all = latencies(&registry, &mut lane);
                prop_assert_eq!((all.count(), all.sum()), (count, sum));
            }
            unsent.end(sent, now, &mut lane);
            prop_assert!(unsent.is_empty() && unsent.earlier.is_none());
            let snapshot = registry.snapshot();
            let lost = snapshot.counter("corelane_http_unsent_total", &[]).unwrap().total();
            prop_assert_eq!(lost as usize, waiting.len());
        }
    }

    /// Beyond what is told apart, none is lost, none counts before it was sent or under another status.
    #[test]
    fn memory_is_bounded() {
        let (registry, mut lane) = tests::rig(&[]);
        let mut unsent = Unsent::NONE;
        let ends: Vec<u64> = (1..=1_000).map(|n| n * (100 + n)).collect();
        for (n, &end) in ends.iter().enumerate() {
            unsent.add(kind(if n % 3 == 0 { 404 } else { 200 }), Nanos(0), end, || end);
        }
        assert_eq!(unsent.earlier.as_ref().unwrap().0.len(), GROUPS_MAX);
        for (n, &end) in ends.iter().enumerate() {
            unsent.sent(end - 1, Nanos(1), &mut lane);
            assert!(latencies(&registry, &mut lane).count() <= n as u64);
        }
        unsent.sent(1_100_000, Nanos(1), &mut lane);
        assert_eq!(latencies(&registry, &mut lane).count(), 1_000);
        let name = "corelane_http_class_latency_nanoseconds";
        let snapshot = registry.snapshot();
        let class = |class| snapshot.histogram(name, &[("class", class)]).unwrap().merged().count();
        assert_eq!((class("4xx"), class("2xx")), (334, 666));
        assert!(unsent.is_empty() && unsent.earlier.is_none());
    }
}
