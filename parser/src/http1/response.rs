//! Response heads, for a client: status, fields and how the body ends.

use httparse::Header;

use super::framing::{self, Coding, is};
use super::limits::FIELDS_MAX;
use super::scan::HeadScan;
use super::{BodyKind, Fields, Limits, Progress, Version};
use crate::Refusal;

/// The head of a response, borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h> {
    status: u16,
    version: Version,
    fields: &'h [Header<'h>],
    body: BodyKind,
    keep_alive: bool,
    bytes: usize,
}

/// Room for the fields of one response head, on the caller's stack: 3.2 KB.
pub struct ResponseSlots<'b>([Header<'b>; FIELDS_MAX]);

impl ResponseSlots<'_> {
    /// Empty slots.
    #[inline]
    pub const fn new() -> Self {
        Self([httparse::EMPTY_HEADER; FIELDS_MAX])
    }
}

impl Default for ResponseSlots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses one response head, over as many calls as its bytes need to arrive. Plain data, 8 bytes.
/// Of HTTP/1.0 and 1.1 only.
///
/// ```
/// use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
/// use corelane_parser::http1::{BodyKind, Limits, Method, Progress};
///
/// let input = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// let mut slots = ResponseSlots::new();
/// let mut parser = ResponseParser::default();
/// let progress = parser.parse(input, Method::Get, &mut slots, &Limits::default());
/// let Ok(Progress::Complete(head)) = progress else { panic!() };
/// assert_eq!((head.status(), head.body()), (200, BodyKind::Length(2)));
/// assert_eq!(&input[head.bytes()..], b"hi");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseParser {
    scan: HeadScan,
}

impl ResponseParser {
    /// Parses the head at the front of `input`; `method` is that of the request it answers. Call
    /// again with all of it and more after [`Progress::Partial`]. Arrival byte by byte is linear.
    ///
    /// A status of 100 to 199 is an interim response: another head follows, except after 101.
    ///
    /// # Errors
    /// A [`Refusal`]: a head that is malformed, ambiguous or above a limit.
    pub fn parse<'h, 'b: 'h>(
        &mut self,
        input: &'b [u8],
        method: super::Method<'_>,
        slots: &'h mut ResponseSlots<'b>,
        limits: &Limits,
    ) -> Result<Progress<ResponseHead<'h>>, Refusal> {
        let window = &input[..input.len().min(limits.head_bytes)];
        let Some(bytes) = self.scan.advance(window, 0, limits).map_err(|fault| fault.refusal)?
        else {
            return match window.len() < limits.head_bytes {
                true => Ok(Progress::Partial),
                false => Err(Refusal::HeadTooLarge),
            };
        };
        *self = Self::default();
        let mut response = httparse::Response::new(&mut slots.0[..limits.fields.min(FIELDS_MAX)]);
        match response.parse(&window[..bytes]) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Refusal::StatusLine),
            Err(error @ (httparse::Error::HeaderName | httparse::Error::HeaderValue)) => {
                return Err(super::fault::refusal(error));
            }
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
            Err(_) => return Err(Refusal::StatusLine),
        }
        let (Some(status), Some(minor)) = (response.code, response.version) else {
            return Err(Refusal::StatusLine);
        };
        if !(100..600).contains(&status) {
            return Err(Refusal::StatusLine);
        }
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        ResponseHead::read(status, version, response.headers, method, bytes).map(Progress::Complete)
    }
}

impl<'h> ResponseHead<'h> {
    fn read(
        status: u16,
        version: Version,
        fields: &'h [Header<'h>],
        method: super::Method<'_>,
        bytes: usize,
    ) -> Result<Self, Refusal> {
        let (mut length, mut coding) = (None, Coding::None);
        let (mut close, mut keep_alive) = (false, false);
        for field in fields {
            let name = field.name.as_bytes();
            if is(name, b"content-length") {
                let value = framing::content_length(field.value)?;
                if length.replace(value).is_some() {
                    return Err(Refusal::ContentLengthRepeated);
                }
            } else if is(name, b"transfer-encoding") {
                coding = framing::transfer_encoding(coding, field.value)?;
            } else if is(name, b"connection") {
                for option in field.value.split(|&byte| byte == b',') {
                    close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        let body = if method == super::Method::Head || super::status::is_bodyless(status) {
            BodyKind::None
        } else if coding == Coding::None && length.is_none() {
            BodyKind::UntilClose
        } else {
            framing::body(length, coding, version)?
        };
        let keep_alive =
            !close && (version == Version::Http11 || keep_alive) && body != BodyKind::UntilClose;
        Ok(Self { status, version, fields, body, keep_alive, bytes })
    }

    /// The status code, 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields in the order they were sent.
    pub fn fields(&self) -> Fields<'h> {
        Fields(self.fields.iter())
    }

    /// The value of the first field named `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&'h [u8]> {
        let mut fields = self.fields();
        fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// How the end of the body is found (RFC 9112 §6.3).
    pub fn body(&self) -> BodyKind {
        self.body
    }

    /// Whether the connection can be used again once the body has been read.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The length of the head in the input.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;

    /// Status, body and reuse of `input`, or the refusal; byte by byte and whole alike.
    fn parse(method: Method<'_>, input: &str) -> Result<Option<(u16, BodyKind, bool)>, Refusal> {
        let run = |step: usize| {
            let mut parser = ResponseParser::default();
            let ends = (step..input.len()).step_by(step).chain([input.len()]);
            for end in ends {
                let mut slots = ResponseSlots::new();
                let part = &input.as_bytes()[..end];
                match parser.parse(part, method, &mut slots, &Limits::DEFAULT)? {
                    Progress::Partial => {}
                    Progress::Complete(head) => {
                        assert_eq!(input[head.bytes()..].find("HTTP/"), None);
                        return Ok(Some((head.status(), head.body(), head.keep_alive())));
                    }
                }
            }
            Ok(None)
        };
        let whole = run(input.len());
        assert_eq!(run(1), whole, "{input:?}");
        whole
    }

    #[test]
    fn framing_follows_status_method_and_fields() {
        use BodyKind::{Chunked, Length, None as Nothing, UntilClose};
        for (method, input, expect) in [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, Length(5), true)),
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, Nothing, true)),
            ("GET", "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", (200, Chunked, true)),
            ("GET", "HTTP/1.1 200 \r\n\r\n", (200, UntilClose, false)),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (200, Nothing, true)),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n", (204, Nothing, true)),
            ("GET", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", (304, Nothing, true)),
            ("GET", "HTTP/1.1 100 Continue\r\n\r\n", (100, Nothing, true)),
            ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", (200, Length(5), false)),
            (
                "GET",
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
                (200, Length(5), true),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
                (200, Length(5), false),
            ),
        ] {
            assert_eq!(parse(Method::from(method), input), Ok(Some(expect)), "{method} {input:?}");
        }
        assert_eq!(parse(Method::Get, "HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
    }

    #[test]
    fn refuses_the_malformed_and_the_ambiguous() {
        for (input, expect) in [
            ("HTTP/2.0 200 OK\r\n\r\n", Refusal::StatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", Refusal::StatusLine),
            ("HTTP/1.1 099 x\r\n\r\n", Refusal::StatusLine),
            ("HTTP/1.1 600 x\r\n\r\n", Refusal::StatusLine),
            ("ICY 200 OK\r\n\r\n", Refusal::StatusLine),
            ("\r\n\r\n", Refusal::StatusLine),
            ("HTTP/1.1 200 OK\n\n", Refusal::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Refusal::FieldName),
            ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", Refusal::FieldValue),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Refusal::ContentLength),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                Refusal::ContentLengthRepeated,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::LengthAndEncoding,
            ),
        ] {
            assert_eq!(parse(Method::Get, input), Err(expect), "{input:?}");
        }
    }
}
