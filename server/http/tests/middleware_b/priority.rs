//! Overload: what matters goes on, what matters less is refused, and all recovers.

use corelane_eventloop::{ClientId, Nanos};
use corelane_http::middleware::{LoadLimits, LoadShedder, Priority, ShedCounts};
use corelane_http::web::testing::{TestRequest, TestServer};
use corelane_http::web::{App, Endpoint, OwnedRequest, Request, Routes};

const LIMITS: LoadLimits = LoadLimits { low: 10, normal: 20, high: 40 };

/// Requests of each priority by path; each takes a second.
fn server(shedder: &LoadShedder) -> TestServer<App> {
    let slow = || {
        Endpoint::asynchronous(async |request: OwnedRequest| {
            request.lane().local().sleep(Nanos::from_secs(1)).await;
            "done\n"
        })
    };
    let by_field = |request: &Request<'_>| match request.header("Urgent") {
        Some(_) => Priority::High,
        None => Priority::Low,
    };
    let app = Routes::new()
        .on("GET", "/low", slow())
        .with_last(shedder.gate(Priority::Low))
        .on("GET", "/normal", slow())
        .with_last(shedder.gate(Priority::Normal))
        .on("GET", "/high", slow())
        .with_last(shedder.gate(Priority::High))
        .on("GET", "/by-field", slow())
        .with_last(shedder.gate_by(by_field));
    TestServer::new(app.build().unwrap())
}

fn begin(server: &mut TestServer<App>, path: &str, count: usize) -> Vec<ClientId> {
    (0..count)
        .map(|_| {
            let client = server.connect();
            server.world().send(client, &TestRequest::get(path).bytes());
            server.pass(Nanos::from_millis(1));
            client
        })
        .collect()
}

/// How many were answered with 200, how many with 503.
fn answers(server: &TestServer<App>, clients: &[ClientId]) -> (usize, usize) {
    let received = |client: &ClientId| server.world().received(*client);
    let count = |status: &[u8]| clients.iter().filter(|c| received(c).starts_with(status)).count();
    (count(b"HTTP/1.1 200 "), count(b"HTTP/1.1 503 "))
}

#[test]
fn what_matters_less_is_refused_first_and_all_recovers() {
    let shedder = LoadShedder::new(LIMITS);
    let mut server = server(&shedder);
    let low = begin(&mut server, "/low", 30);
    let normal = begin(&mut server, "/normal", 30);
    let high = begin(&mut server, "/high", 15);
    assert_eq!(answers(&server, &low), (0, 20), "at once");
    assert_eq!(answers(&server, &normal), (0, 20));
    assert_eq!(shedder.in_flight(), 35);
    server.pass(Nanos::from_secs(2));
    assert_eq!(answers(&server, &low), (10, 20));
    assert_eq!(answers(&server, &normal), (10, 20));
    assert_eq!(answers(&server, &high), (15, 0));
    assert_eq!(shedder.in_flight(), 0);
    for path in ["/low", "/normal", "/high"] {
        assert_eq!(server.get(path).status(), 200);
    }
    assert_eq!(shedder.counts(Priority::Low), ShedCounts { passed: 11, refused: 20 });
    assert_eq!(shedder.counts(Priority::High), ShedCounts { passed: 16, refused: 0 });
}

#[test]
fn high_priority_is_served_throughout_a_flood() {
    let shedder = LoadShedder::new(LIMITS);
    let mut server = server(&shedder);
    let mut served = 0;
    let mut flood = Vec::new();
    for _ in 0..10 {
        flood.extend(begin(&mut server, "/low", 50));
        flood.extend(begin(&mut server, "/normal", 50));
        let urgent = TestRequest::get("/by-field").header("Urgent", "1");
        served += usize::from(server.send(urgent).status() == 200);
    }
    assert_eq!(served, 10);
    let (ok, refused) = answers(&server, &flood);
    assert!(ok >= 100 && refused >= 500, "{ok} {refused}");
    server.pass(Nanos::from_secs(2));
    assert_eq!(answers(&server, &flood).0 + answers(&server, &flood).1, flood.len());
    assert_eq!(server.get("/by-field").status(), 200, "low again");
}

#[test]
fn clients_that_leave_are_in_flight_no_more() {
    let shedder = LoadShedder::new(LIMITS);
    let mut server = server(&shedder);
    let clients = begin(&mut server, "/low", 10);
    assert_eq!(shedder.in_flight(), 10);
    clients.into_iter().for_each(|client| server.world().reset(client));
    server.pass(Nanos::from_millis(10));
    assert_eq!(shedder.in_flight(), 0);
}

#[test]
fn a_refusal_says_when_to_come_again() {
    let shedder = LoadShedder::builder(LoadLimits { low: 0, ..LIMITS })
        .retry_after(Nanos::from_secs(10))
        .resume_percent(50)
        .build();
    let mut server = server(&shedder);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let response = server.get("/low");
        assert_eq!(response.status(), 503);
        let seconds: u64 = response.field("Retry-After").unwrap().parse().unwrap();
        assert!((10..=20).contains(&seconds));
        seen.insert(seconds);
        assert!(response.keeps_alive());
    }
    assert!(seen.len() > 3, "spread out: {seen:?}");
    assert_eq!(server.get("/normal").status(), 200);
}
