//! Response heads and chunk framing, written into memory the caller provides.
//!
//! What is written is checked: a name is a token, a value holds no control byte, and the body is
//! framed exactly once. So no caller, whatever it passes on, can split a response in two.

use std::fmt;

use super::block::{self, FieldBlock};
use super::date::HttpDate;
use super::framing::{is_token, is_value, is_value_byte};
use super::status::{self, StatusLine};

/// Why a response could not be encoded. All of these are faults of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// The memory provided is too small.
    TooSmall,
    /// The status is not within 100 to 599.
    Status,
    /// A field name is not a token.
    FieldName,
    /// A field value holds a control byte.
    FieldValue,
    /// The field is written by this encoder: Content-Length, Transfer-Encoding, Connection,
    /// Upgrade, Date.
    FieldReserved,
    /// The end of the body is announced twice, or not at all.
    Framing,
    /// A status without a body got one, or a length it may not have.
    BodyForbidden,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeError::TooSmall => "the output is too small for the response head",
            EncodeError::Status => "the status is not within 100 to 599 (RFC 9110 §15)",
            EncodeError::FieldName => "the field name is not a token (RFC 9110 §5.1)",
            EncodeError::FieldValue => "the field value holds a control byte (RFC 9110 §5.5)",
            EncodeError::FieldReserved => "the field has a method of its own on the encoder",
            EncodeError::Framing => {
                "a response takes exactly one of a length, chunks and closing (RFC 9112 §6.3)"
            }
            EncodeError::BodyForbidden => {
                "the status allows no body or no Content-Length (RFC 9110 §8.6)"
            }
        })
    }
}

impl std::error::Error for EncodeError {}

/// What a response says about the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Nothing: it stays open if the request was HTTP/1.1.
    #[default]
    Implied,
    /// `Connection: keep-alive`: it stays open although the request was HTTP/1.0.
    KeepAlive,
    /// `Connection: close`.
    Close,
}

impl Connection {
    /// The line for this answer, empty for [`Connection::Implied`].
    pub(super) const fn line(self) -> &'static [u8] {
        match self {
            Connection::Implied => b"",
            Connection::KeepAlive => b"Connection: keep-alive\r\n",
            Connection::Close => b"Connection: close\r\n",
        }
    }
}

/// A field line that was checked when the program was compiled, and is copied unchecked.
///
/// ```
/// use corelane_parser::http1::encode::FieldLine;
///
/// const JSON: FieldLine = FieldLine::from_static("Content-Type: application/json\r\n");
/// ```
/// ```compile_fail
/// # use corelane_parser::http1::encode::FieldLine;
/// const SPLIT: FieldLine = FieldLine::from_static("A: b\r\n\r\nHTTP/1.1 200 OK\r\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLine {
    line: &'static str,
    /// Of its name.
    mark: u64,
}

impl FieldLine {
    /// Takes one whole line, `Name: value` and CRLF.
    ///
    /// # Panics
    /// If it is anything else, or a field that the encoder writes. In a constant that is an error
    /// of compilation.
    pub const fn from_static(line: &'static str) -> Self {
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() && super::framing::is_token_byte(bytes[at]) {
            at += 1;
        }
        let mark = block::mark(bytes.split_at(at).0);
        assert!(at > 0, "a field line begins with a name");
        assert!(!is_reserved(bytes.split_at(at).0), "the encoder writes this field itself");
        assert!(at + 1 < bytes.len() && bytes[at] == b':', "a colon follows the name");
        assert!(bytes[at + 1] == b' ', "a space follows the colon");
        while at < bytes.len() && (at < 2 || bytes[at] != b'\r') {
            assert!(is_value_byte(bytes[at]), "a value holds no control byte");
            at += 1;
        }
        assert!(bytes.len() == at + 2 && bytes[at + 1] == b'\n', "a field line ends in one CRLF");
        Self { line, mark }
    }

    /// The line, with its CRLF.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.line.as_bytes()
    }

    /// What a block knows its name by.
    pub(super) const fn mark(self) -> u64 {
        self.mark
    }
}

/// The head of one response, being written. Methods record the first error, and
/// [`ResponseHead::finish`] returns it, so that they can be chained.
///
/// ```
/// use corelane_parser::http1::HttpDate;
/// use corelane_parser::http1::encode::ResponseHead;
///
/// let mut out = [0; 256];
/// let date = HttpDate::from_unix_seconds(784_111_777);
/// let mut head = ResponseHead::new(&mut out, 200);
/// let bytes = head.date(&date).field("Content-Type", b"text/plain").length(5).finish()?;
/// assert_eq!(
///     out[..bytes],
///     b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
///       Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n"[..]
/// );
/// # Ok::<(), corelane_parser::http1::encode::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct ResponseHead<'o> {
    out: &'o mut [u8],
    at: usize,
    status: u16,
    framed: bool,
    error: Option<EncodeError>,
}

impl<'o> ResponseHead<'o> {
    /// Writes the status line. 100 to 599; the reason phrase is the registered one.
    #[inline]
    pub fn new(out: &'o mut [u8], status: u16) -> Self {
        let mut head = Self { out, at: 0, status, framed: false, error: None };
        match status::line(status) {
            Some(line) => head.put_padded(&line.padded, line.bytes),
            None => head.unregistered(status),
        }
        head
    }

    /// Date. A server with a clock sends it with every response of 200 or above
    /// (RFC 9110 §6.6.1).
    #[inline]
    pub fn date(&mut self, date: &HttpDate) -> &mut Self {
        // Written in place: a line put together elsewhere and copied would wait for its stores.
        const LINE: [u8; 37] = *b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        if let Some(room) = self.room::<{ LINE.len() }>(0) {
            *room = LINE;
            room[6..6 + HttpDate::BYTES].copy_from_slice(date.as_bytes());
            self.at += LINE.len();
        }
        self
    }

    /// A field. The value may be empty.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        if !is_token(name.as_bytes()) {
            return self.fail(EncodeError::FieldName);
        }
        if is_reserved(name.as_bytes()) {
            return self.fail(EncodeError::FieldReserved);
        }
        if !is_value(value) {
            return self.fail(EncodeError::FieldValue);
        }
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
        self
    }

    /// A field checked in advance.
    #[inline]
    pub fn line(&mut self, line: FieldLine) -> &mut Self {
        self.put(line.as_bytes());
        self
    }

    /// Fields checked when they were put together.
    #[inline]
    pub fn block(&mut self, fields: &FieldBlock) -> &mut Self {
        self.put(fields.as_bytes());
        self
    }

    /// What becomes of the connection.
    #[inline]
    pub fn connection(&mut self, connection: Connection) -> &mut Self {
        match connection {
            Connection::Implied => {}
            other => self.put(other.line()),
        }
        self
    }

    /// Upgrade, and the connection option that belongs to it (RFC 9110 §7.8): the protocols that
    /// this response changes to, demands or offers.
    pub fn upgrade(&mut self, protocols: &str) -> &mut Self {
        if !is_value(protocols.as_bytes()) {
            return self.fail(EncodeError::FieldValue);
        }
        self.put(b"Upgrade: ");
        self.put(protocols.as_bytes());
        self.put(b"\r\nConnection: upgrade\r\n");
        self
    }

    /// Content-Length: the body has so many bytes, or would have them if the request was not
    /// HEAD.
    #[inline]
    pub fn length(&mut self, bytes: u64) -> &mut Self {
        if !status::may_have_length(self.status) {
            return self.fail(EncodeError::BodyForbidden);
        }
        self.frame();
        const NAME: [u8; 16] = *b"Content-Length: ";
        let digits = bytes.checked_ilog10().unwrap_or(0) as usize + 1;
        if let Some(room) = self.room::<{ NAME.len() }>(digits + 2) {
            *room = NAME;
            let value = &mut self.out[self.at + NAME.len()..][..digits + 2];
            put_decimal(&mut value[..digits], bytes);
            value[digits] = b'\r';
            value[digits + 1] = b'\n';
            self.at += NAME.len() + digits + 2;
        }
        self
    }

    /// Transfer-Encoding: the body comes in chunks. Not to an HTTP/1.0 client.
    pub fn chunked(&mut self) -> &mut Self {
        if status::is_bodyless(self.status) {
            return self.fail(EncodeError::BodyForbidden);
        }
        self.frame();
        self.put(b"Transfer-Encoding: chunked\r\n");
        self
    }

    /// The body ends where the connection does: writes `Connection: close`.
    pub fn until_close(&mut self) -> &mut Self {
        if status::is_bodyless(self.status) {
            return self.fail(EncodeError::BodyForbidden);
        }
        self.frame();
        self.connection(Connection::Close)
    }

    /// Ends the head. The body follows at the index returned.
    ///
    /// # Errors
    /// The first [`EncodeError`] on the way. What is in the output then must not be sent.
    #[inline]
    pub fn finish(&mut self) -> Result<usize, EncodeError> {
        self.put(b"\r\n");
        match self.error {
            Some(error) => Err(error),
            None if self.framed || status::is_bodyless(self.status) => Ok(self.at),
            None => Err(EncodeError::Framing),
        }
    }

    #[cold]
    fn unregistered(&mut self, status: u16) {
        if !(100..600).contains(&status) {
            self.fail(EncodeError::Status);
            return;
        }
        let line = StatusLine::unregistered(status);
        self.put_padded(&line.padded, line.bytes);
    }

    #[inline]
    fn frame(&mut self) {
        if self.framed {
            self.fail(EncodeError::Framing);
        }
        self.framed = true;
    }

    #[cold]
    fn fail(&mut self, error: EncodeError) -> &mut Self {
        self.error = self.error.or(Some(error));
        self
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.at..self.at + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => {
                self.fail(EncodeError::TooSmall);
            }
        }
    }

    /// The next `N` bytes of the output, if `more` fit behind them; else the error is recorded.
    #[inline]
    fn room<const N: usize>(&mut self, more: usize) -> Option<&mut [u8; N]> {
        if self.out.len() - self.at < N + more {
            self.fail(EncodeError::TooSmall);
            return None;
        }
        self.out[self.at..].first_chunk_mut()
    }

    /// Copies a constant number of bytes, of which `bytes` count: the rest is overwritten next.
    #[inline]
    fn put_padded<const N: usize>(&mut self, padded: &[u8; N], bytes: usize) {
        match self.out.get_mut(self.at..).and_then(|out| out.first_chunk_mut()) {
            Some(room) => {
                *room = *padded;
                self.at += bytes;
            }
            // Less room than the padding needs may still be enough.
            None => self.put(&padded[..bytes]),
        }
    }
}

/// The longest chunk header: 16 digits and CRLF.
pub const CHUNK_HEADER_BYTES_MAX: usize = 18;

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What follows the last chunk of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The header of a chunk with `bytes` of data, and its length in the array.
///
/// ```
/// use corelane_parser::http1::encode::chunk_header;
///
/// let (header, bytes) = chunk_header(std::num::NonZeroU64::new(255).unwrap());
/// assert_eq!(&header[..bytes], b"ff\r\n");
/// ```
///
/// A chunk of no data would end the body: hence the type.
#[inline]
pub fn chunk_header(bytes: std::num::NonZeroU64) -> ([u8; CHUNK_HEADER_BYTES_MAX], usize) {
    let mut header = [0; CHUNK_HEADER_BYTES_MAX];
    let digits = bytes.get().ilog2() as usize / 4 + 1;
    for (at, digit) in header[..digits].iter_mut().enumerate() {
        let shift = (digits - 1 - at) * 4;
        *digit = b"0123456789abcdef"[(bytes.get() >> shift & 0xf) as usize];
    }
    header[digits] = b'\r';
    header[digits + 1] = b'\n';
    (header, digits + 2)
}

/// Fields that this encoder writes itself, each at most once.
pub(super) const fn is_reserved(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length")
        || name.eq_ignore_ascii_case(b"transfer-encoding")
        || name.eq_ignore_ascii_case(b"connection")
        || name.eq_ignore_ascii_case(b"upgrade")
        || name.eq_ignore_ascii_case(b"date")
}

/// Fills `digits` with the decimal digits of `value`.
#[inline]
fn put_decimal(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: HttpDate = HttpDate::from_unix_seconds(0);

    fn write(
        status: u16,
        build: impl FnOnce(&mut ResponseHead<'_>),
    ) -> Result<String, EncodeError> {
        let mut out = [0; 512];
        let mut head = ResponseHead::new(&mut out, status);
        build(&mut head);
        let bytes = head.finish()?;
        Ok(String::from_utf8(out[..bytes].to_vec()).unwrap())
    }

    #[test]
    fn writes_what_was_asked() {
        const SERVER: FieldLine = FieldLine::from_static("Server: corelane\r\n");
        let text = write(200, |head| {
            head.date(&DATE).line(SERVER).field("A", b"").connection(Connection::Close).chunked();
        });
        let expect = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                      Server: corelane\r\nA: \r\nConnection: close\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(text.unwrap(), expect);
        let text = write(599, |head| {
            head.until_close();
        });
        assert_eq!(text.unwrap(), "HTTP/1.1 599 \r\nConnection: close\r\n\r\n");
        assert_eq!(write(100, |_| ()).unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        let text = write(304, |head| {
            head.length(7);
        });
        assert_eq!(text.unwrap(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    }

    #[test]
    fn refuses_what_would_break_the_message() {
        let field = |name: &str, value: &[u8]| {
            write(200, |head| {
                head.length(0).field(name, value);
            })
            .unwrap_err()
        };
        assert_eq!(field("A", b"b\r\nC: d"), EncodeError::FieldValue);
        assert_eq!(field("A", b"b\n"), EncodeError::FieldValue);
        assert_eq!(field("A", b"b\0"), EncodeError::FieldValue);
        assert_eq!(field("A", b"\x7f"), EncodeError::FieldValue);
        assert_eq!(field("", b"b"), EncodeError::FieldName);
        assert_eq!(field("A:", b"b"), EncodeError::FieldName);
        assert_eq!(field("A\r\nB", b"b"), EncodeError::FieldName);
        assert_eq!(field("content-length", b"1"), EncodeError::FieldReserved);
        assert_eq!(field("Transfer-Encoding", b"chunked"), EncodeError::FieldReserved);
        assert_eq!(field("upgrade", b"websocket"), EncodeError::FieldReserved);
        let upgrade = write(426, |head| {
            head.length(0).upgrade("a\r\nB: c");
        });
        assert_eq!(upgrade, Err(EncodeError::FieldValue));
        let twice = write(200, |head| {
            head.length(0).chunked();
        });
        assert_eq!(twice, Err(EncodeError::Framing));
        assert_eq!(write(200, |_| ()), Err(EncodeError::Framing));
        for status in [0, 99, 600, 1000] {
            assert_eq!(write(status, |_| ()), Err(EncodeError::Status));
        }
        for status in [101, 204] {
            let length = write(status, |head| {
                head.length(0);
            });
            assert_eq!(length, Err(EncodeError::BodyForbidden));
        }
        let chunked = write(304, |head| {
            head.chunked();
        });
        assert_eq!(chunked, Err(EncodeError::BodyForbidden));
    }

    #[test]
    fn fits_exactly_or_says_so() {
        let expect = write(404, |head| {
            head.date(&DATE).length(12345);
        })
        .unwrap();
        for room in 0..=expect.len() + 60 {
            let mut out = vec![0; room];
            let result = ResponseHead::new(&mut out, 404).date(&DATE).length(12345).finish();
            match room < expect.len() {
                true => assert_eq!(result, Err(EncodeError::TooSmall), "{room}"),
                false => assert_eq!(&out[..result.unwrap()], expect.as_bytes(), "{room}"),
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(value: u64, shift in 0..64) {
            let value = value >> shift;
            let mut out = [0; 128];
            let bytes = ResponseHead::new(&mut out, 200).length(value).finish().unwrap();
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n");
            prop_assert_eq!(&out[..bytes], text.as_bytes());
            if let Some(size) = std::num::NonZeroU64::new(value) {
                let (header, bytes) = chunk_header(size);
                let text = format!("{value:x}\r\n");
                prop_assert_eq!(&header[..bytes], text.as_bytes());
            }
        }

        #[test]
        fn no_field_can_split_a_response(name: Vec<u8>, value: Vec<u8>) {
            let name = String::from_utf8_lossy(&name);
            let mut out = [0; 1024];
            let mut head = ResponseHead::new(&mut out, 200);
            if let Ok(bytes) = head.field(&name, &value).length(0).finish() {
                let lines = out[..bytes].windows(2).filter(|pair| pair == b"\r\n").count();
                prop_assert_eq!(lines, 4);
                prop_assert_eq!(out[..bytes].iter().filter(|&&byte| byte == b'\n').count(), 4);
            }
        }
    }
}
