//! Status codes: their status lines, and what a response with them may carry.

/// Builds the table of status lines. Each is padded to one size so that it can be copied with a
/// constant number of bytes, which is several times faster than an exact copy.
macro_rules! status_lines {
    ($($code:literal $reason:literal,)*) => {
        /// The status line of `code`, if it is registered.
        #[inline]
        pub(super) const fn line(code: u16) -> Option<&'static StatusLine> {
            match code {
                $($code => {
                    static LINE: StatusLine =
                        StatusLine::new(concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"));
                    Some(&LINE)
                })*
                _ => None,
            }
        }

        /// The reason phrase registered for `code` (RFC 9110 §15 and the IANA registry), or an
        /// empty one.
        ///
        /// ```
        /// use corelane_parser::http1::status;
        ///
        /// assert_eq!(status::reason(404), "Not Found");
        /// assert_eq!(status::reason(599), "");
        /// ```
        pub const fn reason(code: u16) -> &'static str {
            match code {
                $($code => $reason,)*
                _ => "",
            }
        }
    };
}

status_lines! {
    100 "Continue",
    101 "Switching Protocols",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    511 "Network Authentication Required",
}

/// The size every status line is padded to.
pub(super) const PADDED_BYTES: usize = 48;

/// A status line with its CRLF, padded.
pub(super) struct StatusLine {
    pub(super) padded: [u8; PADDED_BYTES],
    pub(super) bytes: usize,
}

impl StatusLine {
    const fn new(line: &str) -> Self {
        let mut padded = [0; PADDED_BYTES];
        padded.split_at_mut(line.len()).0.copy_from_slice(line.as_bytes());
        Self { padded, bytes: line.len() }
    }

    /// `HTTP/1.1 NNN ` and an empty reason: what a code without a registered reason gets.
    pub(super) const fn unregistered(code: u16) -> Self {
        let mut line = Self::new("HTTP/1.1 000 \r\n");
        line.padded[9] = b'0' + (code / 100 % 10) as u8;
        line.padded[10] = b'0' + (code / 10 % 10) as u8;
        line.padded[11] = b'0' + (code % 10) as u8;
        line
    }
}

/// Whether a response with this status has no body, whatever its fields say (RFC 9112 §6.3).
///
/// ```
/// use corelane_parser::http1::status;
///
/// assert!(status::is_bodyless(304) && !status::is_bodyless(200));
/// ```
#[inline]
pub const fn is_bodyless(code: u16) -> bool {
    code < 200 || code == 204 || code == 304
}

/// Whether a response with this status may carry Content-Length (RFC 9110 §8.6): of those
/// without a body only 304, where it tells the length of what was not sent.
#[inline]
pub const fn may_have_length(code: u16) -> bool {
    code >= 200 && code != 204
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_code_and_reason() {
        for code in 100..600 {
            let line = match line(code) {
                Some(line) => line,
                None => &StatusLine::unregistered(code),
            };
            let expect = format!("HTTP/1.1 {code} {}\r\n", reason(code));
            assert_eq!(&line.padded[..line.bytes], expect.as_bytes());
        }
    }
}
