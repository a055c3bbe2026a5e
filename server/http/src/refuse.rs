//! The answer to a request that broke a rule.

use std::fmt::Write;

use corelane_eventloop::Out;
use corelane_parser::Refusal;
use corelane_parser::http1::HttpDate;
use corelane_parser::http1::encode::{Connection, ResponseHead};

/// Why a connection that breaks a rule is answered and closed: the parser's rules, and our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) rule: &'static str,
    pub(crate) message: &'static str,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        Answer { status: refusal.status(), rule: refusal.rule(), message: refusal.message() }
    }
}

/// CONNECT asks for a tunnel, and this is no proxy (RFC 9110 §9.3.6).
pub(crate) const CONNECT: Answer = Answer {
    status: 501,
    rule: "connect",
    message: "CONNECT is not implemented (RFC 9110 §9.3.6)",
};

/// TRACE sends back what may be secret, to whoever can make a browser ask for it; what this server
/// receives can be seen better elsewhere (RFC 9110 §9.3.8).
pub(crate) const TRACE: Answer =
    Answer { status: 501, rule: "trace", message: "TRACE is not implemented (RFC 9110 §9.3.8)" };

/// Memory is short, and this connection holds the most of it.
pub(crate) const SHED: Answer =
    Answer { status: 503, rule: "memory", message: "the server is short of memory; try again" };

/// Those that are not the parser's.
pub(crate) const OWN: [Answer; 3] = [CONNECT, TRACE, SHED];

/// Writes an answer that closes the connection.
#[cold]
pub(crate) fn write(answer: Answer, head_only: bool, date: &HttpDate, out: &mut Out<'_>) {
    let mut body = String::with_capacity(128);
    // Writing to a string does not fail.
    let _ = writeln!(body, "{} {}", answer.rule, answer.message);
    let mut head = ResponseHead::new(out.room(512), answer.status);
    head.date(date)
        .field("Content-Type", b"text/plain; charset=utf-8")
        .length(body.len() as u64)
        .connection(Connection::Close);
    match answer.status {
        426 => head.upgrade("websocket").field("Sec-WebSocket-Version", b"13"),
        503 => head.field("Retry-After", b"1"),
        _ => &mut head,
    };
    if let Ok(bytes) = head.finish() {
        out.commit(bytes);
        if !head_only {
            out.put(body.as_bytes());
        }
    }
}
