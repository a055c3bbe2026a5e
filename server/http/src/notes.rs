//! What is noted in traces: sizes, counts and names that the operator chose, no target, no value of a
//! field, nothing of a body.

use corelane_parser::http1::{BodyKind, Head};

use crate::ready::Ready;
use crate::reply::{Replied, Rest};

/// Of a head that is whole.
#[cold]
pub(crate) fn head(head: &Head<'_>) -> String {
    let fields = head.fields().count();
    let s = if fields == 1 { "" } else { "s" };
    let body = match head.body() {
        BodyKind::None => "no body".to_owned(),
        BodyKind::Length(bytes) => format!("a body of {bytes} bytes"),
        BodyKind::Chunked | BodyKind::UntilClose => "a body in chunks".to_owned(),
    };
    let method = head.method().as_str();
    format!("{method}, {} bytes, {fields} field{s}, {body}", head.bytes())
}

/// Of the route that was found.
#[cold]
pub(crate) fn route(label: Option<&str>) -> String {
    label.map_or_else(|| "no route".to_owned(), |label| format!("route {label}"))
}

/// Of an answer that waited.
#[cold]
pub(crate) fn ready(ready: &Ready) -> String {
    format!("an answer that was rendered before, with {} bytes of content", ready.len())
}

/// Of an answer, as far as it is there.
#[cold]
pub(crate) fn answer(replied: Replied, rest: &Rest) -> String {
    match rest {
        Rest::Later(_) => "it comes later".to_owned(),
        Rest::Stream(_) => {
            format!("status {}; its content is made while it is sent", replied.status)
        }
        Rest::None | Rest::Ended => format!("status {}", replied.status),
    }
}
