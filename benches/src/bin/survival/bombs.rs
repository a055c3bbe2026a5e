//! Input without an end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client::{self, Client, Window};
use crate::subject::Subject;
use crate::table::Figure;

/// Clients that send the same bomb.
const CLIENT_COUNT: usize = 8;
/// Bytes that each would send.
const BOMB_BYTES: u64 = 8 * 1024 * 1024;
/// About what is sent at one time.
const PIECE_BYTES: usize = 32 * 1024;
/// Pieces that a client sends in its turn.
const PIECES: usize = 8;
/// How long they try.
const LIMIT: Duration = Duration::from_secs(4);

/// Input without an end: a start, and what is repeated behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bomb {
    name: &'static str,
    start: &'static str,
    unit: &'static str,
}

macro_rules! in_head {
    ($text:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", $text)
    };
}
macro_rules! in_chunked {
    ($text:literal) => {
        concat!(
            "POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            $text
        )
    };
}

const fn bomb(name: &'static str, start: &'static str, unit: &'static str) -> Bomb {
    Bomb { name, start, unit }
}

/// All of them.
pub(crate) const ALL: [Bomb; 15] = [
    bomb("method", "", "METHOD"),
    bomb("target", "GET /", "target"),
    bomb("blank lines first", "", "\r\n"),
    bomb("field name", in_head!("X-"), "name"),
    bomb("field value", in_head!("X-Field: "), "value"),
    bomb("fields", in_head!(""), "X-Field: value\r\n"),
    bomb("folded lines", in_head!("X-Field: value\r\n"), " more\r\n"),
    bomb("chunked data", in_chunked!(""), "8\r\n12345678\r\n"),
    bomb("chunks of one byte", in_chunked!(""), "1\r\nx\r\n"),
    bomb("chunk extension", in_chunked!("1;"), "extension"),
    bomb("extension on each chunk", in_chunked!(""), "1;extension=value\r\nx\r\n"),
    bomb("zeros before a chunk size", in_chunked!(""), "0"),
    bomb("zeros before each chunk size", in_chunked!(""), "0000000000000001\r\nx\r\n"),
    bomb("trailer fields", in_chunked!("0\r\n"), "X-Field: value\r\n"),
    bomb("trailer value", in_chunked!("0\r\nX-Field: "), "value"),
];

/// What became of a bomb.
#[derive(Debug)]
struct Effect {
    /// The clients' status, where all have the same.
    status: Option<u16>,
    /// How many were closed or answered with an error.
    refused: usize,
    swallowed: bool,
    growth_bytes: u64,
}

/// Sends every bomb to a server that `start` starts for it alone.
pub(crate) fn bombs(start: impl Fn() -> anyhow::Result<Subject>) -> anyhow::Result<Vec<Figure>> {
    let mut details = Vec::new();
    let (mut refused, mut worst) = (0, 0);
    for bomb in ALL {
        let effect = drop_on(&start()?, bomb).context(bomb.name)?;
        refused += usize::from(effect.refused == CLIENT_COUNT);
        worst = worst.max(effect.growth_bytes);
        let outcome = match (effect.refused, effect.status) {
            (CLIENT_COUNT, Some(status)) => status.to_string(),
            (CLIENT_COUNT, None) => "closed".to_owned(),
            _ if effect.swallowed => "all taken".to_owned(),
            (refused, _) => format!("{refused} of {CLIENT_COUNT} refused"),
        };
        let each = effect.growth_bytes as f64 / CLIENT_COUNT as f64 / 1024.0;
        details.push(Figure::new(bomb.name, format!("{outcome}; {each:.1} KiB")));
    }
    let mut figures = vec![
        Figure::new("refused", format!("{refused} of {}", ALL.len())).goal("15"),
        Figure::kibibytes("most memory each, KiB", worst as f64 / CLIENT_COUNT as f64),
    ];
    figures.append(&mut details);
    Ok(figures)
}

fn drop_on(subject: &Subject, bomb: Bomb) -> anyhow::Result<Effect> {
    let units = bomb.unit.repeat(PIECE_BYTES / bomb.unit.len());
    let before = subject.resident_bytes()?;
    let mut clients = client::crowd(subject.address(), CLIENT_COUNT, Window::Usual, |client| {
        client.send(bomb.start.as_bytes());
    })?;
    let mut peak = before;
    let started = Instant::now();
    let is_done = |client: &Client| client.has_ended() || client.sent() >= BOMB_BYTES;
    while started.elapsed() < LIMIT && !clients.iter().all(is_done) {
        for client in clients.iter_mut().filter(|client| !is_done(client)) {
            // In pieces, so that an answer is read before the server gives up waiting for that.
            for _ in 0..PIECES {
                client.send_piece(units.as_bytes());
                client.receive_all();
            }
        }
        peak = peak.max(subject.resident_bytes()?);
        thread::sleep(Duration::from_millis(2));
    }
    // The last answers may be on their way.
    subject.settle();
    clients.iter_mut().for_each(|client| {
        client.receive_all();
    });
    let peak = peak.max(subject.resident_bytes()?);
    let status = clients[0].status();
    let same = clients.iter().all(|client| client.status() == status);
    let is_refused = |client: &&Client| {
        client.has_ended() || client.status().is_some_and(|status| status >= 400)
    };
    Ok(Effect {
        status: status.filter(|_| same),
        refused: clients.iter().filter(is_refused).count(),
        swallowed: clients.iter().all(|client| client.sent() >= BOMB_BYTES),
        growth_bytes: peak - before,
    })
}
