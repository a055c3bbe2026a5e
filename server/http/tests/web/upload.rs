//! Bodies that are read as they arrive.

use std::time::Duration;

use corelane_eventloop::{End, Nanos};
use corelane_http::middleware::Timeout;
use corelane_http::web::{BodyReader, Endpoint, OwnedRequest, Request, Response, Routes};

use crate::rig::{Rig, bodies};

async fn count(request: OwnedRequest, mut body: BodyReader) -> Response {
    let slow = request.view().query() == Some("slow");
    let (mut bytes, mut sum) = (0, 0u32);
    loop {
        match body.read().await {
            Ok(Some(piece)) => {
                bytes += piece.len();
                sum = piece.iter().fold(sum, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
            }
            Ok(None) => return Response::text(format!("{bytes} {sum:08x}")),
            Err(cut) => return Response::problem(400, cut),
        }
        if slow {
            request.lane().local().sleep(Nanos::from_millis(10)).await;
        }
    }
}

/// Asks for nothing.
async fn lazy(request: OwnedRequest, _body: BodyReader) -> Response {
    request.lane().local().sleep(Nanos::from_secs(100)).await;
    Response::text("late")
}

async fn collected(request: OwnedRequest) -> Response {
    request.lane().local().sleep(Nanos::from_millis(900)).await;
    Response::text(expected(request.body()))
}

async fn picky(_: OwnedRequest, mut body: BodyReader) -> Response {
    let first = body.read().await;
    Response::problem(415, format!("{:?}", first.map(|piece| piece.map(|bytes| bytes.len()))))
}

fn routes() -> Routes {
    Routes::new()
        .on("POST", "/count", Endpoint::uploading(count))
        .on("POST", "/picky", Endpoint::uploading(picky))
        .on("POST", "/lazy", Endpoint::uploading(lazy))
        .on("POST", "/collected", Endpoint::asynchronous(collected))
        .get("/plain", |_: &Request<'_>| "plain")
}

fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn expected(body: &[u8]) -> String {
    let sum = body.iter().fold(0u32, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
    format!("{} {sum:08x}", body.len())
}

#[test]
fn a_body_is_read_as_it_comes() {
    let mut rig = Rig::calm(routes());
    let (large, small) = (body(900_000), body(3));
    let requests = [post("/count", &large), post("/count", &small), post("/count", b"")].concat();
    let answers = rig.converse(requests);
    assert_eq!(bodies(&answers, 200), [expected(&large), expected(&small), expected(b"")]);
    assert_eq!((rig.in_flight(), rig.lane.pool().stats().lent_bytes), (0, 0));
}

/// The time of a handler is not that of its client.
#[test]
fn a_slow_body_is_not_cut_by_the_time_of_its_handler() {
    let body = body(200_000);
    for (path, status) in [("/count", 200), ("/collected", 200), ("/lazy", 503)] {
        let mut rig = Rig::calm(routes().with(Timeout::new(Duration::from_secs(1))));
        let client = rig.connect();
        let request = post(path, &body);
        for piece in request.chunks(20_000) {
            // Longer than the handler has, and shorter, and never as slow as the protocol forbids.
            rig.world.send(client, &piece[..piece.len() / 2]);
            rig.pass(Nanos::from_millis(1500));
            rig.world.send(client, &piece[piece.len() / 2..]);
            rig.pass(Nanos::from_millis(700));
        }
        rig.world.finish(client);
        rig.until_end(client);
        let answers = rig.answers(client);
        assert_eq!(answers[0].status, status, "{path}: {answers:?}");
        assert!(status != 200 || answers[0].body == expected(&body));
        assert_eq!(rig.in_flight(), 0);
    }
}

#[test]
fn a_handler_that_is_slow_holds_back_the_client() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let large = body(900_000);
    rig.world.send(client, &post("/count?slow", &large));
    rig.pass(Nanos::from_millis(50));
    let read = rig.lane.stats().bytes_in;
    assert!(read < 400_000, "{read} of 900,000 were read at once");
    rig.world.finish(client);
    rig.until_end(client);
    assert_eq!(bodies(&rig.answers(client), 200), [expected(&large)]);
}

#[test]
fn an_early_answer_ends_the_connection_in_order() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let large = body(900_000);
    rig.world.send(client, &post("/picky", &large)[..20_000]);
    rig.pass(Nanos::from_millis(10));
    rig.world.send(client, &large[20_000..60_000]);
    rig.until_end(client);
    assert_eq!(rig.world.end(client), Some(End::Closed));
    let answers = rig.answers(client);
    assert_eq!((answers.len(), answers[0].status), (1, 415));
    assert!(answers[0].head.contains("Connection: close\r\n"));
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() {
    for leave in [corelane_eventloop::World::reset, corelane_eventloop::World::finish] {
        let mut rig = Rig::calm(routes());
        let client = rig.connect();
        rig.world.send(client, &post("/count", &body(10_000))[..5_000]);
        rig.pass(Nanos::from_millis(10));
        assert_eq!(rig.in_flight(), 1);
        leave(&rig.world, client);
        rig.pass(Nanos::from_millis(10));
        assert_eq!((rig.in_flight(), rig.lane.len()), (0, 0));
        assert_eq!(rig.lane.pool().stats().lent_bytes, 0);
    }
}

#[test]
fn chunks_above_the_limit_of_the_route_are_refused() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    let mut request =
        b"POST /count HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..110 {
        request.extend_from_slice(b"2710\r\n");
        request.extend_from_slice(&body(10_000));
        request.extend_from_slice(b"\r\n");
    }
    rig.world.send(client, &request);
    rig.until_end(client);
    assert_eq!(rig.answers(client)[0].status, 413);
    rig.pass(Nanos::from_millis(1));
    assert_eq!(rig.in_flight(), 0);
}
