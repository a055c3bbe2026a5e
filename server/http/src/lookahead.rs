//! What can be told of a request before it is parsed.

use corelane_parser::http1::Phase;

use crate::conn::Conn;

/// Whether `input` is the rest of empty lines, which begin no request: some clients send one behind a body
/// (RFC 9112 §2.2), and then nothing for as long as a connection may be idle.
pub(crate) fn is_blank(input: &[u8]) -> bool {
    input.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Whether the request under way, which cannot be answered as asked, is HEAD.
#[cold]
pub(crate) fn is_head<R>(conn: &Conn<R>, input: &[u8]) -> bool {
    match &conn.request {
        Some(pending) => pending.manner.head_only,
        None => {
            let line = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            line.is_some_and(|at| input[at..].starts_with(b"HEAD "))
        }
    }
}

/// Whether the next request has to wait for the answers before it: what changes something is not begun
/// while others are worked on (RFC 9112 §9.3.2).
pub(crate) fn waits_its_turn<R>(conn: &Conn<R>, input: &[u8]) -> bool {
    let Some(slots) = &conn.slots else { return false };
    if conn.machine.phase() != Phase::Head || !slots.is_waiting() {
        return false;
    }
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let safe: [&[u8]; 3] = [b"GET ", b"HEAD ", b"OPTIONS "];
    start.is_some_and(|at| !safe.iter().any(|method| input[at..].starts_with(method)))
}
