//! Counting responses: exactly, and cheaply when they repeat.
//!
//! A response is parsed whole the first time. While the same bytes come again, comparing them with
//! the parsed ones proves the same outcome at the price of one `memcmp`; any difference (a new
//! second in `Date`, another length) goes back to the full parse. So a cheap count is never a
//! guessed one.

use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits, Method, Progress};

use crate::check::{Checks, Seen, Wrong};
use crate::plan::Expect;

/// Responses longer than this are parsed every time rather than compared.
const TEMPLATE_BYTES_MAX: usize = 16 * 1024;
/// Bodies are dropped unread if so much of them is still to come: less is not worth another call.
const SKIP_BYTES_MIN: u64 = 4 * 1024;
/// What a response may be. Bodies of any length are counted.
const LIMITS: Limits = Limits {
    head_bytes: HEAD_BYTES_MAX,
    field_line_bytes: HEAD_BYTES_MAX,
    fields: 100,
    body_bytes: u64::MAX,
    ..Limits::DEFAULT
};
/// A response head may be this long.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What one whole response was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The server will read another request on this connection.
    pub(crate) keeps_alive: bool,
    /// What about it was not as expected.
    pub(crate) wrong: Option<Wrong>,
}

/// The bytes are no HTTP/1.x response.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// How all connections of one worker read the responses to one request.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Responses have no body (to `HEAD`).
    head_only: bool,
    checks: Checks,
    /// A response that was parsed whole, and what it was.
    template: Option<(Vec<u8>, Response)>,
}

impl Rules {
    pub(crate) fn new(head_only: bool, expect: &Expect) -> Self {
        Self { head_only, checks: Checks::new(expect), template: None }
    }

    /// Whether bodies are counted without being read.
    pub(crate) fn skips(&self) -> bool {
        self.checks.only_length()
    }

    /// The response at the front of `input` and its length, if it equals the one parsed before.
    #[inline]
    fn recognise(&self, input: &[u8]) -> Option<(usize, Response)> {
        let (bytes, response) = self.template.as_ref()?;
        input.starts_with(bytes).then_some((bytes.len(), *response))
    }

    fn remember(&mut self, bytes: &[u8], response: Response) {
        if bytes.len() > TEMPLATE_BYTES_MAX {
            return;
        }
        let (kept, kept_response) =
            self.template.get_or_insert_with(|| (Vec::with_capacity(bytes.len()), response));
        kept.clear();
        kept.extend_from_slice(bytes);
        *kept_response = response;
    }
}

/// Where one connection's input stands.
#[derive(Debug, Default)]
pub(crate) struct Reader(State);

#[derive(Debug)]
enum State {
    /// At the start of a head, of which some may have been seen: none of it is consumed before it is
    /// whole.
    Head(ResponseParser),
    Body(Body, Arriving),
    /// The rest of the body is being dropped.
    Skipping(Arriving),
}

/// A response whose body has not come whole.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    status: u16,
    keeps_alive: bool,
    seen: Seen,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(ResponseParser::default())
    }
}

impl Arriving {
    fn end(self, rules: &Rules) -> Response {
        let Self { status, keeps_alive, seen } = self;
        Response { status, keeps_alive, wrong: rules.checks.judge(status, seen, rules.head_only) }
    }
}

impl Reader {
    /// Reads from the front of `input`, up to the end of a response: how many bytes were used, and the
    /// response if it ended. Less than all of the input without a response is a head that is not whole.
    #[inline]
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        rules: &mut Rules,
    ) -> Result<(usize, Option<Response>), Malformed> {
        if let State::Head(parser) = &mut self.0
            && let Some((length, response)) = rules.recognise(input)
        {
            // Of this head, it may have seen the beginning before.
            *parser = ResponseParser::default();
            return Ok((length, Some(response)));
        }
        self.parse(input, rules)
    }

    fn parse(
        &mut self,
        input: &[u8],
        rules: &mut Rules,
    ) -> Result<(usize, Option<Response>), Malformed> {
        let begins = matches!(self.0, State::Head(_));
        let mut used = 0;
        while let State::Head(parser) = &mut self.0 {
            let rest = &input[used..];
            let method = if rules.head_only { Method::Head } else { Method::Get };
            let mut slots = ResponseSlots::new();
            let progress = parser.parse(rest, method, &mut slots, &LIMITS);
            let Progress::Complete(head) = progress.map_err(|_| Malformed)? else {
                return Ok((used, None));
            };
            used += head.bytes();
            match head.status() {
                // Nobody has asked for another protocol.
                101 => return Err(Malformed),
                // An interim response: the final one follows.
                100..=199 => {}
                status => {
                    let body = Body::new(head.body(), &LIMITS);
                    let seen = rules.checks.begin(|name| head.header(name));
                    let keeps_alive = head.keep_alive();
                    self.0 = State::Body(body, Arriving { status, keeps_alive, seen });
                }
            }
        }
        let (read, response) = self.read_body(&input[used..], rules)?;
        used += read;
        if let (true, Some(response)) = (begins, response) {
            rules.remember(&input[..used], response);
        }
        Ok((used, response))
    }

    fn read_body(
        &mut self,
        input: &[u8],
        rules: &Rules,
    ) -> Result<(usize, Option<Response>), Malformed> {
        let State::Body(body, arriving) = &mut self.0 else { return Ok((0, None)) };
        let mut used = 0;
        loop {
            let step = body.advance(&input[used..], &LIMITS).map_err(|_| Malformed)?;
            used += step.consumed();
            match step {
                BodyStep::Data { data, .. } => arriving.seen.read(data, &rules.checks),
                BodyStep::NeedMore { .. } => return Ok((used, None)),
                BodyStep::Done { .. } => {
                    let response = arriving.end(rules);
                    self.0 = State::default();
                    return Ok((used, Some(response)));
                }
            }
        }
    }

    /// How many of the next bytes need only be counted, if that is worth a call: the rest of a body of
    /// known length that nobody compares. Whoever has them dropped calls [`skipped`](Self::skipped)
    /// when they are.
    pub(crate) fn skip(&mut self, rules: &Rules) -> Option<u64> {
        let State::Body(body, arriving) = &mut self.0 else { return None };
        let left = body.bytes_left().filter(|left| *left >= SKIP_BYTES_MIN && rules.skips())?;
        arriving.seen.skip(left);
        self.0 = State::Skipping(*arriving);
        Some(left)
    }

    /// The response whose body was skipped, if one was.
    #[inline]
    pub(crate) fn skipped(&mut self, rules: &Rules) -> Option<Response> {
        let State::Skipping(arriving) = self.0 else { return None };
        self.0 = State::default();
        Some(arriving.end(rules))
    }

    /// The peer closed, with so many bytes of input left unread: the response that this completes, if
    /// that is how its body ends. `Err` when a response was cut.
    pub(crate) fn end(
        &mut self,
        unread: usize,
        rules: Option<&Rules>,
    ) -> Result<Option<Response>, Malformed> {
        match (std::mem::take(&mut self.0), rules) {
            (State::Head(_), _) if unread == 0 => Ok(None),
            // Only a body that ends with the connection has no end that is known.
            (State::Body(body, arriving), Some(rules))
                if body == Body::new(BodyKind::UntilClose, &LIMITS) =>
            {
                Ok(Some(arriving.end(rules)))
            }
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
