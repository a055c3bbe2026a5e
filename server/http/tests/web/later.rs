//! Handlers that answer later.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use corelane_eventloop::{End, Nanos};
use corelane_http::web::{
    Before, BodyReader, Endpoint, Middleware, OwnedRequest, Request, Response, RouteLimits, Routes,
};

use crate::rig::{Rig, bodies, gets};

async fn nap(request: OwnedRequest) -> String {
    let millis = request.view().params().get("ms").unwrap().parse().unwrap();
    request.lane().local().sleep(Nanos::from_millis(millis)).await;
    format!("{millis}:{}", request.body().len())
}

async fn panics(request: OwnedRequest) -> Response {
    request.lane().local().sleep(Nanos::from_millis(1)).await;
    panic!("on purpose")
}

struct Within(Nanos);

impl Middleware for Within {
    fn name(&self) -> &'static str {
        "within"
    }
    fn configure(&self, limits: &mut RouteLimits) {
        limits.time = self.0;
    }
    fn after(&self, _: &Request<'_>, response: &mut Response) {
        response.set("Seen", "yes");
    }
}

fn routes() -> Routes {
    Routes::new()
        .on("GET", "/nap/{ms}", Endpoint::asynchronous(nap))
        .on("POST", "/nap/{ms}", Endpoint::asynchronous(nap))
        .on("GET", "/panics", Endpoint::asynchronous(panics))
        .on("GET", "/never", Endpoint::asynchronous(|_| pending::<Response>()))
        .on("GET", "/ready", Endpoint::asynchronous(async |_| "at once"))
        .get("/plain", |_: &Request<'_>| "plain")
        .post("/empty", |_: &Request<'_>| "")
        .with(Within(Nanos::from_secs(2)))
}

#[test]
fn answers_keep_the_order_of_their_requests() {
    let mut rig = Rig::calm(routes());
    let begun = rig.world.now();
    let answers =
        rig.converse(gets(&["/nap/30", "/plain", "/nap/10", "/ready", "/nap/20", "/plain"]));
    assert_eq!(bodies(&answers, 200), ["30:0", "plain", "10:0", "at once", "20:0", "plain"]);
    assert!(
        rig.world.now().since(begun) < Nanos::from_millis(45),
        "they wait together, not in turn"
    );
    assert_eq!((rig.in_flight(), rig.lane.len()), (0, 0));
}

#[test]
fn a_connection_has_so_many_requests_outstanding_and_no_more() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/nap/50"; 40]));
    rig.pass(Nanos::from_millis(20));
    assert_eq!(rig.in_flight(), 16);
    rig.pass(Nanos::from_millis(200));
    assert_eq!(bodies(&rig.answers(client), 200), ["50:0"; 40]);
    assert_eq!(rig.in_flight(), 0);
}

/// Timers fire up to two ticks late: 2.1 ms for each that was waited for.
#[track_caller]
fn assert_close(sum: Nanos, least: u64, ticks: u64) {
    let least = Nanos::from_millis(least);
    assert!(sum >= least && sum < least + Nanos(ticks << 21), "{sum:?} instead of {least:?}");
}

#[test]
fn a_request_that_waits_for_others_began_when_it_came() {
    let mut rig = Rig::calm(routes());
    // What may change something waits until those before it are answered.
    rig.converse(
        "GET /nap/50 HTTP/1.1\r\nHost: test\r\n\r\n\
         POST /empty HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n\
         GET /plain HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    for route in ["/nap/{ms}", "/empty", "/plain"] {
        let (count, sum) = rig.latencies(route);
        assert_eq!(count, 1, "{route}");
        assert_close(sum, 50, 1);
    }
}

#[test]
fn requests_beyond_the_limit_of_outstanding_ones_began_when_they_came() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/nap/50"; 40]));
    rig.pass(Nanos::from_millis(200));
    let (count, sum) = rig.latencies("/nap/{ms}");
    assert_eq!(count, 40);
    // Sixteen at a time.
    assert_close(sum, 16 * 50 + 16 * 100 + 8 * 150, 16 + 16 * 2 + 8 * 3);
}

#[test]
fn a_body_comes_with_the_request() {
    let mut rig = Rig::calm(routes());
    let answers = rig.converse(
        "POST /nap/5 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc\
         POST /nap/1 HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab",
    );
    assert_eq!(bodies(&answers, 200), ["5:3", "1:2"]);
}

#[test]
fn panics_and_handlers_that_never_end_are_answered_for() {
    let mut rig = Rig::calm(routes());
    let begun = rig.world.now();
    let answers = rig.converse(gets(&["/panics", "/never", "/plain"]));
    let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [500, 503, 200]);
    assert!(answers[1].head.contains("Seen: yes"), "it passes through the middleware");
    assert_eq!(rig.counter("corelane_http_handler_panics_total"), 1);
    assert_eq!(rig.timeouts(), [("handler".to_owned(), 1)]);
    let took = rig.world.now().since(begun);
    assert!((Nanos::from_secs(2)..Nanos::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_cancels_its_work() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/never", "/nap/100", "/plain"]));
    rig.pass(Nanos::from_millis(10));
    assert_eq!(rig.in_flight(), 2);
    rig.world.reset(client);
    // This one asks for more than may be outstanding, and is not read from for now.
    let paused = rig.connect();
    rig.world.send(paused, &gets(&["/never"; 40]));
    rig.pass(Nanos::from_millis(10));
    assert_eq!(rig.in_flight(), 16);
    rig.world.reset(paused);
    rig.pass(Nanos::from_millis(10));
    assert_eq!((rig.in_flight(), rig.lane.len()), (0, 0));
    assert_eq!(rig.lane.pool().stats().lent_bytes, 0);
}

#[test]
fn beyond_the_limit_of_futures_requests_are_told_so() {
    let app = routes().build().unwrap().with_futures(2);
    let mut rig = Rig::new(app, 1, corelane_eventloop::Faults::NONE);
    let answers = rig.converse(gets(&["/nap/5", "/nap/5", "/nap/5"]));
    let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [200, 200, 503]);
    assert!(answers[2].head.contains("Retry-After: 1\r\n"));
}

#[test]
fn a_stop_lets_what_was_promised_finish() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/nap/300"]));
    rig.pass(Nanos::from_millis(10));
    let begun = rig.world.now();
    rig.lane.handle().stop(Nanos::from_secs(5));
    rig.until_end(client);
    assert_eq!(rig.world.end(client), Some(End::Closed));
    let answers = rig.answers(client);
    assert_eq!(bodies(&answers, 200), ["300:0"]);
    assert!(answers[0].head.contains("Connection: close\r\n"), "{answers:?}");
    assert!(rig.world.now().since(begun) < Nanos::from_secs(3), "nobody waits for an idle client");
}

#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/nap/20"]));
    rig.world.send(client, b"GET / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n");
    rig.until_end(client);
    let seen: Vec<_> = rig.answers(client).iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [200, 400]);
}

/// Lets pass, after a while, whoever knows the word.
struct Door;

impl Middleware for Door {
    fn name(&self) -> &'static str {
        "door"
    }
    fn before(&self, request: &Request<'_>) -> Before {
        let knows = request.header("Word") == Some(b"mellon");
        Before::Wait(Box::pin(async move {
            match knows {
                true => Ok(()),
                false => Err(Response::new(401)),
            }
        }))
    }
}

/// Lets pass whoever it is told to, when it is told.
#[derive(Clone, Default)]
struct Gate(Rc<RefCell<(Option<Waker>, Option<bool>)>>);

impl Gate {
    fn decide(&self, passes: bool) {
        self.0.borrow_mut().1 = Some(passes);
        let waker = self.0.borrow_mut().0.take();
        waker.expect("somebody waits").wake();
    }
}

impl Middleware for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }
    fn before(&self, _: &Request<'_>) -> Before {
        let state = self.0.clone();
        Before::Wait(Box::pin(poll_fn(move |context| {
            let mut state = state.borrow_mut();
            state.0 = Some(context.waker().clone());
            match state.1 {
                None => Poll::Pending,
                Some(true) => Poll::Ready(Ok(())),
                Some(false) => Poll::Ready(Err(Response::new(401))),
            }
        })))
    }
}

/// The length of a body that is read as it comes.
async fn count(_: OwnedRequest, mut body: BodyReader) -> String {
    let mut bytes = 0;
    while let Ok(Some(piece)) = body.read().await {
        bytes += piece.len();
    }
    bytes.to_string()
}

/// Nobody who was not let in can make the server collect.
#[test]
fn a_body_waits_for_the_middleware_that_decides_later() {
    let body = vec![b'x'; 900_000];
    // Passed or not, after how many bytes, whether told to go on, and how much of it was read.
    for (passes, bytes, expects, status) in [
        (true, 900_000, false, 200),
        (true, 3, false, 200),
        (true, 900_000, true, 200),
        (false, 900_000, false, 401),
        (false, 3, false, 401),
        (false, 900_000, true, 401),
    ] {
        for endpoint in [
            Endpoint::new(|request: &Request<'_>| request.body().len().to_string()),
            Endpoint::asynchronous(async |request: OwnedRequest| request.body().len().to_string()),
            Endpoint::uploading(count),
        ] {
            let gate = Gate::default();
            let mut rig = Rig::calm(Routes::new().on("POST", "/", endpoint).with(gate.clone()));
            let client = rig.connect();
            let expect = if expects { "Expect: 100-continue\r\n" } else { "" };
            let head =
                format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {bytes}\r\n{expect}\r\n");
            rig.world.send(client, head.as_bytes());
            if !expects {
                rig.world.send(client, &body[..bytes]);
            }
            rig.pass(Nanos::from_secs(20));
            assert_eq!(rig.world.received_len(client), 0, "nobody is told to go on");
            let read = rig.lane.stats().bytes_in;
            assert!(read < 100_000, "{read} bytes were read");
            gate.decide(passes);
            rig.pass(Nanos::from_millis(10));
            let told = rig.world.received(client).starts_with(b"HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(told, expects && passes);
            if told {
                rig.world.send(client, &body[..bytes]);
            }
            rig.pass(Nanos::from_millis(10));
            let answers = rig.answers(client);
            assert_eq!((answers.len(), answers[0].status), (1, status));
            assert!(!passes || answers[0].body == bytes.to_string());
            // What is short is read to its end, so that the connection can go on.
            let goes_on = passes || bytes == 3;
            assert_eq!(rig.world.end(client).is_none(), goes_on);
            assert_eq!(rig.in_flight(), 0);
        }
    }
}

/// One that leaves takes the question along.
#[test]
fn a_client_that_leaves_is_not_decided_about() {
    for bytes in [0, 5] {
        let gate = Gate::default();
        let routes = Routes::new().post("/", |_: &Request<'_>| "in").with(gate.clone());
        let mut rig = Rig::calm(routes);
        let client = rig.connect();
        let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234";
        rig.world.send(client, &head.as_bytes()[..head.len() - 5 + bytes]);
        rig.pass(Nanos::from_millis(10));
        assert_eq!(rig.in_flight(), 1);
        rig.world.reset(client);
        rig.pass(Nanos::from_millis(10));
        assert_eq!((rig.in_flight(), rig.lane.len()), (0, 0));
    }
}

#[test]
fn middleware_may_decide_later() {
    let make = || {
        Routes::new()
            .get("/", |request: &Request<'_>| format!("in, files: {}", request.files().is_some()))
            .post("/", |request: &Request<'_>| request.body().len().to_string())
            .on(
                "PUT",
                "/",
                Endpoint::asynchronous(async |request: OwnedRequest| {
                    request.body().len().to_string()
                }),
            )
            .with(Door)
    };
    let word = "Host: test\r\nWord: mellon\r\n";
    for (request, status, body) in [
        (format!("GET / HTTP/1.1\r\n{word}\r\n"), 200, "in, files: true"),
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 401, ""),
        (format!("POST / HTTP/1.1\r\n{word}Content-Length: 2\r\n\r\nab"), 200, "2"),
        (format!("PUT / HTTP/1.1\r\n{word}Content-Length: 2\r\n\r\nab"), 200, "2"),
    ] {
        let mut rig = Rig::calm(make());
        let answers = rig.converse(&request);
        assert_eq!((answers[0].status, &answers[0].body[..]), (status, body), "{request}");
        assert_eq!(rig.in_flight(), 0);
    }
}
