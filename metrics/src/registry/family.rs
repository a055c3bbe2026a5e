//! Families whose members come while the server runs: a route that a reload adds, for instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::{Description, SERIES_MAX, Unit};
use super::{CounterId, HistogramId};

/// The label value of the member that stands for all that found no room.
pub const OTHER: &str = "other";

/// Counters of one name that differ in one label, whose values need not be known at the start.
/// Declared by [`crate::RegistryBuilder::counter_family_with_capacity`]; a handle, cheap to clone
/// and good on any thread.
///
/// Label values must come from the operator (a configuration, say), never from clients: members
/// stay for the life of the registry, so that counters never go down.
///
/// ```
/// use corelane_metrics::Registry;
///
/// let mut builder = Registry::builder();
/// let routes = builder.counter_family_with_capacity(
///     "corelane_http_route_requests_total", "Requests, by route.", "route", 2,
/// );
/// let registry = builder.build()?;
/// let shard = registry.shard(0)?;
///
/// let users = routes.member("/users/{id}");
/// shard.add(users, 5);
/// shard.add(routes.member("/"), 1);
/// assert_eq!(routes.member("/users/{id}"), users);
/// // The capacity is used up: all further names share one member.
/// shard.add(routes.member("/late"), 1);
/// shard.add(routes.member("/later"), 1);
///
/// let snapshot = registry.snapshot();
/// let of = |route| {
///     let labels = [("route", route)];
///     snapshot.counter("corelane_http_route_requests_total", &labels).map(|c| c.total())
/// };
/// assert_eq!((of("/users/{id}"), of("/"), of("/late"), of("other")), (Some(5), Some(1), None, Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CounterFamily(pub(super) Arc<Members>);

impl CounterFamily {
    /// The counter of that label value: a new one for a new value, the same for the same value,
    /// and that of [`OTHER`] when the capacity is used up.
    ///
    /// Takes a lock and compares with every member: for the start and for reloads, not for each
    /// request.
    pub fn member(&self, value: &str) -> CounterId {
        CounterId(self.0.cell_of(value))
    }
}

/// Histograms of one name that differ in one label, whose values need not be known at the start;
/// otherwise like [`CounterFamily`]. Declared by
/// [`crate::RegistryBuilder::histogram_family_with_capacity`].
#[derive(Clone, Debug)]
pub struct HistogramFamily(pub(super) Arc<Members>);

impl HistogramFamily {
    /// The histogram of that label value, as [`CounterFamily::member`] gives counters. It takes no
    /// memory in a shard before the first value is recorded there.
    pub fn member(&self, value: &str) -> HistogramId {
        HistogramId(self.0.cell_of(value))
    }
}

/// The members of a family. Its cells are reserved at the declaration: one for each of
/// `capacity` members, and one for [`OTHER`].
#[derive(Debug)]
pub(crate) struct Members {
    /// A member whose label has no value.
    pub(super) prototype: Description,
    first: u32,
    capacity: usize,
    /// At most one more than `capacity`; the member at place `n` has the cell `first + n`.
    present: Mutex<Vec<Arc<Description>>>,
}

impl Members {
    pub(super) fn new(
        name: &str,
        help: &str,
        unit: Unit,
        label: &str,
        claim: (u32, usize),
    ) -> Self {
        let labels = [(label.into(), "".into())].into();
        let prototype = Description { name: name.into(), help: help.into(), labels, unit };
        let (first, capacity) = claim;
        // A registry with a family larger than this cannot be built.
        Self { prototype, first, capacity: capacity.min(SERIES_MAX), present: Mutex::default() }
    }

    fn cell_of(&self, value: &str) -> u32 {
        let mut present = self.lock();
        let found = |present: &[Arc<Description>], value: &str| {
            present.iter().position(|member| *member.labels[0].1 == *value)
        };
        let full = present.len() >= self.capacity;
        let place = found(&present, value).or_else(|| found(&present, OTHER).filter(|_| full));
        let place = place.unwrap_or_else(|| {
            let mut member = self.prototype.clone();
            member.labels[0].1 = if full { OTHER } else { value }.into();
            present.push(Arc::new(member));
            present.len() - 1
        });
        self.first + place as u32
    }

    /// The members there are, each with its cell.
    pub(super) fn present(&self) -> Vec<(u32, Arc<Description>)> {
        (self.first..).zip(self.lock().iter().cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Description>>> {
        // The list is consistent between any two statements: a panic elsewhere does not spoil it.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use crate::registry::{Registry, Unit};

    /// What a family should count: the first `capacity` names for themselves, the rest together.
    fn naive(capacity: usize, names: &[u8]) -> HashMap<String, u64> {
        let mut own: Vec<String> = Vec::new();
        let mut counts = HashMap::new();
        for name in names.iter().map(|name| label(*name)) {
            if !own.contains(&name) && own.len() < capacity {
                own.push(name.clone());
            }
            let counted = if own.contains(&name) { name } else { "other".to_owned() };
            *counts.entry(counted).or_default() += 1;
        }
        counts
    }

    /// One of the names that clients may pick is the reserved one.
    fn label(name: u8) -> String {
        if name == 3 { "other".to_owned() } else { format!("/{name}") }
    }

    proptest! {
        #[test]
        fn each_name_counts_for_itself_until_the_capacity_is_used_up(
            capacity in 0_usize..8,
            names in prop::collection::vec(0_u8..12, 0..40),
        ) {
            let mut builder = Registry::builder();
            let before = builder.counter("before", "");
            let counters = builder.counter_family_with_capacity("c", "", "route", capacity);
            let histograms =
                builder.histogram_family_with_capacity("h", "", Unit::Bytes, "route", capacity);
            let after = builder.counter("after", "");
            let registry = builder.build().unwrap();
            let shard = registry.shard(0).unwrap();
            shard.add(before, 1_000);
            shard.add(after, 2_000);
            for name in &names {
                shard.add(counters.member(&label(*name)), 1);
                shard.record(histograms.member(&label(*name)), 7);
            }

            let snapshot = registry.snapshot();
            let expected = naive(capacity, &names);
            prop_assert_eq!(snapshot.counters().len(), expected.len() + 2);
            prop_assert_eq!(snapshot.histograms().len(), expected.len());
            for (name, count) in &expected {
                let labels = [("route", name.as_str())];
                prop_assert_eq!(snapshot.counter("c", &labels).unwrap().total(), *count);
                let histogram = snapshot.histogram("h", &labels).unwrap();
                prop_assert_eq!(histogram.merged().count(), *count);
            }
            prop_assert_eq!(snapshot.counter_by_id(before).unwrap().total(), 1_000);
            prop_assert_eq!(snapshot.counter_by_id(after).unwrap().total(), 2_000);
        }
    }

    #[test]
    fn a_member_that_came_between_two_snapshots_counts_from_zero() {
        let mut builder = Registry::builder();
        let routes = builder.counter_family_with_capacity("routes", "", "route", 4);
        let last = builder.counter("last", "");
        let registry = builder.build().unwrap();
        let shard = registry.shard(0).unwrap();
        shard.add(last, 5);
        shard.add(routes.member("a"), 1);
        let before = registry.snapshot();
        let late = routes.member("b");
        assert_eq!(before.counter_by_id(late), None);
        shard.add(late, 2);
        shard.add(last, 3);

        let delta = registry.snapshot().delta(&before);
        assert_eq!(delta.counter_by_id(late).unwrap().total(), 2);
        assert_eq!(delta.counter("routes", &[("route", "a")]).unwrap().total(), 0);
        assert_eq!(delta.counter_by_id(last).unwrap().total(), 3);
    }

    #[test]
    fn loops_that_ask_at_the_same_time_get_the_same_member() {
        let mut builder = Registry::builder();
        let family = builder.counter_family_with_capacity("c", "", "route", 50);
        let registry = builder.build().unwrap();
        std::thread::scope(|scope| {
            for index in 0..4 {
                let (family, shard) = (family.clone(), registry.shard(index).unwrap());
                scope.spawn(move || {
                    (0..100).for_each(|n| shard.add(family.member(&n.to_string()), 1));
                });
            }
        });
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.counters().len(), 51);
        let other = snapshot.counter("c", &[("route", "other")]).unwrap();
        assert_eq!(other.per_loop(), [50; 4]);
    }
}
