//! Runs in the simulator: the server answers when the test says, and time is exact.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use corelane_eventloop::{ClientId, Faults as Network, Nanos, World};
use corelane_metrics::heat::row_bounds;

use crate::engine::Stage;
use crate::meters::Meters;
use crate::outcome::Outcome;
use crate::plan::{Arrivals, Pace, Plan, Stop, Timeouts, Weighted};
use crate::progress::Monitor;
use crate::request::Request;
use crate::result::{Part, heat_map, outcome};
use crate::worker::Worker;

/// How often the server looks: it is so much too late at most.
const QUANTUM: Nanos = Nanos::from_micros(100);
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that answers each request at a time that `when` gives for the time at which it came, both
/// counted from the start of the run; or never.
struct Server<'test> {
    world: World,
    address: SocketAddr,
    request: usize,
    when: &'test dyn Fn(u64) -> Option<u64>,
    /// Each connection, with how many of its requests have been seen.
    clients: Vec<(ClientId, usize)>,
    due: BTreeMap<(u64, u64), ClientId>,
    seen: u64,
}

impl Server<'_> {
    fn look(&mut self, began: Nanos) {
        let now = self.world.now().since(began).0;
        while let Some(client) = self.world.accept(self.address) {
            self.clients.push((client, 0));
        }
        for (client, count) in &mut self.clients {
            let whole = self.world.received_len(*client) / self.request;
            for _ in *count..whole {
                self.seen += 1;
                if let Some(at) = (self.when)(now) {
                    self.due.insert((at.max(now), self.seen), *client);
                }
            }
            *count = whole;
        }
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            self.world.send(entry.remove(), ANSWER);
        }
    }
}

/// What came of a plan, and how many requests the server has seen.
fn simulate(
    plan: &Plan,
    seed: u64,
    network: Network,
    when: &dyn Fn(u64) -> Option<u64>,
    interrupt_at: Option<u64>,
) -> (Outcome, u64) {
    plan.check().unwrap();
    let world = World::new(seed, network);
    let address = plan.targets[0];
    world.serve(address);
    let meters = Meters::new().unwrap();
    let stop = AtomicBool::new(false);
    let heat = heat_map(plan);
    let mut worker = Worker::new(plan, 0, &stop, &meters, heat, world.driver()).unwrap();
    let mut monitor = Monitor::new(plan, UNIX_EPOCH);
    let request = plan.requests[0].request.bytes().len();
    let (clients, due) = (Vec::new(), BTreeMap::new());
    let mut server = Server { world: world.clone(), address, request, when, clients, due, seen: 0 };
    let (began, mut looked) = (world.now(), 0);
    let deadline = began + Nanos::from_secs(600);
    while worker.turn(Some(QUANTUM)).unwrap() != Stage::Over {
        server.look(began);
        let now = world.now().since(began).0;
        stop.store(interrupt_at.is_some_and(|at| now >= at), Ordering::Relaxed);
        if now >= looked + 10 * MILLI {
            looked = now;
            monitor.look(&meters, Some(Duration::from_nanos(now)));
        }
        assert!(world.now() < deadline, "it does not end");
    }
    let engine = worker.engine();
    let part = Part {
        ledger: &engine.ledger,
        elapsed: Duration::from_nanos(engine.measured()),
        interrupted: engine.interrupted,
        cpu: Duration::ZERO,
        busy: 0.0,
    };
    let parts = [part];
    let monitor = monitor.finish(&meters, &parts);
    (outcome(plan, monitor, &parts, None), server.seen)
}

fn plan(pace: Pace, connections: usize, stop: Stop) -> Plan {
    let request = Request::new("GET", "/", "a", &[], b"").unwrap();
    let target = ([127, 0, 0, 1], 80).into();
    let warm_up = Duration::ZERO;
    Plan { pace, connections, stop, warm_up, ..Plan::closed(&[target], request) }
}

fn open(rate: f64) -> Pace {
    Pace::Open { rate, arrivals: Arrivals::Constant }
}

fn seconds(count: u64) -> Stop {
    Stop::After(Duration::from_secs(count))
}

/// Every request is accounted for, in the whole and in its parts.
fn assert_adds_up(outcome: &Outcome) {
    assert_eq!(outcome.intended, outcome.sent + outcome.faults.unsent, "{outcome:?}");
    assert_eq!(outcome.sent, outcome.answered + outcome.lost, "{outcome:?}");
    assert_eq!(outcome.response_time.count(), outcome.answered);
    assert_eq!(outcome.service_time.count(), outcome.answered);
    assert_eq!(outcome.heat.count() + outcome.heat.expired(), outcome.answered);
    assert_eq!(outcome.statuses.iter().map(|(_, count)| count).sum::<u64>(), outcome.answered);
    let of = |part: fn(&crate::Interval) -> u64| outcome.intervals.iter().map(part).sum::<u64>();
    assert_eq!(of(|interval| interval.intended), outcome.intended);
    assert_eq!(of(|interval| interval.sent), outcome.sent);
    assert_eq!(of(|interval| interval.answered), outcome.answered);
    assert_eq!(of(|interval| interval.response_time.count()), outcome.answered);
    assert_eq!(of(|interval| interval.faults.total()), outcome.faults.total());
    assert_eq!(of(|interval| interval.late), outcome.late.count);
    assert_eq!(outcome.requests.iter().map(|request| request.sent).sum::<u64>(), outcome.sent);
}

/// Stands still from 1 s to 2 s, and otherwise answers at once.
fn stalls(at: u64) -> Option<u64> {
    Some(if (SECOND..2 * SECOND).contains(&at) { 2 * SECOND } else { at })
}

#[test]
fn an_open_loop_shows_a_stall_in_full() {
    let plan = plan(open(1_000.0), 100, seconds(4));
    let (outcome, seen) = simulate(&plan, 1, Network::NONE, &stalls, None);
    assert_adds_up(&outcome);
    assert_eq!((outcome.intended, outcome.answered, seen), (4_000, 4_000, 4_000));
    assert_eq!((outcome.faults.total(), outcome.late.count), (0, 0));
    // What was to be sent during the stall waited to its end: 1 s, 0.999 s, … 0.001 s.
    let waited = |at_least: u64| -> u64 {
        let slow = outcome.response_time.buckets().filter(|bucket| bucket.lowest >= at_least);
        slow.map(|bucket| bucket.count).sum()
    };
    for (millis, count) in [(900, 100), (500, 500), (100, 900), (10, 990)] {
        let found = waited(millis * MILLI);
        assert!(found.abs_diff(count) <= 10, "{found} took {millis} ms or longer");
    }
    assert!((SECOND - MILLI..SECOND + 2 * MILLI).contains(&outcome.response_time.max()));
    assert!(outcome.response_time.quantile(0.999) > 980 * MILLI);
    // Only as many as there are connections were asked of the server meanwhile.
    let slow = outcome.service_time.buckets().filter(|bucket| bucket.lowest > 10 * MILLI);
    assert_eq!(slow.map(|bucket| bucket.count).sum::<u64>(), 100);
    assert_eq!(outcome.connections_opened, 100);
    // The heat map shows it where it was: columns of 100 ms, each with the 100 requests of its time.
    for (index, column) in outcome.heat.columns().enumerate() {
        assert_eq!(column.count(), 100, "{:?}", column.at());
        let stalled = (10..20).contains(&index);
        for (row, count) in column.counts().iter().enumerate().filter(|(_, count)| **count > 0) {
            let (lowest, highest) = row_bounds(row).unwrap();
            let left = 20_u64.saturating_sub(index as u64) * 100 * MILLI;
            let right = if stalled {
                highest + MILLI > left - 100 * MILLI && lowest < left + MILLI
            } else {
                lowest < 2 * MILLI
            };
            assert!(right, "{count} of {lowest} to {highest} ns at {:?}", column.at());
        }
    }
}

#[test]
fn a_closed_loop_hides_a_stall() {
    let plan = plan(Pace::Closed, 10, seconds(4));
    let late = |at| stalls(at).map(|at| at + MILLI);
    let (outcome, seen) = simulate(&plan, 1, Network::NONE, &late, None);
    assert_adds_up(&outcome);
    assert_eq!(outcome.answered, seen);
    assert!(outcome.answered > 20_000, "{}", outcome.answered);
    assert!((SECOND - 2 * MILLI..SECOND + 3 * MILLI).contains(&outcome.response_time.max()));
    // A second of nothing is ten slow responses.
    assert!(outcome.response_time.quantile(0.999) < 2 * MILLI);
}

#[test]
fn what_never_had_a_connection_is_unsent() {
    // One connection, 10 ms for each answer: 100 of 1,000 requests per second can be sent.
    let plan = plan(open(1_000.0), 1, seconds(2));
    let (outcome, seen) = simulate(&plan, 1, Network::NONE, &|at| Some(at + 10 * MILLI), None);
    assert_adds_up(&outcome);
    assert_eq!((outcome.intended, outcome.sent), (2_000, seen));
    assert!((195..=201).contains(&seen), "{seen}");
    assert_eq!(outcome.faults.unsent, 2_000 - seen);
    // It waited for the server, not for the generator.
    assert_eq!(outcome.late.count, 0);
    assert!(outcome.response_time.max() > 1_500 * MILLI);
    assert!(outcome.service_time.max() < 11 * MILLI);
}

#[test]
fn the_warm_up_is_no_part_of_it() {
    let warm_up = Duration::from_secs(1);
    for pace in [open(1_000.0), Pace::Closed] {
        let plan = Plan { warm_up, ..plan(pace, 4, seconds(1)) };
        let (outcome, seen) = simulate(&plan, 1, Network::NONE, &|at| Some(at + MILLI), None);
        assert_adds_up(&outcome);
        assert_eq!(outcome.warm_up_sent + outcome.sent, seen);
        assert!(outcome.warm_up_sent.abs_diff(outcome.sent) < 20, "{outcome:?}");
        assert!(outcome.elapsed.abs_diff(warm_up) < Duration::from_millis(3));
        assert_eq!(outcome.connections_opened, 0);
    }
}

#[test]
fn a_silent_server_is_given_up_on_time() {
    let timeouts = Timeouts { response: Duration::from_millis(250), ..Timeouts::default() };
    let plan = Plan { timeouts, ..plan(open(100.0), 1_000, seconds(1)) };
    let (outcome, seen) = simulate(&plan, 1, Network::NONE, &|_| None, None);
    assert_adds_up(&outcome);
    assert_eq!((outcome.intended, seen), (100, 100));
    assert_eq!((outcome.answered, outcome.lost, outcome.faults.timeouts), (0, 100, 100));
    assert_eq!(outcome.cut_off, 0);
    assert_eq!(outcome.faults.total(), 100);
}

#[test]
fn a_number_of_requests_is_sent_at_its_rate() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let pace = Pace::Open { rate: 500.0, arrivals };
        let plan = plan(pace, 50, Stop::Requests(1_000));
        let (outcome, seen) = simulate(&plan, 3, Network::NONE, &|at| Some(at + MILLI), None);
        assert_adds_up(&outcome);
        assert_eq!((outcome.intended, outcome.answered, seen), (1_000, 1_000, 1_000));
        let rate = outcome.rate();
        assert!((400.0..600.0).contains(&rate), "{rate}");
    }
}

#[test]
fn a_run_that_is_interrupted_says_so_and_ends() {
    let stalls = |at| (at < SECOND).then_some(at + MILLI);
    for pace in [open(1_000.0), Pace::Closed] {
        let plan = plan(pace, 10, seconds(100));
        let (outcome, seen) = simulate(&plan, 1, Network::NONE, &stalls, Some(2 * SECOND));
        assert_adds_up(&outcome);
        assert!(outcome.interrupted);
        assert_eq!((outcome.sent, outcome.lost, outcome.cut_off), (seen, 10, 10));
        assert!(outcome.elapsed < Duration::from_millis(2_700), "{:?}", outcome.elapsed);
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_the_last_answers() {
    let silent = |_| None;
    let plan = plan(open(1_000.0), 10, seconds(1));
    let (outcome, _) = simulate(&plan, 1, Network::NONE, &silent, Some(3 * SECOND / 2));
    assert_adds_up(&outcome);
    assert!(outcome.interrupted);
    // Before they were given up.
    assert_eq!((outcome.cut_off, outcome.faults.timeouts), (10, 0));
}

/// Whatever the network does, every request is accounted for once; if it loses nothing, each is
/// answered. And a seed is a run.
#[test]
fn seeds_add_up() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("CORELANE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CORELANE_SEEDS").unwrap_or(100),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| seed_adds_up(seed));
        if let Err(panic) = run {
            eprintln!(
                "seed {seed} fails; replay it with: CORELANE_SEED={seed} cargo test -p corelane-load \
                 --lib --release -- seeds_add_up"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

fn seed_adds_up(seed: u64) {
    let pace = match seed % 3 {
        0 => Pace::Closed,
        1 => open(200.0),
        _ => Pace::Open { rate: 300.0, arrivals: Arrivals::Poisson },
    };
    let stop = if seed.is_multiple_of(2) { Stop::Requests(150) } else { seconds(1) };
    let mut plan = Plan { seed, pipeline: 1 + seed as usize % 4, ..plan(pace, 8, stop) };
    let other = Weighted { weight: 3, ..plan.requests[0].clone() };
    plan.requests.push(other);
    plan.timeouts.response = Duration::from_secs(2);
    let lossless = seed % 5 < 2;
    let network = if lossless { Network::LOSSLESS } else { Network::ALL };
    let run = || simulate(&plan, seed, network, &|at| Some(at + at % 7 * MILLI), None);
    let (outcome, seen) = run();
    assert_adds_up(&outcome);
    assert!(seen >= outcome.answered && seen <= outcome.sent, "{seen} {outcome:?}");
    if lossless {
        let faults = outcome.faults.total() - outcome.faults.unsent;
        assert_eq!((faults, outcome.answered), (0, seen), "{outcome:?}");
    }
    let (again, seen_again) = run();
    assert_eq!((seen_again, again.response_time), (seen, outcome.response_time));
}
