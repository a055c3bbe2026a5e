//! Runs against small servers that behave, and misbehave, in known ways: what is reported must be
//! what happened.

#![allow(clippy::unwrap_used)] // Helpers outside of test functions fail by panicking, too.

mod kit;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use corelane_load::{
    Arrivals, Error, Expect, Faults, Held, Outcome, Pace, Plan, Request, Stop, Timeouts, Weighted,
    run, run_watched,
};

use kit::{Act, CLOSING, PLAIN, serve};

fn plan(address: SocketAddr, requests: u64) -> Plan {
    let request = Request::new("GET", "/", "localhost", &[], b"").unwrap();
    let mut plan = Plan::closed(&[address], request);
    plan.connections = 4;
    plan.stop = Stop::Requests(requests);
    plan
}

fn plain() -> Act {
    Act::Reply(PLAIN.to_owned())
}

fn assert_clean(outcome: &Outcome, responses: u64) {
    assert_eq!(outcome.faults, Faults::default(), "{outcome:?}");
    assert_eq!(outcome.answered, responses);
}

#[test]
fn exactly_the_requests_asked_for_are_sent() {
    let (address, seen) = serve(|_| plain());
    for (threads, pipeline) in [(1, 1), (3, 1), (1, 16), (2, 7)] {
        seen.store(0, Ordering::SeqCst);
        let outcome = run(&Plan { threads, pipeline, ..plan(address, 1_001) }).unwrap();
        assert_clean(&outcome, 1_001);
        assert_eq!(seen.load(Ordering::SeqCst), 1_001, "{threads} threads, {pipeline} deep");
        assert!(outcome.response_time.quantile(0.5) > 0);
        assert_eq!(outcome.response_time.count(), 1_001);
    }
}

#[test]
fn a_timed_run_lasts_as_long_as_it_says() {
    let (address, _) = serve(|_| plain());
    let mut plan = plan(address, 1);
    plan.stop = Stop::After(Duration::from_millis(300));
    plan.warm_up = Duration::from_millis(100);
    // Something that is busy for as long as it is watched.
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    plan.watch = Some(busy.id());
    let started = Instant::now();
    let outcome = run(&plan);
    busy.kill().unwrap();
    busy.wait().unwrap();
    let outcome = outcome.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert!(outcome.elapsed >= Duration::from_millis(299), "{outcome:?}");
    assert!(outcome.answered > 0);
    assert_eq!(outcome.connections_opened, 0, "opened during the warm-up");
    assert!(outcome.server_cpu_micros().is_some_and(|micros| micros > 0.0));
}

#[test]
fn each_request_has_a_connection_of_its_own_when_it_says_close() {
    let (address, _) = serve(|_| Act::ReplyAndClose(CLOSING.to_owned()));
    let request = Request::new("GET", "/", "a", &[("Connection", "close")], b"").unwrap();
    let outcome =
        run(&Plan { requests: vec![Weighted::new("", request)], ..plan(address, 300) }).unwrap();
    assert_clean(&outcome, 300);
    assert_eq!(outcome.connections_opened, 300);
}

#[test]
fn an_announced_close_is_no_fault_even_amid_a_pipeline() {
    let (address, _) = serve(|index| match index {
        2 => Act::ReplyAndClose(CLOSING.to_owned()),
        _ => plain(),
    });
    assert_clean(&run(&plan(address, 300)).unwrap(), 300);
}

#[test]
fn requests_that_are_sent_again_are_counted_once() {
    for (pace, stop) in [
        (Pace::Closed, Stop::Requests(300)),
        (Pace::Closed, Stop::After(Duration::from_millis(300))),
        (open(1_000.0), Stop::Requests(300)),
    ] {
        let (address, _) = serve(|index| match index % 20 {
            // What was sent behind this one has to go elsewhere.
            5 => Act::ReplyAndClose(CLOSING.to_owned()),
            _ => plain(),
        });
        let plan = Plan { pace, stop, pipeline: 4, ..plan(address, 300) };
        let outcome = run(&plan).unwrap();
        assert_clean(&outcome, outcome.answered);
        if stop == Stop::Requests(300) {
            assert_eq!(outcome.answered, 300, "{outcome:?}");
        }
        let Outcome { intended, sent, answered, lost, .. } = outcome;
        assert_eq!((intended, sent, lost), (answered, answered, 0), "{pace:?} {stop:?}");
        assert!(outcome.connections_opened >= 10, "{outcome:?}");
        let each = outcome.requests[0].sent;
        assert_eq!(each, sent, "{pace:?} {stop:?}");
    }
}

fn open(rate: f64) -> Pace {
    Pace::Open { rate, arrivals: Arrivals::Constant }
}

#[test]
fn a_watched_server_that_dies_takes_only_its_own_figure_with_it() {
    let (address, _) = serve(|_| plain());
    let mut watched = Command::new("sleep").arg("60").spawn().unwrap();
    let mut plan = plan(address, 1);
    plan.watch = Some(watched.id());
    plan.stop = Stop::After(Duration::from_secs(60));
    let outcome = run_watched(&plan, |progress| match progress.answered {
        0 => ControlFlow::Continue(()),
        _ => {
            let _ = watched.kill();
            let _ = watched.wait();
            ControlFlow::Break(())
        }
    });
    watched.wait().unwrap();
    let outcome = outcome.unwrap();
    assert!(outcome.answered > 0 && outcome.server.is_none(), "{outcome:?}");
    // One that was never there is a mistake, said before the run.
    assert!(matches!(run(&plan), Err(Error::Watch { .. })));
}

#[test]
fn bodies_until_close_and_changing_dates_are_counted() {
    let (address, _) = serve(|_| Act::ReplyAndClose("HTTP/1.0 200 OK\r\n\r\nVrypt".to_owned()));
    let mut until_close = plan(address, 50);
    until_close.requests[0].expect.body = Some(b"Vrypt".to_vec());
    assert_clean(&run(&until_close).unwrap(), 50);
    let (address, _) = serve(|index| {
        let head = format!("HTTP/1.1 200 OK\r\nDate: {index}\r\nTransfer-Encoding: chunked\r\n");
        Act::Reply(head + "\r\n5\r\nVrypt\r\n0\r\n\r\n")
    });
    let mut chunked = plan(address, 500);
    chunked.requests[0].expect.body = Some(b"Vrypt".to_vec());
    assert_clean(&run(&chunked).unwrap(), 500);
}

#[test]
fn an_early_close_is_a_fault_and_nothing_is_sent_twice() {
    let (address, seen) = serve(|index| if index == 2 { Act::Close } else { plain() });
    let outcome = run(&plan(address, 30)).unwrap();
    let faults = outcome.faults;
    assert_eq!(outcome.answered + faults.total(), 30, "{outcome:?}");
    assert_eq!(faults.total(), faults.closed_early + faults.resets, "{outcome:?}");
    assert!(faults.total() >= 8, "{outcome:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 30);
}

#[test]
fn silence_is_a_timeout_and_the_run_ends() {
    let (address, _) = serve(|_| Act::Ignore);
    let timeouts = Timeouts { response: Duration::from_millis(300), ..Timeouts::default() };
    let outcome = run(&Plan { timeouts, ..plan(address, 8) }).unwrap();
    assert_eq!(outcome.faults, Faults { timeouts: 8, ..Faults::default() }, "{outcome:?}");
    assert_eq!(outcome.answered, 0);
}

#[test]
fn wrong_answers_are_counted_apart() {
    let (address, _) = serve(|index| match index {
        0 => Act::Reply(PLAIN.replace("200 OK", "503 No")),
        1 => Act::Reply(PLAIN.replace("Vrypt", "Other")),
        _ => plain(),
    });
    let mut plan = plan(address, 100);
    plan.connections = 1;
    plan.requests[0].expect =
        Expect { status: Some(200), body: Some(b"Vrypt".to_vec()), ..Expect::default() };
    let outcome = run(&plan).unwrap();
    let expected = Faults { wrong_status: 1, wrong_body: 1, ..Faults::default() };
    assert_eq!(outcome.faults, expected, "{outcome:?}");
    assert_eq!(outcome.answered, 100);
}

#[test]
fn large_bodies_are_counted_to_the_last_byte_without_being_read() {
    let reply = |length: usize| {
        let body = "b".repeat(length);
        Act::Reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    let (address, _) = serve(move |index| reply(if index == 3 { 3_000_001 } else { 3_000_000 }));
    let mut plan = plan(address, 8);
    plan.connections = 1;
    plan.requests[0].expect = Expect { length: Some(3_000_000), ..Expect::default() };
    for pipeline in [1, 2] {
        let outcome = run(&Plan { pipeline, ..plan.clone() }).unwrap();
        let expected = Faults { wrong_body: 1, ..Faults::default() };
        assert_eq!(outcome.faults, expected, "{outcome:?}");
        assert_eq!(outcome.answered, 8);
    }
    let (address, _) = serve(move |_| match reply(3_000_000) {
        Act::Reply(text) => Act::ReplyAndClose(text[..2_000_000].to_owned()),
        other => other,
    });
    let outcome = run(&Plan { targets: vec![address], stop: Stop::Requests(1), ..plan }).unwrap();
    assert_eq!((outcome.answered, outcome.faults.closed_early), (0, 1), "{outcome:?}");
}

#[test]
fn answers_to_nothing_and_nonsense_are_malformed() {
    let (address, _) = serve(|_| Act::Reply(PLAIN.repeat(2)));
    assert!(run(&plan(address, 4)).unwrap().faults.malformed > 0);
    let (address, _) = serve(|_| Act::Reply("nonsense\r\n\r\n".to_owned()));
    let outcome = run(&plan(address, 4)).unwrap();
    assert_eq!(outcome.faults, Faults { malformed: 4, ..Faults::default() }, "{outcome:?}");
}

#[test]
fn a_server_that_does_not_close_when_asked_is_noticed() {
    let (address, _) = serve(|_| plain());
    let request = Request::new("GET", "/", "a", &[("Connection", "close")], b"").unwrap();
    let outcome =
        run(&Plan { requests: vec![Weighted::new("", request)], ..plan(address, 4) }).unwrap();
    assert_eq!(outcome.answered, 4);
    let mut timed = Plan { stop: Stop::After(Duration::from_secs(1)), ..plan(address, 1) };
    let request = Request::new("GET", "/", "a", &[("Connection", "close")], b"").unwrap();
    timed.requests = vec![Weighted::new("", request)];
    timed.warm_up = Duration::ZERO;
    assert!(run(&timed).unwrap().faults.kept_open >= 4);
}

#[test]
fn held_connections_have_one_response_each() {
    let (address, seen) = serve(|_| plain());
    let mut plan = plan(address, 1);
    plan.connections = 100;
    let mut held = Held::open(&plan).unwrap();
    assert_eq!((held.open_count().unwrap(), held.faults().total()), (100, 0));
    assert_eq!(seen.load(Ordering::SeqCst), 100);
    let (address, _) = serve(|_| Act::ReplyAndClose(PLAIN.to_owned()));
    plan.targets = vec![address];
    let mut held = Held::open(&plan).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(held.open_count().unwrap(), 0);
}

#[test]
fn a_run_that_cannot_start_says_why() {
    // Nobody listens on port 1 (tcpmux), and it is no ephemeral port.
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(matches!(run(&plan(address, 1)), Err(Error::Unreachable { .. })));
    for broken in [
        Plan { connections: 0, ..plan(address, 1) },
        Plan { pipeline: 0, ..plan(address, 1) },
        Plan { threads: 5, ..plan(address, 1) },
        Plan { targets: Vec::new(), ..plan(address, 1) },
        plan(address, 0),
    ] {
        assert!(matches!(run(&broken), Err(Error::Range { .. })), "{broken:?}");
    }
    let (address, _) = serve(|_| plain());
    let mut watching = plan(address, 1);
    watching.watch = Some(1 << 23);
    assert!(matches!(run(&watching), Err(Error::Watch { .. })));
}
