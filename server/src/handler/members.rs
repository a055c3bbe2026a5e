//! Who is on a lane, and in which topics.

use std::collections::HashMap;

use corelane_mempool::Key;

use super::topic::Topic;

/// Topics that one connection may be in.
pub(super) const TOPICS_PER_CONN: usize = 1024;
/// Runs for which a connection keeps memory from turn to turn.
const INBOX_KEPT: usize = 64;

/// The connections of a lane by place, and the members of its topics.
#[derive(Default)]
pub(super) struct Members {
    seats: Vec<Seat>,
    /// Everyone, by place.
    all: Vec<u32>,
    names: HashMap<Topic, u32>,
    topics: Vec<Group>,
    vacant: Vec<u32>,
    /// Counts turns, so that an inbox that nobody emptied is told from one of this turn.
    turn: u64,
}

#[derive(Default)]
struct Seat {
    key: Option<Key>,
    /// Where in `all`.
    at: u32,
    /// Which topics, and where in their members.
    topics: Vec<(u32, u32)>,
    /// What is to be heard in a turn: which batch, which of its runs.
    inbox: Vec<(u32, u32)>,
    /// In which.
    turn: u64,
}

struct Group {
    name: Topic,
    /// By place.
    members: Vec<u32>,
}

impl Seat {
    /// Says whether it is the first of the turn.
    fn hear(&mut self, turn: u64, run: (u32, u32)) -> bool {
        let first = self.turn != turn;
        if first {
            self.turn = turn;
            self.inbox.clear();
        }
        self.inbox.push(run);
        first
    }
}

impl Members {
    /// What was to be heard and was not, is not any more.
    pub(super) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    pub(super) fn enter(&mut self, key: Key) {
        let index = key.index();
        if index >= self.seats.len() {
            self.seats.resize_with(index + 1, Seat::default);
        }
        let seat = &mut self.seats[index];
        seat.key = Some(key);
        seat.at = self.all.len() as u32;
        self.all.push(index as u32);
    }

    pub(super) fn leave_all(&mut self, key: Key) {
        let Some(seat) = self.seat(key) else { return };
        seat.inbox.clear();
        seat.key = None;
        let at = seat.at;
        let topics = std::mem::take(&mut seat.topics);
        self.all.swap_remove(at as usize);
        if let Some(moved) = self.all.get(at as usize) {
            self.seats[*moved as usize].at = at;
        }
        for (topic, at) in topics {
            self.remove(topic, at);
        }
    }

    /// False if it is in as many topics as may be.
    pub(super) fn join(&mut self, key: Key, name: Topic) -> bool {
        let known = self.names.get(&name).copied();
        let Some(seat) = self.seat(key) else { return false };
        if known.is_some_and(|topic| seat.topics.iter().any(|(other, _)| *other == topic)) {
            return true;
        }
        if seat.topics.len() >= TOPICS_PER_CONN {
            return false;
        }
        let topic = known.unwrap_or_else(|| self.found(name));
        let members = &mut self.topics[topic as usize].members;
        let at = members.len() as u32;
        members.push(key.index() as u32);
        self.seats[key.index()].topics.push((topic, at));
        true
    }

    /// False if it was not in it.
    pub(super) fn leave(&mut self, key: Key, name: Topic) -> bool {
        let Some(topic) = self.names.get(&name).copied() else { return false };
        let Some(seat) = self.seat(key) else { return false };
        let Some(nth) = seat.topics.iter().position(|(other, _)| *other == topic) else {
            return false;
        };
        let (_, at) = seat.topics.swap_remove(nth);
        self.remove(topic, at);
        true
    }

    /// Puts a run into everyone's inbox; tells of those for whom it is the first.
    pub(super) fn deliver(
        &mut self,
        to: Option<Topic>,
        run: (u32, u32),
        mut first: impl FnMut(Key),
    ) {
        let members = match to {
            None => &self.all,
            Some(name) => match self.names.get(&name) {
                Some(topic) => &self.topics[*topic as usize].members,
                None => return,
            },
        };
        for index in members {
            let seat = &mut self.seats[*index as usize];
            if let (true, Some(key)) = (seat.hear(self.turn, run), seat.key) {
                first(key);
            }
        }
    }

    /// The same for one. False if it is not here.
    pub(super) fn deliver_one(
        &mut self,
        key: Key,
        run: (u32, u32),
        mut first: impl FnMut(Key),
    ) -> bool {
        let turn = self.turn;
        let Some(seat) = self.seat(key) else { return false };
        if seat.hear(turn, run) {
            first(key);
        }
        true
    }

    /// What a connection is to hear in this turn. Its memory comes back by [`Members::put_back`].
    pub(super) fn take(&mut self, key: Key) -> Vec<(u32, u32)> {
        let turn = self.turn;
        let seat = self.seat(key).filter(|seat| seat.turn == turn);
        seat.map(|seat| std::mem::take(&mut seat.inbox)).unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, key: Key, mut inbox: Vec<(u32, u32)>) {
        inbox.clear();
        inbox.shrink_to(INBOX_KEPT);
        if let Some(seat) = self.seat(key) {
            seat.inbox = inbox;
        }
    }

    /// Whether it is on this lane and not done.
    pub(super) fn has(&self, key: Key) -> bool {
        self.seats.get(key.index()).is_some_and(|seat| seat.key == Some(key))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn seat(&mut self, key: Key) -> Option<&mut Seat> {
        self.seats.get_mut(key.index()).filter(|seat| seat.key == Some(key))
    }

    fn found(&mut self, name: Topic) -> u32 {
        let group = Group { name, members: Vec::new() };
        let topic = match self.vacant.pop() {
            Some(topic) => {
                self.topics[topic as usize] = group;
                topic
            }
            None => {
                self.topics.push(group);
                (self.topics.len() - 1) as u32
            }
        };
        self.names.insert(name, topic);
        topic
    }

    /// Takes the member at this position out of a topic, and ends the topic with its last one.
    fn remove(&mut self, topic: u32, at: u32) {
        let group = &mut self.topics[topic as usize];
        group.members.swap_remove(at as usize);
        if let Some(moved) = group.members.get(at as usize) {
            let from = group.members.len() as u32;
            let seat = &mut self.seats[*moved as usize];
            if let Some(place) = seat.topics.iter_mut().find(|place| **place == (topic, from)) {
                place.1 = at;
            }
        }
        if group.members.is_empty() {
            group.members = Vec::new();
            self.names.remove(&group.name);
            self.vacant.push(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use corelane_mempool::Slab;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Enter,
        LeaveAll(usize),
        Join(usize, u64),
        Leave(usize, u64),
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            3 => Just(Change::Enter),
            1 => any::<usize>().prop_map(Change::LeaveAll),
            6 => (any::<usize>(), 0..4u64).prop_map(|(who, topic)| Change::Join(who, topic)),
            3 => (any::<usize>(), 0..4u64).prop_map(|(who, topic)| Change::Leave(who, topic)),
        ];
        prop::collection::vec(change, 0..120)
    }

    /// Who hears what is said, in a turn of its own.
    fn hearers(members: &mut Members, topic: Option<Topic>) -> BTreeSet<Key> {
        members.begin_turn();
        let mut first = Vec::new();
        members.deliver(topic, (0, 1), |key| first.push(key));
        members.deliver(topic, (0, 2), |key| panic!("{key:?} was told twice"));
        for key in &first {
            assert_eq!(members.take(*key), [(0, 1), (0, 2)]);
        }
        let hearers: BTreeSet<Key> = first.iter().copied().collect();
        assert_eq!(hearers.len(), first.len());
        hearers
    }

    proptest! {
        /// Against sets of names.
        #[test]
        fn members_are_those_who_joined_and_did_not_leave(changes in changes()) {
            let mut places = Slab::new();
            let mut members = Members::default();
            let mut naive: BTreeMap<Key, BTreeSet<u64>> = BTreeMap::new();
            let mut gone = Vec::new();
            for change in changes {
                let known: Vec<Key> = naive.keys().copied().collect();
                let pick = |who: usize| known.get(who % known.len().max(1)).copied();
                match change {
                    Change::Enter => {
                        let key = places.insert(()).unwrap();
                        members.enter(key);
                        naive.insert(key, BTreeSet::new());
                    }
                    Change::LeaveAll(who) => if let Some(key) = pick(who) {
                        members.leave_all(key);
                        places.remove(key);
                        naive.remove(&key);
                        gone.push(key);
                    },
                    Change::Join(who, topic) => if let Some(key) = pick(who) {
                        prop_assert!(members.join(key, topic.into()));
                        naive.get_mut(&key).unwrap().insert(topic);
                    },
                    Change::Leave(who, topic) => if let Some(key) = pick(who) {
                        let was = naive.get_mut(&key).unwrap().remove(&topic);
                        prop_assert_eq!(members.leave(key, topic.into()), was);
                    },
                }
                for key in &gone {
                    prop_assert!(!members.join(*key, 0.into()), "a key of the past");
                }
            }
            prop_assert_eq!(members.len(), naive.len());
            prop_assert_eq!(hearers(&mut members, None), naive.keys().copied().collect());
            for topic in 0..4 {
                let expected =
                    naive.iter().filter(|(_, in_it)| in_it.contains(&topic)).map(|(key, _)| *key);
                prop_assert_eq!(hearers(&mut members, Some(topic.into())), expected.collect());
            }
        }
    }

    #[test]
    fn everyone_hears_though_turns_are_counted_for_long() {
        let (mut places, mut members) = (Slab::new(), Members::default());
        members.turn = u32::MAX.into();
        let key = places.insert(()).unwrap();
        members.enter(key);
        assert_eq!(hearers(&mut members, None), [key].into());
    }

    #[test]
    fn a_connection_is_in_so_many_topics_and_no_more() {
        let (mut places, mut members) = (Slab::new(), Members::default());
        let key = places.insert(()).unwrap();
        members.enter(key);
        for topic in 0..TOPICS_PER_CONN as u64 {
            assert!(members.join(key, topic.into()));
        }
        assert!(!members.join(key, u64::MAX.into()));
        assert!(members.join(key, 5.into()), "it is in that one already");
        assert!(members.leave(key, 5.into()) && members.join(key, u64::MAX.into()));
        members.leave_all(key);
        assert_eq!((members.names.len(), members.vacant.len()), (0, members.topics.len()));
    }
}
