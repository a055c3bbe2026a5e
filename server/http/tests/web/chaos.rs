//! Handlers that panic, stall and answer out of order, clients that leave midway, and a network that
//! cuts, delays and resets: every answer is the one that was asked for, and everything returns.
//!
//! `CORELANE_SEEDS` says which seeds: a count, or a range such as `500..600`.

use std::future::pending;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use corelane_eventloop::{ClientId, End, Faults, Nanos};
use corelane_http::web::{
    BodyReader, Endpoint, Middleware, OwnedRequest, Request, Response, RouteLimits, Routes,
};
use corelane_http::{Produce, Produced, Sink};

use crate::chance::Chance;
use crate::rig::{Rig, parse};

struct Within;

impl Middleware for Within {
    fn name(&self) -> &'static str {
        "within"
    }
    fn configure(&self, limits: &mut RouteLimits) {
        limits.time = Nanos::from_secs(1);
    }
}

struct Count(u32, String);

impl Produce for Count {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        sink.put(self.1.as_bytes());
        self.0 -= 1;
        if self.0 == 0 { Produced::End } else { Produced::More }
    }
}

fn id(request: &Request<'_>) -> String {
    request.params().get("id").unwrap_or_default().into_owned()
}

async fn nap(request: OwnedRequest) -> String {
    let id = id(&request.view());
    let millis = id.parse::<u64>().unwrap_or(0) * 7919 % 60;
    request.lane().local().sleep(Nanos::from_millis(millis)).await;
    id
}

async fn writes(request: OwnedRequest) -> Response {
    let id = id(&request.view());
    let (mut writer, content) = request.lane().channel(100);
    let lane = request.lane().clone();
    request.lane().spawn(async move {
        for _ in 0..20 {
            lane.local().yield_now().await;
            if writer.write(id.clone().into_bytes()).await.is_err() {
                return;
            }
        }
        writer.finish();
    });
    Response::bytes("text/plain", content)
}

async fn upload(request: OwnedRequest, mut body: BodyReader) -> Response {
    let id = id(&request.view());
    let mut bytes = 0;
    while let Ok(Some(piece)) = body.read().await {
        bytes += piece.len();
        if bytes % 3 == 0 {
            request.lane().local().yield_now().await;
        }
    }
    Response::text(format!("{id} {bytes}"))
}

fn routes() -> Routes {
    Routes::new()
        .get("/plain/{id}", id)
        .get("/panic/{id}", |_: &Request<'_>| -> Response { panic!("on purpose") })
        .get("/stream/{id}", |request: &Request<'_>| {
            Response::stream("text/plain", Count(1000, id(request)))
        })
        .on("GET", "/nap/{id}", Endpoint::asynchronous(nap))
        .on("GET", "/writes/{id}", Endpoint::asynchronous(writes))
        .on("GET", "/stall/{id}", Endpoint::asynchronous(|_| pending::<Response>()))
        .on(
            "GET",
            "/fall/{id}",
            Endpoint::asynchronous(async |request: OwnedRequest| -> Response {
                request.lane().local().sleep(Nanos::from_millis(5)).await;
                panic!("on purpose")
            }),
        )
        .on("POST", "/upload/{id}", Endpoint::uploading(upload))
        .with(Within)
}

/// What a client asks for, and what it must get.
fn ask(chance: &mut Chance, id: u64) -> (Vec<u8>, u16, Option<String>) {
    let kind = chance.pick(&[
        "plain", "plain", "nap", "nap", "stream", "writes", "panic", "fall", "stall", "upload",
        "upload",
    ]);
    let text = id.to_string();
    let (status, body) = match kind {
        "panic" | "fall" => (500, None),
        "stall" => (503, None),
        "stream" => (200, Some(text.repeat(1000))),
        "writes" => (200, Some(text.repeat(20))),
        _ => (200, Some(text)),
    };
    if kind == "upload" {
        let bytes = chance.below(100_000);
        let head =
            format!("POST /upload/{id} HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n\r\n");
        let request = [head.into_bytes(), chance.bytes(bytes)].concat();
        return (request, status, Some(format!("{id} {bytes}")));
    }
    (format!("GET /{kind}/{id} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes(), status, body)
}

struct Client {
    client: ClientId,
    expected: Vec<(u16, Option<String>)>,
    /// It leaves before it has everything.
    leaves: bool,
}

fn play(seed: u64) {
    let mut chance = Chance(seed);
    let faults = match seed % 3 {
        0 => Faults::NONE,
        _ => Faults::LOSSLESS,
    };
    let mut rig = Rig::new(routes().build().unwrap(), seed, faults);
    let mut clients = Vec::new();
    let mut next = 0;
    for _ in 0..6 {
        let client = rig.connect();
        let mut expected = Vec::new();
        for _ in 0..1 + chance.below(12) {
            next += 1;
            let (request, status, body) = ask(&mut chance, next);
            rig.world.send(client, &request);
            expected.push((status, body));
            if chance.below(4) == 0 {
                rig.pass(Nanos::from_millis(chance.below(30)));
            }
        }
        let leaves = chance.below(3) == 0;
        clients.push(Client { client, expected, leaves });
    }
    rig.pass(Nanos::from_millis(chance.below(50)));
    for client in &clients {
        match client.leaves {
            true if chance.below(2) == 0 => rig.world.reset(client.client),
            true => rig.world.set_reading(client.client, false),
            false => rig.world.finish(client.client),
        }
    }
    rig.pass(Nanos::from_secs(120));
    for Client { client, expected, leaves } in clients {
        let received = rig.world.received(client);
        let (answers, rest) = parse(&received);
        for (answer, (status, body)) in answers.iter().zip(&expected) {
            assert_eq!(answer.status, *status, "{answer:?}");
            assert!(body.as_ref().is_none_or(|body| *body == answer.body), "{answer:?}");
        }
        if !leaves {
            assert_eq!(rig.world.end(client), Some(End::Closed), "a fair client is not reset");
            assert_eq!((answers.len(), rest), (expected.len(), &b""[..]));
        }
    }
    assert_eq!(rig.lane.len(), 0, "every connection ends");
    assert_eq!(rig.in_flight(), 0, "every future ends");
    assert_eq!(rig.lane.pool().stats().lent_bytes, 0, "every buffer returns");
    assert_eq!(rig.lane.stats().panics, 0, "no panic reaches the lane");
}

fn seeds() -> Range<u64> {
    let text = std::env::var("CORELANE_SEEDS").unwrap_or_else(|_| "30".to_owned());
    let number = |text: &str| text.parse().expect("CORELANE_SEEDS: a count, or a range as 5..9");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

#[test]
fn chaos() {
    for seed in seeds() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
            eprintln!(
                "replay: CORELANE_SEEDS={seed}..{} cargo test -p corelane-http --test web chaos",
                seed + 1
            );
            resume_unwind(panic);
        }
    }
}
