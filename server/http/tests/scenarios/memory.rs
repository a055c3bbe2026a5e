//! Clients that want to be remembered: what they cost, and what becomes of them when memory is short.

use corelane_eventloop::{ClientId, Closed, End, Nanos};
use corelane_http::HttpConfig;

use crate::rig::{GET, Rig, statuses};

const KIB: usize = 1024;

/// A client with so many bytes of a head.
fn partial_head(rig: &mut Rig, bytes: usize) -> ClientId {
    let client = rig.connect();
    let mut head = GET[..GET.len() - 2].to_vec();
    while head.len() < bytes {
        head.extend_from_slice(b"X: ");
        let value = (bytes - head.len()).min(8000);
        head.resize(head.len() + value, b'x');
        head.extend_from_slice(b"\r\n");
    }
    rig.world.send(client, &head);
    rig.pass(Nanos::from_millis(1));
    client
}

#[test]
fn a_partial_head_costs_what_it_holds() {
    let mut rig = Rig::calm(HttpConfig::default());
    for count in 1..=10 {
        partial_head(&mut rig, 200);
        let lent = rig.lane.pool().stats().lent_bytes;
        assert!(lent <= count * KIB, "{lent} by {count}");
    }
}

#[test]
fn who_pipelines_and_never_reads_costs_64_kib_at_most() {
    for request in
        [GET, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n", b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"]
    {
        let mut rig = Rig::calm(HttpConfig::default());
        let client = rig.connect();
        rig.world.set_reading(client, false);
        let mut most = 0;
        for _ in 0..100 {
            rig.world.send(client, &request.repeat(200));
            rig.pass(Nanos::from_millis(10));
            most = most.max(rig.lane.pool().stats().lent_bytes);
        }
        assert!(rig.lane.pool().stats().lent_bytes > 0, "it holds something");
        assert!(most <= 64 * KIB, "{most}");
        rig.until_end(client);
        assert_eq!(rig.lane.stats().closed[Closed::SlowReader.index()], 1);
    }
}

#[test]
fn the_costliest_get_a_503_and_everyone_else_is_served() {
    let mut rig = Rig::short_of_memory(1024 * KIB);
    let small = partial_head(&mut rig, 200);
    let large: Vec<ClientId> = (0..28).map(|_| partial_head(&mut rig, 20_000)).collect();
    rig.pass(Nanos::from_millis(100));
    let mut told = 0;
    for &client in &large {
        let text = rig.received(client);
        if text.is_empty() {
            rig.world.send(client, b"\r\n");
            rig.pass(Nanos::from_millis(1));
            assert_eq!(statuses(&rig.received(client)), [200]);
        } else {
            assert_eq!(statuses(&text), [503], "{text}");
            assert!(text.contains("Connection: close\r\n") && text.contains("Retry-After: 1\r\n"));
            told += 1;
        }
    }
    assert!(told > 0 && told < 10, "{told} of 28");
    assert_eq!(rig.lane.stats().shed, told);
    assert_eq!(rig.counter("corelane_http_refusals_total", &[("rule", "memory")]), told);
    assert_eq!(
        statuses(&rig.received(*large.last().unwrap())),
        [503],
        "the newest of equals first"
    );
    rig.world.send(small, b"\r\n");
    rig.pass(Nanos::from_millis(1));
    assert_eq!(statuses(&rig.received(small)), [200]);
}

/// A flood comes faster than memory is freed: what is left must do for those who hold nothing.
#[test]
fn a_flood_of_heads_costs_nobody_else_an_answer() {
    let mut rig = Rig::short_of_memory(256 * KIB);
    let head = [&GET[..GET.len() - 2], b"X: ", &[b'x'; 12_000]].concat();
    for _ in 0..50 {
        // All in one turn, the flood first.
        let flood = [(); 40].map(|()| rig.connect());
        let friend = rig.connect();
        for client in flood {
            rig.world.send(client, &head);
        }
        rig.world.send(friend, GET);
        rig.pass(Nanos::from_millis(1));
        assert_eq!(statuses(&rig.received(friend)), [200]);
        rig.world.finish(friend);
    }
}

/// While it is not read, because answers wait for its client, a request cannot be late.
#[test]
fn a_request_that_is_not_read_is_not_late() {
    let config = HttpConfig {
        head_time: Nanos::from_secs(1),
        body_grace: Nanos::from_secs(1),
        ..HttpConfig::default()
    };
    let put = b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 50000\r\n\r\n";
    for (last, rest) in [(&GET[..20], &GET[20..]), (&put[..], &[b'x'; 50_000][..])] {
        let mut rig = Rig::calm(config.clone());
        let client = rig.connect();
        rig.world.set_reading(client, false);
        rig.world.set_send_buffer(client, 4 * KIB);
        let before = b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n";
        rig.world.send(client, &[before, last].concat());
        rig.pass(Nanos::from_secs(4));
        assert_eq!(rig.world.end(client), None);
        rig.world.set_reading(client, true);
        rig.pass(Nanos::from_millis(100));
        for piece in rest.chunks(rest.len() / 2) {
            rig.world.send(client, piece);
            rig.pass(Nanos::from_millis(100));
        }
        assert_eq!(statuses(&rig.received(client)), [200, 200]);
        rig.world.finish(client);
        rig.pass(Nanos::from_millis(100));
        assert_eq!(rig.world.end(client), Some(End::Closed));
    }
}

/// Nor is a connection idle of which the next request waits to be read.
#[test]
fn a_connection_that_is_not_read_is_not_idle() {
    let config = HttpConfig { idle_time: Nanos::from_secs(5), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let client = rig.connect();
    rig.world.set_pace(client, 500, Nanos::from_millis(250));
    rig.world.set_send_buffer(client, 4 * KIB);
    rig.world.send(client, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.pass(Nanos::from_millis(10));
    rig.world.send(client, GET);
    rig.until_end(client);
    assert_eq!(statuses(&rig.received(client)), [200, 200]);
}
