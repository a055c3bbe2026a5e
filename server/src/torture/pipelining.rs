//! Several requests on one connection, however they are cut.

use std::time::Duration;

use super::report::{Finding, Grade};
use super::target::Target;
use super::wire::{Lack, Wire};

/// How long a piece is left alone, so that the server sees it before the next.
const PAUSE: Duration = Duration::from_millis(1);

/// One way to send requests.
#[derive(Debug)]
pub(crate) struct Scene {
    id: &'static str,
    rule: &'static str,
    sent: &'static str,
    /// As [`Target::fill`] reads it.
    message: &'static str,
    /// How often.
    times: usize,
    /// The methods of one message's requests, to know which answers have a body.
    heads: &'static [bool],
    cut: Cut,
}

/// How the bytes are cut into writes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    No,
    /// Each message is sent when the one before it is answered.
    Answered,
    /// Into two, at every place in turn, each on a connection of its own.
    EveryTwo,
    /// Each byte alone.
    Bytes,
    /// Into pieces of so many bytes.
    Pieces(usize),
}

const GET: bool = false;
const HEAD: bool = true;
const PAIR: &str = "{get}\r\nHEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n";
const BODIES: &str = "{post}Content-Length: 5\r\n\r\nhello{get}\r\n{post}Transfer-Encoding: \
    chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n{get}\r\n";

#[rustfmt::skip]
pub(crate) const SCENES: &[Scene] = &[
    Scene { id: "one-by-one", rule: "9112 §9.3", sent: "ten GET, each after the last answer",
        message: "{get}\r\n", times: 10, heads: &[GET], cut: Cut::Answered },
    Scene { id: "order", rule: "9112 §9.3.2", sent: "100 GET and HEAD in one write",
        message: PAIR, times: 50, heads: &[GET, HEAD], cut: Cut::No },
    Scene { id: "many", rule: "9112 §9.3.2", sent: "500 GET in one write",
        message: "{get}\r\n", times: 500, heads: &[GET], cut: Cut::No },
    Scene { id: "bodies", rule: "9112 §9.3.2", sent: "bodies and GET in one write",
        message: BODIES, times: 5, heads: &[GET; 4], cut: Cut::No },
    Scene { id: "empty-lines", rule: "9112 §2.2", sent: "an empty line before each GET",
        message: "\r\n{get}\r\n", times: 5, heads: &[GET], cut: Cut::No },
    Scene { id: "odd-pieces", rule: "9112 §9.3.2", sent: "bodies and GET in pieces of 7 bytes",
        message: BODIES, times: 3, heads: &[GET; 4], cut: Cut::Pieces(7) },
    Scene { id: "byte-by-byte", rule: "9112 §9.3.2", sent: "bodies and GET byte by byte",
        message: BODIES, times: 1, heads: &[GET; 4], cut: Cut::Bytes },
    Scene { id: "every-cut", rule: "9112 §9.3.2", sent: "bodies and GET cut in two, everywhere",
        message: BODIES, times: 1, heads: &[GET; 4], cut: Cut::EveryTwo },
];

/// Plays one scene.
pub(crate) fn check(target: &Target, scene: &'static Scene) -> Finding {
    let message = target.fill(scene.message);
    let result = match scene.cut {
        Cut::EveryTwo => (1..message.len()).try_for_each(|cut| {
            let (first, second) = message.split_at(cut);
            play(target, scene, &[first, second])
                .map_err(|(grade, got)| (grade, format!("cut after {cut} bytes: {got}")))
        }),
        Cut::Answered => one_by_one(target, scene),
        Cut::Bytes => play(target, scene, &message.chunks(1).collect::<Vec<_>>()),
        Cut::Pieces(n) => {
            play(target, scene, &message.repeat(scene.times).chunks(n).collect::<Vec<_>>())
        }
        Cut::No => play(target, scene, &[&message.repeat(scene.times)]),
    };
    let (grade, got) = match result {
        Ok(()) => (Grade::Ok, "all answered, in order".to_owned()),
        Err(failure) => failure,
    };
    Finding { id: scene.id, rule: scene.rule, sent: scene.sent, got, grade }
}

type Played = Result<(), (Grade, String)>;

fn play(target: &Target, scene: &Scene, pieces: &[&[u8]]) -> Played {
    let mut wire = target.connect().map_err(|error| (Grade::Violation, error))?;
    for piece in pieces {
        let _ = wire.send(piece);
        if pieces.len() > 1 {
            std::thread::sleep(PAUSE);
        }
    }
    let count = scene.heads.len() * scene.times;
    answers(&mut wire, scene, count)
}

fn one_by_one(target: &Target, scene: &Scene) -> Played {
    let mut wire = target.connect().map_err(|error| (Grade::Violation, error))?;
    for _ in 0..scene.times {
        let _ = wire.send(target.fill(scene.message));
        answers(&mut wire, scene, scene.heads.len())?;
    }
    Ok(())
}

/// All answers must come; a server that says it closes may leave it at those before.
fn answers(wire: &mut Wire, scene: &Scene, count: usize) -> Played {
    let mut closes = false;
    for n in 0..count {
        match wire.last_answer(scene.heads[n % scene.heads.len()]) {
            Ok(answer) if answer.is_refusal() => {
                return Err((Grade::Violation, format!("{} to request {}", answer.status, n + 1)));
            }
            Ok(answer) => closes = answer.connection("close"),
            Err(Lack::Ended(_)) if closes => {
                return Err((Grade::Lenient, format!("closes after {n} of {count}")));
            }
            Err(lack) => {
                return Err((Grade::Violation, format!("{n} of {count} answers, then {lack}")));
            }
        }
    }
    Ok(())
}
