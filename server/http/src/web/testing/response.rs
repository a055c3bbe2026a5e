//! Responses of a server under test.

use std::fmt;

use corelane_eventloop::Nanos;
use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits, Method, Progress};
use serde::de::DeserializeOwned;

/// A response that a [`TestServer`](super::TestServer) gave, received whole.
#[derive(Clone)]
pub struct TestResponse {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    interim: Vec<u16>,
    chunked: bool,
    keep_alive: bool,
    pub(super) took: Nanos,
}

impl TestResponse {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first field of this name, in any case, if it is UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The value of the first trailer field of this name, in any case, if it is UTF-8.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        value(&self.trailers, name)
    }

    /// The body, without framing; as it came, so compressed if it was.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(error) => panic!("the body is no text: {error}: {self:?}"),
        }
    }

    /// The body as the value that its JSON stands for.
    ///
    /// # Panics
    /// If it is not JSON, or of another shape.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("the body is not the JSON expected: {error}: {self:?}"),
        }
    }

    /// The statuses of interim responses that came before it: 100, 103.
    pub fn interim(&self) -> &[u16] {
        &self.interim
    }

    /// Whether it came in chunks.
    pub fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Whether the connection could go on after it.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// The virtual time from the request to its end.
    pub fn took(&self) -> Nanos {
        self.took
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.fields {
            write!(f, "\n{name}: {}", String::from_utf8_lossy(value))?;
        }
        write!(f, "\n\n{}", String::from_utf8_lossy(&self.body))
    }
}

fn value<'f>(fields: &'f [(String, Vec<u8>)], name: &str) -> Option<&'f str> {
    let (_, value) = fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// A response that is awaited.
pub(super) struct Pending {
    method: String,
    /// With so many bytes it can be whole.
    wanted: usize,
}

pub(super) enum Parsed {
    Whole(TestResponse, usize),
    Partial,
    Broken(String),
}

impl Pending {
    pub(super) fn new(method: &str) -> Pending {
        Pending { method: method.to_owned(), wanted: 1 }
    }

    /// Whether another attempt can succeed, with so many bytes.
    pub(super) fn is_worth_it(&self, bytes: usize) -> bool {
        bytes >= self.wanted
    }

    /// Reads a response at the front of `input`, which is all there is if the connection has `ended`.
    pub(super) fn parse(&mut self, input: &[u8], ended: bool) -> Parsed {
        // What a test receives is what the application sends: no limits.
        let limits = Limits { head_bytes: usize::MAX, body_bytes: u64::MAX, ..Limits::DEFAULT };
        self.wanted = input.len() + 1;
        let mut interim = Vec::new();
        let mut at = 0;
        loop {
            let mut slots = ResponseSlots::new();
            let method = Method::from(self.method.as_str());
            let parsed = ResponseParser::default().parse(&input[at..], method, &mut slots, &limits);
            let head = match parsed {
                Ok(Progress::Complete(head)) => head,
                Ok(Progress::Partial) => return Parsed::Partial,
                Err(refusal) => return Parsed::Broken(format!("malformed head: {refusal}")),
            };
            at += head.bytes();
            if head.status() < 200 && head.status() != 101 {
                interim.push(head.status());
                continue;
            }
            if let BodyKind::Length(bytes) = head.body() {
                self.wanted = at + usize::try_from(bytes).unwrap_or(usize::MAX);
                if input.len() < self.wanted {
                    return Parsed::Partial;
                }
            }
            let fields = head.fields().map(|field| (field.name.to_owned(), field.value.to_vec()));
            let mut response = TestResponse {
                status: head.status(),
                fields: fields.collect(),
                body: Vec::new(),
                trailers: Vec::new(),
                interim,
                chunked: head.body() == BodyKind::Chunked,
                keep_alive: head.keep_alive(),
                took: Nanos::ZERO,
            };
            let mut body = Body::new(head.body(), &limits);
            loop {
                match body.advance(&input[at..], &limits) {
                    Ok(BodyStep::Data { data, consumed }) => {
                        response.body.extend_from_slice(data);
                        at += consumed;
                    }
                    Ok(BodyStep::Done { consumed }) => {
                        response.trailers = trailers(&input[at..at + consumed]);
                        return Parsed::Whole(response, at + consumed);
                    }
                    Ok(BodyStep::NeedMore { .. })
                        if ended && head.body() == BodyKind::UntilClose =>
                    {
                        return Parsed::Whole(response, input.len());
                    }
                    Ok(BodyStep::NeedMore { .. }) => return Parsed::Partial,
                    Err(refusal) => return Parsed::Broken(format!("malformed body: {refusal}")),
                }
            }
        }
    }
}

/// The trailer fields in what ends a chunked body: the end of the last chunk, the chunk of no bytes,
/// the trailers.
fn trailers(end: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = end.strip_prefix(b"\r\n").unwrap_or(end);
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    let field = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    };
    lines.filter_map(field).collect()
}
