//! What is noted of a traced connection, in virtual time: the same steps at the same times, always.

use std::sync::Arc;

use corelane_eventloop::{Nanos, TraceDesk, TraceReport, TraceState};
use corelane_http::middleware::SetHeaders;
use corelane_http::web::{Endpoint, OwnedRequest, Request, Routes};

use crate::rig::Rig;

async fn later(request: OwnedRequest) -> &'static str {
    request.lane().local().sleep(Nanos::from_millis(100)).await;
    "done\n"
}

fn routes() -> Routes {
    Routes::new()
        .get("/now", |_: &Request<'_>| "now\n")
        .on("GET", "/later", Endpoint::asynchronous(later))
        .with(SetHeaders::new().set("X-Of-Us", "yes").unwrap())
}

fn traced(bytes: &str) -> TraceReport {
    let mut rig = Rig::calm(routes());
    let desk = Arc::new(TraceDesk::default());
    rig.lane = rig.lane.with_traces(desk.clone());
    // The first client of a world comes from this port.
    let id = desk.arm(([127, 0, 0, 1], 1024).into(), rig.world.now()).unwrap();
    rig.converse(bytes);
    desk.report(id, rig.world.now()).unwrap()
}

#[test]
fn the_journey_of_two_requests() {
    let request =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Key: swordfish\r\n\r\n");
    let both = request("/later?token=swordfish") + &request("/now");
    let report = traced(&both);
    assert_eq!(report.state, TraceState::Closed);
    let begun = report.notes[0].at;
    let told: Vec<String> = report
        .notes
        .iter()
        .map(|note| {
            let at = note.at.since(begun).as_millis();
            format!("{at} {} {}: {}", note.stage.name(), note.event, note.detail)
        })
        .filter(|line| !line.contains("loop woke"))
        .collect();
    let bytes = both.len();
    // A deadline fires at most a millisecond late.
    let expected = format!(
        "0 acceptor accepted: listener 0, loop 0, which has 1 connection
0 loop stepped: waits for more input
0 kernel received: {bytes} bytes
0 parser head: GET, 69 bytes, 2 fields, no body
0 router matched: route /later
0 middleware before: set-headers: passes it on
0 handler answered: it comes later
0 parser head: GET, 51 bytes, 2 fields, no body
0 router matched: route /now
0 middleware before: set-headers: passes it on
0 handler ran: it answers at once
0 middleware after: set-headers
0 handler answered: status 200
0 loop stepped: waits for more input
0 kernel end: the client sends no more
0 loop stepped: waits for its answer, and reads nothing
101 handler done: its future has ended
101 loop mail: from another part of the server
101 handler answered: status 200
101 output queued: 269 bytes
101 loop stepped: ends when all is sent
101 output its turn to send: 269 bytes to send
101 kernel sent: 269 bytes, which is all
101 loop closed: finished; {bytes} bytes received, 269 bytes sent"
    );
    assert_eq!(told.join("\n"), expected);
    assert!(!told.join("\n").contains("swordfish"));
    assert_eq!(traced(&both).notes, report.notes, "the same again");
}

#[test]
fn what_is_refused_and_what_is_partial() {
    for (bytes, line) in [
        ("GET / HTTP/1.1\r\n\r\n", "parser refused: host-missing: status 400"),
        ("GET / HTTP/1.1\r\nHo", "parser part of a head: 18 bytes so far"),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "router matched: no route"),
    ] {
        let report = traced(bytes);
        let told = report
            .notes
            .iter()
            .any(|note| format!("{} {}: {}", note.stage.name(), note.event, note.detail) == line);
        assert!(told, "{line} is not in {:#?}", report.notes);
    }
}
