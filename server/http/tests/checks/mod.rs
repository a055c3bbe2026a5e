//! What must hold for any bytes that a client sends: used by the fuzz target `serve`, and by the
//! test that replays what it has found.

#[path = "../../../../parser/tests/checks/reference.rs"]
mod reference;
mod wire;

use std::rc::Rc;

use corelane_eventloop::{
    ClientId, Driver, End, Faults, Lane, LaneConfig, ListenOptions, Nanos, Post, Sim, World,
};
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply,
};
use corelane_metrics::Registry;
use corelane_parser::http1::{Head, Limits};

use reference::Conversation;

/// Small, so that short inputs exceed them.
const LIMITS: Limits = Limits {
    head_bytes: 1024,
    request_line_bytes: 200,
    field_line_bytes: 300,
    fields: 12,
    body_bytes: 500,
    chunk_extension_bytes: 40,
    trailer_bytes: 60,
    lenient: false,
};

/// Pieces a connection's bytes are sent in, at most: time passes between them.
const PIECES_MAX: usize = 200;

/// Any bytes as a connection: each complete request is answered once, in order, with what it said;
/// what is refused ends the connection; every response is well-formed; nothing is kept.
///
/// The first byte says by which limits, on what network and by what kind of client; the next two how
/// the rest is cut.
pub(crate) fn serve(input: &[u8]) {
    let Some((&[choice, first, second], input)) = input.split_first_chunk() else { return };
    let limits = match choice & 3 {
        0 => LIMITS,
        1 => Limits { lenient: true, ..LIMITS },
        _ => Limits::DEFAULT,
    };
    let faults = if choice & 4 == 0 { Faults::NONE } else { Faults::LOSSLESS };
    let (goes_silent, reads_late) = (choice & 8 != 0, choice & 16 != 0);

    let mut server = Server::new(limits, choice.into(), faults);
    let client = server.world.connect(&server.driver, 0);
    server.world.set_reading(client, !reads_late);
    let least = input.len() / PIECES_MAX + 1;
    let mut steps = [first, second].into_iter().cycle();
    let mut rest = input;
    while !rest.is_empty() {
        let step = steps.next().map_or(1, usize::from).max(least).min(rest.len());
        server.world.send(client, &rest[..step]);
        server.pass(Nanos::from_millis(1));
        rest = &rest[step..];
    }
    server.world.set_reading(client, true);
    if !goes_silent {
        server.world.finish(client);
    }
    server.until_end(client);
    let received = server.world.received(client);
    let judged = match server.world.end(client) {
        Some(End::Closed) => check(input, &received, &limits),
        // Who goes on sending after a request that was to be the last may lose its answer.
        _ if sends_after_the_last(input, &limits) => Ok(()),
        _ => Err("reset".to_owned()),
    };
    if let Err(wrong) = judged {
        let (input, received) = (input.escape_ascii(), received.escape_ascii());
        panic!("{wrong}\nsent: {input}\nreceived: {received}");
    }
    // Also the server's side of it is gone, and so is its memory.
    server.pass(Nanos::from_secs(10));
    assert_eq!((server.lane.len(), server.lane.pool().stats().lent_bytes), (0, 0));
}

/// Compares what was received with what the reference makes of the input.
fn check(input: &[u8], mut received: &[u8], limits: &Limits) -> Result<(), String> {
    let due = reference::conversation(input, limits);
    let mut continues = 0;
    for (number, (head, body)) in due.requests.iter().enumerate() {
        continues += wire::skip_interim(&mut received);
        let is_complete = !due.in_body || number + 1 < due.requests.len();
        let head_only = head.method == "HEAD";
        let unwanted = is_unwanted(&head.target) && head.framing != reference::Framing::None;
        let (status, close) = match &*head.method {
            "CONNECT" | "TRACE" => (501, true),
            _ if unwanted => (200, true),
            _ if is_complete => (200, !head.keep_alive),
            _ => break,
        };
        let response = wire::response(&mut received, head_only)?;
        if (response.status, response.close) != (status, close) {
            return Err(format!("{response:?} instead of {status}, close {close}"));
        }
        let body = if unwanted { &[][..] } else { body };
        if status == 200 && !head_only && response.body != echo(&head.method, &head.target, body) {
            return Err(format!("{response:?} is another answer"));
        }
        if close {
            return nothing_more(received);
        }
    }
    continues += wire::skip_interim(&mut received);
    if continues > due.requests.iter().filter(|(head, _)| head.expects_continue).count() {
        return Err("told to go on, and did not ask".to_owned());
    }
    if due.refused || !received.is_empty() {
        let is_begun = due.in_body || due.at < input.len();
        let response = refusal(input, &due, &mut received)?;
        // What is not complete may be refused early, or for being late.
        if !is_begun || response.status < 400 || !response.close {
            return Err(format!("{response:?} instead of a refusal"));
        }
    }
    nothing_more(received)
}

/// Whether bytes follow a request after which the connection closes in order.
fn sends_after_the_last(input: &[u8], limits: &Limits) -> bool {
    let all = reference::conversation(input, limits);
    let last = all.requests.iter().position(|(head, _)| !head.keep_alive);
    last.is_some_and(|last| last + 1 < all.requests.len() || all.at < input.len())
}

fn nothing_more(received: &[u8]) -> Result<(), String> {
    match received {
        [] => Ok(()),
        _ => Err(format!("after the last response: {}", received.escape_ascii())),
    }
}

/// The refusal of a request that is not complete: without a body if that is HEAD.
fn refusal(
    input: &[u8],
    due: &Conversation,
    received: &mut &[u8],
) -> Result<wire::Response, String> {
    let begun = &input[due.at..];
    let blank = begun.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let head_only = match due.requests.last() {
        Some((head, _)) if due.in_body => head.method == "HEAD",
        _ => begun[blank..].starts_with(b"HEAD "),
    };
    let empty_lines = begun[..blank].chunks(2).all(|line| line == b"\r\n");
    let mut rest = *received;
    match wire::response(&mut rest, false) {
        // Lines that are not empty ones are refused before it is known what follows, or after.
        Ok(response) if !head_only || !empty_lines || blank > 8 => {
            *received = rest;
            Ok(response)
        }
        _ => wire::response(received, head_only),
    }
}

fn is_unwanted(target: &str) -> bool {
    target.starts_with("/unwanted")
}

fn echo(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    [method.as_bytes(), b" ", target.as_bytes(), b" ", body].concat()
}

/// Answers with the method, the target and the body.
struct Echo;

struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
}

impl Handler for Echo {
    type Request = Request;

    fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> Request {
        let (method, target) = (head.method().to_string(), head.target().to_owned());
        Request { method, target, body: Vec::new() }
    }

    fn wants_body(&mut self, request: &Request) -> Intake {
        if is_unwanted(&request.target) { Intake::Answer } else { Intake::More }
    }

    fn body(&mut self, request: &mut Request, data: &[u8]) -> Intake {
        request.body.extend_from_slice(data);
        Intake::More
    }

    fn reply(&mut self, request: Request, reply: Reply<'_>) -> Replied {
        let body = echo(&request.method, &request.target, &request.body);
        reply.send(200, &[("Content-Type", "application/octet-stream")], &body)
    }
}

struct Server {
    world: World,
    driver: Sim,
    lane: Lane<Http<Echo>>,
}

impl Server {
    fn new(limits: Limits, seed: u64, faults: Faults) -> Server {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().expect("a registry");
        let shard = Rc::new(registry.shard(0).expect("the first shard"));
        let config = HttpConfig { limits, ..HttpConfig::default() };
        let http = Http::new(Echo, config, HttpCounters::new(metrics, shard));
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let world = World::new(seed, faults);
        let mut driver = world.driver();
        driver.listen(0, ListenOptions::default());
        Server { world, driver, lane }
    }

    fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            let rest = until.since(self.world.now());
            self.driver.turn(&mut self.lane, Some(rest)).expect("a turn");
        }
    }

    /// For as long as the longest deadline takes, and some more.
    fn until_end(&mut self, client: ClientId) {
        let mut step = 1;
        while self.world.end(client).is_none() {
            assert!(self.world.now() < Nanos::from_secs(300), "the connection does not end");
            self.pass(Nanos::from_millis(step));
            step = (step * 2).min(1000);
        }
    }
}
