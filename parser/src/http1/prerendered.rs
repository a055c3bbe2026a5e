//! Responses that never change, rendered once.

use super::encode::{Connection, EncodeError, ResponseHead};
use super::{FieldBlock, HttpDate};

/// The most bytes the fields of a prerendered head may take.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A whole response, rendered once and sent by copying. Only its Date changes, once a second, in
/// place.
///
/// It is the one type of this crate that allocates: one block when it is built, none after.
/// In that block lie the head for each [`Connection`] and, once, the body behind the commonest
/// head, so that the usual response is one slice.
///
/// ```
/// use corelane_parser::http1::encode::Connection;
/// use corelane_parser::http1::{HttpDate, Prerendered};
///
/// let mut hello = Prerendered::new(200, &[("Content-Type", "text/plain")], b"hello\n")?;
/// hello.set_date(&HttpDate::from_unix_seconds(784_111_777));
/// assert_eq!(
///     hello.response(),
///     b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
///       Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
/// );
/// assert!(hello.head(Connection::Close).ends_with(b"Connection: close\r\n\r\n"));
/// assert_eq!(hello.body(), b"hello\n");
/// # Ok::<(), corelane_parser::http1::encode::EncodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerendered {
    /// Head that closes, head that keeps alive, head that implies; body.
    bytes: Box<[u8]>,
    /// Where the second head, the third head and the body begin.
    keep_alive: usize,
    implied: usize,
    body: usize,
    /// Where the date is in each head.
    date: usize,
    /// Bytes of content that are to follow a head.
    content: u64,
}

impl Prerendered {
    /// Renders a response with Date, `fields`, Content-Length and `body`. The date is that of
    /// 1970 until it is set. A status that forbids a body takes an empty one and gets no length.
    ///
    /// # Errors
    /// [`EncodeError`]: of a field, of the status, of a body it does not allow, or of fields above
    /// 8 KiB (`TooSmall`).
    pub fn new(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Result<Self, EncodeError> {
        Self::render(status, each(fields), body, body.len() as u64)
    }

    /// Renders the heads of a response whose body of `length` bytes is sent from elsewhere.
    ///
    /// # Errors
    /// As [`Prerendered::new`].
    pub fn without_body(
        status: u16,
        fields: &[(&str, &str)],
        length: u64,
    ) -> Result<Self, EncodeError> {
        Self::render(status, each(fields), &[], length)
    }

    /// Renders a response with fields that were checked when they came into their block. Of the
    /// content's `length` bytes, `body` is what the caller keeps behind the heads: all or nothing.
    ///
    /// # Errors
    /// As [`Prerendered::new`].
    pub fn of_block(
        status: u16,
        fields: &FieldBlock,
        body: &[u8],
        length: u64,
    ) -> Result<Self, EncodeError> {
        let write = |head: &mut ResponseHead<'_>| {
            head.block(fields);
        };
        Self::render(status, write, body, length)
    }

    fn render(
        status: u16,
        fields: impl Fn(&mut ResponseHead<'_>),
        body: &[u8],
        length: u64,
    ) -> Result<Self, EncodeError> {
        let epoch = HttpDate::from_unix_seconds(0);
        let head = |connection| -> Result<Vec<u8>, EncodeError> {
            let mut out = vec![0; HEAD_BYTES_MAX];
            let mut head = ResponseHead::new(&mut out, status);
            head.date(&epoch);
            fields(&mut head);
            if !super::status::is_bodyless(status) || length != 0 {
                head.length(length);
            }
            let bytes = head.connection(connection).finish()?;
            out.truncate(bytes);
            Ok(out)
        };
        // RFC 9110 §15.3.6: 205 has a length, and it is 0.
        if (super::status::is_bodyless(status) && !body.is_empty())
            || (status == 205 && length != 0)
        {
            return Err(EncodeError::BodyForbidden);
        }
        let (close, keep_alive) = (head(Connection::Close)?, head(Connection::KeepAlive)?);
        let implied = head(Connection::Implied)?;
        // The date comes first in each head, right behind the status line.
        let line = implied.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        Ok(Self {
            keep_alive: close.len(),
            implied: close.len() + keep_alive.len(),
            body: close.len() + keep_alive.len() + implied.len(),
            date: line + "Date: ".len(),
            content: if super::status::is_bodyless(status) { 0 } else { length },
            bytes: [&close[..], &keep_alive, &implied, body].concat().into(),
        })
    }

    /// Whether this is the date in the heads.
    #[inline]
    pub fn has_date(&self, date: &HttpDate) -> bool {
        self.bytes[self.date..self.date + HttpDate::BYTES] == *date.as_bytes()
    }

    /// Writes another date into every head. Cost: three copies of 29 bytes.
    pub fn set_date(&mut self, date: &HttpDate) {
        for head in [0, self.keep_alive, self.implied] {
            let at = head + self.date;
            self.bytes[at..at + HttpDate::BYTES].copy_from_slice(date.as_bytes());
        }
    }

    /// Head and body, for a connection that stays open by default: the usual case, one slice.
    #[inline]
    pub fn response(&self) -> &[u8] {
        &self.bytes[self.implied..]
    }

    /// The head alone: the answer to HEAD, or what goes before [`Prerendered::body`].
    #[inline]
    pub fn head(&self, connection: Connection) -> &[u8] {
        match connection {
            Connection::Close => &self.bytes[..self.keep_alive],
            Connection::KeepAlive => &self.bytes[self.keep_alive..self.implied],
            Connection::Implied => &self.bytes[self.implied..self.body],
        }
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of content that must follow a head, unless it answers HEAD: those of
    /// [`Prerendered::body`], or the length given to [`Prerendered::without_body`]; none if the
    /// status forbids them.
    #[inline]
    pub fn content_bytes(&self) -> u64 {
        self.content
    }
}

/// Writes these fields into a head.
fn each<'f>(fields: &'f [(&str, &str)]) -> impl Fn(&mut ResponseHead<'_>) + 'f {
    move |head| {
        for (name, value) in fields {
            head.field(name, value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_carries_the_date_and_its_connection() {
        let mut fixed = Prerendered::new(200, &[("X", "y")], b"body").unwrap();
        fixed.set_date(&HttpDate::from_unix_seconds(1));
        for (connection, line) in [
            (Connection::Implied, ""),
            (Connection::KeepAlive, "Connection: keep-alive\r\n"),
            (Connection::Close, "Connection: close\r\n"),
        ] {
            let expect = format!(
                "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nX: y\r\n\
                 Content-Length: 4\r\n{line}\r\n"
            );
            assert_eq!(fixed.head(connection), expect.as_bytes());
        }
        let whole = [fixed.head(Connection::Implied), b"body"].concat();
        assert_eq!(fixed.response(), whole);
    }

    #[test]
    fn framing_follows_the_status() {
        let none = Prerendered::new(204, &[], b"").unwrap();
        assert!(!none.response().windows(14).any(|part| part == b"Content-Length"));
        let not_modified = Prerendered::without_body(304, &[], 9).unwrap();
        assert!(not_modified.response().ends_with(b"Content-Length: 9\r\n\r\n"));
        assert_eq!(Prerendered::new(204, &[], b"x"), Err(EncodeError::BodyForbidden));
        assert_eq!(Prerendered::without_body(204, &[], 1), Err(EncodeError::BodyForbidden));
        assert_eq!(Prerendered::new(205, &[], b"x"), Err(EncodeError::BodyForbidden));
        assert_eq!(Prerendered::without_body(205, &[], 1), Err(EncodeError::BodyForbidden));
        let reset = Prerendered::new(205, &[], b"").unwrap();
        assert!(reset.response().ends_with(b"Content-Length: 0\r\n\r\n"));
        let elsewhere = Prerendered::without_body(200, &[], 9).unwrap();
        let follow = [&none, &not_modified, &elsewhere].map(Prerendered::content_bytes);
        assert_eq!(follow, [0, 0, 9]);
        let empty = Prerendered::new(200, &[], b"").unwrap();
        assert!(empty.response().ends_with(b"Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn refuses_what_would_split_it() {
        let split = Prerendered::new(200, &[("X", "y\r\nSet-Cookie: z")], b"");
        assert_eq!(split, Err(EncodeError::FieldValue));
        let long = "y".repeat(HEAD_BYTES_MAX);
        assert_eq!(Prerendered::new(200, &[("X", &long)], b""), Err(EncodeError::TooSmall));
    }
}
