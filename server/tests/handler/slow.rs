//! Receivers that do not keep up: what each policy makes of them, and that others do not notice.

use std::time::Duration;

use corelane::handler::SendError;
use corelane::handler::testing::{Simulator, Stage};
use corelane_eventloop::{End, Faults, LaneConfig, Nanos};

use crate::rooms::Rooms;

/// Messages of one moment, which a receiver that reads can take, and of all.
const ROUND: usize = 200;
const MESSAGES: usize = 10 * ROUND;

/// Two lanes, whose connections in turn are on one and the other, and no rule about slow readers.
fn stage() -> Simulator<Rooms> {
    let limits = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let names = crate::rooms::Names::default();
    Simulator::with(1, Faults::NONE, 2, limits, move || Rooms { names: names.clone() })
}

/// Has a client say so many messages, of which the first has this number.
fn say(stage: &mut Simulator<Rooms>, from: usize, policy: &str, first: usize, count: usize) {
    let mut words = Vec::new();
    for n in first..first + count {
        words.extend_from_slice(format!("say {policy} all {n:04} {:x>50}\n", "").as_bytes());
    }
    stage.send(from, &words);
}

/// How many messages a client has, and whether they are in order.
fn heard(stage: &Simulator<Rooms>, client: usize) -> Vec<usize> {
    let received = stage.world().received(stage.client(client));
    let text = String::from_utf8(received).unwrap();
    let numbers: Vec<usize> =
        text.lines().map(|line| line.split(' ').nth(3).unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "out of order");
    numbers
}

/// Memory of a lane's buffers that is in use.
fn lent(stage: &mut Simulator<Rooms>) -> usize {
    stage.lanes().map(|lane| lane.pool().stats().lent_bytes).sum()
}

/// A receiver on each lane that does not read, one that does, and a sender.
fn cast(stage: &mut Simulator<Rooms>) -> ([usize; 2], usize, usize) {
    let slow = [stage.connect(), stage.connect()];
    for client in slow {
        let id = stage.client(client);
        stage.world().set_send_buffer(id, 4096);
        stage.world().set_reading(id, false);
    }
    let (quick, sender) = (stage.connect(), stage.connect());
    (slow, quick, sender)
}

#[test]
fn who_is_slow_misses_messages_and_the_others_none() {
    let mut stage = stage();
    let (slow, quick, sender) = cast(&mut stage);
    for round in 0..10 {
        say(&mut stage, sender, "drop", round * ROUND, ROUND);
        stage.pass(Duration::from_millis(20));
    }
    assert_eq!(heard(&stage, quick).len(), MESSAGES);
    // Each holds its watermark of 16 KiB at most, in pages that may be half full.
    assert!(lent(&mut stage) <= 2 * 48 * 1024, "{} bytes", lent(&mut stage));
    let dropped = stage.count("messages_dropped");
    assert_eq!(stage.count("messages_delivered") + dropped, 3 * MESSAGES as u64);
    for client in slow {
        let id = stage.client(client);
        stage.world().set_reading(id, true);
    }
    stage.pass(Duration::from_secs(1));
    let got: usize = slow.iter().map(|client| heard(&stage, *client).len()).sum();
    assert_eq!(got as u64 + dropped, 2 * MESSAGES as u64);
    assert!(dropped > MESSAGES as u64, "only {dropped} were dropped");
    assert_eq!(lent(&mut stage), 0);
    // It has caught up, and hears what is said from now on.
    say(&mut stage, sender, "drop", MESSAGES, 1);
    stage.pass(Duration::from_millis(20));
    assert_eq!(stage.count("messages_dropped"), dropped);
}

#[test]
fn who_is_slow_is_disconnected() {
    let mut stage = stage();
    let (slow, quick, sender) = cast(&mut stage);
    for round in 0..10 {
        say(&mut stage, sender, "disconnect", round * ROUND, ROUND);
        stage.pass(Duration::from_millis(20));
    }
    assert_eq!(heard(&stage, quick).len(), MESSAGES);
    assert_eq!(stage.count("slow_disconnects"), 2);
    for client in slow {
        let id = stage.client(client);
        stage.world().set_reading(id, true);
        stage.pass(Duration::from_millis(10));
        assert_eq!(stage.world().end(id), Some(End::Reset));
    }
    assert_eq!(lent(&mut stage), 0);
}

#[test]
fn a_sender_waits_for_who_is_slow_but_not_for_ever() {
    let mut stage = stage();
    let (slow, quick, sender) = cast(&mut stage);
    let bytes = stage.world().received_len(stage.client(sender));
    assert_eq!(bytes, 0);
    for round in 0..10 {
        say(&mut stage, sender, "hold", round * ROUND, ROUND);
        stage.pass(Duration::from_millis(20));
    }
    // Held: the rest of what it says is not read.
    assert!(stage.count("senders_held") > 0);
    let before = stage.count("messages_received");
    assert!(before < MESSAGES as u64, "{before} were read");
    // Those who read bring it back: nothing was dropped.
    let now = stage.world().now();
    for client in slow {
        let id = stage.client(client);
        stage.world().set_reading(id, true);
    }
    stage.pass(Duration::from_millis(300));
    assert!(stage.world().now().since(now) < Nanos::from_secs(1));
    for client in [slow[0], slow[1], quick] {
        assert_eq!(heard(&stage, client).len(), MESSAGES);
    }
    // Those who never read hold it for a second, then miss what is too much.
    for client in slow {
        let id = stage.client(client);
        stage.world().set_reading(id, false);
    }
    for round in 10..20 {
        say(&mut stage, sender, "hold", round * ROUND, ROUND);
        stage.pass(Duration::from_millis(500));
    }
    assert_eq!(heard(&stage, quick).len(), 2 * MESSAGES);
    assert!(stage.count("messages_dropped") > 0);
    assert!(lent(&mut stage) <= 2 * 160 * 1024, "{} bytes", lent(&mut stage));
}

#[test]
fn a_receiver_that_held_a_sender_long_ago_does_not_release_it_from_another() {
    let mut stage = stage();
    let [early, late, sender] = [stage.connect(), stage.connect(), stage.connect()];
    let stops_reading = |stage: &mut Simulator<Rooms>, client: usize| {
        let id = stage.client(client);
        stage.world().set_send_buffer(id, 4096);
        stage.world().set_reading(id, false);
    };
    stops_reading(&mut stage, early);
    say(&mut stage, sender, "hold", 0, MESSAGES);
    stage.pass(Duration::from_millis(1500));
    assert_eq!(heard(&stage, late).len(), MESSAGES, "held for a second, and no longer");
    stops_reading(&mut stage, late);
    say(&mut stage, sender, "hold", MESSAGES, MESSAGES);
    stage.pass(Duration::from_millis(100));
    let before = stage.count("messages_received");
    assert!(before < 2 * MESSAGES as u64, "nobody holds it");
    let id = stage.client(early);
    stage.world().set_reading(id, true);
    stage.pass(Duration::from_millis(200));
    assert_eq!(stage.count("messages_received"), before);
    let id = stage.client(late);
    stage.world().set_reading(id, true);
    stage.pass(Duration::from_millis(300));
    assert_eq!(heard(&stage, late).len(), 2 * MESSAGES);
}

#[test]
fn two_that_hold_each_other_and_do_not_read_are_cut() {
    let names = crate::rooms::Names::default();
    let make = move || Rooms { names: names.clone() };
    let mut stage = Simulator::with(1, Faults::NONE, 2, LaneConfig::default(), make);
    let both = [stage.connect(), stage.connect()];
    for client in both {
        let id = stage.client(client);
        stage.world().set_send_buffer(id, 4096);
        stage.world().set_reading(id, false);
    }
    for client in both {
        say(&mut stage, client, "hold", 0, MESSAGES);
    }
    // By the rule that output must be taken; the deadline of holding is not enough for those that are
    // not read because they do not read.
    stage.pass(Duration::from_secs(60));
    // What one of them said did not fill the other, which is just silent then.
    assert!(stage.lanes().map(|lane| lane.len()).sum::<usize>() <= 1);
    assert_eq!(lent(&mut stage), 0);
}

#[test]
fn a_handle_hears_that_a_receiver_is_full() {
    let names = crate::rooms::Names::default();
    let make = {
        let names = names.clone();
        move || Rooms { names: names.clone() }
    };
    let limits = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let mut stage = Simulator::with(1, Faults::NONE, 2, limits, make);
    let client = stage.connect();
    stage.send(client, b"name ann\n");
    stage.expect(client, b"named\n");
    let id = stage.client(client);
    stage.world().set_send_buffer(id, 4096);
    stage.world().set_reading(id, false);
    let ann = *names.lock().unwrap().get("ann").unwrap();
    let handle = stage.handle();
    let mut sent = 0;
    let refused = loop {
        match handle.send(ann, vec![b'x'; 1000]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        stage.pass(Duration::from_millis(2));
    };
    assert_eq!(refused, SendError::Full);
    assert_eq!(sent, stage.count("messages_delivered") + stage.count("messages_dropped"));
    stage.world().set_reading(id, true);
    stage.pass(Duration::from_millis(100));
    assert_eq!(handle.send(ann, "again"), Ok(()));
    // The queue of the lane is bounded, too.
    let filled = (0..5000).find_map(|_| handle.send(ann, "x").err());
    assert_eq!(filled, Some(SendError::Full));
}

#[test]
fn who_is_done_is_gone_though_its_output_leaves_later() {
    let names = crate::rooms::Names::default();
    let make = {
        let names = names.clone();
        move || Rooms { names: names.clone() }
    };
    let limits = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let mut stage = Simulator::with(1, Faults::NONE, 1, limits, make);
    let client = stage.connect();
    stage.send(client, b"name ann\n");
    stage.expect(client, b"named\n");
    let ann = *names.lock().unwrap().get("ann").unwrap();
    let id = stage.client(client);
    stage.world().set_send_buffer(id, 4096);
    stage.world().set_reading(id, false);
    let sender = stage.connect();
    // As much as may wait, but not more: it is still read.
    for round in 0..10 {
        say(&mut stage, sender, "drop", round * ROUND, ROUND / 2);
        stage.pass(Duration::from_millis(20));
    }
    assert!(stage.count("messages_dropped") > 0);
    stage.send(client, b"bye\n");
    stage.pass(Duration::from_millis(20));
    let handle = stage.handle();
    assert!(!handle.is_open(ann));
    // Its output leaves; it lingers, and hears no more.
    stage.world().set_reading(id, true);
    stage.pass(Duration::from_millis(20));
    assert!(stage.world().received(id).ends_with(b"bye\n"));
    assert_eq!(stage.lanes().map(|lane| lane.len()).sum::<usize>(), 2);
    assert!(!handle.is_open(ann));
    assert_eq!(handle.send(ann, "?"), Err(SendError::Gone));
}

#[test]
fn a_watermark_of_nothing_lets_messages_through_one_by_one() {
    let limits = LaneConfig { high: 0, low: 0, ..LaneConfig::default() };
    let mut stage = Simulator::with(1, Faults::NONE, 1, limits, Rooms::default);
    let client = stage.connect();
    stage.send(client, b"name ann\nbye\n");
    stage.expect(client, b"named\nbye\n");
}
