//! Responses as a strict client reads them.

use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits, Method, Progress};

/// A final response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// It says that the connection ends.
    pub(crate) close: bool,
    pub(crate) body: Vec<u8>,
}

/// Takes a final response, complete and well-formed, from the front of what was received.
pub(crate) fn response(received: &mut &[u8], head_only: bool) -> Result<Response, String> {
    let limits = Limits::DEFAULT;
    let method = if head_only { Method::Head } else { Method::Get };
    let mut slots = ResponseSlots::new();
    let head = match ResponseParser::default().parse(received, method, &mut slots, &limits) {
        Ok(Progress::Complete(head)) => head,
        other => return Err(format!("no response: {other:?}")),
    };
    if head.status() < 200 || head.header("Date").is_none() || head.body() == BodyKind::UntilClose {
        return Err(format!("not final, without Date, or without framing: {head:?}"));
    }
    let mut rest = &received[head.bytes()..];
    let (mut body, mut data) = (Body::new(head.body(), &limits), Vec::new());
    loop {
        let step = body.advance(rest, &limits).map_err(|refusal| refusal.to_string())?;
        rest = &rest[step.consumed()..];
        match step {
            BodyStep::Data { data: part, .. } => data.extend_from_slice(part),
            BodyStep::NeedMore { .. } => return Err(format!("cut short: {head:?}")),
            BodyStep::Done { .. } => break,
        }
    }
    *received = rest;
    let close = head.header("Connection") == Some(b"close");
    Ok(Response { status: head.status(), close, body: data })
}

/// Skips `100 Continue`, as often as it is there.
pub(crate) fn skip_interim(received: &mut &[u8]) -> usize {
    let mut count = 0;
    while let Some(rest) = received.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
        *received = rest;
        count += 1;
    }
    count
}
