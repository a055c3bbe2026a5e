//! The rows. Tests of the parser and of the server both read them.
//!
//! A row's expectation is a list of events in words:
//!
//! - `GET /a` a head, followed by what is unusual about it: `close`, `length=N`, `chunked`,
//!   `continue`, `upgrade`, `1.0`, `absolute`, `authority`, `asterisk`
//! - `"data"` a body's data, all of it in one
//! - `end` the end of a body
//! - `...` the input ends where more is needed
//! - `!rule` a refusal, by its rule
//!
//! Each row names the section that demands it, `9112 3.2` for RFC 9112 section 3.2, or "policy"
//! where the rule is ours.

mod chunked;
mod fields;
mod framing;
mod lenient;
mod request_line;

use corelane_parser::http1::Limits;

/// Section, input, expectation.
pub(crate) type Row = (&'static str, &'static str, &'static str);

/// By what they are about: request lines, fields, framing, chunked bodies.
pub(crate) const TABLES: [&[Row]; 4] =
    [request_line::ROWS, fields::ROWS, framing::ROWS, chunked::ROWS];

/// What [`Limits::lenient`] waives, and what it does not.
pub(crate) const LENIENT: &[Row] = lenient::ROWS;

/// What the rows are judged by: small enough that they can exceed each of them.
pub(crate) const LIMITS: Limits = Limits {
    head_bytes: 400,
    request_line_bytes: 100,
    field_line_bytes: 120,
    fields: 8,
    body_bytes: 100,
    chunk_extension_bytes: 24,
    trailer_bytes: 40,
    ..Limits::DEFAULT
};
