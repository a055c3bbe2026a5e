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

/// Writes an answer that closes the connection.
#[cold]
pub(crate) fn write(answer: Answer, date: &HttpDate, out: &mut Out<'_>) {
    let mut body = String::with_capacity(128);
    // Writing to a string does not fail.
    let _ = writeln!(body, "{} {}", answer.rule, answer.message);
    let room = out.room(512);
    let written = ResponseHead::new(room, answer.status)
        .date(date)
        .field("Content-Type", b"text/plain; charset=utf-8")
        .length(body.len() as u64)
        .connection(Connection::Close)
        .finish();
    if let Ok(bytes) = written {
        out.commit(bytes);
        out.put(body.as_bytes());
    }
}
