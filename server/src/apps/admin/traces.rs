//! `/traces`: POST has the next connection from an address traced, and `/traces/ID` tells what was noted.

use std::net::SocketAddr;
use std::rc::Rc;

use corelane_eventloop::{ArmError, Note, TraceDesk, TraceReport};
use corelane_http::web::{Endpoint, Request, Response};
use serde_json::{Value, json};

use super::fresh;
use super::subject::Pages;

/// The longest text of an address: IPv6 with a port.
const PEER_BYTES: usize = 64;

/// The body is the address that the connection will come from.
pub(super) fn arm(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::new(move |request: &Request<'_>| {
        let traces = &pages.subject.traces;
        let peer = match peer(request.body()) {
            Ok(peer) => peer,
            Err(why) => return fresh(Response::problem(400, why)),
        };
        fresh(match traces.arm(peer, request.now()) {
            Ok(id) => {
                let trace = json!({
                    "id": id,
                    "peer": peer.to_string(),
                    "awaited_ms": TraceDesk::PATIENCE.as_millis(),
                    "traced_ms": TraceDesk::LENGTH.as_millis(),
                });
                let location = format!("/traces/{id}");
                Response::json(&trace).with_status(201).with("Location", location)
            }
            Err(error @ ArmError::Full) => {
                Response::problem(429, error.to_string()).with("Retry-After", "1")
            }
            Err(error @ ArmError::Awaited) => Response::problem(409, error.to_string()),
        })
    })
}

/// What was noted until now.
pub(super) fn page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |request: &Request<'_>| {
        let id = request.params().get("id").and_then(|id| id.parse().ok());
        let report = id.and_then(|id| pages.subject.traces.report(id, request.now()));
        fresh(match report {
            Some(report) => Response::json(&of(&report)),
            None => Response::problem(404, "no such trace: the newest 32 are kept"),
        })
    })
}

/// Reads the address of a peer that can connect.
fn peer(text: &[u8]) -> Result<SocketAddr, &'static str> {
    let expected = "expected an address with a port, such as 127.0.0.1:40000 or [::1]:40000";
    let text = std::str::from_utf8(text).map_err(|_| expected)?.trim_ascii();
    if text.len() > PEER_BYTES {
        return Err(expected);
    }
    let peer: SocketAddr = text.parse().map_err(|_| expected)?;
    match peer.port() {
        0 => Err("no connection comes from port 0"),
        _ if peer.ip().is_unspecified() => Err("no connection comes from an unspecified address"),
        _ => Ok(peer),
    }
}

/// Times are since the first note.
fn of(report: &TraceReport) -> Value {
    let begun = report.notes.first().map(|note| note.at).unwrap_or_default();
    let note = |note: &Note| {
        json!({
            "at_ns": note.at.since(begun).0,
            "stage": note.stage.name(),
            "event": note.event,
            "detail": note.detail,
        })
    };
    json!({
        "id": report.id,
        "peer": report.peer.to_string(),
        "state": report.state.name(),
        "over": report.state.is_over(),
        "loop": report.lane,
        "notes": report.notes.iter().map(note).collect::<Vec<_>>(),
        "left_out": report.left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_connections_come_from() {
        for text in ["127.0.0.1:40000", "[::1]:1", " 10.0.0.1:65535\n", "[fe80::1%3]:9"] {
            assert!(peer(text.as_bytes()).is_ok(), "{text}");
        }
        for text in
            ["", "127.0.0.1", "localhost:80", "127.0.0.1:0", "[::]:5", "1.2.3.4:70000", "\0"]
        {
            assert!(peer(text.as_bytes()).is_err(), "{text}");
        }
        assert!(peer(&[b'1'; 1000]).is_err());
        assert!(peer(b"\xff\xfe").is_err());
    }
}
