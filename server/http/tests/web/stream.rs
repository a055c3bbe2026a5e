//! Answers that are made while they are sent.

use std::cell::RefCell;
use std::rc::Rc;

use corelane_eventloop::{End, Faults, Nanos};
use corelane_http::web::{Ended, Endpoint, Observe, OwnedRequest, Request, Response, Routes};
use corelane_http::{Produce, Produced, Sink};

use crate::rig::{Rig, gets};

/// So many lines of 1,000 bytes.
struct Lines(u32);

impl Produce for Lines {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        let Some(left) = self.0.checked_sub(1) else {
            sink.trailer("Lines", b"all").unwrap();
            assert!(sink.trailer("Content-Length", b"1").is_err());
            return Produced::End;
        };
        self.0 = left;
        sink.put(format!("{left:0999}\n").as_bytes());
        Produced::More
    }
}

struct Fails;

impl Produce for Fails {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        sink.put(b"some");
        Produced::Failed
    }
}

/// Says that there is more, and never has any.
struct Restless(u32);

impl Produce for Restless {
    fn produce(&mut self, _: &mut Sink<'_>) -> Produced {
        self.0 += 1;
        if self.0 < 1000 { Produced::More } else { Produced::End }
    }
}

async fn ticks(request: OwnedRequest) -> Response {
    let (mut writer, content) = request.lane().channel(4096);
    let lane = request.lane().clone();
    request.lane().spawn(async move {
        for tick in 0..5 {
            lane.local().sleep(Nanos::from_millis(10)).await;
            if writer.write(format!("{tick}\n").into_bytes()).await.is_err() {
                return;
            }
        }
        writer.finish();
    });
    Response::bytes("text/plain", content)
}

fn routes() -> Routes {
    Routes::new()
        .get("/lines", |_: &Request<'_>| Response::stream("text/plain", Lines(500)))
        .get("/fails", |_: &Request<'_>| Response::stream("text/plain", Fails))
        .get("/restless", |_: &Request<'_>| Response::stream("text/plain", Restless(0)))
        .get("/plain", |_: &Request<'_>| "plain")
        .on("GET", "/ticks", Endpoint::asynchronous(ticks))
}

#[test]
fn a_stream_arrives_whole_and_in_its_place() {
    let mut rig = Rig::calm(routes());
    let answers = rig.converse(gets(&["/ticks", "/lines", "/plain", "/restless", "/plain"]));
    let seen: Vec<_> = answers.iter().map(|answer| (answer.status, answer.body.len())).collect();
    assert_eq!(seen, [(200, 10), (200, 500_000), (200, 5), (200, 0), (200, 5)]);
    assert_eq!(answers[0].body, "0\n1\n2\n3\n4\n");
    assert_eq!(answers[1].trailers, "Lines: all\r\n");
    assert!(answers[1].head.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(rig.lane.pool().stats().lent_bytes, 0);
}

#[test]
fn a_slow_reader_holds_back_the_making_not_the_memory() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.set_pace(client, 5000, Nanos::from_millis(10));
    rig.world.set_send_buffer(client, 4096);
    rig.world.send(client, &gets(&["/lines", "/plain"]));
    for _ in 0..100 {
        rig.pass(Nanos::from_millis(10));
        assert!(rig.lane.pool().stats().lent_bytes <= 64 * 1024);
    }
    rig.pass(Nanos::from_secs(3));
    let answers = rig.answers(client);
    assert_eq!((answers[0].body.len(), &answers[1].body[..]), (500_000, "plain"));
}

#[test]
fn an_old_client_gets_a_stream_until_the_end_of_the_connection() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, b"GET /lines HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    rig.until_end(client);
    assert_eq!(rig.world.end(client), Some(End::Closed));
    let text = String::from_utf8(rig.world.received(client)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Connection: close") && !head.contains("chunked"), "{head}");
    assert_eq!(body.len(), 500_000);
}

#[test]
fn head_does_not_make_what_it_does_not_send() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, b"HEAD /fails HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.world.send(client, &gets(&["/plain"]));
    rig.pass(Nanos::from_millis(5));
    let text = String::from_utf8(rig.world.received(client)).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.contains("Transfer-Encoding: chunked\r\n") && text.ends_with("plain"), "{text}");
}

#[test]
fn what_cannot_be_completed_does_not_look_complete() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/fails", "/plain"]));
    rig.until_end(client);
    assert_eq!(rig.world.end(client), Some(End::Closed), "in order, but without its last chunk");
    assert!(!String::from_utf8(rig.world.received(client)).unwrap().contains("0\r\n\r\n"));
}

#[test]
fn a_writer_learns_that_its_client_is_gone() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, &gets(&["/ticks"]));
    rig.pass(Nanos::from_millis(25));
    assert_eq!(rig.in_flight(), 1);
    rig.world.reset(client);
    rig.pass(Nanos::from_millis(30));
    assert_eq!(rig.in_flight(), 0);
}

/// Gives some, and waits.
struct Waits(bool);

impl Produce for Waits {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        if !std::mem::replace(&mut self.0, true) {
            sink.put(b"some");
        }
        Produced::Wait
    }
}

struct Log(Rc<RefCell<Vec<String>>>);

impl Observe for Log {
    fn answered(&mut self, _: &Request<'_>, status: u16, bytes: Option<u64>, _: Nanos) {
        self.0.borrow_mut().push(format!("{status} {bytes:?}"));
    }

    fn begun(&mut self, _: &Request<'_>, status: u16, _: Nanos) -> Option<Ended> {
        let log = self.0.clone();
        Some(Box::new(move |bytes, whole, end| {
            log.borrow_mut().push(format!("{status} {bytes} {whole} {}", end.as_secs()));
        }))
    }
}

fn observed(routes: Routes) -> (Rig, Rc<RefCell<Vec<String>>>) {
    let seen = Rc::default();
    let app = routes.build().unwrap().observed_by(Log(Rc::clone(&seen)));
    (Rig::new(app, 1, Faults::NONE), seen)
}

#[test]
fn a_stream_that_is_left_ends_when_it_is_left() {
    let waits = |_: &Request<'_>| Response::stream("text/plain", Waits(false));
    let (mut rig, seen) = observed(Routes::new().get("/", waits));
    let client = rig.connect();
    rig.world.send(client, gets(&["/"]).as_ref());
    rig.pass(Nanos::from_secs(100));
    assert_eq!(*seen.borrow(), [""; 0]);
    let left = rig.world.now().as_secs();
    rig.world.reset(client);
    rig.pass(Nanos::from_millis(10));
    assert_eq!(*seen.borrow(), [format!("200 4 false {left}")]);
}

/// A response that becomes a 500 is seen as one.
#[test]
fn what_is_seen_is_what_is_sent() {
    let stream = |status| {
        move |_: &Request<'_>| Response::stream("text/plain", Lines(1)).with_status(status)
    };
    let text = |status| move |_: &Request<'_>| Response::text("text").with_status(status);
    for (routes, expected) in [
        (Routes::new().get("/", stream(200)), "200 1000 true 1"),
        (Routes::new().get("/", stream(204)), "500 Some(35)"),
        (Routes::new().get("/", stream(205)), "500 Some(35)"),
        (Routes::new().get("/", stream(304)), "500 Some(35)"),
        (Routes::new().get("/", text(205)), "500 Some(35)"),
        (Routes::new().get("/", text(600)), "500 Some(35)"),
    ] {
        let (mut rig, seen) = observed(routes);
        let answer = rig.converse(gets(&["/"])).remove(0);
        assert_eq!(*seen.borrow(), [expected]);
        assert_eq!(&expected[..3], answer.status.to_string());
        assert!(answer.status != 500 || answer.body.len() == 35, "{answer:?}");
    }
}
