//! Many clients at once, most of them hostile, in virtual time: whoever is too slow is closed in time,
//! whoever is fair is served to the end, and memory stays within bounds.
//!
//! `CORELANE_SEEDS` says which seeds: a count, or a range such as `500..600`. A seed that fails prints
//! the command that plays it alone.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use corelane_eventloop::{ClientId, End, Faults, Nanos};

use crate::chance::Chance;
use crate::rig::{GET, Rig, statuses};

/// Time between two looks at everything.
const TICK: Nanos = Nanos::from_millis(250);
/// When all are gone, one way or another.
const END: Nanos = Nanos::from_secs(420);
/// What one connection may take of the pool, and one large answer that is copied.
const CONNECTION_BYTES: usize = 64 * 1024;
const ANSWER_BYTES: usize = 56 * 1024;

const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n";
const LAST: &[u8] = b"GET /get HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const PUT: &[u8] = b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 60000\r\n\r\n";
const CHUNKED: &[u8] = b"PUT /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What a client does. Rates are in bytes per tick: 60 are 240 per second.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Asks now and then, and reads.
    Friend,
    /// Sends a large body at a fair rate.
    FairBody(u64),
    /// Asks for two large answers and reads them at a fair rate.
    FairReader(u64),
    /// Connects, and nothing else.
    Silent,
    /// Sends a head, a byte at a time.
    SlowHead,
    /// Sends a body below the rate.
    SlowBody(u64),
    /// Sends framing at any rate, and hardly any data.
    ChunkDribbler(u64),
    /// Pipelines and never reads.
    NeverReader,
    /// Pipelines and reads below the rate.
    SlowReader(u64),
}

impl Role {
    fn by(chance: &mut Chance) -> Role {
        match chance.below(12) {
            0..=3 => Role::Friend,
            4 => Role::FairBody(65 + chance.below(400)),
            5 => Role::FairReader(90 + chance.below(400)),
            6 => Role::Silent,
            7 => Role::SlowHead,
            8 => Role::SlowBody(chance.below(55)),
            9 => Role::ChunkDribbler(60 + chance.below(200)),
            10 => Role::NeverReader,
            _ => Role::SlowReader(1 + chance.below(50)),
        }
    }

    /// When it must have been closed, from its beginning; with what came before it was slow, with
    /// the grace or credit, and with the faults of the network.
    fn closed_by(self) -> Option<Nanos> {
        let seconds = match self {
            Role::Friend | Role::FairBody(_) | Role::FairReader(_) => return None,
            Role::Silent => 62,
            Role::SlowHead => 14,
            // The grace lasts longer the nearer the rate is: 5 s / (1 - rate).
            Role::SlowBody(rate) => 5 * 60 / (60 - rate) + 4,
            Role::ChunkDribbler(_) => 300,
            Role::NeverReader => 12,
            // It may have the credit for what its and the lane's buffers hold.
            Role::SlowReader(rate) => 12 + 30 * 60 / (60 - rate),
        };
        Some(Nanos::from_secs(seconds))
    }
}

struct Actor {
    role: Role,
    client: ClientId,
    begun: Nanos,
    /// Requests asked by a friend, bytes sent of a head.
    asked: usize,
    /// It has asked for the last time.
    leaving: bool,
    ended: Option<Nanos>,
}

impl Actor {
    fn new(rig: &Rig, chance: &mut Chance) -> Actor {
        let role = Role::by(chance);
        let client = rig.connect();
        let world = &rig.world;
        match role {
            Role::Friend | Role::Silent | Role::SlowHead => {}
            Role::FairBody(_) | Role::SlowBody(_) => world.send(client, PUT),
            Role::ChunkDribbler(_) => world.send(client, CHUNKED),
            Role::FairReader(rate) => {
                world.set_pace(client, rate as usize, TICK);
                world.send(client, &LARGE.repeat(2));
            }
            Role::NeverReader => {
                world.set_reading(client, false);
                world.send(client, &GET.repeat(1 + chance.below(2000) as usize + 2000));
            }
            Role::SlowReader(rate) => {
                world.set_pace(client, rate as usize, TICK);
                world.send(client, &LARGE.repeat(4));
            }
        }
        Actor { role, client, begun: world.now(), asked: 0, leaving: false, ended: None }
    }

    /// What it may take of the pool.
    fn bytes(&self) -> usize {
        match self.role {
            Role::FairReader(_) | Role::SlowReader(_) => CONNECTION_BYTES + ANSWER_BYTES,
            _ => CONNECTION_BYTES,
        }
    }

    /// A quarter of a second of it.
    fn act(&mut self, rig: &Rig, chance: &mut Chance) {
        let (world, client) = (&rig.world, self.client);
        match self.role {
            Role::Friend if !self.leaving && chance.below(12) == 0 => {
                self.leaving = world.now().since(self.begun) > Nanos::from_secs(100);
                let request: &[u8] = if self.leaving { LAST } else { GET };
                world.send(client, request);
                self.asked += 1;
            }
            Role::FairBody(_) if self.leaving => {}
            Role::FairBody(_) if world.received_len(client) > 0 => {
                self.leaving = true;
                world.finish(client);
            }
            Role::FairBody(rate) | Role::SlowBody(rate) => {
                world.send(client, &vec![b'x'; rate as usize]);
            }
            Role::SlowHead => {
                let next = *GET.get(self.asked).filter(|_| self.asked < 20).unwrap_or(&b'x');
                world.send(client, &[next]);
                self.asked += 1;
            }
            Role::FairReader(_) if !self.leaving && world.received_len(client) > 100_000 => {
                self.leaving = true;
                world.finish(client);
            }
            Role::ChunkDribbler(rate) => {
                let chunk = format!("1;{}\r\nx\r\n", "a".repeat(rate as usize - 8));
                world.send(client, chunk.as_bytes());
            }
            _ => {}
        }
    }

    /// Whoever is fair has had everything; whoever is not was refused, or closed.
    fn check(&self, rig: &Rig) {
        let text = rig.received(self.client);
        let statuses = statuses(&text);
        match self.role {
            Role::Friend => assert_eq!(statuses, vec![200; self.asked]),
            Role::FairBody(_) => assert_eq!(statuses, [200]),
            Role::FairReader(_) => {
                assert_eq!(statuses, [200; 2]);
                assert_eq!(text.matches('x').count(), 100_000 + 2 * text.matches("text/").count());
            }
            Role::Silent => assert_eq!(text, ""),
            Role::SlowHead | Role::SlowBody(_) => assert_eq!(statuses, [408]),
            Role::ChunkDribbler(_) => assert_eq!(statuses, [400]),
            // Reset: what was on its way is lost.
            Role::NeverReader | Role::SlowReader(_) => {
                assert_eq!(rig.world.end(self.client), Some(End::Reset));
            }
        }
    }
}

fn play(seed: u64) {
    let mut chance = Chance(seed);
    let mut rig = Rig::new(seed, Faults::LOSSLESS);
    let mut actors: Vec<Actor> = (0..12).map(|_| Actor::new(&rig, &mut chance)).collect();
    while rig.world.now() < END && actors.iter().any(|actor| actor.ended.is_none()) {
        for actor in actors.iter_mut().filter(|actor| actor.ended.is_none()) {
            actor.act(&rig, &mut chance);
        }
        rig.pass(TICK);
        let lent = rig.lane.pool().stats().lent_bytes;
        let most: usize =
            actors.iter().filter(|actor| actor.ended.is_none()).map(Actor::bytes).sum();
        assert!(lent <= most, "{lent} of {most} bytes");
        for actor in &mut actors {
            let now = rig.world.now();
            if rig.world.end(actor.client).is_some() {
                actor.ended.get_or_insert(now);
            }
            if let Some(most) = actor.role.closed_by() {
                let took = actor.ended.unwrap_or(now).since(actor.begun);
                assert!(took <= most, "{:?} is there after {took:?}", actor.role);
            }
        }
    }
    for actor in &actors {
        assert!(actor.ended.is_some(), "{:?} has not ended", actor.role);
        actor.check(&rig);
    }
    rig.pass(Nanos::from_secs(5));
    assert_eq!((rig.lane.len(), rig.lane.pool().stats().lent_bytes), (0, 0));
}

/// The seeds to play.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("CORELANE_SEEDS") else { return 0..60 };
    let number = |text: &str| text.parse().expect("CORELANE_SEEDS: a count or a range");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

#[test]
fn hostile_clients_are_closed_in_time_and_fair_ones_served_to_the_end() {
    for seed in seeds() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
            let next = seed + 1;
            eprintln!(
                "seed {seed} fails; to play it alone: CORELANE_SEEDS={seed}..{next} cargo test -p \
                 corelane-http --test scenarios hostile"
            );
            resume_unwind(panic);
        }
    }
}
