//! How connections come to loops.

use crate::admin::Status;
use crate::client::{Client, GET};
use crate::process::{Program, wait_until};

const CLIENTS: u64 = 40;

/// Has clients served by two loops and returns how many connections each loop got.
fn spread(mode: &str) -> Vec<u64> {
    let program = Program::fixed(&["--workers", "2", "--accept", mode, "--admin", "127.0.0.1:0"]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| program.connect()).collect();
    for client in &mut clients {
        client.send(GET.repeat(3));
    }
    for client in &mut clients {
        for _ in 0..3 {
            assert_eq!(client.response().text(), "Vrypt", "{mode}");
        }
    }
    // Loops publish after the answers have left.
    wait_until("all are counted", || {
        let status = Status::of(&program);
        status.accepted().iter().sum::<u64>() == CLIENTS && status.open() == CLIENTS
    });
    let status = Status::of(&program);
    assert_eq!(status.requests(), 3 * CLIENTS);
    let accepted = status.accepted();
    assert_eq!(accepted.iter().sum::<u64>(), CLIENTS, "{mode}: {accepted:?}");
    drop(clients);
    wait_until("all places are given back", || Status::of(&program).open() == 0);
    program.stop();
    accepted
}

#[test]
fn reuseport_leaves_it_to_the_kernel() {
    let accepted = spread("reuseport");
    assert!(accepted.iter().all(|&n| n > 0), "{accepted:?}");
}

#[test]
fn hash_keeps_one_address_on_one_loop() {
    let mut accepted = spread("hash");
    accepted.sort_unstable();
    assert_eq!(accepted, [0, CLIENTS]);
}

#[test]
fn hash_port_spreads_one_address() {
    let accepted = spread("hash-port");
    assert!(accepted.iter().all(|&n| n > 0), "{accepted:?}");
}

#[test]
fn round_robin_deals_evenly() {
    assert_eq!(spread("round-robin"), [CLIENTS / 2, CLIENTS / 2]);
}

#[test]
fn least_connections_deals_evenly_while_nobody_leaves() {
    assert_eq!(spread("least"), [CLIENTS / 2, CLIENTS / 2]);
}

#[test]
fn connections_beyond_the_limit_wait_or_are_shed() {
    for mode in ["reuseport", "round-robin"] {
        let program = Program::fixed(&["--max-connections", "1", "--accept", mode]);
        let mut first = program.connect();
        assert_eq!(first.ask(GET).status, 200);
        let mut second = program.connect();
        second.send(GET);
        drop(first);
        assert_eq!(second.response().status, 200, "{mode}: it waited in the queue");
        drop(second);
        program.terminate();
        let stderr = program.wait().stderr;
        let told = stderr.matches("as many connections as may be are open").count();
        assert_eq!(told, 1, "{mode}: said once, not each time: {stderr}");

        let args = ["--max-connections", "1", "--overload", "shed", "--accept", mode];
        let program = Program::fixed(&args);
        let mut first = program.connect();
        assert_eq!(first.ask(GET).status, 200);
        let mut shed = program.connect();
        shed.send(GET);
        assert_eq!(shed.rest(), b"", "{mode}: shed");
        assert_eq!(first.ask(GET).status, 200, "{mode}: the first one stays");
        program.stop();
    }
}

/// A client that says something at once: the kernel may keep silent ones. It may be turned away by then.
fn comes(program: &Program) -> Client {
    let mut client = program.connect();
    let _ = std::io::Write::write_all(&mut client.stream, GET);
    client
}

#[test]
fn who_was_turned_away_is_counted_in_every_mode() {
    for mode in ["reuseport", "hash", "hash-port", "round-robin", "least"] {
        let start = |further: &[&str]| {
            let mut args = vec!["--admin", "127.0.0.1:0", "--accept", mode];
            args.extend(further);
            Program::fixed(&args)
        };
        let count = |program: &Program, name: &str, reason| {
            Status::of(program).counter(name, &[("reason", reason)])
        };
        let refused = "corelane_connections_refused_total";
        for (limit, reason) in
            [(["--max-connections", "1"], "connections"), (["--accept-rate", "1"], "rate")]
        {
            let program = start(&[&limit[..], &["--overload", "shed"]].concat());
            let mut clients = Vec::new();
            wait_until("one is turned away", || {
                clients.push(comes(&program));
                count(&program, refused, reason) > 0
            });
            let accepted = || Status::of(&program).accepted().iter().sum::<u64>();
            wait_until("all are counted", || {
                accepted() + count(&program, refused, reason) == clients.len() as u64
            });
            for other in ["connections", "rate", "loop_full", "protocol"] {
                let none = count(&program, refused, other) == 0;
                assert_eq!(none, other != reason, "{mode}: {other}");
            }
            let line = format!("{refused}{{reason=\"{reason}\"}} ");
            let metrics = program.admin().get("/metrics");
            let told = metrics.text().lines().find_map(|told| told.strip_prefix(&line));
            assert_ne!(told, Some("0"), "{mode}");
            assert!(told.is_some(), "{mode}");
            program.stop();
        }
        let program = start(&["--max-connections", "1"]);
        let mut first = program.connect();
        assert_eq!(first.ask(GET).status, 200);
        let _waits = comes(&program);
        let pauses = "corelane_accept_pauses_total";
        wait_until("the pause is counted", || count(&program, pauses, "connections") > 0);
        assert_eq!(count(&program, refused, "connections"), 0, "{mode}");
        drop(first);
        program.stop();
    }
}
