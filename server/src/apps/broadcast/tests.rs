//! The chat, in the simulator and on sockets.

use std::time::Duration;

use corelane_eventloop::{Faults, LaneConfig};

use super::*;
use crate::handler::testing::{Simulator, Sockets, Stage};

fn chat(config: ChatConfig) -> impl Fn() -> Chat + Send + Sync + 'static {
    let chat = Chat::new(config);
    move || chat.clone()
}

/// On one lane, on three lanes and a network that does everything but lose bytes, and on sockets.
fn everywhere(config: ChatConfig, test: fn(&mut dyn Stage)) {
    test(&mut Simulator::new(chat(config)));
    for seed in 1..=20 {
        let limits = LaneConfig::default();
        test(&mut Simulator::with(seed, Faults::LOSSLESS, 3, limits, chat(config)));
    }
    test(&mut Sockets::new(chat(config)).unwrap());
}

#[track_caller]
fn hears(stage: &mut dyn Stage, client: usize, line: &str) {
    stage.expect(client, format!("{line}\n").as_bytes());
}

/// Somebody new, who has seen the welcome.
fn join(stage: &mut dyn Stage, welcome: &str) -> usize {
    let client = stage.connect();
    hears(stage, client, &format!("* you are {welcome}; /help lists the commands"));
    client
}

/// Says something, and waits until all that was said before is done.
fn ask(stage: &mut dyn Stage, client: usize, line: &str, answer: &str) {
    stage.send(client, format!("{line}\r\n").as_bytes());
    hears(stage, client, answer);
}

#[test]
fn people_meet() {
    // What was said just before somebody joins on another lane may come twice: as history, and live.
    everywhere(ChatConfig { history: 0, ..ChatConfig::default() }, |stage| {
        let ada = join(stage, "guest-1, and alone here");
        ask(stage, ada, "/nick ada", "* you are now ada");
        stage.send(ada, b"  \n\r\n");
        ask(stage, ada, "/who", "* 1 here: ada");

        let bob = join(stage, "guest-2, one of 2 here");
        hears(stage, ada, "* guest-2 has joined");
        ask(stage, bob, "/nick ADA", "* ADA is taken");
        ask(stage, bob, "/nick", "* a name is missing: /nick NAME");
        ask(stage, bob, "/nick two words", "* a name has no spaces, only what can be seen");
        ask(stage, bob, "/nick bob", "* you are now bob");
        hears(stage, ada, "* guest-2 is now bob");

        stage.send(bob, b"\x1b[2Jhi\r\n");
        hears(stage, ada, "bob: ^[[2Jhi");
        stage.send(bob, b"//etc\n");
        hears(stage, ada, "bob: /etc");
        ask(stage, bob, "/foo x", "* there is no command /foo; /help lists them");
        ask(stage, bob, "/help", HELP);
        ask(stage, bob, "/who", "* 2 here: ada, bob");
        ask(stage, bob, "/quit", "* bye");
        stage.expect_end(bob);
        hears(stage, ada, "* bob has left");
        ask(stage, ada, "/nick bob", "* you are now bob");

        stage.send(ada, "x".repeat(5000).as_bytes());
        hears(stage, ada, "* a line has at most 4096 bytes; bye");
        stage.expect_end(ada);
    });
}

#[test]
fn history_is_what_was_said_last() {
    let config = ChatConfig { history: 2, notices: 2, ..ChatConfig::default() };
    let stage = &mut Simulator::new(chat(config));
    let ada = join(stage, "guest-1, and alone here");
    stage.send(ada, b"1\n2\n3\n");
    let bob = join(stage, "guest-2, one of 2 here");
    hears(stage, bob, "guest-1: 2");
    hears(stage, bob, "guest-1: 3");
    hears(stage, ada, "* guest-2 has joined");
    // One more, and nobody is told any more who comes and goes.
    let eve = join(stage, "guest-3, one of 3 here");
    hears(stage, eve, "guest-1: 2");
    hears(stage, eve, "guest-1: 3");
    ask(stage, eve, "/quit", "* bye");
    stage.expect_end(eve);
    ask(stage, bob, "/quit", "* bye");
    stage.expect_end(bob);
    hears(stage, ada, "* guest-2 has left");
    stage.finish(ada);
    stage.expect_end(ada);
}

#[test]
fn only_the_silent_are_disconnected_for_silence() {
    let config = ChatConfig { idle_time: Some(Nanos::from_secs(60)), ..ChatConfig::default() };
    let stage = &mut Simulator::new(chat(config));
    let silent = join(stage, "guest-1, and alone here");
    stage.pass(Duration::from_secs(50));
    let ada = join(stage, "guest-2, one of 2 here");
    hears(stage, silent, "* guest-2 has joined");
    stage.pass(Duration::from_secs(20));
    hears(stage, silent, "* you were silent for too long; bye");
    stage.expect_end(silent);
    hears(stage, ada, "* guest-1 has left (was silent for too long)");
    ask(stage, ada, "/who", "* 1 here: guest-2");
}

/// Lines of a kilobyte to somebody who has stopped reading.
fn flood(slow: Slow, lines: usize) -> (Simulator<Chat>, usize, usize) {
    let config = ChatConfig { slow, notices: 0, history: 0, ..ChatConfig::default() };
    let limits = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let mut stage = Simulator::with(1, Faults::NONE, 2, limits, chat(config));
    let (deaf, ada) = (stage.connect(), stage.connect());
    let bob = join(&mut stage, "guest-3, one of 3 here");
    stage.world().set_reading(stage.client(deaf), false);
    stage.world().set_window(stage.client(deaf), 1000);
    stage.world().set_send_buffer(stage.client(deaf), 1000);
    let line = "x".repeat(1000);
    for _ in 0..lines {
        stage.send(ada, format!("{line}\n").as_bytes());
        hears(&mut stage, bob, &format!("guest-2: {line}"));
    }
    (stage, deaf, bob)
}

#[test]
fn who_does_not_read_meets_the_policy() {
    let (stage, ..) = flood(Slow::Drop, 100);
    let dropped = stage.count("messages_dropped");
    // The watermark is 16 KiB.
    assert!((80..100).contains(&dropped), "{dropped}");

    let (mut stage, deaf, bob) = flood(Slow::Disconnect, 100);
    assert_eq!(stage.count("slow_disconnects"), 1);
    stage.world().set_reading(stage.client(deaf), true);
    stage.received(deaf, usize::MAX);
    ask(&mut stage, bob, "/who", "* 2 here: guest-2, guest-3");

    let (stage, ..) = flood(Slow::Hold, 40);
    assert!(stage.count("senders_held") > 0);
}
