//! A server that stops: idle connections end at once, others after their answer.

use corelane_eventloop::{End, Nanos};
use corelane_http::HttpConfig;

use crate::rig::{GET, Rig, statuses};

#[test]
fn idle_connections_end_and_busy_ones_finish() {
    let mut rig = Rig::calm(HttpConfig::default());
    let [fresh, idle, head, body] = [(); 4].map(|()| rig.connect());
    rig.world.send(idle, GET);
    rig.world.send(head, b"GET /head HTTP/1.1\r\nHo");
    rig.world.send(body, b"PUT /body HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1");
    rig.pass(Nanos::from_secs(1));

    rig.lane.handle().stop(Nanos::from_secs(30));
    rig.pass(Nanos::from_secs(1));
    let ends = [fresh, idle, head, body].map(|client| rig.world.end(client));
    assert_eq!(ends, [Some(End::Closed), Some(End::Closed), None, None]);
    assert_eq!(rig.received(fresh), "");

    rig.world.send(head, b"st: test\r\n\r\n");
    rig.world.send(body, b"2");
    rig.pass(Nanos::from_secs(1));
    for client in [head, body] {
        assert_eq!(rig.world.end(client), Some(End::Closed));
        let answer = rig.received(client);
        assert_eq!(statuses(&answer), [200]);
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
    }
    // They may have sent more before they knew: that is discarded for a while.
    assert!(!rig.lane.is_finished());
    rig.pass(Nanos::from_secs(2));
    assert!(rig.lane.is_finished());
}

#[test]
fn what_is_not_done_in_time_is_cut() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.world.send(client, b"PUT /body HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1");
    rig.pass(Nanos::from_secs(1));
    rig.lane.handle().stop(Nanos::from_secs(3));
    rig.pass(Nanos::from_millis(2900));
    assert!(!rig.lane.is_finished());
    rig.pass(Nanos::from_millis(200));
    assert!(rig.lane.is_finished());
    assert!(rig.world.end(client).is_some());
    assert_eq!(rig.received(client), "");
}

#[test]
fn a_slow_reader_gets_the_whole_answer() {
    let mut rig = Rig::calm(HttpConfig::default());
    let client = rig.connect();
    rig.pass(Nanos::from_millis(1));
    rig.world.set_reading(client, false);
    rig.world.send(client, &b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n".repeat(4));
    rig.pass(Nanos::from_secs(1));
    rig.lane.handle().stop(Nanos::from_secs(600));
    // Less than the grace that a lane gives those who do not read.
    rig.pass(Nanos::from_secs(3));
    assert!(!rig.lane.is_finished());
    rig.world.set_reading(client, true);
    rig.pass(Nanos::from_secs(1));
    assert_eq!(rig.world.end(client), Some(End::Closed));
    // How many were begun before the stop depends on room; those that were are complete.
    let answer = rig.received(client);
    let count = statuses(&answer).len();
    assert!(count >= 1);
    assert_eq!(answer.matches('x').count(), count * 50_000 + answer.matches("text").count());
}
