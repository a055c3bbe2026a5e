//! What happens to one connection, and to words between few: the same in the simulator and on sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::handler::testing::{Simulator, Sockets, Stage};
use corelane::handler::{
    Action, Context, EventHandler, FrameError, Framing, Handle, SendError, To, Topic, Width,
};
use corelane_eventloop::{Closed, ConnId, Nanos};

use crate::rooms::{LINE_MAX, Rooms};

/// Plays a scene on every stage.
fn on_every_stage<H: EventHandler + 'static>(
    make: impl Fn() -> H + Clone + Send + Sync + 'static,
    scene: impl Fn(&mut dyn Stage),
) {
    scene(&mut Simulator::new(make.clone()));
    scene(&mut Sockets::new(make).unwrap());
}

fn with_rooms(scene: impl Fn(&mut dyn Stage)) {
    // Each stage has names of its own, which its lanes share.
    let names = crate::rooms::Names::default();
    let make = move || Rooms { names: names.clone() };
    on_every_stage(make, scene);
}

/// A client that goes by a name, and is there for certain.
fn named(stage: &mut dyn Stage, name: &str) -> usize {
    let client = stage.connect();
    stage.send(client, format!("name {name}\n").as_bytes());
    stage.expect(client, b"named\n");
    client
}

#[test]
fn words_reach_everyone_else_a_topic_or_one() {
    with_rooms(|stage| {
        let clients = ["ann", "bob", "cy"].map(|name| named(stage, name));
        let [ann, bob, cy] = clients;
        stage.send(ann, b"say drop all hello\r\n");
        stage.expect(bob, b"m ann all hello\n");
        stage.expect(cy, b"m ann all hello\n");
        for client in [ann, bob] {
            stage.send(client, b"join tea\n");
            stage.expect(client, b"joined tea\n");
        }
        // Said by one who is not in it, and by one who is.
        stage.send(cy, b"say drop #tea milk?\nsay drop @cy note\n");
        stage.expect(cy, b"m cy @cy note\n");
        stage.expect(ann, b"m cy #tea milk?\n");
        stage.expect(bob, b"m cy #tea milk?\n");
        stage.send(ann, b"say drop #tea no\nsay drop @cy no\n");
        stage.expect(bob, b"m ann #tea no\n");
        stage.expect(cy, b"m ann @cy no\n");
        stage.send(bob, b"leave tea\n");
        stage.expect(bob, b"left tea\n");
        stage.send(ann, b"say drop #tea alone\nbye\n");
        stage.expect(ann, b"bye\n");
        stage.expect_end(ann);
        stage.send(cy, b"say drop @ann still there?\nsay drop @bob over\n");
        stage.expect(bob, b"m cy @bob over\n");
    });
}

#[test]
fn lines_that_are_too_long_are_refused_in_words() {
    with_rooms(|stage| {
        let client = named(stage, "ann");
        // Half a line is no reason to do anything, and what has come is kept.
        stage.send(client, b"na");
        stage.pass(Duration::from_millis(20));
        stage.send(client, b"me ann\n");
        stage.expect(client, b"named\n");
        stage.send(client, &vec![b'x'; LINE_MAX + 1]);
        stage.expect(client, b"a message of more than 8192 bytes\n");
        stage.expect_end(client);
    });
}

#[test]
fn what_came_before_the_end_is_answered() {
    let mut stage = Simulator::new(Rooms::default);
    let client = stage.connect();
    stage.send(client, b"half a li");
    stage.finish(client);
    stage.expect_end(client);
    assert_eq!(stage.count("messages_refused"), 1, "what was lost is counted");
    with_rooms(|stage| {
        let client = stage.connect();
        stage.send(client, b"name ann\njoin a\nleave a\nhalf a li");
        stage.finish(client);
        stage.expect(client, b"named\njoined a\nleft a\n");
        stage.expect_end(client);
    });
}

#[test]
fn other_threads_speak_through_a_handle() {
    with_rooms(|stage| {
        let clients = ["ann", "bob"].map(|name| named(stage, name));
        stage.send(clients[0], b"join tea\n");
        stage.expect(clients[0], b"joined tea\n");
        let handle = stage.handle();
        let speak = move |handle: Handle| {
            handle.send(To::All, "all")?;
            handle.send(Topic::new("tea").unwrap(), "tea".to_owned())?;
            handle.send(Topic::new("coffee").unwrap(), vec![b'x'; 9])
        };
        std::thread::spawn(move || speak(handle)).join().unwrap().unwrap();
        stage.expect(clients[0], b"all\ntea\n");
        stage.expect(clients[1], b"all\n");
    });
}

/// Answers each line later, by another way; tells of itself.
struct Later(Arc<Mutex<Vec<ConnId>>>);

impl EventHandler for Later {
    type Conn = ();
    fn framing(&self) -> Framing {
        Framing::lines(100)
    }
    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<()> {
        cx.reply("welcome");
        Some(())
    }
    fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], cx: &mut Context<'_>) -> Action<'m> {
        if line == b"soon" {
            cx.wake_in(Nanos::from_millis(20));
        } else {
            // From elsewhere, in the usual case.
            cx.handle().send(cx.id(), line.to_vec()).unwrap();
        }
        self.0.lock().unwrap().push(cx.id());
        Action::Later
    }
    fn on_timer(&mut self, _: &mut (), cx: &mut Context<'_>) -> Action<'static> {
        Action::Send(cx.id().into(), "now".into())
    }
    fn on_disconnect(&mut self, (): (), why: Closed, cx: &mut Context<'_>) {
        assert_eq!(why, Closed::Finished);
        let _ = cx.send(To::All, "somebody left");
    }
}

#[test]
fn an_answer_may_come_later_and_the_next_message_waits_for_it() {
    let seen: Arc<Mutex<Vec<ConnId>>> = Arc::default();
    let make = {
        let seen = seen.clone();
        move || Later(seen.clone())
    };
    on_every_stage(make, |stage| {
        let (client, other) = (stage.connect(), stage.connect());
        stage.expect(other, b"welcome\n");
        // The end of input is heard of after the last answer.
        stage.send(client, b"soon\none\nsoon\ntwo\n");
        stage.finish(client);
        stage.expect(client, b"welcome\nnow\none\nnow\ntwo\n");
        stage.expect_end(client);
        stage.expect(other, b"somebody left\n");
        let ids = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(ids.len(), 4);
        // Who is gone is said to be.
        let handle = stage.handle();
        assert!(!handle.is_open(ids[0]));
        assert_eq!(handle.send(ids[0], "?"), Err(SendError::Gone));
    });
}

#[test]
fn an_answer_that_is_to_come_is_waited_for_at_the_end() {
    let mut stage = Simulator::new(|| Later(Arc::default()));
    let client = stage.connect();
    stage.send(client, b"soon\nnever\n");
    stage.finish(client);
    for lane in stage.lanes() {
        lane.handle().stop(Nanos::from_secs(5));
    }
    stage.expect(client, b"welcome\nnow\n");
    stage.expect_end(client);
}

/// Requests and answers of a binary protocol with an own idea of where they end: `len` of `u8`, then as
/// many bytes, of which the sum is answered.
struct Sums;

impl EventHandler for Sums {
    type Conn = ();
    fn framing(&self) -> Framing {
        Framing::Custom { max: 100 }
    }
    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }
    fn is_data_complete(&mut self, _: &mut (), input: &[u8]) -> Result<Option<usize>, FrameError> {
        let len = usize::from(input[0]) + 1;
        if len == 256 {
            return Err(FrameError::Custom("255 is reserved"));
        }
        Ok((input.len() >= len).then_some(len))
    }
    fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
        let sum = bytes[1..].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        Action::reply(vec![sum])
    }
}

#[test]
fn a_framing_of_ones_own_is_held_to_its_limit() {
    on_every_stage(
        || Sums,
        |stage| {
            let client = stage.connect();
            for byte in [3, 1, 2, 3, 0, 1, 9] {
                stage.send(client, &[byte]);
            }
            stage.expect(client, &[6, 0, 9]);
            stage.send(client, &[255]);
            stage.expect_end(client);
            let client = stage.connect();
            stage.send(client, &[100, 0]);
            stage.send(client, &[1; 99]);
            stage.expect_end(client);
        },
    );
}

struct Prefixed;

impl EventHandler for Prefixed {
    type Conn = ();
    fn framing(&self) -> Framing {
        Framing::prefixed(Width::Varint, 1 << 20)
    }
    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }
    fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], cx: &mut Context<'_>) -> Action<'m> {
        if let [0, rest @ ..] = bytes {
            cx.reply_parts(&[b"<", rest, b">"]);
            return Action::Nothing;
        }
        Action::reply(bytes)
    }
}

#[test]
fn messages_larger_than_any_page_go_both_ways() {
    on_every_stage(
        || Prefixed,
        |stage| {
            let client = stage.connect();
            let mut message = vec![0x80, 0x80, 0x40];
            message.resize(3 + (1 << 20), 7);
            stage.send(client, &message);
            stage.expect(client, &message);
            stage.send(client, b"\x04\0abc");
            stage.expect(client, b"\x05<abc>");
            // One byte more than may be, said in its prefix.
            stage.send(client, &[0x81, 0x80, 0x40]);
            stage.expect_end(client);
        },
    );
}

#[test]
fn a_flood_of_connections_leaves_nothing() {
    let mut stage = Simulator::new(Rooms::default);
    for round in 0..200 {
        let client = stage.connect();
        match round % 4 {
            0 => stage.send(client, b"name a\njoin a\nhalf"),
            1 => stage.send(client, b"\0\xff\n\n\n"),
            2 => stage.finish(client),
            _ => {}
        }
        let id = stage.client(client);
        stage.world().reset(id);
    }
    stage.pass(Duration::from_secs(1));
    for lane in stage.lanes() {
        assert_eq!((lane.len(), lane.pool().stats().lent_bytes), (0, 0));
    }
}
