//! Connections that move between lanes: scenarios for every driver, then chance by seed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use corelane_eventloop::{
    Closed, End, Faults, Lane, LaneConfig, LaneId, LaneStats, ListenOptions, Nanos, Post,
};
use corelane_mempool::{Budget, Pool, PoolConfig};

use crate::commands::Transcript;
use crate::nomad::{Book, Mischief, Nomad};
use crate::rig::{Rig, SimRig};
use crate::stage::Stage;
use crate::sweep::{Chance, Places, for_seeds};

/// Lanes whose connections move, and what they share.
struct Camp<R: Rig> {
    stage: Stage<R, Nomad>,
    book: Rc<RefCell<Book>>,
    places: Arc<AtomicI64>,
    budget: Arc<Budget>,
}

impl<R: Rig> Camp<R> {
    fn new(rig: R, lanes: usize, mail: usize, config: &LaneConfig) -> Camp<R> {
        let book = Rc::<RefCell<Book>>::default();
        let places = Arc::new(AtomicI64::new(0));
        let budget = Budget::new(16 << 20);
        let make = |_, post| lane(post, &book, &places, &budget, config);
        let stage = Stage::on(rig, lanes, ListenOptions::default(), make, mail);
        Camp { stage, book, places, budget }
    }

    fn small(lanes: usize) -> Camp<R> {
        Camp::new(R::new(), lanes, 64, &LaneConfig::default())
    }

    /// A client of that lane, which is connected.
    fn client(&mut self, lane: usize) -> usize {
        let client = self.stage.rig.connect(lane);
        let before = self.stage.rig.received_len(client);
        self.stage.rig.send(client, b"where\n");
        self.stage.until("it is answered", |stage| stage.rig.received_len(client) > before);
        client
    }

    /// The client says something, and gets this answer.
    #[track_caller]
    fn ask(&mut self, client: usize, line: &str, answer: &str) {
        let before = self.stage.rig.received_len(client);
        self.stage.rig.send(client, format!("{line}\n").as_bytes());
        let whole = before + answer.len() + 1;
        self.stage.until(line, |stage| stage.rig.received_len(client) >= whole);
        let text = self.stage.text(client);
        assert_eq!(text[before..], format!("{answer}\n"), "{line}");
    }

    /// Has the client's connection move, by having it say something.
    #[track_caller]
    fn move_on(&mut self, client: usize, from: usize, to: usize) {
        let moved = self.stats(to).moved_in;
        self.stage.lanes[from].offload(to as LaneId, 1000, 1);
        self.ask(client, "say go", "say go");
        self.stage.until("it has moved", |stage| stage.lanes[to].stats().moved_in > moved);
        self.ask(client, "where", &to.to_string());
    }

    fn stats(&self, lane: usize) -> LaneStats {
        *self.stage.lanes[lane].stats()
    }

    fn total(&self, of: impl Fn(&LaneStats) -> u64) -> u64 {
        self.stage.lanes.iter().map(|lane| of(lane.stats())).sum()
    }

    fn until_empty(&mut self) {
        self.stage.until("all are closed", |stage| stage.lanes.iter().all(Lane::is_empty));
    }

    /// Each connection closed once, and nothing is left of it.
    fn check_left_nothing(&self) {
        for (number, life) in self.book.borrow().lives.iter().enumerate() {
            assert!(life.closed.is_some(), "{number} was never closed: {life:?}");
        }
        assert_eq!(self.places.load(Ordering::Relaxed), 0, "places not released");
        assert_eq!(self.total(|stats| stats.moved_in), self.total(|stats| stats.moved_out));
        let kept: usize = self.stage.lanes.iter().map(|l| l.pool().stats().free_bytes).sum();
        assert_eq!(self.budget.used(), kept, "memory not given back");
    }
}

fn lane(
    post: Post<crate::nomad::Letter>,
    book: &Rc<RefCell<Book>>,
    places: &Arc<AtomicI64>,
    budget: &Arc<Budget>,
    config: &LaneConfig,
) -> Lane<Nomad> {
    let pool = Pool::new(PoolConfig { budget: budget.clone(), ..PoolConfig::default() });
    Lane::new(Nomad::new(book), config.clone(), post)
        .with_admit(Box::new(Places(places.clone())))
        .with_pool(pool)
}

/// Its counts and its deadline come along; it is closed once, where it is; its lane counts it.
pub(crate) fn a_connection_moves_with_all_it_has<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(2);
    let client = camp.client(0);
    camp.stage.rig.send(client, b"alarm 30\n");
    camp.move_on(client, 0, 1);
    assert_eq!((camp.stage.lanes[0].len(), camp.stage.lanes[1].len()), (0, 1));
    let book = camp.book.clone();
    camp.stage.until("the deadline passes", |_| book.borrow().lives[0].alarms == 0);
    assert_eq!((camp.stats(0).timers, camp.stats(1).timers), (0, 1));
    // What arrives while it is on its way is not lost either.
    camp.stage.lanes[1].offload(0, 1000, 1);
    camp.stage.rig.send(client, b"say one\n");
    camp.stage.turn();
    camp.stage.rig.send(client, b"say two\n");
    camp.stage.rig.finish(client);
    let (text, end) = camp.stage.outcome(client);
    assert_eq!((text.as_str(), end), ("0\nsay go\n1\nsay one\nsay two\n", End::Closed));
    camp.until_empty();
    camp.check_left_nothing();
    assert_eq!(book.borrow().lives[0].closed, Some(Closed::Finished));
    vec![text]
}

/// Mail to every id that it ever had reaches it, in order; after its end, none of them does.
pub(crate) fn mail_follows_through_every_lane<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(3);
    let (nomad, friend) = (camp.client(0), camp.client(2));
    camp.stage.rig.send(friend, b"stay\n");
    // Letters are posted before, while and after it goes; it comes back to where it was, too.
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 0)] {
        for place in 0..6 {
            camp.stage.rig.send(friend, format!("tell 0 {place} 3\n").as_bytes());
            let letters = (0..3).map(|lane| (lane, 0, place));
            camp.book.borrow_mut().errands.extend(letters);
        }
        camp.move_on(nomad, from, to);
        camp.stage.rig.send(nomad, b"tell 1 0 2\n");
    }
    let book = camp.book.clone();
    let missing = |book: &Book| book.missing(0) + book.missing(1);
    camp.stage.until("all letters", |_| missing(&book.borrow()) == 0);
    assert_eq!(book.borrow().lives[0].ids.len(), 6);
    assert!(camp.total(|stats| stats.mail_forwarded) > 20);
    assert_eq!(camp.total(|stats| stats.mail_stale + stats.panics), 0);
    // It has moved five times; three more, and it stays.
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        camp.move_on(nomad, from, to);
    }
    camp.stage.lanes[1].offload(0, 1000, 1);
    camp.ask(nomad, "where", "1");
    camp.ask(nomad, "where", "1");
    let ids = book.borrow().lives[0].ids.clone();
    camp.stage.rig.finish(nomad);
    camp.stage.outcome(nomad);
    camp.stage.until("it is gone", |_| book.borrow().lives[0].closed.is_some());
    // It is, and the letters cannot know.
    book.borrow_mut().lives[0].closed = None;
    book.borrow_mut().errands.extend((0..ids.len()).map(|place| (2, 0, place)));
    camp.stage.until("stale", |stage| {
        stage.lanes.iter().map(|lane| lane.stats().mail_stale).sum::<u64>() == 9
    });
    book.borrow_mut().lives[0].closed = Some(Closed::Finished);
    camp.stage.rig.finish(friend);
    camp.until_empty();
    camp.check_left_nothing();
    vec![camp.stage.text(nomad)]
}

/// Half a line, the refusal of the protocol, a peer that has sent its last byte: all stay.
pub(crate) fn who_is_busy_or_refuses_stays<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(2);
    let [half, unwilling, willing] = [0; 3].map(|_| camp.client(0));
    camp.stage.rig.send(unwilling, b"stay\n");
    camp.stage.lanes[0].offload(1, 1000, 10);
    camp.stage.rig.send(half, b"say one\nsay ");
    camp.stage.until("half a line", |stage| stage.lanes[0].pool().stats().lent_bytes > 0);
    camp.ask(unwilling, "where", "0");
    camp.ask(willing, "say three", "say three");
    camp.ask(willing, "where", "1");
    camp.stage.lanes[0].offload(1, 0, 0);
    camp.stage.rig.send(half, b"two\n");
    let whole = "0\nsay one\nsay two\n";
    camp.stage.expect(half, whole);
    assert_eq!((camp.stats(0).moved_out, camp.stage.lanes[0].len()), (1, 2));
    // Asked again, it is whole and goes.
    camp.move_on(half, 0, 1);
    assert_eq!(camp.stats(0).moved_out, 2);
    for client in [half, unwilling, willing] {
        camp.stage.rig.finish(client);
    }
    camp.until_empty();
    camp.check_left_nothing();
    vec![camp.stage.text(half)]
}

/// A refusal or a panic on the way costs that connection, and no more.
pub(crate) fn who_is_not_taken_in_is_closed<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(2);
    let calm = camp.client(0);
    let mut ends = Vec::new();
    for mischief in [Mischief::Refuse, Mischief::PanicInArrive, Mischief::PanicInDepart] {
        let client = camp.client(0);
        camp.book.borrow_mut().mischief = mischief;
        camp.stage.lanes[0].offload(1, 1000, 1);
        camp.stage.rig.send(client, b"say go\n");
        ends.push(camp.stage.outcome(client).0);
        camp.stage.lanes[0].offload(1, 0, 0);
        camp.book.borrow_mut().mischief = Mischief::None;
        // Nothing was there to be told of it.
        let number = camp.book.borrow().lives.len() - 1;
        let life = &mut camp.book.borrow_mut().lives[number];
        assert_eq!(life.closed.replace(Closed::Aborted), None);
    }
    let closed = camp.total(|stats| stats.closed[Closed::Aborted.index()]);
    assert_eq!((closed, camp.total(|stats| stats.closed[Closed::Panicked.index()])), (1, 2));
    camp.ask(calm, "where", "0");
    camp.stage.rig.finish(calm);
    camp.until_empty();
    camp.check_left_nothing();
    vec![]
}

/// A lane that stops keeps what it has and takes nothing more; but it forwards until those that came
/// from it are closed.
pub(crate) fn lanes_that_stop_neither_give_nor_take<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(3);
    let [gone, kept] = [0; 2].map(|_| camp.client(0));
    camp.move_on(gone, 0, 1);
    camp.stage.lanes[2].handle().stop(Nanos::from_secs(5));
    camp.stage.until("it has stopped", |stage| stage.lanes[2].is_finished());
    camp.stage.lanes[0].offload(2, 1000, 10);
    camp.ask(kept, "where", "0");
    camp.ask(kept, "where", "0");
    camp.stage.lanes[0].handle().stop(Nanos::from_secs(5));
    camp.stage.outcome(kept);
    camp.stage.until("its own are closed", |stage| stage.lanes[0].is_empty());
    assert!(!camp.stage.lanes[0].is_finished(), "mail may still come");
    camp.book.borrow_mut().errands.push((1, 0, 0));
    let book = camp.book.clone();
    camp.stage.until("the letter", |_| book.borrow().taken.len() == 1);
    assert_eq!(camp.stats(0).mail_forwarded, 1);
    camp.stage.rig.finish(gone);
    camp.stage.outcome(gone);
    camp.stage.until("it is finished", |stage| stage.lanes[0].is_finished());
    camp.check_left_nothing();
    vec![]
}

/// What cannot be sent on waits, and holds up those who send; but not for ever.
pub(crate) fn mail_that_finds_no_room_waits_and_is_dropped<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::new(R::new(), 3, 8, &LaneConfig::default());
    let client = camp.client(0);
    camp.move_on(client, 0, 1);
    let turn = |camp: &mut Camp<R>, lanes: &[usize]| {
        for &lane in lanes {
            let Stage { drivers, lanes, .. } = &mut camp.stage;
            corelane_eventloop::Driver::turn(
                &mut drivers[lane],
                &mut lanes[lane],
                Some(Nanos::ZERO),
            )
            .unwrap();
        }
        camp.stage.rig.pass(false);
    };
    // Lane 1 stands still. 8 letters fit its ring, 9 wait, 8 stay in the ring of lane 2.
    for _ in 0..5 {
        camp.book.borrow_mut().errands.extend([(2, 0, 0); 10]);
        turn(&mut camp, &[0, 2]);
    }
    let posted = camp.stats(2).mail_out;
    assert_eq!((posted, camp.stats(2).mail_refused), (25, 25));
    turn(&mut camp, &[0, 1, 2]);
    turn(&mut camp, &[0, 1, 2]);
    let book = camp.book.clone();
    camp.stage.until("all of it", |_| book.borrow().missing(0) == 0);
    assert_eq!(camp.total(|stats| stats.mail_dropped), 0);
    // Now for longer than anybody waits.
    for _ in 0..5 {
        camp.book.borrow_mut().errands.extend([(2, 0, 0); 10]);
        turn(&mut camp, &[0, 2]);
    }
    let end = camp.stage.rig.now() + Nanos::from_millis(2500);
    while camp.stage.rig.now() < end {
        turn(&mut camp, &[0, 2]);
    }
    assert_eq!((camp.stats(0).mail_dropped, book.borrow().missing(0)), (17, 25));
    // What comes now comes behind the gap.
    book.borrow_mut().errands.push((2, 0, 0));
    camp.stage.until("the rest", |_| book.borrow().missing(0) == 17);
    camp.stage.rig.finish(client);
    camp.stage.outcome(client);
    vec![]
}

/// A lane dies with a connection that came to it: its old lane knows, and forwards no more.
pub(crate) fn a_dead_lane_leaves_nothing_to_forward_to<R: Rig>() -> Transcript {
    let mut camp = Camp::<R>::small(2);
    let client = camp.client(0);
    camp.move_on(client, 0, 1);
    let dead = camp.stage.lanes.remove(1);
    let post = dead.into_post();
    assert_eq!(camp.places.load(Ordering::Relaxed), 0);
    let config = LaneConfig::default();
    let successor = lane(post, &camp.book, &camp.places, &camp.budget, &config);
    camp.stage.lanes.push(successor);
    camp.stage.drivers[1] = camp.stage.rig.driver(ListenOptions::default());
    camp.book.borrow_mut().errands.push((0, 0, 0));
    camp.stage.until("it is stale", |stage| stage.lanes[0].stats().mail_stale == 1);
    assert_eq!(camp.stats(0).mail_forwarded, 0);
    vec![]
}

/// Three lanes, some clients, and much that happens by chance.
struct Journey {
    camp: Camp<SimRig>,
    chance: Chance,
    /// Clients with what they must receive.
    clients: Vec<(usize, String)>,
}

impl Journey {
    fn new(seed: u64, faults: Faults) -> Journey {
        let mut chance = Chance(seed);
        let config = LaneConfig {
            turn_mail: 1 + chance.below(4) as usize,
            turn_accepts: 1 + chance.below(4) as usize,
            page: 64 << chance.below(4),
            ..LaneConfig::default()
        };
        let mail = 4 << chance.below(5);
        let mut camp = Camp::new(SimRig::with(seed, faults), 3, mail, &config);
        let clients = (0..2 + chance.below(6))
            .map(|_| (camp.stage.rig.connect(chance.below(3) as usize), String::new()));
        let clients = clients.collect();
        Journey { camp, chance, clients }
    }

    /// A client says something, lanes are asked to part with connections, letters are posted.
    fn act(&mut self) {
        let Journey { camp, chance, clients } = self;
        let many = clients.len() as u64;
        for _ in 0..chance.below(4) {
            let (client, due) = &mut clients[chance.below(many) as usize];
            let line = match chance.below(12) {
                0 if chance.one_in(2) => "stay".to_owned(),
                0 | 1 => "go".to_owned(),
                2 => format!("alarm {}", chance.below(50)),
                3..=7 => {
                    let (to, place) = (chance.below(many), chance.below(9));
                    format!("tell {to} {place} {}", chance.below(6))
                }
                _ => format!("say {}", "la".repeat(chance.below(60) as usize)),
            };
            if line.starts_with("say") {
                due.push_str(&line);
                due.push('\n');
            }
            camp.stage.rig.send(*client, format!("{line}\n").as_bytes());
        }
        if chance.one_in(6) {
            let (from, to) = (chance.below(3) as usize, chance.below(3) as LaneId);
            let (share, most) = (1000 >> chance.below(2), chance.below(9) as usize);
            camp.stage.lanes[from].offload(to, share, most);
        }
        for _ in 0..chance.below(4) {
            let (lane, to) = (chance.below(3) as LaneId, chance.below(many) as usize);
            camp.book.borrow_mut().errands.push((lane, to, chance.below(9) as usize));
        }
    }

    /// Turns some of the lanes, in any order.
    fn turn(&mut self) {
        for _ in 0..1 + self.chance.below(5) {
            let number = self.chance.below(3) as usize;
            let Stage { drivers, lanes, .. } = &mut self.camp.stage;
            let wait = Some(Nanos::ZERO);
            corelane_eventloop::Driver::turn(&mut drivers[number], &mut lanes[number], wait)
                .unwrap();
        }
        self.camp.stage.rig.pass(false);
    }

    fn settle(&mut self) {
        for lane in &mut self.camp.stage.lanes {
            lane.offload(0, 0, 0);
        }
        self.camp.book.borrow_mut().errands.clear();
        (0..600).for_each(|_| self.camp.stage.turn());
    }

    fn check_clean(&self) {
        self.camp.check_left_nothing();
        assert_eq!(self.camp.total(|stats| stats.panics), 0);
    }
}

/// Nothing is lost: no byte, no deadline, and no letter that was not counted as dropped.
fn travel(seed: u64) -> [u64; 3] {
    let mut journey =
        Journey::new(seed, Faults { delay: Nanos::from_millis(2), ..Faults::LOSSLESS });
    for _ in 0..300 {
        journey.act();
        journey.turn();
    }
    journey.settle();
    let book = journey.camp.book.clone();
    let dropped = journey.camp.total(|stats| stats.mail_dropped);
    for (number, life) in book.borrow().lives.iter().enumerate() {
        assert_eq!(life.closed, None);
        assert_eq!(life.alarms, 0, "a deadline of {number} was lost");
    }
    let missing: u64 = (0..book.borrow().lives.len()).map(|n| book.borrow().missing(n)).sum();
    assert_eq!(missing, dropped, "letters were lost");
    for index in 0..journey.clients.len() {
        let (client, due) = journey.clients[index].clone();
        assert_eq!(journey.camp.stage.text(client), due);
        journey.camp.stage.rig.finish(client);
    }
    journey.camp.until_empty();
    assert_eq!(journey.camp.total(|stats| stats.mail_stale), 0);
    journey.check_clean();
    let moved = journey.camp.total(|stats| stats.moved_in);
    [moved, journey.camp.total(|stats| stats.mail_forwarded), dropped]
}

/// Everything goes wrong: resets, clients that leave, lanes that stop while connections move. Each
/// connection is closed once, and nothing stays behind.
fn wreck(seed: u64) {
    let mut journey = Journey::new(seed, Faults::ALL);
    let stops = journey.chance.below(300);
    for step in 0..300 {
        journey.act();
        let many = journey.clients.len() as u64;
        let client = journey.clients[journey.chance.below(many) as usize].0;
        match journey.chance.below(60) {
            0 => journey.camp.stage.rig.reset(client),
            1 => journey.camp.stage.rig.finish(client),
            _ => {}
        }
        if step == stops {
            let lanes = &journey.camp.stage.lanes;
            let which = journey.chance.below(4) as usize;
            let drain = Nanos::from_millis(journey.chance.below(100));
            match lanes.get(which) {
                Some(lane) => lane.handle().stop(drain),
                None => lanes.iter().for_each(|lane| lane.handle().stop(drain)),
            }
        }
        journey.turn();
    }
    for lane in &journey.camp.stage.lanes {
        lane.handle().stop(Nanos::from_millis(50));
    }
    journey.camp.stage.until("all have stopped", |stage| stage.lanes.iter().all(Lane::is_finished));
    journey.check_clean();
}

#[test]
fn moving_by_seed() {
    let totals = RefCell::new([0; 3]);
    for_seeds(300, "moving_by_seed", |seed| {
        let counts = travel(seed);
        wreck(seed);
        totals.borrow_mut().iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    });
    let [moved, forwarded, dropped] = totals.into_inner();
    assert!(moved > 0 && forwarded > 0, "{moved} connections moved, {forwarded} letters followed");
    assert!(dropped * 100 < forwarded, "{dropped} of {forwarded} letters were dropped");
}
