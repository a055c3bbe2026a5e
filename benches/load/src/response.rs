//! Counting responses: exactly, and cheaply when they repeat.
//!
//! A response is parsed whole the first time. While the same bytes come again, comparing them with
//! the parsed ones proves the same outcome at the price of one `memcmp`; any difference (a new
//! second in `Date`, another length) goes back to the full parse. So a cheap count is never a
//! guessed one.

use crate::chunked::Chunked;
use crate::plan::Expect;

/// Responses longer than this are parsed every time rather than compared.
const TEMPLATE_BYTES_MAX: usize = 16 * 1024;
/// A response head may be this long.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A response head may have this many fields.
const FIELD_COUNT_MAX: usize = 128;

/// What one whole response was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The server will read another request on this connection.
    pub(crate) keeps_alive: bool,
    /// The body is the expected one, or none was expected.
    pub(crate) body_matches: bool,
}

/// The bytes are no HTTP/1.x response.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// What all connections of one worker read responses with.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Responses have no body (to `HEAD`).
    pub(crate) head_only: bool,
    /// What each body must be.
    pub(crate) expect: Expect,
    /// A response that was parsed whole, and what it was.
    template: Option<(Vec<u8>, Response)>,
}

impl Rules {
    pub(crate) fn new(head_only: bool, expect: Expect) -> Self {
        Self { head_only, expect, template: None }
    }

    /// The response at the front of `input` and its length, if it equals the one parsed before.
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
pub(crate) struct Reader {
    state: State,
    /// A head that has not arrived whole.
    held: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body {
        framing: Framing,
        body: Body,
        response: Response,
    },
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// How much of the body was compared with the expected one.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    length: usize,
    differs: bool,
}

impl Body {
    fn read(&mut self, data: &[u8], expected: Option<&[u8]>) {
        if let Some(expected) = expected {
            let same = expected.get(self.length..).is_some_and(|rest| rest.starts_with(data));
            self.differs |= !same;
        }
        self.length += data.len();
    }

    fn matches(self, expect: &Expect) -> bool {
        let same = |body: &Vec<u8>| !self.differs && self.length == body.len();
        expect.body.as_ref().is_none_or(same)
            && expect.length.is_none_or(|length| self.length as u64 == length)
    }
}

impl Reader {
    /// Reads all of `input`, giving each response that became whole to `complete`.
    pub(crate) fn read(
        &mut self,
        mut input: &[u8],
        rules: &mut Rules,
        mut complete: impl FnMut(Response),
    ) -> Result<(), Malformed> {
        // The input at the start of the current response, if it began inside this input.
        let mut start = None;
        while !input.is_empty() {
            if matches!(self.state, State::Head) && self.held.is_empty() {
                if let Some((length, response)) = rules.recognise(input) {
                    complete(response);
                    input = &input[length..];
                    continue;
                }
                start = Some(input);
            }
            let (used, response) = self.advance(input, rules)?;
            input = &input[used..];
            if let Some(response) = response {
                if let Some(start) = start {
                    rules.remember(&start[..start.len() - input.len()], response);
                }
                complete(response);
            }
        }
        Ok(())
    }

    /// How many of the next bytes need only be counted: the rest of a body of known length that
    /// nobody compares. They can be discarded and given to [`skip`](Self::skip).
    pub(crate) fn skippable(&self, rules: &Rules) -> u64 {
        match &self.state {
            State::Body { framing: Framing::Length(left), .. } if rules.expect.body.is_none() => {
                *left
            }
            _ => 0,
        }
    }

    /// Counts `length` bytes, at most those that are [`skippable`](Self::skippable). The response,
    /// if it ended with them.
    pub(crate) fn skip(&mut self, length: usize, rules: &Rules) -> Option<Response> {
        let State::Body { framing: Framing::Length(left), body, response } = &mut self.state else {
            return None;
        };
        *left -= length as u64;
        body.length += length;
        if *left > 0 {
            return None;
        }
        let response = Response { body_matches: body.matches(&rules.expect), ..*response };
        self.state = State::Head;
        Some(response)
    }

    /// The peer closed: the response that this completes, if that is how its body ends.
    /// `Err` when a response was cut.
    pub(crate) fn end(&mut self, rules: &Rules) -> Result<Option<Response>, Malformed> {
        match std::mem::take(&mut self.state) {
            State::Head if self.held.is_empty() => Ok(None),
            State::Body { framing: Framing::UntilClose, body, mut response } => {
                response.body_matches = body.matches(&rules.expect);
                Ok(Some(response))
            }
            _ => Err(Malformed),
        }
    }

    /// One step: a head, or as much of a body as there is. How many bytes were used, and the
    /// response if it ended.
    fn advance(
        &mut self,
        input: &[u8],
        rules: &Rules,
    ) -> Result<(usize, Option<Response>), Malformed> {
        let State::Body { framing, body, response } = &mut self.state else {
            return self.advance_head(input, rules);
        };
        let expected = rules.expect.body.as_deref();
        let (used, ended) = match framing {
            Framing::Length(left) => {
                let here = (*left).min(input.len() as u64);
                *left -= here;
                // `here` is at most a slice's length, so it fits.
                body.read(&input[..here as usize], expected);
                (here as usize, *left == 0)
            }
            Framing::Chunked(chunked) => {
                chunked.read(input, |data| body.read(data, expected)).map_err(|_| Malformed)?
            }
            Framing::UntilClose => {
                body.read(input, expected);
                (input.len(), false)
            }
        };
        if !ended {
            return Ok((used, None));
        }
        response.body_matches = body.matches(&rules.expect);
        let response = *response;
        self.state = State::Head;
        Ok((used, Some(response)))
    }

    fn advance_head(
        &mut self,
        input: &[u8],
        rules: &Rules,
    ) -> Result<(usize, Option<Response>), Malformed> {
        let held = self.held.len();
        let parsed = if held == 0 {
            parse(input, rules.head_only)?
        } else {
            self.held.extend_from_slice(input);
            parse(&self.held, rules.head_only)?
        };
        let Some(head) = parsed else {
            if held == 0 {
                self.held.extend_from_slice(input);
            }
            if self.held.len() > HEAD_BYTES_MAX {
                return Err(Malformed);
            }
            return Ok((input.len(), None));
        };
        self.held.clear();
        // The head ended inside `input`: without it, it was not whole.
        let used = head.length - held;
        if (100..200).contains(&head.status) {
            // An interim response: the final one follows.
            return Ok((used, None));
        }
        let mut response =
            Response { status: head.status, keeps_alive: head.keeps_alive, body_matches: true };
        if matches!(head.framing, Framing::Length(0)) {
            response.body_matches = rules.head_only || Body::default().matches(&rules.expect);
            return Ok((used, Some(response)));
        }
        self.state = State::Body { framing: head.framing, body: Body::default(), response };
        Ok((used, None))
    }
}

struct Head {
    length: usize,
    status: u16,
    keeps_alive: bool,
    framing: Framing,
}

/// Parses the head at the front of `input`; `None` while it is not whole.
fn parse(input: &[u8], head_only: bool) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut fields,
    );
    let httparse::Status::Complete(length) = parsed.map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(Malformed);
    };
    let (mut content_length, mut chunked, mut keeps_alive) = (None, false, minor == 1);
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = decimal(field.value).ok_or(Malformed)?;
            if content_length.is_some_and(|earlier| earlier != value) {
                return Err(Malformed);
            }
            content_length = Some(value);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = tokens(field.value).last().is_some_and(|last| is(last, b"chunked"));
        } else if field.name.eq_ignore_ascii_case("connection") {
            for token in tokens(field.value) {
                keeps_alive = match token {
                    _ if is(token, b"close") => false,
                    _ if is(token, b"keep-alive") => true,
                    _ => keeps_alive,
                };
            }
        }
    }
    let framing = match content_length {
        _ if head_only || status < 200 || status == 204 || status == 304 => Framing::Length(0),
        _ if chunked => Framing::Chunked(Chunked::START),
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    keeps_alive &= !matches!(framing, Framing::UntilClose);
    Ok(Some(Head { length, status, keeps_alive, framing }))
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn is(token: &[u8], name: &[u8]) -> bool {
    token.eq_ignore_ascii_case(name)
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
