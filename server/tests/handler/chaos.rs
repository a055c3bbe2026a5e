//! Random joins, leaves, words, slow readers, resets and lanes that die, on a network that cuts and
//! delays: nothing for the wrong ones, nothing twice, everyone's words in their order, and every word
//! either delivered or counted as dropped.
//!
//! `CORELANE_SEEDS` says which seeds: a count, or a range such as `500..600`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use corelane::handler::testing::{Simulator, Stage};
use corelane::handler::{To, Topic};
use corelane_eventloop::{Faults, LaneConfig, Nanos};

use crate::rooms::{Names, Rooms};

const TOPICS: [&str; 3] = ["tea", "milk", "cocoa"];

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// What happened in a run, as the one who plays the clients knows it.
struct Play {
    stage: Simulator<Rooms>,
    chance: Chance,
    members: Vec<Member>,
    /// Messages sent, for each sender; words from outside are client `usize::MAX`.
    said: BTreeMap<usize, usize>,
    lines_sent: u64,
    outside: u64,
}

struct Member {
    client: usize,
    topics: BTreeSet<&'static str>,
    alive: bool,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut chance = Chance(seed ^ 0x6c61_6e65);
        let faults = if chance.one_in(4) { Faults::NONE } else { Faults::LOSSLESS };
        let high = 1024 << chance.below(5);
        let limits = LaneConfig {
            read_rate: 0,
            turn_bytes: 4096,
            high,
            low: high / 4,
            ..LaneConfig::default()
        };
        let names = Names::default();
        let make = move || Rooms { names: names.clone() };
        let lanes = 1 + chance.below(3);
        let stage = Simulator::with(seed, faults, lanes, limits, make);
        Play {
            stage,
            chance,
            members: Vec::new(),
            said: BTreeMap::new(),
            lines_sent: 0,
            outside: 0,
        }
    }

    fn send(&mut self, client: usize, line: &str) {
        self.stage.world().send(self.stage.client(client), line.as_bytes());
        self.lines_sent += line.bytes().filter(|byte| *byte == b'\n').count() as u64;
    }

    fn come(&mut self) {
        let client = self.stage.connect();
        let buffer = 1024 << self.chance.below(5);
        self.stage.world().set_send_buffer(self.stage.client(client), buffer);
        self.members.push(Member { client, topics: BTreeSet::new(), alive: true });
        self.send(client, &format!("name {client}\n"));
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].alive).collect()
    }

    fn reading(&self, member: usize, reads: bool) {
        let client = self.stage.client(self.members[member].client);
        self.stage.world().set_reading(client, reads);
    }

    /// Says something, and how many should hear it, if all is quiet.
    fn say(&mut self, member: usize, policy: &str) -> usize {
        let client = self.members[member].client;
        let others: Vec<usize> = self.alive().into_iter().filter(|at| *at != member).collect();
        let (to, hearers) = match self.chance.below(4) {
            0 => ("all".to_owned(), others.len()),
            1 if !others.is_empty() => {
                let one = others[self.chance.below(others.len())];
                (format!("@{}", self.members[one].client), 1)
            }
            _ => {
                let topic = self.chance.pick(&TOPICS);
                let hears = |at: &&usize| self.members[**at].topics.contains(topic);
                (format!("#{topic}"), others.iter().filter(hears).count())
            }
        };
        let number = self.said.entry(client).or_default();
        *number += 1;
        let number = *number;
        let long = self.chance.one_in(8);
        let padding = self.chance.below(if long { 3000 } else { 80 });
        self.send(client, &format!("say {policy} {to} {number} {:x>padding$}\n", ""));
        hearers
    }

    /// The same, from outside of the lanes.
    fn say_outside(&mut self) -> usize {
        let topic = self.chance.pick(&TOPICS);
        let handle = self.stage.handle();
        let number = self.said.entry(usize::MAX).or_default();
        *number += 1;
        // Each handle keeps its own order: here they take turns, so each is a sender of its own.
        let words = format!("m outside{number} #{topic} 1");
        handle.send(To::Topic(Topic::new(topic).unwrap()), words).unwrap();
        self.outside += 1;
        self.alive().iter().filter(|at| self.members[**at].topics.contains(topic)).count()
    }

    /// Waits until everything was read, said and taken by those who read.
    fn settle(&mut self) {
        let end = self.stage.world().now() + Nanos::from_secs(60);
        while self.stage.count("messages_received") < self.lines_sent
            || self.stage.count("messages_from_outside") < self.outside
        {
            assert!(self.stage.world().now() < end, "not all that was said was read");
            self.stage.turn(Nanos::from_millis(1));
        }
        // Nothing comes any more: longer than any delay or standstill of the network.
        let received = |play: &Play| -> usize {
            let of =
                |member: &Member| play.stage.world().received_len(play.stage.client(member.client));
            play.members.iter().map(of).sum()
        };
        let mut before = usize::MAX;
        while received(self) != before {
            assert!(self.stage.world().now() < end, "not all that was said was taken");
            before = received(self);
            self.stage.pass(Duration::from_millis(250));
        }
    }
}

/// Checks what a client received, and returns how many messages that were.
fn check(play: &Play, member: &Member) -> u64 {
    let received = play.stage.world().received(play.stage.client(member.client));
    let text = String::from_utf8(received).unwrap();
    let me = member.client.to_string();
    let (mut within, mut last) = (BTreeSet::new(), BTreeMap::new());
    let mut messages = 0;
    for line in text.split_inclusive('\n') {
        // Who was reset may have half a line.
        let Some(line) = line.strip_suffix('\n') else {
            assert!(!member.alive, "half a line: {line:?}");
            break;
        };
        let mut words = line.split(' ');
        match (words.next().unwrap(), words.next()) {
            ("named" | "bye", None) => {}
            ("joined", Some(topic)) => drop(within.insert(topic)),
            ("left", Some(topic)) => drop(within.remove(topic)),
            ("m", Some(from)) => {
                messages += 1;
                let (to, number) = (words.next().unwrap(), words.next().unwrap());
                let number: usize = number.parse().unwrap();
                match to.split_at(1) {
                    ("#", topic) => assert!(within.contains(topic), "{me} is not in {topic}"),
                    ("@", name) => assert_eq!(name, me, "for somebody else"),
                    _ => {}
                }
                assert_ne!(from, me, "its own words");
                let before = last.insert(from.to_owned(), number);
                assert!(before < Some(number), "{from}: {number} after {before:?} at {me}");
            }
            _ => panic!("{me} got {line:?}"),
        }
    }
    messages
}

/// Rounds of changes, each followed by words whose hearers are known: all of them are accounted for.
fn exact(seed: u64) -> u64 {
    let mut play = Play::new(seed);
    let mut expected = 0;
    for _ in 0..2 + play.chance.below(6) {
        play.come();
    }
    for _ in 0..1 + play.chance.below(4) {
        for member in 0..play.members.len() {
            let client = play.members[member].client;
            for topic in TOPICS {
                match play.chance.below(3) {
                    0 if play.members[member].topics.insert(topic) => {
                        play.send(client, &format!("join {topic}\n"));
                    }
                    1 if play.members[member].topics.remove(topic) => {
                        play.send(client, &format!("leave {topic}\n"));
                    }
                    _ => {}
                }
            }
        }
        play.settle();
        for member in 0..play.members.len() {
            let reads = !play.chance.one_in(3);
            play.reading(member, reads);
        }
        let policy = play.chance.pick(&["drop", "hold"]);
        for _ in 0..play.chance.below(120) {
            let member = play.chance.below(play.members.len());
            expected += play.say(member, policy);
            if play.chance.one_in(10) {
                expected += play.say_outside();
            }
            if play.chance.one_in(6) {
                play.stage.turn(Nanos::from_millis(1));
            }
        }
        // Who is full is not read before it reads.
        play.stage.pass(Duration::from_millis(1500));
        for member in 0..play.members.len() {
            play.reading(member, true);
        }
        play.settle();
    }
    let (delivered, dropped) =
        (play.stage.count("messages_delivered"), play.stage.count("messages_dropped"));
    assert_eq!(delivered + dropped, expected as u64, "{delivered} delivered, {dropped} dropped");
    assert_eq!(play.stage.count("messages_lost") + play.stage.count("messages_stale"), 0);
    let got: u64 = play.members.iter().map(|member| check(&play, member)).sum();
    assert_eq!(got, delivered);
    leaves_nothing(&mut play);
    dropped
}

/// Everything at once, and lanes that die: what is heard is right, and everything returns.
fn wild(seed: u64) -> u64 {
    let mut play = Play::new(seed);
    for _ in 0..100 + play.chance.below(300) {
        let alive = play.alive();
        let member = match alive.is_empty() {
            true => usize::MAX,
            false => alive[play.chance.below(alive.len())],
        };
        let topic = play.chance.pick(&TOPICS);
        match play.chance.below(40) {
            0..=4 if alive.len() < 12 => play.come(),
            _ if alive.is_empty() => play.come(),
            5..=8 => {
                let client = play.members[member].client;
                play.send(client, &format!("join {topic}\n"));
            }
            9..=11 => {
                let client = play.members[member].client;
                play.send(client, &format!("leave {topic}\n"));
            }
            12 => {
                let reads = play.chance.one_in(2);
                play.reading(member, reads);
            }
            13 => {
                play.members[member].alive = false;
                let id = play.stage.client(play.members[member].client);
                play.stage.world().reset(id);
            }
            14 => {
                play.members[member].alive = false;
                let client = play.members[member].client;
                play.send(client, "bye\n");
            }
            15 if play.chance.one_in(6) => {
                let lanes = play.stage.lanes().count();
                let lane = play.chance.below(lanes);
                play.stage.restart(lane);
                let on_it = |member: &&mut Member| play.stage.lane_of(member.client) == lane;
                play.members.iter_mut().filter(on_it).for_each(|member| member.alive = false);
            }
            16..=17 => drop(play.say_outside()),
            18..=24 => play.stage.turn(Nanos::from_millis(5)),
            _ => {
                let policy = play.chance.pick(&["drop", "hold", "disconnect"]);
                play.say(member, policy);
            }
        }
    }
    for member in 0..play.members.len() {
        play.reading(member, true);
    }
    play.stage.pass(Duration::from_secs(5));
    for member in &play.members {
        // Who was disconnected for being slow is not known here to be gone.
        let gone = play.stage.world().end(play.stage.client(member.client)).is_some();
        let topics = BTreeSet::new();
        check(&play, &Member { client: member.client, topics, alive: member.alive && !gone });
    }
    leaves_nothing(&mut play);
    play.stage.count("slow_disconnects")
}

fn leaves_nothing(play: &mut Play) {
    for member in &play.members {
        let id = play.stage.client(member.client);
        if play.stage.world().end(id).is_none() {
            play.stage.world().finish(id);
        }
    }
    play.stage.pass(Duration::from_secs(3));
    for lane in play.stage.lanes() {
        assert_eq!(lane.len(), 0, "every connection ends");
        assert_eq!(lane.pool().stats().lent_bytes, 0, "every buffer returns");
        assert_eq!(lane.stats().panics, 0);
    }
}

fn seeds() -> Range<u64> {
    let text = std::env::var("CORELANE_SEEDS").unwrap_or_else(|_| "40".to_owned());
    let number = |text: &str| text.parse().expect("CORELANE_SEEDS: a count, or a range as 5..9");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

/// Plays every seed. Something must have happened in one of them that shows that receivers were slow.
fn sweep(name: &str, play: fn(u64) -> u64) {
    let mut slow = 0;
    for seed in seeds() {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(happened) => slow += happened,
            Err(panic) => {
                let next = seed + 1;
                eprintln!(
                    "replay: CORELANE_SEEDS={seed}..{next} cargo test -p corelane --test handler \
                     {name}"
                );
                resume_unwind(panic);
            }
        }
    }
    assert!(slow > 0 || seeds().end - seeds().start < 10, "nobody was ever slow");
}

#[test]
fn chaos_is_accounted_for() {
    sweep("chaos_is_accounted_for", exact);
}

#[test]
fn chaos_reaches_nobody_wrongly() {
    sweep("chaos_reaches_nobody_wrongly", wild);
}
