//! Server-sent events: framing, silence, and how they end.

use corelane_eventloop::{End, Nanos};
use corelane_http::web::testing::{TestRequest, TestServer};
use corelane_http::web::{App, Endpoint, OwnedRequest, Routes, Sse, SseEvent};

/// So many events, one after every pause.
fn server(events: u32, pause: Nanos) -> TestServer<App> {
    let handler = move |request: OwnedRequest| async move {
        let local = request.lane().local().clone();
        let mut sent = 0;
        Sse::new(&request).stream(async move || {
            local.sleep(pause).await;
            sent += 1;
            (sent <= events).then(|| SseEvent::new(format!("{sent}\nof {events}")).named("count"))
        })
    };
    let routes = Routes::new().on("GET", "/events", Endpoint::asynchronous(handler));
    TestServer::new(routes.build().unwrap())
}

fn futures(server: &mut TestServer<App>) -> usize {
    server.lane().protocol().handler().in_flight()
}

#[test]
fn events_arrive_in_order_and_comments_in_between() {
    let mut rarely = server(2, Nanos::from_secs(35));
    let response = rarely.get("/events");
    assert_eq!(response.field("Content-Type"), Some("text/event-stream"));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    let (quiet, first) = (":\n\n:\n\n", "data: 1\ndata: of 2\nevent: count\n\n");
    let expected = [quiet, first, quiet, "data: 2\ndata: of 2\nevent: count\n\n", quiet].concat();
    assert_eq!(response.text(), expected);
    assert_eq!(futures(&mut rarely), 0);
    assert!(server(1, Nanos::ZERO).get("/events").text().starts_with("data: 1\n"));
    let head = server(2, Nanos::ZERO).send(TestRequest::new("HEAD", "/events"));
    assert_eq!((head.status(), head.body()), (200, &b""[..]));
}

#[test]
fn they_end_with_the_client() {
    let mut server = server(u32::MAX, Nanos::from_secs(1000));
    let client = server.connect();
    server.world().send(client, &TestRequest::get("/events").bytes());
    server.pass(Nanos::from_secs(1));
    assert_eq!(futures(&mut server), 1);
    server.world().reset(client);
    server.pass(Nanos::from_secs(1));
    assert_eq!(futures(&mut server), 0, "long before the next event or comment");
}

#[test]
fn they_do_not_hold_up_a_server_that_stops() {
    let mut server = server(u32::MAX, Nanos::from_secs(1000));
    let client = server.connect();
    server.world().send(client, &TestRequest::get("/events").bytes());
    server.pass(Nanos::from_secs(1));
    server.lane().handle().stop(Nanos::from_secs(600));
    server.pass(Nanos::from_secs(1));
    assert_eq!(server.world().end(client), Some(End::Closed));
    let received = String::from_utf8(server.world().received(client)).unwrap();
    assert!(received.ends_with("\r\n0\r\n\r\n"), "whole: {received}");
}
