//! Peers that take their output slowly.

use corelane_eventloop::{Closed, End, LaneConfig, Nanos};

use crate::commands::{Transcript, lines};
use crate::kit::{Kit, model};
use crate::rig::{Rig, SimRig};
use crate::stage::Stage;

/// Short waits, and more pending output than any kernel takes at once.
fn impatient() -> LaneConfig {
    LaneConfig {
        high: 64 << 20,
        read_rate: 1_000_000,
        read_grace: Nanos::from_millis(40),
        read_credit: Nanos::from_millis(80),
        ..LaneConfig::default()
    }
}

/// One connection that does not read from the beginning is told `script`; how it is closed.
fn closed<R: Rig>(script: &[u8], pace: Option<(usize, Nanos)>) -> Transcript {
    let mut stage = Stage::<R, Kit>::configured(Kit::default(), impatient());
    let client = stage.client(b"");
    stage.rig.set_reading(client, false);
    if let Some((bytes, every)) = pace {
        stage.rig.set_pace(client, bytes, every);
    }
    stage.rig.send(client, script);
    stage.until("it is closed", |stage| stage.protocol().closed == 1);
    assert_eq!(stage.stats().closed[Closed::SlowReader.index()], 1);
    assert!(stage.stats().bytes_out > 0, "what the kernel takes is sent");
    stage.rig.set_reading(client, true);
    assert_eq!(
        stage.outcome(client).1,
        End::Reset,
        "half an answer must not look like a whole one"
    );
    assert_eq!(stage.lanes[0].pool().stats().lent_bytes, 0);
    stage.protocol().log.clone()
}

/// A kept-alive connection whose client never reads.
pub(crate) fn whoever_reads_nothing_is_closed<R: Rig>() -> Transcript {
    closed::<R>(b"produce 30000000\n", None)
}

/// A byte now and then is no reading.
pub(crate) fn a_byte_at_a_time_is_too_slow<R: Rig>() -> Transcript {
    closed::<R>(b"produce 30000000\n", Some((1, Nanos::from_millis(1))))
}

/// The protocol has finished.
pub(crate) fn whoever_reads_nothing_of_a_last_answer_is_closed<R: Rig>() -> Transcript {
    closed::<R>(b"produce 30000000\nquit\n", None)
}

/// The protocol has finished, and would linger.
pub(crate) fn whoever_reads_nothing_while_we_linger_is_closed<R: Rig>() -> Transcript {
    closed::<R>(b"produce 30000000\nlinger\n", None)
}

const MUCH: u64 = 4_000_000;

/// A simulated connection with the default limits, to whose client `script` has much to say: a send
/// buffer as large as Linux makes it, so that room in it says little about the client.
fn simulated(script: &str, config: LaneConfig) -> (Stage<SimRig, Kit>, usize) {
    let mut stage = Stage::<SimRig, Kit>::configured(Kit::default(), config);
    let client = stage.client(b"");
    let id = stage.rig.id(client);
    stage.rig.world.set_send_buffer(id, 1 << 20);
    stage.rig.world.set_window(id, 64 << 10);
    stage.rig.set_reading(client, false);
    stage.rig.send(client, script.as_bytes());
    (stage, client)
}

/// Turns until the connection is closed, or for so many seconds: in which second it was closed.
fn seconds_until_closed(stage: &mut Stage<SimRig, Kit>, most: u64) -> Option<u64> {
    let start = stage.rig.now();
    while stage.rig.now().since(start) < Nanos::from_secs(most) {
        if stage.protocol().closed == 1 {
            return Some(stage.rig.now().since(start).as_secs());
        }
        stage.turn();
    }
    None
}

fn produce() -> String {
    format!("produce {MUCH}\nquit\n")
}

/// The client receives all that was produced, however long it takes.
#[track_caller]
fn complete(stage: &mut Stage<SimRig, Kit>, client: usize) {
    while stage.rig.end(client).is_none() {
        stage.turn();
    }
    assert_eq!(stage.rig.end(client), Some(End::Closed));
    let expected = model(&lines(&[&format!("produce {MUCH}"), "quit"]));
    assert!(stage.rig.received(client) == expected);
    assert_eq!(stage.stats().closed[Closed::SlowReader.index()], 0);
}

#[test]
fn by_default_nothing_read_is_closed_after_the_grace() {
    let (mut stage, _) = simulated(&produce(), LaneConfig::default());
    let seconds = seconds_until_closed(&mut stage, 100);
    assert!(matches!(seconds, Some(5..=6)), "{seconds:?}");
    assert_eq!(stage.stats().closed[Closed::SlowReader.index()], 1);
}

#[test]
fn without_a_rule_nobody_is_closed() {
    let config = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let (mut stage, _) = simulated(&produce(), config);
    assert_eq!(seconds_until_closed(&mut stage, 10_000), None);
}

/// Room in the send buffer comes every 14 seconds here, which a rule of sends would take for death.
#[test]
fn a_fair_reader_behind_a_large_send_buffer_is_not_judged_by_it() {
    let (mut stage, client) = simulated(&produce(), LaneConfig::default());
    stage.rig.set_pace(client, 25_000, Nanos::from_secs(1));
    complete(&mut stage, client);
}

/// 250 and 230 bytes a second, where 240 are asked for, over hours.
#[test]
fn the_rate_divides_readers_however_long_it_takes() {
    let (mut stage, client) = simulated("produce 9000000\n", LaneConfig::default());
    stage.rig.set_pace(client, 250, Nanos::from_secs(1));
    assert_eq!(seconds_until_closed(&mut stage, 10_000), None, "a slow reader, but a fair one");
    stage.rig.set_pace(client, 230, Nanos::from_secs(1));
    // 30 s of credit are used up at 10 of 240 bytes a second.
    let seconds = seconds_until_closed(&mut stage, 10_000);
    assert!(matches!(seconds, Some(700..=740)), "{seconds:?}");
}

/// Bursts that are due: each earns more than the credit, and the next comes before that is used up.
#[test]
fn bursts_earn_their_pauses_but_no_more_than_the_credit() {
    let (mut stage, client) = simulated(&produce(), LaneConfig::default());
    stage.rig.set_pace(client, 10_000, Nanos::from_secs(4));
    assert_eq!(seconds_until_closed(&mut stage, 20), None);
    stage.rig.set_pace(client, 10_000, Nanos::from_secs(28));
    assert_eq!(seconds_until_closed(&mut stage, 2_000), None);
    stage.rig.set_reading(client, false);
    let seconds = seconds_until_closed(&mut stage, 100);
    assert!(matches!(seconds, Some(1..=31)), "{seconds:?}");
}

/// Nobody is to blame for what stands behind a gate, and the rule begins with what stands before it.
#[test]
fn output_behind_a_gate_is_not_judged() {
    let (mut stage, client) = simulated("", LaneConfig::default());
    stage.protocol().hold_gates = true;
    stage.rig.send(client, b"say before\ngate behind\nsay more\n");
    assert_eq!(seconds_until_closed(&mut stage, 1_000), None);
    stage.protocol().hold_gates = false;
    stage.rig.set_reading(client, true);
    stage.rig.send(client, b"quit\n");
    stage.expect(client, "before\nbehind\nmore\n");
}

/// The protocol has finished: nobody else would end it.
#[test]
fn the_output_of_a_finished_connection_stands_at_a_gate_only_so_long() {
    let (mut stage, client) = simulated("", LaneConfig::default());
    stage.protocol().hold_gates = true;
    stage.rig.send(client, b"say before\ngate behind\nquit\n");
    let seconds = seconds_until_closed(&mut stage, 1_000);
    assert!(matches!(seconds, Some(30..=60)), "{seconds:?}");
    assert_eq!(stage.stats().closed[Closed::TimedOut.index()], 1);
}

/// Much that costs the lane no memory: what counts is only how it is read.
#[test]
fn shared_bodies_are_judged_like_any_other() {
    let (mut stage, client) = simulated("shared 3000000\nquit\n", LaneConfig::default());
    stage.rig.set_pace(client, 300, Nanos::from_secs(1));
    assert_eq!(seconds_until_closed(&mut stage, 2_000), None);
    // What was not consumed of the input, but nothing for the body.
    assert_eq!(stage.lanes[0].pool().stats().lent_bytes, 1024);
    stage.rig.set_pace(client, 3_000, Nanos::from_millis(10));
    while stage.rig.end(client).is_none() {
        stage.turn();
    }
    assert_eq!(stage.stats().closed[Closed::Finished.index()], 1);
    assert_eq!(stage.rig.received_len(client), 3_000_000);
}
