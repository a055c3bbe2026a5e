//! Random scripts on a simulated network, one seed each: with every fault that loses nothing the bytes
//! must be those of the model (and of real sockets), with every fault a beginning of them.
//!
//! How it works: a seed makes a [`Plan`], some clients with a list of commands each, cut into sends
//! that happen at certain times. [`play`] carries it out on a rig with two lanes, one of which hosts
//! its protocol inside another. Afterwards nothing may be left behind: [`Played`] checks that.
//!
//! `CORELANE_SEEDS` says which seeds: a count, or a range such as `500..600`. A seed that fails prints
//! the command that plays it alone.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use corelane_eventloop::{
    Admit, Closed, Driver, End, Faults, Files, Lane, LaneConfig, LaneStats, ListenOptions, Nanos,
    Post, Verdict,
};
use corelane_mempool::{Budget, Pool, PoolConfig};

use crate::commands::files;
use crate::flip::{Flip, flipped};
use crate::kit::{FILE, Kit, model};
use crate::rig::{MioRig, Rig, SimRig};

/// A source of chance: splitmix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Mostly small, sometimes near `1 << bits`.
    fn spread(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits);
        self.below(1 << bits)
    }

    pub(crate) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

/// What the clients of one seed do.
#[derive(Clone)]
struct Plan {
    clients: Vec<Script>,
    config: LaneConfig,
    eager: bool,
    /// Bytes of the budget that both lanes share.
    budget: usize,
}

#[derive(Clone)]
struct Script {
    lane: usize,
    commands: Vec<String>,
    /// What follows the last command, for the lane to discard.
    excess: usize,
    starts: Nanos,
    /// The time between two sends, and the bytes of each.
    pause: Nanos,
    piece: usize,
    /// Stops reading for a while after having received this many bytes.
    sated_at: Option<(usize, Nanos)>,
    /// Reads so many bytes at such intervals at first.
    pace: Option<(usize, Nanos)>,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut chance = Chance(seed);
        let clients = (0..1 + chance.below(8)).map(|_| Script::random(&mut chance)).collect();
        let config = LaneConfig {
            high: 2_000 + chance.below(100_000),
            low: 1_000,
            page: 64 << chance.below(10),
            turn_bytes: 500 << chance.below(8),
            turn_accepts: 1 + chance.below(4) as usize,
            turn_mail: 1 + chance.below(4) as usize,
            turn_timers: 1 + chance.below(4) as usize,
            linger_time: Nanos::from_secs(60),
            read_grace: Nanos::from_secs(600),
            ..LaneConfig::default()
        };
        Plan { clients, config, eager: chance.one_in(2), budget: 64 << 20 }
    }

    /// The same with clients that read slowly, lanes that do not put up with it, and little memory.
    fn harsh(&self, seed: u64) -> Plan {
        let mut chance = Chance(!seed);
        let mut plan = self.clone();
        for script in &mut plan.clients {
            let pace = (1 + chance.spread(14) as usize, Nanos::from_millis(1 + chance.below(30)));
            script.pace = chance.one_in(2).then_some(pace);
        }
        plan.config.read_rate = 400_000 + chance.below(1_000_000);
        plan.config.read_grace = Nanos::from_millis(4 + chance.below(300));
        plan.config.read_credit = Nanos::from_millis(chance.below(500));
        plan.config.gate_time = Nanos::from_millis(50 + chance.below(500));
        plan.budget = 20_000 + chance.spread(20) as usize;
        plan
    }
}

impl Script {
    fn random(chance: &mut Chance) -> Script {
        let count = 1 + chance.below(12);
        let mut commands: Vec<_> = (0..count).map(|_| command(chance)).collect();
        let mut excess = 0;
        if chance.one_in(6) {
            commands.push("linger".to_owned());
            excess = chance.below(20_000) as usize;
        }
        Script {
            lane: chance.below(2) as usize,
            commands,
            excess,
            starts: Nanos::from_millis(chance.below(30)),
            pause: Nanos::from_millis(chance.below(4)),
            piece: 1 + chance.spread(12) as usize,
            sated_at: chance
                .one_in(3)
                .then(|| (chance.below(20_000) as usize, Nanos::from_millis(chance.below(200)))),
            pace: None,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.commands.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        bytes.resize(bytes.len() + self.excess, b'x');
        self.coded(&bytes)
    }

    /// Lane 1 speaks through a [`Flip`].
    fn coded(&self, bytes: &[u8]) -> Vec<u8> {
        if self.lane == 1 { flipped(bytes) } else { bytes.to_vec() }
    }
}

fn command(chance: &mut Chance) -> String {
    match chance.below(17) {
        0..=2 => format!("say {}", "la".repeat(chance.below(60) as usize)),
        3 => "yield".to_owned(),
        4 => format!("sleep {}", chance.below(20)),
        5 | 6 => format!("ask {} what", chance.below(2)),
        7 => format!("dial {} hello", chance.below(2)),
        8 => "gate held".to_owned(),
        9 => "mark ".to_owned(),
        10 => "mark behind".to_owned(),
        11 => format!("produce {}", chance.spread(18)),
        12 => format!("static {}", chance.below(4097)),
        13 => format!("shared {}", chance.below(9000)),
        14 => format!("file {FILE}"),
        15 => "nudge".to_owned(),
        _ => format!("read {FILE}"),
    }
}

/// Counts the places taken.
pub(crate) struct Places(pub(crate) Arc<AtomicI64>);

impl Admit for Places {
    fn admit(&mut self, _: Nanos, _: usize) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        Verdict::Take
    }
    fn release(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
    fn failed(&mut self, now: Nanos, _: &std::io::Error) -> Option<Nanos> {
        Some(now + Nanos::from_millis(2))
    }
}

/// What a seed came to.
struct Played {
    received: Vec<(Vec<u8>, Option<End>)>,
    /// Both lanes' logs and counters, for comparing two runs.
    log: Vec<String>,
    stats: [LaneStats; 2],
}

/// Both lanes of a run with their drivers.
struct Pair<R: Rig> {
    rig: R,
    plain: (R::Driver, Lane<Kit>),
    hosting: (R::Driver, Lane<Flip<Kit>>),
    places: Arc<AtomicI64>,
    budget: Arc<Budget>,
    served: SocketAddr,
    /// Far ends of outbound connections, until they have answered.
    far: Vec<usize>,
}

impl<R: Rig> Pair<R> {
    fn new(mut rig: R, plan: &Plan) -> Pair<R> {
        let places = Arc::new(AtomicI64::new(0));
        let budget = Budget::new(plan.budget);
        let (served, refusing) = (rig.serve(), rig.refusing());
        let options = ListenOptions { eager: plan.eager };
        let kit = || Kit::dialing(vec![served, refusing]);
        let mut posts = Post::mesh(2, 64);
        let (second, first) = (posts.pop().unwrap(), posts.pop().unwrap());
        let plain = (rig.driver(options), Lane::new(kit(), plan.config.clone(), first));
        let hosting = (rig.driver(options), Lane::new(Flip(kit()), plan.config.clone(), second));
        let equip = |files: Box<dyn Files + Send>| {
            let config = PoolConfig { budget: budget.clone(), ..PoolConfig::default() };
            (Box::new(Places(places.clone())), files, Pool::new(config))
        };
        let (admit, open, pool) = equip(rig.files(&files()));
        let plain = (plain.0, plain.1.with_admit(admit).with_files(open).with_pool(pool));
        let (admit, open, pool) = equip(rig.files(&files()));
        let hosting = (hosting.0, hosting.1.with_admit(admit).with_files(open).with_pool(pool));
        Pair { rig, plain, hosting, places, budget, served, far: Vec::new() }
    }

    fn turn(&mut self) {
        self.plain.0.turn(&mut self.plain.1, Some(Nanos::ZERO)).unwrap();
        self.hosting.0.turn(&mut self.hosting.1, Some(Nanos::ZERO)).unwrap();
        self.rig.pass(false);
        self.far.extend(self.rig.accept(self.served));
        self.far.retain(|far| {
            let question = self.rig.received(*far);
            let coded = question.last() == Some(&!b'\n');
            let asked = coded || question.last() == Some(&b'\n');
            if asked {
                let answer = b"far hello\n";
                self.rig.send(*far, &if coded { flipped(answer) } else { answer.to_vec() });
                self.rig.finish(*far);
            }
            !asked && self.rig.end(*far).is_none()
        });
    }

    fn is_empty(&self) -> bool {
        self.plain.1.is_empty() && self.hosting.1.is_empty()
    }

    /// No timer may be left: under virtual time a lane then sleeps for as long as it may. What is
    /// still on its way to closed connections arrives first, and peers that output waited for are
    /// looked at once more.
    fn check_sleeps(&mut self) {
        (0..300).for_each(|_| self.turn());
        let settled = self.rig.now() + Nanos::from_secs(2);
        while self.rig.now() < settled {
            self.plain.0.turn(&mut self.plain.1, Some(Nanos::from_secs(1))).unwrap();
            self.hosting.0.turn(&mut self.hosting.1, Some(Nanos::from_secs(1))).unwrap();
        }
        let (minute, before) = (Nanos::from_secs(60), self.rig.now());
        self.plain.0.turn(&mut self.plain.1, Some(minute)).unwrap();
        let between = self.rig.now();
        self.hosting.0.turn(&mut self.hosting.1, Some(minute)).unwrap();
        assert!(between >= before + minute, "lane 0 did not sleep");
        assert!(self.rig.now() >= between + minute, "lane 1 did not sleep");
    }

    /// Nothing may be left behind once all clients are gone.
    fn check_left_nothing(&mut self) {
        let (plain, hosting) = (self.plain.1.protocol(), &self.hosting.1.protocol().0);
        assert_eq!(plain.opened, plain.closed, "connections not closed on lane 0");
        assert_eq!(hosting.opened, hosting.closed, "connections not closed on lane 1");
        let mut kept = 0;
        for stats in [self.plain.1.pool().stats(), self.hosting.1.pool().stats()] {
            assert_eq!(stats.lent_bytes, 0, "memory not given back");
            kept += stats.free_bytes;
        }
        assert_eq!(self.budget.used(), kept, "the budget's count is off");
        assert_eq!(self.places.load(Ordering::Relaxed), 0, "places not released");
        for stats in [self.plain.1.stats(), self.hosting.1.stats()] {
            assert_eq!(stats.panics, 0);
            assert_eq!(stats.mail_refused, 0);
        }
    }
}

/// Plays a plan until every client has ended and the lanes are empty.
fn play<R: Rig>(rig: R, plan: &Plan) -> Played {
    let mut pair = Pair::new(rig, plan);
    let start = pair.rig.now();
    let mut actors: Vec<_> = plan.clients.iter().map(|script| Actor::new(script, start)).collect();
    while actors.iter().any(|actor| !actor.done) || !pair.is_empty() {
        for actor in &mut actors {
            actor.act(&mut pair.rig);
        }
        pair.turn();
        let spent = pair.rig.now().since(start);
        assert!(spent < Nanos::from_secs(30), "a client never ended:\n{}", told(&actors, &pair));
    }
    pair.check_left_nothing();
    if R::VIRTUAL {
        pair.check_sleeps();
    }
    let received = actors
        .iter()
        .map(|actor| match actor.client {
            Some(client) => (actor.script.coded(&pair.rig.received(client)), pair.rig.end(client)),
            None => (Vec::new(), None),
        })
        .collect();
    let log = [&pair.plain.1.protocol().log[..], &pair.hosting.1.protocol().0.log].concat();
    Played { received, log, stats: [*pair.plain.1.stats(), *pair.hosting.1.stats()] }
}

fn told<R: Rig>(actors: &[Actor<'_>], pair: &Pair<R>) -> String {
    let stuck: Vec<_> = actors
        .iter()
        .filter(|actor| !actor.done)
        .map(|actor| format!("lane {} {:?}", actor.script.lane, actor.script.commands))
        .collect();
    let left = (pair.plain.1.len(), pair.hosting.1.len());
    format!("{}\n{left:?} connections left", stuck.join("\n"))
}

/// For how long clients read at a pace: what the lane has got rid of by then may be much.
const PACED: Nanos = Nanos::from_secs(3);

/// A client that follows its script.
struct Actor<'a> {
    script: &'a Script,
    client: Option<usize>,
    unsent: Vec<u8>,
    next: Nanos,
    finished: bool,
    reads_again: Option<Nanos>,
    sated: bool,
    done: bool,
}

impl<'a> Actor<'a> {
    fn new(script: &'a Script, start: Nanos) -> Actor<'a> {
        Actor {
            script,
            client: None,
            unsent: script.bytes(),
            next: start + script.starts,
            finished: false,
            reads_again: None,
            sated: false,
            done: false,
        }
    }

    fn act(&mut self, rig: &mut impl Rig) {
        let now = rig.now();
        if now < self.next || self.done {
            return;
        }
        let client = match self.client {
            Some(client) => client,
            None => {
                let client = rig.connect(self.script.lane);
                if let Some((bytes, every)) = self.script.pace {
                    rig.set_pace(client, bytes, every);
                    self.reads_again = Some(now + PACED);
                }
                *self.client.insert(client)
            }
        };
        if !self.unsent.is_empty() {
            // Not too many pieces: each costs time, which is real under `Mio`.
            let piece = self.script.piece.max(self.unsent.len() / 100).min(self.unsent.len());
            rig.send(client, &self.unsent[..piece]);
            self.unsent.drain(..piece);
            self.next = now + self.script.pause;
        } else if !self.finished {
            self.finished = true;
            rig.finish(client);
        }
        if let Some((bytes, span)) = self.script.sated_at
            && !self.sated
            && rig.received_len(client) >= bytes
        {
            self.sated = true;
            self.reads_again = Some(now + span);
            rig.set_reading(client, false);
        }
        if self.reads_again.is_some_and(|at| now >= at) {
            self.reads_again = None;
            rig.set_reading(client, true);
        }
        let over = rig.end(client).is_some() && self.reads_again.is_none();
        self.done = over && (self.finished || rig.end(client) == Some(End::Reset));
    }
}

/// Nothing is lost: the bytes are those of the model.
fn check_lossless(plan: &Plan, played: &Played) {
    for (script, (received, end)) in plan.clients.iter().zip(&played.received) {
        let expected = model(&script.commands);
        assert_eq!(*end, Some(End::Closed), "{:?}", script.commands);
        assert!(
            *received == expected,
            "{:?}: {}",
            script.commands,
            difference(received, &expected)
        );
    }
}

/// Much may be lost: what came is a beginning of the model's bytes, all of them if it ended in order.
fn check_lossy(plan: &Plan, played: &Played) {
    let told = played.stats.iter().any(|stats| stats.shed > 0);
    for (script, (received, end)) in plan.clients.iter().zip(&played.received) {
        // Whoever was shed was told so behind what came until then, if that arrived.
        let notices = (1..=SHED.len())
            .rev()
            .filter(|_| told)
            .filter_map(|length| received.strip_suffix(&SHED[..length]));
        let mut shed = notices.map(|received| plausible(script, received, None));
        if !shed.any(|found| found.is_ok())
            && let Err(found) = plausible(script, received, *end)
        {
            panic!("{found}");
        }
    }
}

const SHED: &[u8] = b"shed\n";

/// Whether a client may have received this, and no more.
fn plausible(script: &Script, received: &[u8], end: Option<End>) -> Result<(), String> {
    let expected = model(&script.commands);
    // Whoever dialed may learn that the far end was lost, where the model has its answer.
    let certain = script.commands.iter().take_while(|line| !line.starts_with("dial")).cloned();
    let certain: Vec<String> = certain.collect();
    let dials = certain.len() < script.commands.len();
    let mut sure = model(&certain);
    if dials {
        sure.truncate(sure.len() - "bye\n".len());
    }
    let common = received.len().min(sure.len());
    if received[..common] != sure[..common] {
        return Err(difference(received, &sure));
    }
    if !dials && !expected.starts_with(received) {
        return Err(difference(received, &expected));
    }
    if !dials && end == Some(End::Closed) && received != expected {
        return Err(format!("ended in order, but short: {}", difference(received, &expected)));
    }
    Ok(())
}

fn difference(received: &[u8], expected: &[u8]) -> String {
    let at = received.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let show = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[at.min(bytes.len())..(at + 40).min(bytes.len())])
            .into_owned()
    };
    let (came, due) = (show(received), show(expected));
    format!("{} of {} bytes, from {at} on {came:?} for {due:?}", received.len(), expected.len())
}

fn simulate(seed: u64, plan: &Plan, faults: Faults) -> Played {
    play(SimRig::with(seed, faults), plan)
}

/// What became of the connections of a seed's harsh play, by reason, and how many were shed.
fn check_seed(seed: u64) -> Vec<u64> {
    let plan = Plan::of(seed);
    check_lossless(&plan, &simulate(seed, &plan, Faults::LOSSLESS));
    check_lossy(&plan, &simulate(seed, &plan, Faults::ALL));
    let harsh = plan.harsh(seed);
    let played = simulate(seed, &harsh, Faults::ALL);
    check_lossy(&harsh, &played);
    let sum = |of: &dyn Fn(&LaneStats) -> u64| played.stats.iter().map(of).sum::<u64>();
    let closed = (0..Closed::NAMES.len()).map(|reason| sum(&|stats| stats.closed[reason]));
    closed.chain([sum(&|stats| stats.shed)]).collect()
}

/// Runs a check on every seed asked for, and says how to repeat the one that fails.
pub(crate) fn for_seeds(default: u64, test: &str, check: impl Fn(u64)) {
    for seed in seeds(default) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!(
                "\nreplay with: CORELANE_SEED={seed} cargo test -p corelane-eventloop \
                 --test drivers {test} -- --nocapture\n"
            );
            resume_unwind(panic);
        }
    }
}

/// The seeds to run: one, a range, or a count.
fn seeds(default: u64) -> Range<u64> {
    let variable = |name| std::env::var(name).ok();
    let number = |text: &str| text.trim().parse::<u64>().expect("a whole number");
    if let Some(seed) = variable("CORELANE_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match variable("CORELANE_SEEDS") {
        None => 0..default,
        Some(seeds) => match seeds.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&seeds),
        },
    }
}

#[test]
fn sweep() {
    let totals = RefCell::new(vec![0; Closed::NAMES.len() + 1]);
    for_seeds(1000, "sweep", |seed| {
        let counts = check_seed(seed);
        totals.borrow_mut().iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    });
    if seeds(1000).count() >= 1000 {
        // So many seeds do reach what they are there for.
        let totals = totals.into_inner();
        for reason in [Closed::Finished, Closed::SlowReader, Closed::OutOfMemory] {
            assert!(totals[reason.index()] > 20, "{reason}: {totals:?}");
        }
        assert!(totals[Closed::NAMES.len()] > 20, "few were shed: {totals:?}");
    }
}

/// Real sockets yield the same bytes as the model, and so as the simulated network.
#[test]
fn sweep_real() {
    let default = 12;
    for_seeds(default, "sweep_real", |seed| {
        // Real time passes: the range asked for may be long.
        if seed.is_multiple_of(16) || seed < default || std::env::var_os("CORELANE_SEED").is_some()
        {
            let plan = Plan::of(seed);
            check_lossless(&plan, &play(MioRig::new(), &plan));
        }
    });
}

/// A seed decides everything.
#[test]
fn sweep_twice() {
    for_seeds(10, "sweep_twice", |seed| {
        let plan = Plan::of(seed).harsh(seed);
        let [first, second] = [0, 1].map(|_| simulate(seed, &plan, Faults::ALL));
        assert_eq!(first.log, second.log);
        assert_eq!(first.stats, second.stats);
        assert!(first.received == second.received);
    });
}
