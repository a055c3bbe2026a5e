//! Open loops and watched runs against real sockets; `src/simulation.rs` has those in which time is
//! exact.

#![allow(clippy::unwrap_used)] // Helpers outside of test functions fail by panicking, too.

mod kit;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use corelane_load::{
    Arrivals, Expect, Faults, Outcome, Pace, Phase, Plan, Request, Stop, Timeouts, Weighted, run,
    run_watched,
};

use kit::{Act, PLAIN, serve, serve_lines};

fn get(path: &str) -> Request {
    Request::new("GET", path, "localhost", &[], b"").unwrap()
}

fn plan(address: SocketAddr, rate: f64, millis: u64) -> Plan {
    let stop = Stop::After(Duration::from_millis(millis));
    let warm_up = Duration::ZERO;
    Plan { stop, warm_up, connections: 8, ..Plan::open(&[address], get("/"), rate) }
}

fn plain() -> Act {
    Act::Reply(PLAIN.to_owned())
}

fn assert_adds_up(outcome: &Outcome) {
    assert_eq!(outcome.intended, outcome.sent + outcome.faults.unsent, "{outcome:?}");
    assert_eq!(outcome.sent, outcome.answered + outcome.lost, "{outcome:?}");
    let seconds = outcome.intervals.iter().map(|interval| interval.answered).sum::<u64>();
    assert_eq!((seconds, outcome.heat.count()), (outcome.answered, outcome.answered));
}

#[test]
fn a_server_that_stands_still_is_shown_in_full() {
    // From 300 to 600 ms after its first request.
    let began = OnceLock::new();
    let (address, seen) = serve(move |_| {
        let at = began.get_or_init(Instant::now).elapsed();
        if (300..600).contains(&at.as_millis()) {
            thread::sleep(Duration::from_millis(600) - at);
        }
        plain()
    });
    let outcome = run(&plan(address, 500.0, 1_000)).unwrap();
    assert_adds_up(&outcome);
    assert_eq!(outcome.faults, Faults::default(), "{outcome:?}");
    assert_eq!((outcome.intended, seen.load(Ordering::SeqCst)), (500, 500));
    let slow = outcome.response_time.buckets().filter(|bucket| bucket.lowest >= 100_000_000);
    let slow: u64 = slow.map(|bucket| bucket.count).sum();
    // What was to be sent in the first 200 ms of it waited for 100 ms or longer.
    assert!(slow >= 95, "{slow} were slow");
    assert!(outcome.response_time.quantile(0.999) >= 280_000_000);
}

#[test]
fn several_threads_share_a_rate_and_each_request_has_its_share() {
    let counts = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let counter = Arc::clone(&counts);
    let (address, _) = serve_lines(move |_, line| {
        *counter.lock().unwrap().entry(line.to_owned()).or_default() += 1;
        plain()
    });
    let mut plan = plan(address, 2_000.0, 500);
    plan.pace = Pace::Open { rate: 2_000.0, arrivals: Arrivals::Poisson };
    plan.threads = 2;
    plan.seed = 7;
    let ways = [("/a", 1), ("/b", 3)];
    let weighted = ways.map(|(path, weight)| Weighted { weight, ..Weighted::new(path, get(path)) });
    plan.requests = weighted.to_vec();
    let outcome = run(&plan).unwrap();
    assert_adds_up(&outcome);
    // Seven times the scatter of a Poisson process of 1,000.
    assert!(outcome.intended.abs_diff(1_000) < 220, "{}", outcome.intended);
    let counts = counts.lock().unwrap();
    for request in &outcome.requests {
        let line = format!("GET {} HTTP/1.1", request.name);
        assert_eq!(counts.get(&line), Some(&request.sent), "{counts:?}");
        assert_eq!(request.response_time.count(), request.answered);
    }
    let share = outcome.requests[1].sent as f64 / outcome.sent as f64;
    assert!((share - 0.75).abs() < 0.12, "{share}");
}

#[test]
fn a_run_can_be_watched_and_ended() {
    let (address, seen) = serve(|_| plain());
    let mut plan = plan(address, 500.0, 60_000);
    plan.warm_up = Duration::from_millis(150);
    let (mut warm, mut last) = (false, 0);
    let outcome = run_watched(&plan, |progress| {
        warm |= progress.phase == Phase::WarmUp;
        assert!(progress.answered >= last && progress.share < 0.5);
        last = progress.answered;
        match progress.answered {
            ..200 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    })
    .unwrap();
    assert_adds_up(&outcome);
    assert!(warm && outcome.interrupted && outcome.answered >= last && last >= 200);
    assert_eq!(outcome.warm_up_sent + outcome.sent, seen.load(Ordering::SeqCst));
}

#[test]
fn a_server_that_goes_away_is_a_fault_for_every_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It takes the look whether it is there, and no more.
    thread::spawn(move || drop(listener.accept()));
    let outcome = run(&plan(address, 1_000.0, 300)).unwrap();
    assert_adds_up(&outcome);
    assert_eq!((outcome.answered, outcome.sent + outcome.faults.unsent), (0, 300));
    assert!(outcome.faults.connects > 0, "{outcome:?}");
}

#[test]
fn what_breaks_is_lost_and_counted_once() {
    let half = PLAIN[..PLAIN.len() - 2].to_owned();
    for (act, kind) in [
        (Act::Close, "closed early"),
        (Act::Reset, "resets"),
        (Act::ReplyAndClose(half), "closed early"),
        (Act::Ignore, "timeouts"),
    ] {
        let name = format!("{act:?}");
        // Each third request of a connection.
        let (address, seen) =
            serve(move |index| if index % 3 == 2 { act.clone() } else { plain() });
        let timeouts = Timeouts { response: Duration::from_millis(150), ..Timeouts::default() };
        let outcome = run(&Plan { timeouts, ..plan(address, 300.0, 300) }).unwrap();
        assert_adds_up(&outcome);
        let count = outcome.faults.kinds().into_iter().find(|(name, _)| *name == kind).unwrap().1;
        assert_eq!(count, outcome.lost, "{name}: {outcome:?}");
        assert!(count > 0 && outcome.sent == seen.load(Ordering::SeqCst), "{name}: {outcome:?}");
    }
}

#[test]
fn responses_are_checked() {
    let (address, _) = serve(|_| {
        Act::Reply("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nVrypt".to_owned())
    });
    let field = |value: &str| Some(("x-a".to_owned(), Some(value.to_owned())));
    let any = Expect::default();
    for (expect, wrong) in [
        (Expect { contains: Some(b"ryp".to_vec()), field: field("b"), ..any.clone() }, ""),
        (Expect { field: field("c"), ..any.clone() }, "wrong field"),
        (Expect { contains: Some(b"rpy".to_vec()), ..any.clone() }, "wrong body"),
        (Expect { status: Some(201), ..any }, "wrong status"),
    ] {
        let mut plan = Plan { stop: Stop::Requests(20), ..Plan::closed(&[address], get("/")) };
        plan.requests[0].expect = expect;
        let outcome = run(&plan).unwrap();
        let faults = outcome.faults.kinds().into_iter().filter(|(_, count)| *count > 0);
        let expected = if wrong.is_empty() { Vec::new() } else { vec![(wrong, 20)] };
        assert_eq!(faults.collect::<Vec<_>>(), expected);
        assert_eq!(outcome.requests[0].wrong, outcome.faults.total());
    }
}
