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

#[test]
fn a_body_has_its_time_from_the_end_of_its_head() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n");
    rig.pass(Nanos::from_secs(9));
    rig.world.send(client, b"\r\n");
    for _ in 0..59 {
        rig.pass(Nanos::from_secs(1));
        rig.world.send(client, b"x");
    }
    ends_after(&mut rig, client, Nanos::from_secs(1));
    let answer = rig.received(client);
    assert_eq!(statuses(&answer), [408]);
    assert!(answer.contains("body-timeout"), "{answer}");
}

#[test]
fn a_body_in_time_is_answered() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1");
    rig.pass(Nanos::from_secs(59));
    rig.world.send(client, b"2");
    rig.pass(Nanos::from_millis(1));
    assert_eq!(statuses(&rig.received(client)), [200]);
    // The time of the body no longer counts.
    ends_after(&mut rig, client, Nanos::from_millis(59_999));
}
