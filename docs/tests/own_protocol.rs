//! The handler that the chapter on own protocols ends with, and its tests. The chapter shows this file's
//! code piece by piece; a test says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

// begin of the chapter's code
use corelane::handler::{Action, Context, EventHandler, Framing, Nanos, Topic};

const SILENCE: Nanos = Nanos::from_secs(60);

struct News;

impl EventHandler for News {
    type Conn = bool; // Whether it was asked if it is there.
    fn framing(&self) -> Framing {
        Framing::lines(1024)
    }
    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        cx.wake_in(SILENCE);
        Some(false)
    }
    fn on_message<'m>(&mut self, idle: &mut bool, line: &'m [u8], cx: &mut Context) -> Action<'m> {
        *idle = false;
        cx.wake_in(SILENCE);
        let Ok(line) = std::str::from_utf8(line) else { return Action::reply("error: not UTF-8") };
        let (order, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(topic) = Topic::new(name) else { return Action::reply("error: a long topic") };
        match order {
            "sub" if cx.join(topic) => Action::reply("ok"),
            "sub" => Action::reply("error: too many topics"),
            "unsub" => {
                cx.leave(topic);
                Action::reply("ok")
            }
            "pub" => {
                cx.reply("ok");
                Action::Send(topic.into(), format!("{name} {text}").into())
            }
            _ => Action::reply("error: expected sub, unsub or pub"),
        }
    }
    fn on_timer(&mut self, idle: &mut bool, cx: &mut Context<'_>) -> Action<'static> {
        if std::mem::replace(idle, true) {
            return Action::CloseWith("error: are you there?".into());
        }
        cx.wake_in(SILENCE);
        Action::reply("ping")
    }
}

use corelane::handler::testing::{Simulator, Sockets, Stage};

fn news_reaches_those_who_asked_for_it(stage: &mut dyn Stage) {
    let [ann, bob] = [stage.connect(), stage.connect()];
    stage.send(ann, b"sub tea\r\n");
    stage.expect(ann, b"ok\n");
    stage.send(bob, b"pub tea it is hot\nsub");
    stage.expect(bob, b"ok\n");
    stage.expect(ann, b"tea it is hot\n");
    stage.send(bob, b" x\nnonsense\n");
    stage.expect(bob, b"ok\nerror: expected sub, unsub or pub\n");
}

#[test]
fn in_the_simulator() {
    news_reaches_those_who_asked_for_it(&mut Simulator::new(|| News));
}

#[test]
fn on_sockets() {
    news_reaches_those_who_asked_for_it(&mut Sockets::new(|| News).unwrap());
}

#[test]
fn silence_is_asked_about_and_then_closed() {
    let mut stage = Simulator::new(|| News);
    let silent = stage.connect();
    stage.pass(Duration::from_secs(119));
    stage.expect(silent, b"ping\n");
    stage.pass(Duration::from_secs(2));
    stage.expect(silent, b"error: are you there?\n");
}

use corelane::handler::{EventServer, ServerError};
use std::sync::atomic::AtomicBool;

/// Until the flag is set, by a signal handler, say.
fn serve(address: &str, stop: &AtomicBool) -> Result<(), ServerError> {
    EventServer::new(address, || News)?.run(stop)
}
// end of the chapter's code

#[test]
fn it_serves_until_the_flag_is_set() {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let server = std::thread::spawn(move || serve("127.0.0.1:0", &flag));
    stop.store(true, Ordering::Relaxed);
    server.join().unwrap().unwrap();
}

/// What stands between fences in the chapter and is not compiled there is code of this file.
#[test]
fn the_chapter_shows_this_file() {
    let chapter = include_str!("../book/own-protocol.md");
    let own = include_str!("own_protocol.rs");
    let pieces: Vec<&str> = chapter.split("```rust,ignore\n").skip(1).collect();
    assert_eq!(pieces.len(), 4);
    for piece in pieces {
        let (code, _) = piece.split_once("```").unwrap();
        assert!(own.contains(code), "differs from docs/tests/own_protocol.rs:\n{code}");
    }
}

/// The chapter promises a handler of fewer than fifty lines.
#[test]
fn the_handler_is_short() {
    let own = include_str!("own_protocol.rs");
    let (_, from) = own.split_once("// begin of the chapter's code\n").unwrap();
    let (handler, _) = from.split_once("\n}\n").unwrap();
    assert!(handler.lines().count() + 1 < 50, "{} lines", handler.lines().count() + 1);
}
