//! Deadlines, exactly: virtual time passes only when something is due.

use corelane_eventloop::{End, Nanos};
use corelane_http::HttpConfig;

use crate::rig::{GET, Rig, statuses};

/// Deadlines are rounded up to ticks of 2²⁰ ns and fire in the tick after; the test looks every
/// millisecond.
const SLACK: Nanos = Nanos::from_millis(4);

/// Time from now until the connection ends must be this.
#[track_caller]
fn ends_after(rig: &mut Rig, client: corelane_eventloop::ClientId, limit: Nanos) {
    let took = rig.until_end(client);
    assert!(took >= limit && took <= limit + SLACK, "{took:?} instead of {limit:?}");
    assert_eq!(rig.world.end(client), Some(End::Closed));
}

#[test]
fn an_idle_connection_ends_quietly() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    ends_after(&mut rig, client, Nanos::from_secs(60));
    assert_eq!(rig.received(client), "");
}

#[test]
fn each_answer_begins_the_idle_time_anew() {
    let config = HttpConfig { idle_time: Nanos::from_secs(5), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let client = rig.connect();
    for _ in 0..5 {
        rig.pass(Nanos::from_secs(4));
        rig.world.send(client, GET);
    }
    ends_after(&mut rig, client, Nanos::from_secs(5));
    assert_eq!(statuses(&rig.received(client)), [200; 5]);
}

/// Some clients send an empty line behind a body: no request has begun that could be late.
#[test]
fn an_empty_line_leaves_a_connection_idle() {
    for cut in 0..=2 {
        let mut rig = Rig::calm(HttpConfig::default());
        let client = rig.connect();
        let request = b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi\r\n";
        let (now, later) = request.split_at(request.len() - cut);
        rig.world.send(client, now);
        rig.pass(Nanos::from_secs(1));
        rig.world.send(client, later);
        ends_after(&mut rig, client, Nanos::from_secs(59));
        assert_eq!(statuses(&rig.received(client)), [200]);
    }
}

#[test]
fn a_head_has_its_time_from_its_first_byte() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, GET);
    rig.pass(Nanos::from_secs(30));
    rig.world.send(client, b"G");
    for _ in 0..9 {
        rig.pass(Nanos::from_secs(1));
        // A byte now and then does not win time.
        rig.world.send(client, b"E");
    }
    ends_after(&mut rig, client, Nanos::from_secs(1));
    let answer = rig.received(client);
    assert_eq!(statuses(&answer), [200, 408]);
    assert!(answer.contains("head-timeout"), "{answer}");
    assert_eq!(rig.counter("corelane_http_refusals_total", &[("rule", "head-timeout")]), 1);
}

/// A body that has begun.
fn begin_body(rig: &mut Rig) -> corelane_eventloop::ClientId {
    let client = rig.connect();
    rig.world.send(client, b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n");
    rig.pass(Nanos::from_secs(9));
    rig.world.send(client, b"\r\n");
    rig.pass(Nanos::from_millis(1));
    client
}

#[test]
fn a_body_that_does_not_come_has_its_grace() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = begin_body(&mut rig);
    ends_after(&mut rig, client, Nanos::from_millis(4_999));
    let answer = rig.received(client);
    assert_eq!(statuses(&answer), [408]);
    assert!(answer.contains("body-timeout"), "{answer}");
    assert_eq!(rig.counter("corelane_http_refusals_total", &[("rule", "body-timeout")]), 1);
}

#[test]
fn a_byte_now_and_then_wins_no_time() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = begin_body(&mut rig);
    // 239 bytes a second are less than 240: the grace is spent a little slower.
    for _ in 0..400 {
        rig.world.send(client, &[b'x'; 239]);
        rig.pass(Nanos::from_secs(1));
    }
    assert_eq!(rig.received(client), "", "5 s of grace would last for 1,200 s");
    for _ in 0..8 {
        rig.world.send(client, b"x");
        rig.pass(Nanos::from_secs(1));
    }
    assert_eq!(statuses(&rig.received(client)), [408]);
}

#[test]
fn a_body_at_its_rate_may_take_for_ever() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = begin_body(&mut rig);
    for _ in 0..400 {
        rig.world.send(client, &[b'x'; 250]);
        rig.pass(Nanos::from_secs(1));
    }
    assert_eq!(statuses(&rig.received(client)), [200]);
    // The pace of the body no longer counts.
    ends_after(&mut rig, client, Nanos::from_secs(59));
}

#[test]
fn a_body_that_was_fast_may_pause() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = begin_body(&mut rig);
    rig.world.send(client, &[b'x'; 90_000]);
    rig.pass(Nanos::from_secs(29));
    rig.world.send(client, &[b'x'; 240]);
    rig.pass(Nanos::from_millis(1));
    ends_after(&mut rig, client, Nanos::from_millis(1_999));
    assert_eq!(statuses(&rig.received(client)), [408]);
}

#[test]
fn without_a_rate_a_body_has_any_time() {
    let mut rig = Rig::calm(HttpConfig { body_rate: 0, ..HttpConfig::default() });
    let client = begin_body(&mut rig);
    rig.pass(Nanos::from_secs(10_000));
    rig.world.send(client, &[b'x'; 100_000]);
    rig.pass(Nanos::from_millis(1));
    assert_eq!(statuses(&rig.received(client)), [200]);
}

#[test]
fn a_connection_of_age_ends_between_requests() {
    let config = HttpConfig { age_max: Some(Nanos::from_secs(20)), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let [idle, busy] = [(); 2].map(|()| rig.connect());
    for client in [idle, busy] {
        rig.world.send(client, GET);
    }
    rig.pass(Nanos::from_secs(19));
    rig.world.send(busy, &GET[..10]);
    rig.pass(Nanos::from_millis(1_010));
    assert_eq!(rig.world.end(idle), Some(End::Closed));
    assert_eq!(rig.world.end(busy), None, "a request is under way");
    rig.world.send(busy, &GET[10..]);
    rig.pass(Nanos::from_millis(10));
    assert_eq!(rig.world.end(busy), Some(End::Closed));
    let answer = rig.received(busy);
    assert_eq!(statuses(&answer), [200, 200]);
    assert_eq!(answer.matches("Connection: close\r\n").count(), 1);
}

#[test]
fn whoever_is_cut_short_is_counted_once_and_by_what_it_waited_for() {
    let aged = HttpConfig { age_max: Some(Nanos::from_secs(20)), ..HttpConfig::default() };
    let head = "PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n";
    let cases = [
        ("idle", HttpConfig::default(), "", 60),
        ("idle", HttpConfig::default(), "GET /get HTTP/1.1\r\nHost: test\r\n\r\n", 60),
        ("age", aged.clone(), "", 20),
        ("age", aged, "GET /get HTTP/1.1\r\nHost: test\r\n\r\n", 20),
        ("head", HttpConfig::default(), "G", 10),
        ("body", HttpConfig::default(), head, 5),
    ];
    for (kind, config, bytes, seconds) in cases {
        let mut rig = Rig::calm(config);
        let client = rig.connect();
        rig.world.send(client, bytes.as_bytes());
        ends_after(&mut rig, client, Nanos::from_secs(seconds));
        assert_eq!(rig.timeouts(), [(kind.to_owned(), 1)]);
    }
}

#[test]
fn whoever_does_not_read_is_counted_once() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.set_reading(client, false);
    rig.world.set_send_buffer(client, 4096);
    rig.world.send(client, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.pass(Nanos::from_secs(200));
    assert_eq!(rig.lane.len(), 0);
    assert_eq!(rig.timeouts(), [("slow_reader".to_owned(), 1)]);
    assert_eq!(rig.counter("corelane_http_unsent_total", &[]), 1);
}

#[test]
fn age_does_not_keep_a_lane_awake() {
    let config = HttpConfig { age_max: Some(Nanos::from_secs(1)), ..HttpConfig::default() };
    let mut rig = Rig::calm(config);
    let client = rig.connect();
    rig.world.set_reading(client, false);
    rig.world.set_send_buffer(client, 4096);
    rig.world.send(client, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.pass(Nanos::from_millis(4_900));
    assert_eq!(rig.world.end(client), None, "it has the grace of a reader");
    assert!(rig.lane.stats().timers <= 2, "{} timers", rig.lane.stats().timers);
    rig.world.set_reading(client, true);
    rig.pass(Nanos::from_millis(100));
    assert_eq!(rig.world.end(client), Some(End::Closed));
    assert_eq!(rig.received(client).matches('x').count(), 50_000);
}

#[test]
fn what_comes_with_the_head_counts() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    let mut bytes = b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[b'x'; 2400]);
    rig.world.send(client, &bytes);
    rig.pass(Nanos::from_millis(1));
    ends_after(&mut rig, client, Nanos::from_millis(14_999));
}
