//! The input side of one connection: head, body, next head.
//!
//! | phase | call | result | next phase |
//! |---|---|---|---|
//! | Head | `parse_head` | partial | Head |
//! | Head | `parse_head` | a head without a body | Head |
//! | Head | `parse_head` | a head with a body | Body |
//! | Body | `advance_body` | data, or need of more | Body |
//! | Body | `advance_body` | done | Head |
//! | any | any | refusal | none: answer and close |

use super::{Body, BodyKind, BodyStep, FieldSlots, Head, HeadParser, Limits, Progress};
use crate::Refusal;

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A request head: call [`RequestMachine::parse_head`].
    Head,
    /// The rest of a body: call [`RequestMachine::advance_body`].
    Body,
}

/// Reads the requests of one connection, one after the other, pipelined or not. Plain data.
///
/// The caller owns the input: it shows what is there, and drops what was consumed.
///
/// ```
/// use corelane_parser::http1::{BodyStep, FieldSlots, Limits, Phase, Progress, RequestMachine};
///
/// let limits = Limits::default();
/// let mut machine = RequestMachine::default();
/// let mut input = &b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\
///                    GET /b HTTP/1.1\r\nHost: h\r\n\r\n"[..];
/// let mut seen = Vec::new();
/// while !input.is_empty() {
///     let consumed = match machine.phase() {
///         Phase::Head => match machine.parse_head(input, &mut FieldSlots::new(), &limits)? {
///             Progress::Complete(head) => {
///                 seen.push(head.target().to_owned());
///                 head.bytes()
///             }
///             Progress::Partial => break, // read more, then show all of it
///         },
///         Phase::Body => {
///             let step = machine.advance_body(input, &limits)?;
///             if let BodyStep::Data { data, .. } = step {
///                 seen.push(String::from_utf8_lossy(data).into_owned());
///             }
///             step.consumed()
///         }
///     };
///     input = &input[consumed..];
/// }
/// assert_eq!(seen, ["/a", "hi", "/b"]);
/// # Ok::<(), corelane_parser::Refusal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMachine {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head(HeadParser),
    Body(Body),
}

impl Default for RequestMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestMachine {
    /// A machine at the start of a connection.
    pub const fn new() -> Self {
        Self { state: State::Head(HeadParser::new()) }
    }

    /// What comes next.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Head(_) => Phase::Head,
            State::Body(_) => Phase::Body,
        }
    }

    /// The body being received, in phase [`Phase::Body`].
    #[inline]
    pub fn body(&self) -> Option<&Body> {
        match &self.state {
            State::Head(_) => None,
            State::Body(body) => Some(body),
        }
    }

    /// Parses the head at the front of `input`: see [`HeadParser::parse`]. Consume
    /// [`Head::bytes`] of the input then; if the head announces a body, that comes next.
    ///
    /// In phase [`Phase::Body`] a call is a mistake of the caller: it asserts in debug builds, and
    /// else answers [`Progress::Partial`], so that no body is ever read as a head.
    ///
    /// # Errors
    /// A [`Refusal`]: the connection must be closed after the answer.
    #[inline]
    pub fn parse_head<'h>(
        &mut self,
        input: &'h [u8],
        slots: &'h mut FieldSlots<'h>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        let State::Head(parser) = &mut self.state else {
            debug_assert!(false, "a head was asked for in the middle of a body");
            return Ok(Progress::Partial);
        };
        let progress = parser.parse(input, slots, limits)?;
        if let Progress::Complete(head) = &progress
            && head.body() != BodyKind::None
        {
            self.state = State::Body(Body::new(head.body(), limits));
        }
        Ok(progress)
    }

    /// Takes the next piece of the body: see [`Body::advance`]. Call until the step is
    /// [`BodyStep::NeedMore`] or [`BodyStep::Done`], also with empty input: the last data and the
    /// end are two steps. In phase [`Phase::Head`] there is no body, and it is done.
    ///
    /// # Errors
    /// A [`Refusal`]: the connection must be closed after the answer.
    #[inline]
    pub fn advance_body<'b>(
        &mut self,
        input: &'b [u8],
        limits: &Limits,
    ) -> Result<BodyStep<'b>, Refusal> {
        let State::Body(body) = &mut self.state else {
            return Ok(BodyStep::Done { consumed: 0 });
        };
        let step = body.advance(input, limits)?;
        if body.is_done() && !matches!(step, BodyStep::Data { .. }) {
            *self = Self::new();
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small() {
        assert_eq!(size_of::<RequestMachine>(), 24);
    }
}
