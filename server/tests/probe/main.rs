//! The case lists of public conformance suites, run against the example `probe_target` over real
//! sockets, and judged as the suites judge.
//!
//! What comes out is the table of docs/CONFORMANCE.md; these tests fail if the page says otherwise.
//! `CORELANE_BLESS=1 cargo test -p corelane --test probe` writes the tables anew.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod case;
mod client;
mod compliance;
mod h1spec;
mod malformed;
mod page;
mod semantics;
mod smuggling;
#[allow(dead_code, unreachable_pub, reason = "it is a program of its own")]
#[path = "../../examples/probe_target.rs"]
mod target;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use corelane::supervisor::{Plan, Server};
use corelane_eventloop::Nanos;

use case::{Case, Verdict};
use client::{Outcome, run};
use page::{Page, Row};

/// Cases that run at once.
const WORKERS: usize = 16;

/// The target on a port of its own, and with one loop, so that it looks at connections in turn.
fn start() -> (Server, SocketAddr) {
    let mut plan = Plan::new(["127.0.0.1:0".parse().unwrap()]);
    plan.lanes = 1;
    plan.cores.clear();
    let server = target::serve(plan).unwrap();
    let address = server.addresses()[0].tcp().unwrap();
    (server, address)
}

/// Runs all cases, in any order; the rows are in theirs.
fn run_all(cases: &[Case]) -> Vec<Row> {
    let (server, address) = start();
    let next = Mutex::new(cases.iter().enumerate());
    let work = || {
        let mut done: Vec<(usize, Outcome)> = Vec::new();
        loop {
            let taken = next.lock().unwrap().next();
            let Some((index, case)) = taken else { return done };
            done.push((index, run(case, address)));
        }
    };
    let mut outcomes: Vec<(usize, Outcome)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    server.stop(Nanos::from_secs(1));
    server.join().unwrap();
    outcomes.sort_by_key(|(index, _)| *index);
    cases.iter().zip(&outcomes).map(|(case, (_, outcome))| Row::new(case, outcome)).collect()
}

fn check_ids(cases: &[Case]) {
    let mut known = HashSet::new();
    for case in cases {
        assert!(known.insert(case.id), "{} is there twice", case.id);
    }
}

fn failed(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .filter(|row| row.verdict == Verdict::Fail)
        .map(|row| format!("{}: {}", row.id, row.answer))
        .collect()
}

#[test]
fn http11probe_finds_no_violation_and_the_page_says_what_it_finds() {
    let suites = [compliance::cases(), smuggling::cases(), malformed::cases(), semantics::cases()];
    let cases: Vec<Case> = suites.into_iter().flatten().collect();
    check_ids(&cases);
    let scored = cases.iter().filter(|case| case.scored).count();
    assert_eq!((cases.len(), scored), (215, 161), "the suite's own counts");

    let rows = run_all(&cases);
    let mut page = Page::read();
    page.check("http11probe", &rows);
    assert_eq!(failed(&rows), [] as [String; 0]);
    let passed = |row: &&Row| row.scored && row.verdict == Verdict::Pass;
    let passed = rows.iter().filter(passed).count();
    assert!(passed >= 157, "{passed} of {scored} pass");
    page.explains(&rows);
}

#[test]
fn h1spec_finds_no_violation_and_the_page_says_what_it_finds() {
    let cases = h1spec::cases();
    check_ids(&cases);
    assert_eq!(cases.len(), 33, "the list's own count");

    let rows = run_all(&cases);
    Page::read().check("h1spec", &rows);
    assert_eq!(failed(&rows), [] as [String; 0]);
}

/// The judge must be able to fail, or nothing above means anything.
#[test]
fn wrong_answers_are_found() {
    let (server, address) = start();
    let verdict = |case: Case| case.judge(&run(&case, address));
    let sound = || case::must("sound", "-", case::get(""));
    assert_eq!(verdict(sound().pass("400")), Verdict::Fail);
    assert_eq!(verdict(sound().pass("2xx+closed")), Verdict::Fail);
    assert_eq!(verdict(sound().pass("close wait")), Verdict::Fail);
    assert_eq!(verdict(sound().pass("2xx!200").warn("any")), Verdict::Warn);
    assert_eq!(verdict(sound().pass("2xx+has").texts(&["no such text"])), Verdict::Fail);
    assert_eq!(verdict(sound().then(case::get("")).pass("2xx+then400")), Verdict::Fail);
    assert_eq!(verdict(sound().then(case::get("")).pass("2xx+then2xx")), Verdict::Pass);
    // Two requests where one was meant.
    let two = [case::get(""), case::get("")].concat();
    assert_eq!(verdict(case::must("two", "-", two).pass("2xx+single")), Verdict::Fail);
    // An answer before its time is not taken for waiting.
    let early = case::must("early", "-", case::get("")).pass("wait").rest(case::get(""));
    assert_eq!(verdict(early), Verdict::Fail);
    server.stop(Nanos::from_secs(1));
    server.join().unwrap();
}
