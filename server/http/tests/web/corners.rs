//! What a review found wrong: pipelining, early answers, deadlines, endings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corelane_eventloop::{Faults, Nanos};
use corelane_http::web::{
    BodyReader, Endpoint, Middleware, Observe, OwnedRequest, Request, Response, RouteLimits, Routes,
};
use corelane_http::{Content, Produce, Produced, Sink};

use crate::rig::{Rig, gets, parse};

const SECOND: Nanos = Nanos::from_secs(1);

async fn nap(request: OwnedRequest) -> String {
    let millis = request.view().params().get("ms").unwrap().parse().unwrap();
    request.lane().local().sleep(Nanos::from_millis(millis)).await;
    format!("{millis}:{}", request.body().len())
}

/// Puts a little, yields, and ends with more than fits below the watermark.
struct Burst(bool);

impl Produce for Burst {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        if !std::mem::replace(&mut self.0, true) {
            sink.put(b"a little");
            return Produced::Yield;
        }
        sink.push(Content::from(vec![b'x'; 100_000]));
        Produced::End
    }
}

async fn picky(_: OwnedRequest, mut body: BodyReader) -> Response {
    let _ = body.read().await;
    Response::problem(415, "not like that")
}

async fn curt(_: OwnedRequest, _: BodyReader) -> Response {
    Response::problem(403, "not for you")
}

async fn all(_: OwnedRequest, mut body: BodyReader) -> Response {
    let mut bytes = 0;
    while let Ok(Some(piece)) = body.read().await {
        bytes += piece.len();
    }
    Response::text(bytes.to_string())
}

struct Mark;

impl Middleware for Mark {
    fn name(&self) -> &'static str {
        "mark"
    }
    fn after(&self, _: &Request<'_>, response: &mut Response) {
        response.set("Seen", "yes");
    }
}

fn routes() -> Routes {
    Routes::new()
        .on("GET", "/nap/{ms}", Endpoint::asynchronous(nap))
        .on("POST", "/nap/{ms}", Endpoint::asynchronous(nap))
        .on("POST", "/picky", Endpoint::uploading(picky))
        .on("POST", "/curt", Endpoint::uploading(curt))
        .on("POST", "/all", Endpoint::uploading(all))
        .get("/burst", |_: &Request<'_>| Response::stream("text/plain", Burst(false)))
        .get("/plain", |_: &Request<'_>| "plain")
        .with(Mark)
}

fn statuses(rig: &Rig, client: corelane_eventloop::ClientId) -> Vec<u16> {
    rig.answers(client).iter().map(|answer| answer.status).collect()
}

/// A request behind a stream whose last piece fills the output, in a step that consumes nothing.
#[test]
fn what_is_behind_a_stream_that_ends_above_the_watermark_is_answered() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/burst", "/plain"]));
    rig.pass(SECOND);
    assert_eq!(statuses(&rig, client), [200, 200]);
}

/// The handler has answered; the client waits for that before it sends more.
#[test]
fn an_early_answer_does_not_wait_for_more_of_the_body() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let head = b"POST /picky HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n0123456789";
    rig.world.send(client, head);
    rig.pass(Nanos::from_secs(20));
    assert_eq!(statuses(&rig, client), [415]);
}

/// A handler that answers by the head alone: nobody needs to be told to go on (RFC 9110 §10.1.1).
#[test]
fn an_answer_that_is_there_is_given_in_the_place_of_100() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let head = "POST /curt HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\
                Expect: 100-continue\r\n\r\n";
    rig.world.send(client, head.as_bytes());
    rig.pass(SECOND);
    let received = String::from_utf8(rig.world.received(client)).unwrap();
    assert!(received.starts_with("HTTP/1.1 403 "), "{received}");
}

/// The client cannot send its body before it has been told to, and that stands behind an answer.
#[test]
fn a_body_is_not_late_before_its_client_was_told_to_go_on() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/nap/8000"]));
    let head = "POST /nap/1 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\
                Expect: 100-continue\r\n\r\n";
    rig.world.send(client, head.as_bytes());
    rig.pass(Nanos::from_secs(9));
    rig.world.send(client, b"abc");
    rig.pass(SECOND);
    assert_eq!(statuses(&rig, client), [200, 200]);
}

/// What says `Connection: close` closes.
#[test]
fn a_head_that_says_close_is_the_last() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let request = "HEAD /burst HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    rig.world.send(client, request.as_bytes());
    rig.pass(SECOND);
    let received = String::from_utf8(rig.world.received(client)).unwrap();
    let says_close = received.to_ascii_lowercase().contains("connection: close");
    assert_eq!(says_close, rig.world.end(client).is_some(), "{received}");
}

/// As above, with more behind the request that asked for the close.
#[test]
fn the_last_answer_says_so_whatever_stands_behind_its_request() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let request = "GET /nap/10 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    rig.world.send(client, &[request.as_bytes(), &gets(&["/plain"])].concat());
    rig.until_end(client);
    let answers = rig.answers(client);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].head.contains("Connection: close\r\n"), "{}", answers[0].head);
}

/// The deadline was taken back while answers were outstanding, and has to come again.
#[test]
fn a_connection_is_idle_after_a_full_turn_behind_outstanding_answers() {
    let none = |_: &Request<'_>| Response::new(204);
    let routes =
        Routes::new().on("GET", "/nap/{ms}", Endpoint::asynchronous(nap)).get("/none", none);
    let mut rig = Rig::calm(routes);
    let client = rig.connect();
    let mut requests = gets(&["/nap/10"]);
    requests.extend(gets(&["/none"; 15 + 128]));
    requests.extend_from_slice(b"\r\n");
    rig.world.send(client, &requests);
    rig.pass(SECOND);
    assert_eq!(rig.answers(client).len(), 144);
    rig.pass(Nanos::from_secs(100));
    assert!(rig.world.end(client).is_some(), "it is open without a deadline");
}

struct AtMost(u64);

impl Middleware for AtMost {
    fn name(&self) -> &'static str {
        "at-most"
    }
    fn configure(&self, limits: &mut RouteLimits) {
        limits.body_bytes = self.0;
    }
}

struct Counts(Rc<RefCell<Vec<u16>>>);

impl Observe for Counts {
    fn answered(&mut self, _: &Request<'_>, status: u16, _: Option<u64>, _: Nanos) {
        self.0.borrow_mut().push(status);
    }
}

/// Middleware and the log see every response.
#[test]
fn a_body_found_too_large_is_answered_like_everything_else() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let app = routes().with(AtMost(500_000)).build().unwrap().observed_by(Counts(seen.clone()));
    let mut rig = Rig::new(app, 1, Faults::NONE);
    let client = rig.connect();
    let mut request =
        b"POST /all HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..110 {
        request.extend_from_slice(b"2710\r\n");
        request.extend_from_slice(&[b'x'; 10_000]);
        request.extend_from_slice(b"\r\n");
    }
    rig.world.send(client, &request);
    rig.until_end(client);
    let answers = rig.answers(client);
    assert_eq!(answers[0].status, 413);
    assert_eq!(*seen.borrow(), [413], "what the observer saw");
    assert!(answers[0].head.contains("Seen: yes"), "{}", answers[0].head);
}

/// A handler that answers first and has the body read beside it must not take a part for the whole.
#[test]
fn a_body_that_was_cut_is_not_whole() {
    let outcome = Rc::new(Cell::new(None));
    let told = outcome.clone();
    let routes = Routes::new().on(
        "POST",
        "/",
        Endpoint::uploading(move |request: OwnedRequest, mut body: BodyReader| {
            let told = told.clone();
            async move {
                request.lane().spawn(async move {
                    let mut bytes = 0;
                    loop {
                        match body.read().await {
                            Ok(Some(piece)) => bytes += piece.len(),
                            Ok(None) => return told.set(Some(Ok(bytes))),
                            Err(_) => return told.set(Some(Err(bytes))),
                        }
                    }
                });
                Response::new(202)
            }
        }),
    );
    let mut rig = Rig::calm(routes);
    let client = rig.connect();
    rig.world.send(client, b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n0123");
    rig.pass(Nanos::from_millis(10));
    rig.world.send(client, b"4567");
    rig.pass(Nanos::from_millis(10));
    assert_eq!(statuses(&rig, client), [202]);
    assert!(!matches!(outcome.get(), Some(Ok(bytes)) if bytes < 1000), "{:?}", outcome.get());
}

/// Pipelined requests may be worked on in parallel if all are safe (RFC 9112 §9.3.2).
#[test]
fn what_follows_an_unsafe_request_comes_after_it() {
    let value = Rc::new(Cell::new(0));
    let (write, read) = (value.clone(), value);
    let set = move |request: OwnedRequest| {
        let write = write.clone();
        async move {
            request.lane().local().sleep(Nanos::from_millis(10)).await;
            write.set(1);
            "set"
        }
    };
    let routes = Routes::new()
        .on("PUT", "/", Endpoint::asynchronous(set))
        .get("/", move |_: &Request<'_>| read.get().to_string());
    let mut rig = Rig::calm(routes);
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let answers = rig.converse([put.as_bytes(), &gets(&["/"])].concat());
    assert_eq!(answers[1].body, "1", "the GET stands behind the PUT");
}

/// An answer that was complete before a stream failed reaches its client.
#[test]
fn a_stream_that_fails_does_not_take_earlier_answers_with_it() {
    struct Fails;
    impl Produce for Fails {
        fn produce(&mut self, _: &mut Sink<'_>) -> Produced {
            Produced::Failed
        }
    }
    let routes = Routes::new()
        .get("/plain", |_: &Request<'_>| "plain")
        .get("/fails", |_: &Request<'_>| Response::stream("text/plain", Fails));
    let mut rig = Rig::calm(routes);
    let client = rig.connect();
    rig.world.send(client, &gets(&["/plain", "/fails"]));
    rig.until_end(client);
    let received = rig.world.received(client);
    assert_eq!(parse(&received).0.len(), 1);
}

/// What stands behind a promised answer is bounded by bytes, too, as output is elsewhere.
#[test]
fn answers_that_wait_their_turn_do_not_pile_up() {
    let routes = Routes::new()
        .on("GET", "/nap/{ms}", Endpoint::asynchronous(nap))
        .get("/large", |_: &Request<'_>| Response::text("x".repeat(1_000_000)));
    let mut rig = Rig::calm(routes);
    let client = rig.connect();
    let paths = [&["/nap/5000"][..], &["/large"; 15]].concat();
    rig.world.send(client, &gets(&paths));
    rig.pass(SECOND);
    let answered = rig.counter("corelane_http_requests_total");
    assert!(answered <= 2, "{answered} answers of 1 MB wait for the first");
}
