//! Clients that take their time, many at once, while a well-behaved one wants to be served.
//!
//! No RFC says how patient a server must be, so all rules are policy: every slow client is closed within
//! the patience asked for, and the well-behaved one notices nothing.

mod client;
mod probe;

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};

use self::client::{Client, Kind};
use self::probe::Probe;
use super::report::{Finding, Grade};
use super::target::Target;

/// How often each client is looked after, so that a drip of one byte per second is about that.
const TICK: Duration = Duration::from_millis(50);
/// How long a client that is still open at the end is read from, since the end of a connection may stand
/// behind what was never read.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Plays all slow clients at once, `count` of each kind, for `patience` at most.
pub(crate) fn check(target: &Target, count: usize, patience: Duration) -> Vec<Finding> {
    let idle = match Probe::measure(target, Duration::from_millis(500)) {
        Ok(latencies) => latencies,
        Err(error) => return vec![probe_finding(Grade::Violation, error)],
    };
    let probe = Probe::start(target.clone());
    let clients = play(target, count, patience);
    let busy = probe.stop();
    let (grade, got) = probe::judge(&idle, &busy);
    let mut findings: Vec<Finding> =
        Kind::ALL.iter().map(|kind| finding(*kind, &clients)).collect();
    findings.push(probe_finding(grade, got));
    findings
}

fn probe_finding(grade: Grade, got: String) -> Finding {
    let sent = "GET every 20 ms, by turns on a new connection";
    Finding { id: "others-served", rule: "policy", sent, got, grade }
}

fn play(target: &Target, count: usize, patience: Duration) -> Vec<Client> {
    let kinds = Kind::ALL.iter().flat_map(|kind| {
        // Both kinds of readers together are as many as the heads, or the bodies.
        let count = if kind.reads() { count.div_ceil(2) } else { count };
        std::iter::repeat_n(*kind, count)
    });
    let mut clients: Vec<Client> = kinds.map(|kind| Client::open(kind, target)).collect();
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline && clients.iter().any(Client::is_open) {
        wait(&clients, false);
        let now = Instant::now();
        clients.iter_mut().filter(|client| client.is_open()).for_each(|client| client.act(now));
    }
    let drained = Instant::now() + DRAIN_TIME_MAX;
    while Instant::now() < drained && clients.iter().any(Client::is_open) {
        wait(&clients, true);
        clients.iter_mut().filter(|client| client.is_open()).for_each(Client::drain);
    }
    clients
}

/// Waits until something happens to an open client, or for a tick.
fn wait(clients: &[Client], draining: bool) {
    let open = clients.iter().filter(|client| client.is_open());
    let mut polled: Vec<PollFd<'_>> = open.filter_map(|client| client.poll_fd(draining)).collect();
    // Woken early or by a signal, it only looks after the clients sooner.
    let _ = poll(&mut polled, Timespec::try_from(TICK).ok().as_ref());
    // What is ready need not be taken at once: a busy loop would starve the probe.
    std::thread::sleep(Duration::from_millis(1));
}

fn finding(kind: Kind, clients: &[Client]) -> Finding {
    let mine: Vec<&Client> = clients.iter().filter(|client| client.kind == kind).collect();
    let mut times: Vec<Duration> = mine.iter().filter_map(|client| client.lived()).collect();
    times.sort();
    let mut got = format!("{} of {} closed", times.len(), mine.len());
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        got += &format!(" after {:.1} to {:.1} s", first.as_secs_f64(), last.as_secs_f64());
    }
    if let Some(failure) = mine.iter().find_map(|client| client.failure.as_deref()) {
        got += ": ";
        got += failure;
    }
    let told = mine.iter().filter(|client| client.status == Some(408)).count();
    if told > 0 {
        got += &format!(", {told} with 408");
    }
    let hidden = mine.iter().filter(|client| client.hidden).count();
    if hidden > 0 {
        got += &format!(", {hidden} of them behind unread answers");
    }
    let grade = if times.len() == mine.len() { Grade::Ok } else { Grade::Violation };
    Finding { id: kind.id(), rule: "policy", sent: kind.sent(), got, grade }
}
