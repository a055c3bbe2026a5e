//! How connections end, and what goes with an answer: Connection, half-close, early refusals, Expect,
//! HEAD, Date.

use std::time::Duration;

use super::answer::Answer;
use super::report::{Finding, Grade};
use super::target::Target;
use super::wire::{End, Lack, Sent, Wire};

/// One dialogue with the server.
pub(crate) struct Scene {
    id: &'static str,
    rule: &'static str,
    sent: &'static str,
    play: fn(&mut Play<'_>) -> Told,
}

/// What is found, and what came back.
type Told = (Grade, String);

/// A connection for one scene.
struct Play<'a> {
    target: &'a Target,
    wire: Wire,
}

const GET: &str = "{get}\r\n";
/// What every server refuses, if any.
const BAD: &str = "{post}Content-Length: 5x\r\n\r\n";
/// Bytes after a request that is refused early: more than a connection's buffers hold at first.
const SURPLUS_BYTES: usize = 4 << 20;
/// Between two pieces of it.
const PAUSE: Duration = Duration::from_millis(2);

macro_rules! scene {
    ($id:literal, $rule:literal, $sent:literal, $play:expr) => {
        Scene { id: $id, rule: $rule, sent: $sent, play: $play }
    };
}

#[rustfmt::skip]
pub(crate) const SCENES: &[Scene] = &[
    scene!("close", "9112 §9.6", "Connection: close",
        |play| play.closes("{get}Connection: close\r\n\r\n")),
    scene!("close-list", "9112 §9.6", "Connection: a, Close",
        |play| play.closes("{get}Connection: a, Close\r\n\r\n")),
    scene!("close-then-more", "9112 §9.6", "GET with close, then GET", close_then_more),
    scene!("http-1.0", "9112 §9.3", "GET in HTTP/1.0",
        |play| play.closes("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")),
    scene!("http-1.0-keep-alive", "9112 §9.3", "HTTP/1.0, Connection: keep-alive", keep_alive_1_0),
    scene!("half-close", "policy", "GET, then FIN", half_close),
    scene!("fin-in-head", "9112 §8", "half a head, then FIN",
        |play| play.incomplete("GET {path} HTTP/1.1\r\nHo")),
    scene!("fin-in-body", "9112 §8", "2 of 5 body bytes, then FIN",
        |play| play.incomplete("{post}Content-Length: 5\r\n\r\nhe")),
    scene!("fin-in-chunk", "9112 §8", "2 of 5 chunk bytes, then FIN",
        |play| play.incomplete("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhe")),
    scene!("fin-before-last-chunk", "9112 §8", "no last chunk, then FIN",
        |play| play.incomplete("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")),
    scene!("early-refusal", "9112 §9.6", "a bad request, then 4 MiB",
        |play| play.refused_early("{post}Content-Length: 4194304x\r\n\r\n")),
    scene!("early-refusal-head", "9112 §9.6", "a field of 4 MiB",
        |play| play.refused_early("{get}A: ")),
    scene!("refusal-says-close", "9112 §9.6", "a bad request", refusal_says_close),
    scene!("head", "9112 §6.3", "HEAD, then GET", head),
    scene!("head-like-get", "9110 §8.6", "GET, then HEAD", head_like_get),
    scene!("not-modified", "9112 §6.3", "GET, If-None-Match: *, then GET",
        |play| play.bodiless("{get}If-None-Match: *\r\n\r\n")),
    scene!("options", "9110 §8.6", "OPTIONS, then GET",
        |play| play.bodiless("OPTIONS {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")),
    scene!("expect", "9110 §10.1.1", "Expect: 100-continue, body later", expect),
    scene!("expect-at-once", "9110 §10.1.1", "Expect: 100-continue, body at once", expect_at_once),
    scene!("expect-case", "9110 §10.1.1", "Expect: 100-Continue, body later", expect_case),
    scene!("expect-1.0", "9110 §10.1.1", "Expect: 100-continue in HTTP/1.0", expect_1_0),
    scene!("expect-unknown", "9110 §10.1.1", "Expect: a-miracle", expect_unknown),
    scene!("upgrade-unknown", "9110 §7.8", "Upgrade: torture/1", upgrade_unknown),
    scene!("date", "9110 §6.6.1", "GET", |play| play.dated(GET)),
    scene!("date-refusal", "9110 §6.6.1", "a bad request",
        |play| play.dated(BAD)),
];

/// Plays one scene.
pub(crate) fn check(target: &Target, scene: &'static Scene) -> Finding {
    let (grade, got) = match target.connect() {
        Ok(wire) => (scene.play)(&mut Play { target, wire }),
        Err(error) => (Grade::Violation, error),
    };
    Finding { id: scene.id, rule: scene.rule, sent: scene.sent, got, grade }
}

fn ok(got: impl Into<String>) -> Told {
    (Grade::Ok, got.into())
}

fn lenient(got: impl Into<String>) -> Told {
    (Grade::Lenient, got.into())
}

fn violation(got: impl Into<String>) -> Told {
    (Grade::Violation, got.into())
}

fn none(lack: Lack) -> Told {
    violation(format!("no answer: {lack}"))
}

impl Play<'_> {
    /// Sends a message; what becomes of it, the answer tells.
    fn send(&mut self, message: &str) {
        let _ = self.wire.send(self.target.fill(message));
    }

    fn ask(&mut self, message: &str) -> Result<Answer, Told> {
        self.send(message);
        self.wire.last_answer(false).map_err(none)
    }

    /// The answer must be the last.
    fn closes(&mut self, message: &str) -> Told {
        let answer = match self.ask(message) {
            Ok(answer) => answer,
            Err(told) => return told,
        };
        let status = answer.status;
        match self.wire.answer(false) {
            Err(Lack::Ended(End::Closed)) if answer.connection("keep-alive") => {
                lenient(format!("{status}, closed, though it says keep-alive"))
            }
            Err(Lack::Ended(End::Closed)) => ok(format!("{status}, closed")),
            Err(Lack::Ended(End::Reset)) => lenient(format!("{status}, reset")),
            Err(lack) => violation(format!("{status}, then {lack}")),
            Ok(second) => violation(format!("{status}, then {}", second.status)),
        }
    }

    /// A message that is cut short must not be served as if it were whole.
    fn incomplete(&mut self, message: &str) -> Told {
        self.send(message);
        self.wire.finish();
        match self.wire.last_answer(false) {
            Ok(answer) => {
                let (status, end) = (answer.status, self.wire.rest());
                match end {
                    Lack::Ended(_) if status >= 400 => ok(format!("{status}, {end}")),
                    Lack::Ended(_) => lenient(format!("{status}, {end}: served")),
                    _ => violation(format!("{status}, {end}")),
                }
            }
            Err(lack @ Lack::Ended(_)) => ok(lack.to_string()),
            Err(lack) => violation(format!("nothing, {lack}")),
        }
    }

    /// The refusal must reach a client that sends on and reads only afterwards.
    fn refused_early(&mut self, message: &str) -> Told {
        self.send(message);
        let surplus = vec![b'a'; 64 * 1024];
        let mut sent = 0;
        while sent < SURPLUS_BYTES && self.wire.send(&surplus) == Sent::All {
            sent += surplus.len();
            // All at once, it might be on its way before the server has looked at the first of it.
            std::thread::sleep(PAUSE);
        }
        match self.wire.last_answer(false) {
            Ok(answer) => {
                let (status, end) = (answer.status, self.wire.rest());
                match end {
                    _ if !answer.is_refusal() => lenient(format!("{status}: not refused")),
                    Lack::Ended(End::Closed) => ok(format!("{status}, {end}")),
                    Lack::Ended(End::Reset) => {
                        lenient(format!("{status}, then reset: may be lost on a longer way"))
                    }
                    _ => lenient(format!("{status}, {end}")),
                }
            }
            Err(Lack::Ended(end)) => violation(format!("{end} without an answer")),
            Err(lack) => none(lack),
        }
    }

    /// A response that forbids a body must have none; others are of no interest here.
    fn bodiless(&mut self, message: &str) -> Told {
        let answer = match self.ask(message) {
            Ok(answer) => answer,
            Err(told) => return told,
        };
        let status = answer.status;
        let framed = answer.has("content-length") || answer.has("transfer-encoding");
        if status == 204 && framed {
            return violation("204 with a length or coding");
        }
        if answer.connection("close") {
            return ok(format!("{status}, closes"));
        }
        match self.ask(GET) {
            Ok(second) => ok(format!("{status}, then {}", second.status)),
            Err((grade, got)) => (grade, format!("{status}, then {got}")),
        }
    }

    fn dated(&mut self, message: &str) -> Told {
        match self.ask(message) {
            Ok(answer) if answer.values("date").any(|date| date.ends_with(" GMT")) => {
                ok(format!("{} with Date", answer.status))
            }
            // A server without a clock must send none, and others may leave it out of 5xx.
            Ok(answer) if answer.status >= 500 => ok(format!("{} without Date", answer.status)),
            Ok(answer) => violation(format!("{} without Date", answer.status)),
            Err(told) => told,
        }
    }
}

fn close_then_more(play: &mut Play<'_>) -> Told {
    play.closes("{get}Connection: close\r\n\r\n{get}\r\n")
}

fn keep_alive_1_0(play: &mut Play<'_>) -> Told {
    let request = "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n";
    let answer = match play.ask(request) {
        Ok(answer) => answer,
        Err(told) => return told,
    };
    let told = answer.connection("keep-alive");
    match (play.wire.answer(false), told) {
        (Err(Lack::Quiet), true) => ok("kept, and says so"),
        (Err(Lack::Ended(_)), false) => ok("closed"),
        (Err(Lack::Quiet), false) => violation("kept, and does not say so"),
        (Err(lack), _) => violation(format!("says keep-alive, then {lack}")),
        (Ok(second), _) => violation(format!("a second answer, {}", second.status)),
    }
}

fn half_close(play: &mut Play<'_>) -> Told {
    play.send(GET);
    play.wire.finish();
    match play.wire.last_answer(false) {
        Ok(answer) => {
            let end = play.wire.rest();
            let got = format!("{}, {end}", answer.status);
            if end == Lack::Quiet { violation(got) } else { ok(got) }
        }
        Err(lack) => lenient(format!("no answer: {lack}")),
    }
}

fn refusal_says_close(play: &mut Play<'_>) -> Told {
    match play.ask(BAD) {
        Ok(answer) => {
            let (says, end) = (answer.connection("close"), play.wire.rest());
            let got = format!("{}, {end}", answer.status);
            match end {
                Lack::Ended(_) if says => ok(got),
                Lack::Ended(_) => lenient(got + ", but does not say so"),
                _ if says => violation(got + ", though it says close"),
                _ => lenient(got),
            }
        }
        Err(told) => told,
    }
}

fn head(play: &mut Play<'_>) -> Told {
    play.send("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n{get}Connection: close\r\n\r\n");
    let answers = [play.wire.last_answer(true), play.wire.last_answer(false)];
    match answers {
        [Ok(head), Ok(get)] => ok(format!("{}, then {}", head.status, get.status)),
        [Ok(head), Err(lack)] if !head.connection("close") => {
            violation(format!("{}, then {lack}", head.status))
        }
        [Ok(head), Err(_)] => ok(format!("{}, closes", head.status)),
        [Err(lack), _] => none(lack),
    }
}

fn head_like_get(play: &mut Play<'_>) -> Told {
    let get = match play.ask(GET) {
        Ok(answer) => answer,
        Err(told) => return told,
    };
    play.send("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let head = match play.wire.last_answer(true) {
        Ok(answer) => answer,
        Err(lack) => return none(lack),
    };
    let lengths = [&get, &head].map(|a| a.values("content-length").next().map(str::to_owned));
    match lengths {
        [Some(get), Some(head)] if get != head => {
            violation(format!("length {get}, for HEAD {head}"))
        }
        _ if get.status != head.status => lenient(format!("{}, {}", get.status, head.status)),
        _ => ok(format!("{} both", get.status)),
    }
}

/// A client that sends the body in any case, as a proxy with an impatient client does, must not have
/// it taken for a request.
fn expect(play: &mut Play<'_>) -> Told {
    expectation(play, "100-continue")
}

fn expect_case(play: &mut Play<'_>) -> Told {
    expectation(play, "100-Continue")
}

fn expectation(play: &mut Play<'_>, value: &str) -> Told {
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: abc\r\n\r\n";
    play.send(&format!("{{post}}Content-Length: 35\r\nExpect: {value}\r\n\r\n"));
    let first = match play.wire.answer(false) {
        Ok(answer) => answer,
        Err(lack) => return none(lack),
    };
    play.send(HIDDEN);
    if first.status != 100 {
        let status = first.status;
        return match play.wire.last_answer(false) {
            Ok(second) if second.is_refusal() => ok(format!("{status}, then {}", second.status)),
            Ok(_) => violation(format!("{status}, then the body is answered as a request")),
            Err(lack) => ok(format!("{status}, {lack}")),
        };
    }
    match play.wire.last_answer(false) {
        Ok(answer) => match play.ask(GET) {
            Ok(_) => ok(format!("100, then {}", answer.status)),
            Err(_) if answer.connection("close") => ok(format!("100, then {}", answer.status)),
            Err((grade, got)) => (grade, format!("100, {}, then {got}", answer.status)),
        },
        Err(lack) => violation(format!("100, then {lack}")),
    }
}

fn expect_at_once(play: &mut Play<'_>) -> Told {
    play.send("{post}Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello{get}Connection: close\r\n\r\n");
    let answers = [play.wire.last_answer(false), play.wire.last_answer(false)];
    match answers {
        [Ok(post), Ok(get)] if !get.is_refusal() => ok(format!("{}, {}", post.status, get.status)),
        [Ok(post), Err(Lack::Ended(_))] => ok(format!("{}, closed", post.status)),
        [Ok(post), Ok(get)] => violation(format!("{}, then {}", post.status, get.status)),
        [Ok(post), Err(lack)] => violation(format!("{}, then {lack}", post.status)),
        [Err(lack), _] => none(lack),
    }
}

fn expect_1_0(play: &mut Play<'_>) -> Told {
    play.send("POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    match play.wire.answer(false) {
        Ok(answer) if answer.is_interim() => violation(format!("{} to HTTP/1.0", answer.status)),
        Ok(answer) => ok(answer.status.to_string()),
        Err(lack) => none(lack),
    }
}

fn expect_unknown(play: &mut Play<'_>) -> Told {
    match play.ask("{get}Expect: a-miracle\r\n\r\n") {
        Ok(answer) => ok(answer.status.to_string()),
        Err(told) => told,
    }
}

fn upgrade_unknown(play: &mut Play<'_>) -> Told {
    match play.ask("{get}Connection: upgrade\r\nUpgrade: torture/1\r\n\r\n") {
        Ok(answer) if answer.status == 101 => violation("101"),
        Ok(answer) => ok(answer.status.to_string()),
        Err(told) => told,
    }
}
