//! One deadline per connection, moved often, reached seldom.
//!
//! A hierarchical timing wheel after Varghese and Lauck, *Hashed and hierarchical timing wheels*
//! (SOSP 1987), scheme 7, with three additions for a server's timers:
//!
//! 1. **Lazy deadlines.** A connection's deadline moves later with almost every request, and is
//!    almost never reached. So a timer that is armed stays where it is when its deadline moves
//!    later or goes away: only the number is rewritten. When the wheel comes to it, it is armed
//!    anew for what the number says then. A timer is moved at once only if it must fire earlier
//!    than it is armed for.
//! 2. **Occupancy bitmaps.** One word per level says which slots hold anything, so a jump in time
//!    costs a few instructions per level, not one step per tick.
//! 3. **Intrusive lists.** The timers of a slot form a ring through one vector, indexed by
//!    connection. The vector also holds each slot's sentinel, so that unlinking needs no case
//!    distinction. Nothing else is allocated.
//!
//! # Theory of operation
//! Time is cut into ticks of 2^20 ns (1.05 ms): a shift instead of a division. A timer is armed
//! for the first tick that starts at or after its deadline, so it never fires early. Ticks are
//! seen as numbers in base 64, one level of 64 slots per digit; eight digits hold every tick of a
//! 64-bit clock, so no deadline is beyond the horizon. A timer sits on the level of the highest
//! digit in which its tick differs from the wheel's, in the slot of that digit. From this follows:
//!
//! - all timers on a level share the wheel's digits above it, and their own digit there is larger,
//!   so the first occupied slot of the lowest occupied level holds the next timers;
//! - when the wheel reaches the start of a slot above level 0, its timers are sorted into lower
//!   levels, each at most once per level.
//!
//! Slots that the wheel has reached are spliced, as whole rings, to one *due* ring, which
//! [`Wheel::pop_expired`] takes apart one timer at a time.

/// Timers by connection index, in nanoseconds of the lane's clock.
///
/// | operation | cost |
/// |---|---|
/// | [`set`](Wheel::set) later, [`clear`](Wheel::clear) | a comparison and a store |
/// | [`set`](Wheel::set) first or earlier | unlink and link: four neighbours touched |
/// | [`pop_expired`](Wheel::pop_expired) | constant, and linear in the armed timers whose deadline had moved on, each once per time its old deadline passes and level it crosses |
/// | [`next_wake`](Wheel::next_wake) | eight words looked at |
///
/// Memory: 24 bytes per index up to the highest ever used, and 12 KiB of sentinels.
#[derive(Debug)]
pub struct Wheel {
    /// The sentinels of all slots and of the due ring, then one timer per connection.
    nodes: Vec<Node>,
    /// For each level, a bit per slot that is not empty.
    occupied: [u64; LEVELS],
    /// The tick the wheel has reached: all slots that start at or before it are empty.
    elapsed: u64,
    /// Timers with a deadline. Armed timers without one are not counted.
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// When it is to fire, or `NEVER`.
    deadline: u64,
    /// Start of the tick before the one it is armed for: any deadline after this can wait until the
    /// wheel comes by. `NEVER` if it is not linked, so that no deadline is after it.
    armed: u64,
    prev: u32,
    next: u32,
}

/// No deadline: later than all others.
const NEVER: u64 = u64::MAX;

/// A tick is 2^20 ns.
const TICK_SHIFT: u32 = 20;

/// Bits of a tick number per level.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;

/// Enough for the 44 bits of a tick number.
const LEVELS: usize = 8;

/// The sentinel of the due ring. Those of the slots come before, the timers after it.
const DUE: u32 = (LEVELS * SLOTS) as u32;
const FIRST_TIMER: usize = DUE as usize + 1;

impl Wheel {
    /// A wheel without timers, at the start of the clock.
    pub fn new() -> Wheel {
        let alone = |id| Node { deadline: NEVER, armed: NEVER, prev: id, next: id };
        Wheel { nodes: (0..=DUE).map(alone).collect(), occupied: [0; LEVELS], elapsed: 0, len: 0 }
    }

    /// Gives `index` this deadline in place of the one it had. `u64::MAX` means none.
    ///
    /// A deadline that has already passed fires in the tick after the present one, never within
    /// the same sweep: so a handler that keeps setting such deadlines cannot trap its lane.
    ///
    /// # Panics
    /// If `index` does not fit 32 bits with 513 to spare.
    #[inline]
    pub fn set(&mut self, index: usize, deadline: u64) {
        if let Some(node) = self.nodes.get_mut(place(index))
            && deadline > node.armed
        {
            // A branch that is hardly ever taken: adding 0 each time would make every call wait for
            // the one before it.
            if node.deadline == NEVER || deadline == NEVER {
                self.len += usize::from(node.deadline == NEVER);
                self.len -= usize::from(deadline == NEVER);
            }
            node.deadline = deadline;
        } else {
            self.arm(index, deadline);
        }
    }

    /// Takes the deadline of `index` away, if it has one. Needed before an index is reused.
    #[inline]
    pub fn clear(&mut self, index: usize) {
        // The timer stays armed; the wheel unlinks it when it comes by.
        if let Some(node) = self.nodes.get_mut(place(index)) {
            self.len -= usize::from(node.deadline != NEVER);
            node.deadline = NEVER;
        }
    }

    /// The deadline of `index`, if it has one.
    #[inline]
    pub fn deadline(&self, index: usize) -> Option<u64> {
        let node = self.nodes.get(place(index))?;
        (node.deadline != NEVER).then_some(node.deadline)
    }

    /// Takes out one timer whose deadline is not after `now`: its index. `None` once there is none
    /// that was due at the start of the present tick.
    ///
    /// Call until `None`. A timer fires never early, and at most one tick after its deadline or
    /// after it was set, whichever is later. The order among timers due is not defined. A `now`
    /// before an earlier one is harmless: the wheel does not turn back.
    pub fn pop_expired(&mut self, now: u64) -> Option<usize> {
        self.turn_to(now >> TICK_SHIFT);
        loop {
            let id = self.nodes[DUE as usize].next;
            if id == DUE {
                return None;
            }
            self.unlink(id);
            let node = &mut self.nodes[id as usize];
            let deadline = node.deadline;
            node.armed = NEVER;
            if deadline <= now {
                node.deadline = NEVER;
                self.len -= 1;
                return Some(id as usize - FIRST_TIMER);
            }
            if deadline != NEVER {
                self.link(id, deadline);
            }
        }
    }

    /// When to call [`pop_expired`](Wheel::pop_expired) next: not before `now`, and not after the
    /// first timer can fire. It may be earlier than any timer fires, so that the wheel can sort
    /// timers into lower levels. `None` if no timer is set.
    pub fn next_wake(&self, now: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        if self.nodes[DUE as usize].next != DUE {
            return Some(now);
        }
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let shift = level as u32 * DIGIT;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let above = self.elapsed >> (shift + DIGIT) << (shift + DIGIT);
        let tick = above | slot << shift;
        // The tick after the last of the clock's has no start.
        Some(tick.saturating_mul(1 << TICK_SHIFT).max(now))
    }

    /// Timers that have a deadline.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no timer has a deadline.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slow half of `set`: not armed yet, or armed too late.
    fn arm(&mut self, index: usize, deadline: u64) {
        if deadline == NEVER {
            return self.clear(index);
        }
        if place(index) >= self.nodes.len() {
            self.grow(index);
        }
        let id = place(index) as u32;
        let node = &mut self.nodes[id as usize];
        self.len += usize::from(node.deadline == NEVER);
        node.deadline = deadline;
        if node.armed != NEVER {
            self.unlink(id);
        }
        self.link(id, deadline);
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        assert!(index < u32::MAX as usize - FIRST_TIMER, "timer index {index} is out of range");
        let unused = Node { deadline: NEVER, armed: NEVER, prev: 0, next: 0 };
        self.nodes.resize(place(index) + 1, unused);
    }

    /// Links a timer that is in no ring to the slot for `deadline`.
    fn link(&mut self, id: u32, deadline: u64) {
        // Rounded up to be never early, and beyond the present tick so that a sweep ends.
        let rounded = deadline.saturating_sub(1) >> TICK_SHIFT;
        let before = rounded.max(self.elapsed);
        let tick = before + 1;
        let level = (tick ^ self.elapsed).ilog2() / DIGIT;
        let slot = tick >> (level * DIGIT) & (SLOTS as u64 - 1);
        self.occupied[level as usize] |= 1 << slot;
        let sentinel = level * SLOTS as u32 + slot as u32;

        let last = self.nodes[sentinel as usize].prev;
        self.nodes[sentinel as usize].prev = id;
        self.nodes[last as usize].next = id;
        let node = &mut self.nodes[id as usize];
        node.armed = before << TICK_SHIFT;
        node.prev = last;
        node.next = sentinel;
    }

    /// Takes a timer out of its ring. The caller sets `armed`.
    fn unlink(&mut self, id: u32) {
        let Node { prev, next, .. } = self.nodes[id as usize];
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        // A neighbour on both sides can only be the sentinel, which is now alone.
        if prev == next && prev != DUE {
            self.occupied[prev as usize / SLOTS] &= !(1 << (prev as usize % SLOTS));
        }
    }

    /// Moves the wheel on, and what it reaches to the due ring.
    fn turn_to(&mut self, tick: u64) {
        if tick <= self.elapsed {
            return;
        }
        for level in 0..LEVELS {
            let shift = level as u32 * DIGIT;
            let same_above = tick >> (shift + DIGIT) == self.elapsed >> (shift + DIGIT);
            let digit = tick >> shift & (SLOTS as u64 - 1);
            // If a digit above has moved on, every slot here is in the past.
            let reached =
                if same_above { u64::MAX >> (SLOTS as u64 - 1 - digit) } else { u64::MAX };
            let mut slots = self.occupied[level] & reached;
            self.occupied[level] &= !reached;
            while slots != 0 {
                self.splice((level * SLOTS) as u32 + slots.trailing_zeros());
                slots &= slots - 1;
            }
            if same_above {
                break;
            }
        }
        self.elapsed = tick;
    }

    /// Appends a slot's whole ring to the due ring.
    fn splice(&mut self, sentinel: u32) {
        let Node { prev: last, next: first, .. } = self.nodes[sentinel as usize];
        let tail = self.nodes[DUE as usize].prev;
        self.nodes[tail as usize].next = first;
        self.nodes[first as usize].prev = tail;
        self.nodes[last as usize].next = DUE;
        self.nodes[DUE as usize].prev = last;
        let alone = &mut self.nodes[sentinel as usize];
        alone.prev = sentinel;
        alone.next = sentinel;
    }
}

/// Where a connection's timer is. Saturating, so that no index reaches a sentinel.
#[inline]
fn place(index: usize) -> usize {
    index.saturating_add(FIRST_TIMER)
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_SHIFT;
    const SECOND: u64 = 1_000_000_000;

    fn expire(wheel: &mut Wheel, now: u64) -> Vec<usize> {
        let mut fired: Vec<usize> = std::iter::from_fn(|| wheel.pop_expired(now)).collect();
        fired.sort_unstable();
        fired
    }

    #[test]
    fn a_timer_costs_24_bytes() {
        assert_eq!(size_of::<Node>(), 24);
    }

    #[test]
    fn fires_once_never_early_and_at_most_a_tick_late() {
        for deadline in [1, 5, TICK - 1, TICK, TICK + 1, 64 * TICK, 30 * SECOND, 1 << 60] {
            let mut wheel = Wheel::new();
            wheel.set(3, deadline);
            assert_eq!(wheel.pop_expired(deadline - 1), None, "{deadline}");
            assert_eq!(wheel.pop_expired(deadline + TICK), Some(3), "{deadline}");
            assert_eq!(wheel.pop_expired(u64::MAX - 1), None);
            assert!(wheel.is_empty());
        }
    }

    #[test]
    fn a_deadline_that_moves_later_is_not_relinked() {
        let mut wheel = Wheel::new();
        wheel.set(0, SECOND);
        let armed = wheel.nodes[FIRST_TIMER].armed;
        wheel.set(0, 2 * SECOND);
        assert_eq!((wheel.nodes[FIRST_TIMER].armed, wheel.deadline(0)), (armed, Some(2 * SECOND)));
        assert_eq!(expire(&mut wheel, SECOND + TICK), []);
        assert_eq!(expire(&mut wheel, 2 * SECOND + TICK), [0]);
    }

    #[test]
    fn a_deadline_that_moves_earlier_fires_then() {
        let mut wheel = Wheel::new();
        wheel.set(0, 100 * SECOND);
        wheel.set(1, 100 * SECOND);
        wheel.set(0, SECOND);
        assert_eq!(expire(&mut wheel, SECOND + TICK), [0]);
        assert_eq!(expire(&mut wheel, 101 * SECOND), [1]);
    }

    #[test]
    fn a_cleared_index_can_be_used_again() {
        let mut wheel = Wheel::new();
        wheel.set(7, 5 * SECOND);
        wheel.clear(7);
        assert_eq!((wheel.len(), wheel.deadline(7), wheel.next_wake(0)), (0, None, None));
        wheel.set(7, SECOND);
        assert_eq!((wheel.len(), wheel.deadline(7)), (1, Some(SECOND)));
        assert_eq!(expire(&mut wheel, 10 * SECOND), [7]);
        wheel.clear(7);
        wheel.clear(1_000_000);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn never_is_no_deadline() {
        let mut wheel = Wheel::new();
        wheel.set(0, NEVER);
        assert_eq!((wheel.len(), wheel.deadline(0)), (0, None));
        wheel.set(0, 5);
        wheel.set(0, NEVER);
        wheel.set(0, NEVER);
        assert_eq!((wheel.len(), expire(&mut wheel, SECOND)), (0, vec![]));
    }

    #[test]
    fn a_passed_deadline_fires_next_tick_and_cannot_trap_the_lane() {
        let mut wheel = Wheel::new();
        let now = 10 * SECOND;
        assert_eq!(wheel.pop_expired(now), None);
        wheel.set(0, 1);
        assert_eq!(wheel.pop_expired(now), None);
        let mut turns = 0;
        while let Some(index) = wheel.pop_expired(now + TICK) {
            wheel.set(index, now);
            turns += 1;
        }
        assert_eq!(turns, 1);
        assert_eq!(wheel.pop_expired(now + 2 * TICK), Some(0));
    }

    #[test]
    fn timers_can_be_changed_while_others_fire() {
        let mut wheel = Wheel::new();
        (0..4).for_each(|index| wheel.set(index, SECOND));
        let now = SECOND + TICK;
        let first = wheel.pop_expired(now).unwrap();
        let rest: Vec<usize> = (0..4).filter(|index| *index != first).collect();
        wheel.clear(rest[0]);
        wheel.set(rest[1], 9 * SECOND);
        assert_eq!(wheel.next_wake(now), Some(now), "one is still due");
        assert_eq!(expire(&mut wheel, now), [rest[2]]);
        assert_eq!(expire(&mut wheel, 10 * SECOND), [rest[1]]);
    }

    #[test]
    fn time_that_stands_still_or_steps_back_is_harmless() {
        let mut wheel = Wheel::new();
        wheel.set(0, 3 * SECOND);
        assert_eq!(wheel.pop_expired(2 * SECOND), None);
        assert_eq!(wheel.pop_expired(SECOND), None);
        assert_eq!(wheel.next_wake(SECOND).map(|at| at <= 3 * SECOND + TICK), Some(true));
        assert_eq!(expire(&mut wheel, 4 * SECOND), [0]);
    }

    #[test]
    fn following_next_wake_reaches_a_timer_in_a_few_steps() {
        let mut wheel = Wheel::new();
        let mut now = 12_345 * SECOND;
        assert_eq!(wheel.pop_expired(now), None);
        let deadline = now + 30 * SECOND;
        wheel.set(0, deadline);
        for steps in 1.. {
            now = wheel.next_wake(now).unwrap();
            if wheel.pop_expired(now) == Some(0) {
                assert!(steps <= 4, "{steps} wakes");
                break;
            }
        }
        assert!((deadline..=deadline + TICK).contains(&now));
    }

    #[test]
    fn the_last_deadline_of_the_clock_does_not_wake_anyone_early() {
        let mut wheel = Wheel::new();
        wheel.set(0, u64::MAX - 1);
        let mut now = 0;
        for _ in 0..LEVELS {
            now = wheel.next_wake(now).unwrap();
            assert_eq!(wheel.pop_expired(now), None);
        }
        assert_eq!(now, u64::MAX);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn an_absurd_index_is_a_bug() {
        Wheel::new().set(usize::MAX, 1);
    }

    #[test]
    fn a_jump_of_centuries_costs_no_more_than_a_step() {
        let mut wheel = Wheel::new();
        (0..1_000).for_each(|index| wheel.set(index, (index as u64 + 1) << 44));
        let fired = expire(&mut wheel, u64::MAX - 1);
        assert_eq!(fired, (0..1_000).collect::<Vec<_>>());
    }

    /// What a wheel is meant to do, written without one.
    #[derive(Default)]
    struct Model {
        /// Deadline, and the latest sweep before it was set, by index.
        timers: BTreeMap<usize, (u64, u64)>,
        swept: u64,
    }

    impl Model {
        fn sweep(&mut self, now: u64, fired: &[usize]) {
            self.swept = self.swept.max(now);
            for index in fired {
                let timer = self.timers.remove(index);
                let (deadline, _) = timer.expect("fired without a deadline, or twice");
                assert!(deadline <= now, "fired {} ns early", deadline - now);
            }
            for (index, (deadline, set)) in &self.timers {
                let allowed = (*deadline).max(*set).saturating_add(TICK);
                assert!(now < allowed, "{index} is more than a tick late");
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(usize, u64),
        Clear(usize),
        Sweep(u64),
        SweepAtNextWake,
    }

    /// Spans of every order of magnitude, so that every level is used.
    fn span() -> impl Strategy<Value = u64> {
        (0_u32..50, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_usize..40, span()).prop_map(|(index, span)| Step::Set(index, span)),
            2 => (0_usize..40).prop_map(Step::Clear),
            3 => span().prop_map(Step::Sweep),
            2 => Just(Step::SweepAtNextWake),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn agrees_with_a_sorted_map(start in span(), steps in prop::collection::vec(step(), 1..300)) {
            let (mut wheel, mut model, mut now) = (Wheel::new(), Model::default(), start);
            for step in steps {
                match step {
                    Step::Set(index, span) => {
                        wheel.set(index, now + span);
                        model.timers.insert(index, (now + span, model.swept));
                    }
                    Step::Clear(index) => {
                        wheel.clear(index);
                        model.timers.remove(&index);
                    }
                    Step::Sweep(span) => {
                        now += span;
                        model.sweep(now, &expire(&mut wheel, now));
                    }
                    Step::SweepAtNextWake => {
                        let first = model.timers.values().map(|(at, set)| (*at).max(*set)).min();
                        let wake = wheel.next_wake(now);
                        prop_assert_eq!(wake.is_some(), first.is_some());
                        if let (Some(wake), Some(first)) = (wake, first) {
                            prop_assert!(wake >= now && wake <= now.max(first + TICK));
                            now = wake;
                            model.sweep(now, &expire(&mut wheel, now));
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.timers.len());
                for index in 0..40 {
                    let deadline = model.timers.get(&index).map(|(deadline, _)| *deadline);
                    prop_assert_eq!(wheel.deadline(index), deadline);
                }
            }
        }
    }
}
